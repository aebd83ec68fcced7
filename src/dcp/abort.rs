/// DCP_ABORT: a prepared write did not take place (dcp-protocol.md §4.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Abort {
    /// Seqno of its prepare.
    pub prepared_seqno: u64,
    /// Its own seqno.
    pub abort_seqno: u64,
}
