/// GET_FAILOVER_LOG, as DCP (0x54) or plain request (0x96): asks for a vbucket's history (dcp-protocol.md §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GetFailoverLog;

/// The answer to [`GetFailoverLog`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FailoverLog {
    /// At least one entry, newest first.
    pub failover_log: Vec<FailoverEntry>,
}

/// One branch of a vbucket's history.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FailoverEntry {
    /// The branch's uuid.
    pub vb_uuid: u64,
    /// The seqno that it begins with.
    pub seqno: u64,
}
