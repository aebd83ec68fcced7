use super::Malformed;
use super::MemberSink;
use super::Negotiated;
use super::check;
use super::member::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// DCP_EXPIRATION: a document's time has come (dcp-protocol.md §4.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Expiration {
    /// Seqno in the vbucket, never 0.
    pub by_seqno: u64,
    /// Revision of the document.
    pub rev_seqno: u64,
    /// When, seconds since the epoch.
    pub delete_time: u32,
}

impl Expiration {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame that breaks a rule of dcp-protocol.md.
    pub fn parse(frame: &Frame<'_>, negotiated: &Negotiated) -> Result<Self, Malformed> {
        check::deleted_document(frame, negotiated)?;
        let mut fields = check::extras(frame, 20)?;
        Ok(Self { by_seqno: check::seqno(frame, fields.u64())?, rev_seqno: fields.u64(), delete_time: fields.u32() })
    }

    /// The request; its stream's opaque and vbucket are the caller's, as are CAS, datatype, key and value.
    pub fn request(&self, vbucket: u16, opaque: Opaque) -> FrameBuilder {
        let mut extras = Vec::with_capacity(20);
        extras.extend(self.by_seqno.to_be_bytes());
        extras.extend(self.rev_seqno.to_be_bytes());
        extras.extend(self.delete_time.to_be_bytes());
        FrameBuilder::request(Opcode::DCP_EXPIRATION).vbucket(vbucket).opaque(opaque).extras(extras)
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put!(to, self, by_seqno, rev_seqno, delete_time);
    }
}
