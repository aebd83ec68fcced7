use super::FailoverEntry;
use super::Malformed;
use super::MemberName;
use super::MemberSink;
use super::check;
use super::failover_log;
use super::malformed::malformed;
use super::member::put;
use super::stream_req_value;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// DCP_STREAM_REQ: asks a producer for a vbucket's stream; its opaque names the stream (dcp-protocol.md §3.1).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StreamReq {
    /// A set of this type's flags.
    pub flags: u32,
    /// Sent as 0.
    pub reserved: u32,
    /// The last seqno that the consumer has.
    pub start_seqno: u64,
    /// Where the stream is to end; `u64::MAX` for never.
    pub end_seqno: u64,
    /// The vbucket's uuid as the consumer knows it, 0 for none.
    pub vb_uuid: u64,
    /// First seqno of the snapshot that the consumer is in.
    pub snap_start_seqno: u64,
    /// Last seqno of the snapshot that the consumer is in.
    pub snap_end_seqno: u64,
    /// The JSON of the value; `None` where the value is empty, which asks for everything.
    pub value: Option<Box<StreamReqValue>>,
}

/// What the JSON value of a stream request says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StreamReqValue {
    /// The manifest uid that the consumer knows (hex in the JSON).
    pub uid: Option<u64>,
    /// The stream id, 1 to 65535.
    pub sid: Option<u16>,
    /// The collections asked for (hex in the JSON).
    pub collections: Option<Vec<u32>>,
    /// The scope asked for (hex in the JSON); excludes `collections`.
    pub scope: Option<u32>,
    /// The purge seqno that the consumer knows (decimal in the JSON).
    pub purge_seqno: Option<u64>,
    /// How a cache transfer is to be done.
    pub cts: Option<CacheTransferRequest>,
}

/// The member `cts` of a stream request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheTransferRequest {
    /// Bytes that the consumer has room for.
    pub free_memory: Option<u64>,
    /// Whether keys without their values are wanted too.
    pub all_keys: Option<bool>,
}

/// The answer to a stream request where it is not an error, which is an [`super::ErrorResponse`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StreamReqResponse {
    /// Success: the stream is open. At least one entry, newest first.
    FailoverLog(Vec<FailoverEntry>),
    /// Rollback: the consumer is to go back first.
    Rollback {
        /// To which seqno.
        rollback_seqno: u64,
    },
}

impl StreamReq {
    /// The vbucket is to be taken over.
    pub const TAKEOVER: u32 = 0x01;
    /// Only what is on disk.
    pub const DISK_ONLY: u32 = 0x02;
    /// The end seqno is the highest one that there is.
    pub const TO_LATEST: u32 = 0x04;
    /// Without values; removed in 5.0.
    pub const NO_VALUE: u32 = 0x08;
    /// Only of an active vbucket.
    pub const ACTIVE_VB_ONLY: u32 = 0x10;
    /// The uuid is checked even at start 0.
    pub const STRICT_VB_UUID: u32 = 0x20;
    /// From the highest seqno on.
    pub const FROM_LATEST: u32 = 0x40;
    /// No rollback for purged deletions.
    pub const IGNORE_PURGED_TOMBSTONES: u32 = 0x80;
    /// The memory's documents first.
    pub const CACHE_TRANSFER: u32 = 0x100;
}

impl StreamReq {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// Flags that were removed or exclude each other, a value that is not the JSON of dcp-protocol.md §3.1.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::raw(frame)?;
        check::no_key(frame)?;
        let mut fields = check::extras(frame, 48)?;
        let request = Self {
            flags: fields.u32(),
            reserved: fields.u32(),
            start_seqno: fields.u64(),
            end_seqno: fields.u64(),
            vb_uuid: fields.u64(),
            snap_start_seqno: fields.u64(),
            snap_end_seqno: fields.u64(),
            value: stream_req_value::parse(frame.value().unwrap_or_default())?.map(Box::new),
        };
        let flags = request.flags;
        if flags & Self::NO_VALUE != 0 {
            return Err(malformed!(
                "expected stream flags without 0x08, which was removed in 5.0, found 0x{flags:02x}"
            ));
        }
        if flags & Self::CACHE_TRANSFER != 0
            && flags & !(Self::CACHE_TRANSFER | Self::TAKEOVER | Self::ACTIVE_VB_ONLY) != 0
        {
            return Err(malformed!("expected stream flag 0x100 only together with 0x01 and 0x10, found 0x{flags:02x}"));
        }
        Ok(request)
    }

    /// The request.
    pub fn request(&self, vbucket: u16, opaque: Opaque) -> FrameBuilder {
        let mut extras = Vec::with_capacity(48);
        extras.extend(self.flags.to_be_bytes());
        extras.extend(self.reserved.to_be_bytes());
        for seqno in [self.start_seqno, self.end_seqno, self.vb_uuid, self.snap_start_seqno, self.snap_end_seqno] {
            extras.extend(seqno.to_be_bytes());
        }
        let value = self.value.as_ref().map(|value| stream_req_value::json(value).to_string()).unwrap_or_default();
        FrameBuilder::request(Opcode::DCP_STREAM_REQ).vbucket(vbucket).opaque(opaque).extras(extras).value(value)
    }

    /// The stream id asked for.
    pub fn stream_id(&self) -> Option<u16> {
        self.value.as_ref().and_then(|value| value.sid)
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put!(to, self, flags, reserved, start_seqno, end_seqno, vb_uuid, snap_start_seqno, snap_end_seqno);
    }
}

impl StreamReqResponse {
    /// Reads the message out of its frame, the status of which is Success or Rollback.
    ///
    /// # Errors
    /// A failover log that is empty or not a multiple of 16 bytes; a rollback seqno that is not 8 bytes.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        if frame.header().status() == Some(Status::ROLLBACK) {
            Ok(Self::Rollback { rollback_seqno: check::value_of(frame, 8)?.u64() })
        } else {
            failover_log::entries(frame).map(Self::FailoverLog)
        }
    }

    /// The response.
    pub fn response(&self, opaque: Opaque) -> FrameBuilder {
        let (status, value) = match self {
            Self::FailoverLog(log) => (Status::SUCCESS, failover_log::bytes(log)),
            Self::Rollback { rollback_seqno } => (Status::ROLLBACK, rollback_seqno.to_be_bytes().to_vec()),
        };
        FrameBuilder::response(Opcode::DCP_STREAM_REQ, status).opaque(opaque).value(value)
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        match self {
            Self::FailoverLog(log) => failover_log::put_log(log, to),
            Self::Rollback { rollback_seqno } => {
                to.member(MemberName::rollback_seqno, (*rollback_seqno).into());
            }
        }
    }
}
