/// GET_ERROR_MAP: asks what the statuses mean; its answer is JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GetErrorMap {
    /// The highest version that the client understands, 1 or 2.
    pub version: u16,
}
