/// DCP_CONTROL: the consumer changes how the connection behaves (dcp-protocol.md §2.2).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Control {
    /// What is changed.
    pub key: String,
    /// To what.
    pub value: String,
}
