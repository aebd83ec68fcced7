use super::Malformed;
use super::MemberSink;
use super::Negotiated;
use super::check;
use super::member::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// DCP_MUTATION: a document was written (dcp-protocol.md §4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mutation {
    /// Seqno in the vbucket, never 0.
    pub by_seqno: u64,
    /// Revision of the document.
    pub rev_seqno: u64,
    /// The user's flags, passed through.
    pub flags: u32,
    /// When the document expires, seconds since the epoch; 0 for never.
    pub expiration: u32,
    /// Lock time, seconds.
    pub lock_time: u32,
    /// Bytes of extended metadata, always 0 since 7.0.
    pub nmeta: u16,
    /// Not-recently-used bits, or a frequency counter where `supports_hifi_MFU` was agreed.
    pub nru: u8,
}

impl Mutation {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame that breaks a rule of dcp-protocol.md.
    pub fn parse(frame: &Frame<'_>, negotiated: &Negotiated) -> Result<Self, Malformed> {
        check::document(frame, negotiated)?;
        let mut fields = check::extras(frame, 31)?;
        Ok(Self {
            by_seqno: check::seqno(frame, fields.u64())?,
            rev_seqno: fields.u64(),
            flags: fields.u32(),
            expiration: fields.u32(),
            lock_time: fields.u32(),
            nmeta: check::nmeta(frame, fields.u16())?,
            nru: fields.u8(),
        })
    }

    /// The request; its stream's opaque and vbucket are the caller's, as are CAS, datatype, key and value.
    pub fn request(&self, vbucket: u16, opaque: Opaque) -> FrameBuilder {
        let mut extras = Vec::with_capacity(31);
        extras.extend(self.by_seqno.to_be_bytes());
        extras.extend(self.rev_seqno.to_be_bytes());
        extras.extend(self.flags.to_be_bytes());
        extras.extend(self.expiration.to_be_bytes());
        extras.extend(self.lock_time.to_be_bytes());
        extras.extend(self.nmeta.to_be_bytes());
        extras.extend(self.nru.to_be_bytes());
        FrameBuilder::request(Opcode::DCP_MUTATION).vbucket(vbucket).opaque(opaque).extras(extras)
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put!(to, self, by_seqno, rev_seqno, flags, expiration, lock_time, nmeta, nru);
    }
}
