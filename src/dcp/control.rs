use super::Malformed;
use super::check;
use super::malformed::malformed;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// DCP_CONTROL: the consumer changes how the connection behaves (dcp-protocol.md §2.2).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Control {
    /// What is changed.
    pub key: String,
    /// To what.
    pub value: String,
}

impl Control {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame without key or value, or one that breaks another rule of dcp-protocol.md.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::raw(frame)?;
        check::no_extras(frame)?;
        check::some_key(frame)?;
        if frame.header().value_len() == 0 {
            return Err(malformed!("expected DCP_CONTROL to have a value beside its key, found none"));
        }
        Ok(Self { key: check::text(frame.key()), value: check::text(frame.value().unwrap_or_default()) })
    }

    /// The request.
    pub fn request(&self, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::request(Opcode::DCP_CONTROL).opaque(opaque).key(self.key.as_bytes()).value(self.value.as_bytes())
    }
}
