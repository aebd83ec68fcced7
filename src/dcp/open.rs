/// DCP_OPEN: makes a DCP connection of an ordinary one (dcp-protocol.md §2.1).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Open {
    /// The connection's name.
    pub name: String,
    /// Reserved.
    pub seqno: u32,
    /// A set of this type's flags.
    pub flags: u32,
    /// The name that a consumer is to give itself.
    pub consumer_name: Option<String>,
}

impl Open {
    /// The end that is asked becomes the producer; without it, the consumer.
    pub const PRODUCER: u32 = 0x001;
    /// Values with their xattrs.
    pub const INCLUDE_XATTRS: u32 = 0x004;
    /// No values.
    pub const NO_VALUE: u32 = 0x008;
    /// Deletions with their times (version 2).
    pub const INCLUDE_DELETE_TIMES: u32 = 0x020;
    /// No values, but their datatypes.
    pub const NO_VALUE_WITH_UNDERLYING_DATATYPE: u32 = 0x040;
    /// Deletions with the users' xattrs.
    pub const INCLUDE_DELETED_USER_XATTRS: u32 = 0x100;
    /// No deletions in the first backfill.
    pub const SKIP_DELETES_IN_INITIAL_BACKFILL: u32 = 0x200;
}
