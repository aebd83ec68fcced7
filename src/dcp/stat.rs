use super::Malformed;
use super::check;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// STAT: asks for statistics.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stat {
    /// Which group; empty for the general ones.
    pub key: String,
}

/// One of the answers to [`Stat`]; the last one is empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StatResponse {
    /// The statistic's name.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl Stat {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// Extras.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::no_extras(frame)?;
        Ok(Self { key: check::text(frame.key()) })
    }

    /// The request.
    pub fn request(&self, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::request(Opcode::STAT).opaque(opaque).key(self.key.as_bytes())
    }
}

impl StatResponse {
    /// Reads the message out of its frame.
    pub fn parse(frame: &Frame<'_>) -> Self {
        Self { key: check::text(frame.key()), value: check::text(frame.value().unwrap_or_default()) }
    }

    /// The response; the last one of a series is [`StatResponse::default`].
    pub fn response(&self, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::response(Opcode::STAT, Status::SUCCESS)
            .opaque(opaque)
            .key(self.key.as_bytes())
            .value(self.value.as_bytes())
    }
}
