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

/// DCP_DELETION: a document was deleted. The length of the extras tells the version (dcp-protocol.md §4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Deletion {
    /// 1 or 2.
    pub version: u8,
    /// Seqno in the vbucket, never 0.
    pub by_seqno: u64,
    /// Revision of the document.
    pub rev_seqno: u64,
    /// Version 2: when, seconds since the epoch; 0 where it was not read from disk.
    pub delete_time: Option<u32>,
    /// Version 1: bytes of extended metadata, always 0 since 7.0.
    pub nmeta: Option<u16>,
    /// Version 2: the last byte of the extras.
    pub unused: Option<u8>,
}

impl Deletion {
    /// A version 2 deletion.
    pub const fn v2(by_seqno: u64, rev_seqno: u64, delete_time: u32) -> Self {
        Self { version: 2, by_seqno, rev_seqno, delete_time: Some(delete_time), nmeta: None, unused: Some(0) }
    }

    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame that breaks a rule of dcp-protocol.md, among them a version 1 form where delete times were agreed.
    pub fn parse(frame: &Frame<'_>, negotiated: &Negotiated) -> Result<Self, Malformed> {
        check::deleted_document(frame, negotiated)?;
        if frame.extras().len() == 21 {
            let mut fields = check::extras(frame, 21)?;
            return Ok(Self {
                version: 2,
                by_seqno: check::seqno(frame, fields.u64())?,
                rev_seqno: fields.u64(),
                delete_time: Some(fields.u32()),
                nmeta: None,
                unused: Some(fields.u8()),
            });
        }
        if negotiated.include_delete_times {
            return Err(malformed!(
                "expected DCP_DELETION to have 21 bytes of extras, as the connection was opened with delete times, found {}",
                frame.extras().len()
            ));
        }
        if frame.extras().len() != 18 {
            return Err(malformed!(
                "expected DCP_DELETION to have 18 or 21 bytes of extras, found {}",
                frame.extras().len()
            ));
        }
        let mut fields = check::extras(frame, 18)?;
        Ok(Self {
            version: 1,
            by_seqno: check::seqno(frame, fields.u64())?,
            rev_seqno: fields.u64(),
            delete_time: None,
            nmeta: Some(check::nmeta(frame, fields.u16())?),
            unused: None,
        })
    }

    /// The request; its stream's opaque and vbucket are the caller's, as are CAS, datatype, key and value.
    pub fn request(&self, vbucket: u16, opaque: Opaque) -> FrameBuilder {
        let mut extras = Vec::with_capacity(21);
        extras.extend(self.by_seqno.to_be_bytes());
        extras.extend(self.rev_seqno.to_be_bytes());
        if self.version == 1 {
            extras.extend(self.nmeta.unwrap_or_default().to_be_bytes());
        } else {
            extras.extend(self.delete_time.unwrap_or_default().to_be_bytes());
            extras.push(self.unused.unwrap_or_default());
        }
        FrameBuilder::request(Opcode::DCP_DELETION).vbucket(vbucket).opaque(opaque).extras(extras)
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put!(to, self, version, by_seqno, rev_seqno);
        if self.version == 1 {
            put!(to, self, nmeta);
        } else {
            put!(to, self, delete_time, unused);
        }
    }
}
