/// DCP_COMMIT: a prepared write took place (dcp-protocol.md §4.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Commit {
    /// Seqno of its prepare.
    pub prepared_seqno: u64,
    /// Its own seqno.
    pub commit_seqno: u64,
}
