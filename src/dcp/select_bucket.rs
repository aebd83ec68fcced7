use super::Malformed;
use super::check;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// SELECT_BUCKET: which bucket the connection is to use.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SelectBucket {
    /// Its name; may be empty.
    pub bucket: String,
}

impl SelectBucket {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// Extras or a value.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::no_extras(frame)?;
        check::no_value(frame)?;
        Ok(Self { bucket: check::text(frame.key()) })
    }

    /// The request.
    pub fn request(&self, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::request(Opcode::SELECT_BUCKET).opaque(opaque).key(self.bucket.as_bytes())
    }
}
