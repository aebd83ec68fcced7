use super::steps::Steps;
use crate::fault::Fault;

/// Steps that are waited for together, and what became of them: those of the plan, or of a course that came later.
#[derive(Debug)]
pub(super) struct Lane {
    /// Tells them apart.
    pub(super) id: u64,
    /// The course's name, and how often that was armed; none of the plan's.
    pub(super) course: Option<(String, u64)>,
    pub(super) steps: Steps,
    /// Whether no step of it is taken any more, as all was told to settle.
    pub(super) over: bool,
}

/// A fault that a step of a lane has begun.
#[derive(Debug)]
pub(super) struct Begun {
    /// The lane.
    pub(super) lane: u64,
    pub(super) fault: Box<dyn Fault>,
}
