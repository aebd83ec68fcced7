use super::Malformed;
use super::MemberSink;
use super::check;
use super::malformed::malformed;
use super::member::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// DCP_OSO_SNAPSHOT: a snapshot in key order starts or ends (dcp-protocol.md §4.10).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OsoSnapshot {
    /// [`OsoSnapshot::START`] or [`OsoSnapshot::END`].
    pub flags: u32,
}

impl OsoSnapshot {
    /// The snapshot starts.
    pub const START: u32 = 1;
    /// The snapshot ends.
    pub const END: u32 = 2;
}

impl OsoSnapshot {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame that breaks a rule of dcp-protocol.md.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::raw(frame)?;
        check::no_key(frame)?;
        check::no_value(frame)?;
        check::no_cas(frame)?;
        let flags = check::extras(frame, 4)?.u32();
        if matches!(flags, Self::START | Self::END) {
            Ok(Self { flags })
        } else {
            Err(malformed!("expected DCP_OSO_SNAPSHOT to have flags of 1 (start) or 2 (end), found {flags}"))
        }
    }

    /// The request; its stream's opaque and vbucket are the caller's.
    pub fn request(&self, vbucket: u16, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::request(Opcode::DCP_OSO_SNAPSHOT).vbucket(vbucket).opaque(opaque).extras(self.flags.to_be_bytes())
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put!(to, self, flags);
    }
}
