use super::Malformed;
use super::MemberSink;
use super::check;
use super::malformed::malformed;
use super::member::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// DCP_SET_VBUCKET_STATE: a step of a takeover, always answered (dcp-protocol.md §3.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetVbucketState {
    /// One of this type's constants.
    pub state: u8,
}

impl SetVbucketState {
    /// Serves clients.
    pub const ACTIVE: u8 = 1;
    /// Follows an active one.
    pub const REPLICA: u8 = 2;
    /// Is about to become active.
    pub const PENDING: u8 = 3;
    /// Serves nobody.
    pub const DEAD: u8 = 4;
}

impl SetVbucketState {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame that breaks a rule of dcp-protocol.md.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::raw(frame)?;
        check::no_key(frame)?;
        check::no_value(frame)?;
        check::no_cas(frame)?;
        let state = check::extras(frame, 1)?.u8();
        if (Self::ACTIVE..=Self::DEAD).contains(&state) {
            Ok(Self { state })
        } else {
            Err(malformed!("expected a vbucket state of 1 to 4, found {state}"))
        }
    }

    /// The request; its stream's opaque and vbucket are the caller's.
    pub fn request(&self, vbucket: u16, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::request(Opcode::DCP_SET_VBUCKET_STATE)
            .vbucket(vbucket)
            .opaque(opaque)
            .extras(self.state.to_be_bytes())
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put!(to, self, state);
    }
}
