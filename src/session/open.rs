use crate::dcp;
use crate::journal::Side;

/// The DCP_OPEN that made this a DCP connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Open {
    /// Who sent it.
    pub by: Side,
    /// The connection's name.
    pub name: String,
    /// Its flags (dcp-protocol.md §2.1, [`dcp::Open`]).
    pub flags: u32,
    /// The name of the consumer, where the opener is one that replicates.
    pub consumer_name: Option<String>,
    /// Whether it was answered with Success; till then the roles are provisional.
    pub accepted: bool,
}

impl Open {
    /// The end that sends mutations.
    pub const fn producer(&self) -> Side {
        if self.flags & dcp::Open::PRODUCER == 0 { self.by } else { self.by.other() }
    }

    /// Whether all bits of `flags` are set.
    pub const fn has(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }
}
