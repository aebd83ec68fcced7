use super::Malformed;
use super::MemberName;
use super::MemberSink;
use super::check;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// VERSION: asks for the server's version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Version;

/// The answer to [`Version`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VersionResponse {
    /// Text such as `7.0.5-7659`.
    pub version: String,
}

impl Version {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame that has a body, beside framing extras.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::no_body(frame)?;
        Ok(Self)
    }

    /// The request.
    pub fn request(self, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::request(Opcode::VERSION).opaque(opaque)
    }
}

impl VersionResponse {
    /// Reads the message out of its frame.
    pub fn parse(frame: &Frame<'_>) -> Self {
        Self { version: check::text(frame.value().unwrap_or_default()) }
    }

    /// The response.
    pub fn response(&self, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::response(Opcode::VERSION, Status::SUCCESS).opaque(opaque).value(self.version.as_bytes())
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        to.member(MemberName::version, self.version.as_str().into());
    }
}
