use crate::scenario::Scenario;
use crate::toxic::Toxic;

/// All that is wanted of every connection of a proxy. A connection that is behind sees the latest alone.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Orders {
    /// What is done to them, in this order.
    pub toxics: Vec<Toxic>,
    /// The scenarios whose steps are taken on them, each with the number of the time that it was armed: one that is armed
    /// again is begun again.
    pub scenarios: Vec<(u64, Scenario)>,
}
