/// A response with a status that does not count as success. Its JSON, if any, stays in the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ErrorResponse {
    /// The manifest uid that comes with UnknownCollection and UnknownScope (hex in the JSON).
    pub manifest_uid: Option<u64>,
}
