/// DCP_SEQNO_ADVANCED: the consumer has everything up to this seqno (dcp-protocol.md §4.9).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SeqnoAdvanced {
    /// Up to which seqno.
    pub by_seqno: u64,
}
