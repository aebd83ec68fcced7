use super::Malformed;
use super::MemberName;
use super::MemberSink;
use super::check;
use super::malformed::malformed;
use super::member::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// GET_FAILOVER_LOG, as DCP (0x54) or plain request (0x96): asks for a vbucket's history (dcp-protocol.md §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GetFailoverLog;

/// The answer to [`GetFailoverLog`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FailoverLog {
    /// At least one entry, newest first.
    pub failover_log: Vec<FailoverEntry>,
}

/// One branch of a vbucket's history.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FailoverEntry {
    /// The branch's uuid.
    pub vb_uuid: u64,
    /// The seqno that it begins with.
    pub seqno: u64,
}

impl GetFailoverLog {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A frame that has a body.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::no_body(frame)?;
        Ok(Self)
    }

    /// The DCP request.
    pub fn request(self, vbucket: u16, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::request(Opcode::DCP_GET_FAILOVER_LOG).vbucket(vbucket).opaque(opaque)
    }
}

impl FailoverLog {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A value that is not a positive multiple of 16 bytes.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        Ok(Self { failover_log: entries(frame)? })
    }

    /// The response to a request with this opcode (0x54 or 0x96).
    pub fn response(&self, opcode: Opcode, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::response(opcode, Status::SUCCESS).opaque(opaque).value(bytes(&self.failover_log))
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put_log(&self.failover_log, to);
    }
}

/// The value of a frame as a failover log.
pub(super) fn entries(frame: &Frame<'_>) -> Result<Vec<FailoverEntry>, Malformed> {
    let len = frame.header().value_len();
    if len == 0 || !len.is_multiple_of(16) {
        return Err(malformed!("expected a failover log of a positive multiple of 16 bytes, found {len}"));
    }
    Ok(check::list(frame, 16)?
        .map(check::Fields)
        .map(|mut entry| FailoverEntry { vb_uuid: entry.u64(), seqno: entry.u64() })
        .collect())
}

/// A failover log as a value.
pub(super) fn bytes(log: &[FailoverEntry]) -> Vec<u8> {
    log.iter().flat_map(|entry| [entry.vb_uuid.to_be_bytes(), entry.seqno.to_be_bytes()]).flatten().collect()
}

pub(super) fn put_log(log: &[FailoverEntry], to: &mut impl MemberSink) {
    to.open_list(MemberName::failover_log);
    for entry in log {
        to.open_object();
        put!(to, entry, vb_uuid, seqno);
        to.close_object();
    }
    to.close_list();
}
