use super::Malformed;
use super::MemberSink;
use super::Negotiated;
use super::check;
use super::malformed::malformed;
use super::member::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// DCP_PREPARE: a synchronous write is pending (dcp-protocol.md §4.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Prepare {
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
    /// Not-recently-used bits, or a frequency counter.
    pub nru: u8,
    /// 1 for a pending deletion.
    pub deleted: u8,
    /// 1 majority, 2 majority and persist on active, 3 persist to majority.
    pub durability_level: u8,
}

impl Prepare {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame that breaks a rule of dcp-protocol.md.
    pub fn parse(frame: &Frame<'_>, negotiated: &Negotiated) -> Result<Self, Malformed> {
        check::document(frame, negotiated)?;
        let mut fields = check::extras(frame, 31)?;
        let prepare = Self {
            by_seqno: check::seqno(frame, fields.u64())?,
            rev_seqno: fields.u64(),
            flags: fields.u32(),
            expiration: fields.u32(),
            lock_time: fields.u32(),
            nru: fields.u8(),
            deleted: fields.u8(),
            durability_level: fields.u8(),
        };
        if !(1..=3).contains(&prepare.durability_level) {
            return Err(malformed!("expected a durability level of 1 to 3, found {}", prepare.durability_level));
        }
        if frame.header().cas == 0 {
            return Err(malformed!("expected DCP_PREPARE to have a CAS above 0, found 0"));
        }
        Ok(prepare)
    }

    /// The request; its stream's opaque and vbucket are the caller's, as are CAS, datatype, key and value.
    pub fn request(&self, vbucket: u16, opaque: Opaque) -> FrameBuilder {
        let mut extras = Vec::with_capacity(31);
        extras.extend(self.by_seqno.to_be_bytes());
        extras.extend(self.rev_seqno.to_be_bytes());
        extras.extend(self.flags.to_be_bytes());
        extras.extend(self.expiration.to_be_bytes());
        extras.extend(self.lock_time.to_be_bytes());
        extras.extend([self.nru, self.deleted, self.durability_level]);
        FrameBuilder::request(Opcode::DCP_PREPARE).vbucket(vbucket).opaque(opaque).extras(extras)
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put!(to, self, by_seqno, rev_seqno, flags, expiration, lock_time, nru, deleted, durability_level);
    }
}
