//! The JSON members of a frame, flat, under the names that `protocol/vectors.json` gives them.

use serde_json::Value;
use serde_json::json;

use super::ErrorResponse;
use super::Message;
use super::Negotiated;
use super::carries_document;
use super::carries_key;
use super::split_key;
use super::value;
use crate::wire::Datatype;
use crate::wire::Frame;
use crate::wire::FrameInfo;

/// JSON members by name, in the order they were put.
pub type Members = serde_json::Map<String, Value>;

/// Puts fields of a struct under their own names.
macro_rules! put {
    ($to:expr, $from:expr, $($field:ident),+) => {
        $($to.insert(stringify!($field).to_owned(), serde_json::Value::from($from.$field.clone()));)+
    };
}
pub(super) use put;

impl Message {
    /// The members of the frame that this message was decoded from. Documents are among them only where `values` asks
    /// for them; a credential never is.
    pub fn members(&self, frame: &Frame<'_>, negotiated: &Negotiated, values: bool) -> Members {
        let mut to = frame_members(frame);
        let header = frame.header();
        match self {
            Self::Mutation(m) => m.members(&mut to),
            Self::Deletion(m) => m.members(&mut to),
            Self::Expiration(m) => m.members(&mut to),
            Self::Prepare(m) => m.members(&mut to),
            Self::Commit(m) => m.members(&mut to),
            Self::Abort(m) => m.members(&mut to),
            Self::SystemEvent(m) => {
                put_text("key", frame.key(), &mut to);
                m.members(frame, &mut to);
            }
            Self::SnapshotMarker(m) => m.members(&mut to),
            Self::SeqnoAdvanced(m) => m.members(&mut to),
            Self::OsoSnapshot(m) => m.members(&mut to),
            Self::CacheTransfer(m) => m.members(frame, negotiated, values, &mut to),
            Self::SetVbucketState(m) => m.members(&mut to),
            Self::StreamEnd(m) => m.members(&mut to),
            Self::StreamReq(m) => {
                m.members(&mut to);
                put_json("value", frame, &mut to);
            }
            Self::StreamReqResponse(m) => m.members(&mut to),
            Self::AddStream(m) => m.members(&mut to),
            Self::AddStreamResponse(m) => m.members(&mut to),
            Self::SeqnoAck(m) => m.members(&mut to),
            Self::BufferAck(m) => m.members(&mut to),
            Self::Control(_) => {
                put_text("key", frame.key(), &mut to);
                put_text("value", frame.value().unwrap_or_default(), &mut to);
            }
            Self::Open(m) => {
                put_text("name", frame.key(), &mut to);
                m.members(&mut to);
                put_json("value", frame, &mut to);
            }
            Self::FailoverLog(m) => m.members(&mut to),
            Self::GetAllVbSeqnos(m) => m.members(&mut to),
            Self::VbSeqnos(m) => m.members(&mut to),
            Self::Hello(m) => {
                put_text("key", frame.key(), &mut to);
                m.members(&mut to);
            }
            Self::HelloResponse(m) => m.members(&mut to),
            Self::SaslMechanisms(m) => m.members(&mut to),
            Self::SaslAuth(_) => put_text("mechanism", frame.key(), &mut to),
            Self::SelectBucket(_) => put_text("bucket", frame.key(), &mut to),
            Self::GetErrorMap(m) => m.members(&mut to),
            Self::GetClusterConfig(m) => m.members(&mut to),
            Self::VersionResponse(m) => m.members(&mut to),
            Self::Stat(_) => put_text("key", frame.key(), &mut to),
            Self::StatResponse(_) => {
                put_text("key", frame.key(), &mut to);
                put_text("value", frame.value().unwrap_or_default(), &mut to);
            }
            Self::ClustermapChange(m) => {
                m.members(&mut to);
                put_text("bucket", frame.key(), &mut to);
            }
            Self::ErrorResponse(_) => {
                put_status(frame, &mut to);
                ErrorResponse::members(frame, &mut to);
            }
            Self::CacheTransferEnd(_)
            | Self::CloseStream(_)
            | Self::DcpNoop(_)
            | Self::GetFailoverLog(_)
            | Self::SaslListMechs(_)
            | Self::Version(_)
            | Self::Noop(_)
            | Self::Response
            | Self::Other => {}
        }
        if header.is_request() && carries_key(header.opcode) {
            put_key(frame.key(), negotiated, &mut to);
            if values && carries_document(header.opcode) {
                put_document(frame, &mut to);
            }
        }
        to
    }
}

