use super::Malformed;
use super::MemberSink;
use super::Negotiated;
use super::completion;
use super::member::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// DCP_COMMIT: a prepared write took place (dcp-protocol.md §4.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Commit {
    /// Seqno of its prepare.
    pub prepared_seqno: u64,
    /// Its own seqno.
    pub commit_seqno: u64,
}

impl Commit {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame that breaks a rule of dcp-protocol.md.
    pub fn parse(frame: &Frame<'_>, negotiated: &Negotiated) -> Result<Self, Malformed> {
        let [prepared_seqno, commit_seqno] = completion::parse(frame, negotiated)?;
        Ok(Self { prepared_seqno, commit_seqno })
    }

    /// The request; its stream's opaque and vbucket are the caller's, as is the key.
    pub fn request(&self, vbucket: u16, opaque: Opaque) -> FrameBuilder {
        completion::request(Opcode::DCP_COMMIT, [self.prepared_seqno, self.commit_seqno], vbucket, opaque)
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put!(to, self, prepared_seqno, commit_seqno);
    }
}
