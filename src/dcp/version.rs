/// VERSION: asks for the server's version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Version;

/// The answer to [`Version`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VersionResponse {
    /// Text such as `7.0.5-7659`.
    pub version: String,
}