/// What a frame says beside its message: server opcode, stream id, server duration and other framing extras. Also of a
/// frame that does not decode.
pub fn frame_members(frame: &Frame<'_>) -> Members {
    let mut to = Members::new();
    let header = frame.header();
    if let Some(opcode) = header.server_opcode() {
        to.insert("server_opcode".to_owned(), opcode.to_string().into());
    }
    let mut others = Vec::new();
    for info in frame.frame_infos().map_while(Result::ok) {
        let number = info.data.try_into().ok().map(u16::from_be_bytes);
        let mut item = json!({ "id": info.id, "len": info.data.len() });
        let data = match (header.is_request(), info.id, number) {
            (true, FrameInfo::STREAM_ID, Some(id)) => Some(("stream_id", id.into())),
            (false, FrameInfo::SERVER_DURATION, Some(duration)) => Some(("server_duration_encoded", duration.into())),
            (false, 1, Some(units)) => Some(("read_units", units.into())),
            (false, 2, Some(units)) => Some(("write_units", units.into())),
            (false, 3, Some(duration)) => Some(("throttle_duration_encoded", duration.into())),
            _ if info.data.is_empty() => None,
            _ => Some(("data_hex", Value::from(hex::encode(info.data)))),
        };
        if let (Some(item), Some((name, value))) = (item.as_object_mut(), &data) {
            item.insert((*name).to_owned(), value.clone());
        }
        others.push(item);
        if let Some((name, value)) = data
            && name != "data_hex"
        {
            to.insert(name.to_owned(), value);
        }
    }
    if !others.is_empty() {
        to.insert("frame_infos".to_owned(), others.into());
    }
    to
}

/// Bytes under `name` as text, or under `name_hex` where they are not UTF-8.
pub(super) fn put_text(name: &str, bytes: &[u8], to: &mut Members) {
    match std::str::from_utf8(bytes) {
        Ok(text) => to.insert(name.to_owned(), text.into()),
        Err(_) => to.insert(format!("{name}_hex"), hex::encode(bytes).into()),
    };
}

/// A document's key, without its collection id.
pub(super) fn put_key(bytes: &[u8], negotiated: &Negotiated, to: &mut Members) {
    let Ok(key) = split_key(bytes, negotiated.collections) else { return };
    if let Some(id) = key.collection_id {
        to.insert("collection_id".to_owned(), id.into());
    }
    put_text("key", key.logical, to);
}

fn put_json(name: &str, frame: &Frame<'_>, to: &mut Members) {
    if let Some(json) = frame.value().and_then(|value| serde_json::from_slice::<Value>(value).ok()) {
        to.insert(name.to_owned(), json);
    }
}

fn put_status(frame: &Frame<'_>, to: &mut Members) {
    if let Some(status) = frame.header().status() {
        to.insert("status_name".to_owned(), status.to_string().into());
    }
}

/// The document: as it was sent, inflated, and its xattrs.
fn put_document(frame: &Frame<'_>, to: &mut Members) {
    let Some(sent) = frame.value() else { return };
    let datatype = frame.header().datatype;
    to.insert("value_hex".to_owned(), hex::encode(sent).into());
    let inflated = if datatype.contains(Datatype::SNAPPY) && !sent.is_empty() {
        value::inflate(sent, value::MAX_INFLATED_LEN).ok()
    } else {
        None
    };
    if let Some(inflated) = &inflated {
        put_text("uncompressed", inflated, to);
    }
    if datatype.contains(Datatype::XATTR)
        && let Ok(section) = value::xattr_section(inflated.as_deref().unwrap_or(sent))
    {
        let mut xattrs = Members::new();
        for (key, value) in section.xattrs {
            xattrs.insert(super::check::text(key), super::check::text(value).into());
        }
        to.insert("xattrs".to_owned(), xattrs.into());
    }
}
