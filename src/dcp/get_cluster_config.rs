/// GET_CLUSTER_CONFIG: asks for the cluster map; its answer is JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GetClusterConfig {
    /// Epoch and revision of the map that the client has.
    pub known: Option<MapRevision>,
}

/// Which cluster map.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct MapRevision {
    /// Epoch.
    pub epoch: i64,
    /// Revision within the epoch.
    pub revision: i64,
}
