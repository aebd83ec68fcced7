/// DCP_BUFFER_ACK: gives bytes back to the producer's window (dcp-protocol.md §5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BufferAck {
    /// How many.
    pub bytes_to_ack: u32,
}
