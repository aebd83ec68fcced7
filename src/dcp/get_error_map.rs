use super::Malformed;
use super::MemberSink;
use super::check;
use super::malformed::malformed;
use super::member::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// GET_ERROR_MAP: asks what the statuses mean; its answer is JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GetErrorMap {
    /// The highest version that the client understands, 1 or 2.
    pub version: u16,
}

impl GetErrorMap {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A value of another length than 2; extras, a key, a vbucket other than 0.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::no_extras(frame)?;
        check::no_key(frame)?;
        let version = check::value_of(frame, 2)?.u16();
        match frame.header().vbucket_or_status {
            0 => Ok(Self { version }),
            vbucket => Err(malformed!("expected GET_ERROR_MAP to have vbucket 0, found {vbucket}")),
        }
    }

    /// The request.
    pub fn request(&self, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::request(Opcode::GET_ERROR_MAP).opaque(opaque).value(self.version.to_be_bytes())
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put!(to, self, version);
    }
}
