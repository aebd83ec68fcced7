/// STAT: asks for statistics.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stat {
    /// Which group; empty for the general ones.
    pub key: String,
}

/// One of the answers to [`Stat`]; the last one is empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StatResponse {
    /// The statistic's name.
    pub key: String,
    /// Its value.
    pub value: String,
}
