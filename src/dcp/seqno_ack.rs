/// DCP_SEQNO_ACK: the consumer has prepared up to a seqno; answered only on failure (dcp-protocol.md §4.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SeqnoAck {
    /// Up to which seqno.
    pub prepared_seqno: u64,
}
