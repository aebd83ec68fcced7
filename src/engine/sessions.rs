use crate::journal::Side;
use crate::session::Session;

/// The session at each edge.
#[derive(Debug)]
pub struct Sessions {
    dialler: Session,
    upstream: Session,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self { dialler: Session::new(Side::Dialler), upstream: Session::new(Side::Upstream) }
    }

    /// The session at the edge of `side`.
    pub const fn at(&self, side: Side) -> &Session {
        match side {
            Side::Dialler => &self.dialler,
            Side::Upstream => &self.upstream,
        }
    }

    pub(super) const fn at_mut(&mut self, side: Side) -> &mut Session {
        match side {
            Side::Dialler => &mut self.dialler,
            Side::Upstream => &mut self.upstream,
        }
    }
}
