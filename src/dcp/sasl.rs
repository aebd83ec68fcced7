use super::Malformed;
use super::MemberName;
use super::MemberSink;
use super::check;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// SASL_LIST_MECHS: asks how one may log in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SaslListMechs;

/// The answer to [`SaslListMechs`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SaslMechanisms {
    /// Names such as `PLAIN`.
    pub mechanisms: Vec<String>,
}

/// SASL_AUTH or SASL_STEP: a step of logging in. What it carries is a credential and is never kept (law L9).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SaslAuth {
    /// The mechanism.
    pub mechanism: String,
}

impl SaslListMechs {
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
        FrameBuilder::request(Opcode::SASL_LIST_MECHS).opaque(opaque)
    }
}

impl SaslMechanisms {
    /// Reads the message out of its frame.
    pub fn parse(frame: &Frame<'_>) -> Self {
        let names = check::text(frame.value().unwrap_or_default());
        Self { mechanisms: names.split_ascii_whitespace().map(str::to_owned).collect() }
    }

    /// The response.
    pub fn response(&self, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::response(Opcode::SASL_LIST_MECHS, Status::SUCCESS)
            .opaque(opaque)
            .value(self.mechanisms.join(" ").into_bytes())
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        to.open_list(MemberName::mechanisms);
        for mechanism in &self.mechanisms {
            to.item(mechanism.as_str().into());
        }
        to.close_list();
    }
}

impl SaslAuth {
    /// Reads the mechanism out of a frame, and nothing else.
    ///
    /// # Errors
    /// Extras, or no mechanism.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::no_extras(frame)?;
        check::some_key(frame)?;
        Ok(Self { mechanism: check::text(frame.key()) })
    }

    /// The request: `opcode` is SASL_AUTH or SASL_STEP.
    pub fn request(&self, opcode: Opcode, challenge: &[u8], opaque: Opaque) -> FrameBuilder {
        FrameBuilder::request(opcode).opaque(opaque).key(self.mechanism.as_bytes()).value(challenge)
    }
}
