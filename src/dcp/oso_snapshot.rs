/// DCP_OSO_SNAPSHOT: a snapshot in key order starts or ends (dcp-protocol.md §4.10).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OsoSnapshot {
    /// [`OsoSnapshot::START`] or [`OsoSnapshot::END`].
    pub flags: u32,
}

impl OsoSnapshot {
    /// The snapshot starts.
    pub const START: u32 = 1;
    /// The snapshot ends.
    pub const END: u32 = 2;
}
