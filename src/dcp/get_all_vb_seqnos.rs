/// GET_ALL_VB_SEQNOS: asks for the highest seqno of each vbucket (dcp-protocol.md §2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GetAllVbSeqnos {
    /// Only vbuckets in this state (0 alive, 1 active, 2 replica, 3 pending, 4 dead).
    pub state: Option<u32>,
    /// Only what this collection has.
    pub collection_id: Option<u32>,
}

/// The answer to [`GetAllVbSeqnos`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VbSeqnos {
    /// Sorted by vbucket.
    pub entries: Vec<VbSeqno>,
}

/// One vbucket's highest seqno.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VbSeqno {
    /// Which.
    pub vbucket: u16,
    /// Its highest seqno.
    pub seqno: u64,
}
