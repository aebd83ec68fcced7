/// DCP_SET_VBUCKET_STATE: a step of a takeover, always answered (dcp-protocol.md §3.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetVbucketState {
    /// One of this type's constants.
    pub state: u8,
}

impl SetVbucketState {
    /// Serves clients.
    pub const ACTIVE: u8 = 1;
    /// Follows an active one.
    pub const REPLICA: u8 = 2;
    /// Is about to become active.
    pub const PENDING: u8 = 3;
    /// Serves nobody.
    pub const DEAD: u8 = 4;
}
