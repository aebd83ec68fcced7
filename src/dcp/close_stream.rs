/// DCP_CLOSE_STREAM: asks either end to close a stream (dcp-protocol.md §3.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CloseStream;
