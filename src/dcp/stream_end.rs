use super::Malformed;
use super::MemberSink;
use super::check;
use super::member::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// DCP_STREAM_END: nothing more of this stream (dcp-protocol.md §3.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StreamEnd {
    /// One of this type's constants, or a newer one.
    pub end_reason: u32,
}

impl StreamEnd {
    /// The end seqno was reached.
    pub const OK: u32 = 0;
    /// The consumer closed it.
    pub const CLOSED: u32 = 1;
    /// The vbucket changed its state.
    pub const STATE_CHANGED: u32 = 2;
    /// The connection is going away (never sent today).
    pub const DISCONNECTED: u32 = 3;
    /// The consumer was too slow.
    pub const SLOW: u32 = 4;
    /// The backfill failed.
    pub const BACKFILL_FAIL: u32 = 5;
    /// The vbucket rolled back (mapped to [`StreamEnd::STATE_CHANGED`] before it is sent).
    pub const ROLLBACK: u32 = 6;
    /// What the stream filtered for was dropped.
    pub const FILTER_EMPTY: u32 = 7;
    /// The consumer may no longer read this.
    pub const LOST_PRIVILEGES: u32 = 8;
}

impl StreamEnd {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame that breaks a rule of dcp-protocol.md.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::raw(frame)?;
        check::no_key(frame)?;
        check::no_value(frame)?;
        check::no_cas(frame)?;
        let mut fields = check::extras(frame, 4)?;
        Ok(Self { end_reason: fields.u32() })
    }

    /// The request; its stream's opaque and vbucket are the caller's.
    pub fn request(&self, vbucket: u16, opaque: Opaque) -> FrameBuilder {
        let mut extras = Vec::with_capacity(4);
        extras.extend(self.end_reason.to_be_bytes());
        FrameBuilder::request(Opcode::DCP_STREAM_END).vbucket(vbucket).opaque(opaque).extras(extras)
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put!(to, self, end_reason);
    }
}
