/// The server request ClustermapChangeNotification: the cluster map changed (dcp-protocol.md §2).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClustermapChange {
    /// Epoch of the map; the old form has none.
    pub epoch: Option<i64>,
    /// Revision of the map.
    pub revision: i64,
    /// The bucket; empty for the global map.
    pub bucket: String,
}
