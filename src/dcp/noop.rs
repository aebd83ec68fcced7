/// DCP_NOOP (0x5c): the producer asks whether its consumer lives (dcp-protocol.md §3.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DcpNoop;

/// NOOP (0x0a): either end asks the other whether it lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Noop;
