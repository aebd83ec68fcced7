//! The JSON members of a frame, flat, under the names that `protocol/vectors.json` gives them.

use serde_json::Value;

use super::ErrorResponse;
use super::Member;
use super::MemberName;
use super::MemberSink;
use super::Message;
use super::Negotiated;
use super::carries_document;
use super::carries_key;
use super::member::BUCKET;
use super::member::KEY;
use super::member::MECHANISM;
use super::member::NAME;
use super::member::UNCOMPRESSED;
use super::member::VALUE;
use super::member::put_text;
use super::split_key;
use super::value;
use crate::wire::Datatype;
use crate::wire::Frame;
use crate::wire::FrameInfo;
use crate::wire::Header;

/// JSON members by name, in the order they were put.
pub type Members = serde_json::Map<String, Value>;

impl Message {
    /// The members of the frame that this message was decoded from, collected. See [`Message::write_members`].
    pub fn members(&self, frame: &Frame<'_>, negotiated: &Negotiated, values: bool) -> Members {
        let mut to = Collected::default();
        self.write_members(frame, negotiated, values, &mut to);
        to.members
    }

    /// Writes the members of the frame that this message was decoded from, in their order, without allocating for what
    /// messages of a stream say. Documents are among them only where `values` asks for them; a credential never is.
    pub fn write_members(&self, frame: &Frame<'_>, negotiated: &Negotiated, values: bool, to: &mut impl MemberSink) {
        write_frame_members(frame, to);
        self.write(Some(frame), negotiated, values, to);
        let header = frame.header();
        if header.is_request() && carries_key(header.opcode) {
            put_key(frame.key(), negotiated, to);
            if values && carries_document(header.opcode) {
                put_document(frame, to);
            }
        }
    }

    /// As [`Message::write_members`], of a message whose frame is not at hand: what only the frame has is left out.
    pub fn write_own_members(&self, to: &mut impl MemberSink) {
        self.write(None, &Negotiated::default(), false, to);
    }

    fn write(&self, frame: Option<&Frame<'_>>, negotiated: &Negotiated, values: bool, to: &mut impl MemberSink) {
        match self {
            Self::Mutation(m) => m.members(to),
            Self::Deletion(m) => m.members(to),
            Self::Expiration(m) => m.members(to),
            Self::Prepare(m) => m.members(to),
            Self::Commit(m) => m.members(to),
            Self::Abort(m) => m.members(to),
            Self::SystemEvent(m) => {
                put_key_text(KEY, frame, to);
                m.members(frame, to);
            }
            Self::SnapshotMarker(m) => m.members(to),
            Self::SeqnoAdvanced(m) => m.members(to),
            Self::OsoSnapshot(m) => m.members(to),
            Self::CacheTransfer(m) => m.members(frame, negotiated, values, to),
            Self::SetVbucketState(m) => m.members(to),
            Self::StreamEnd(m) => m.members(to),
            Self::StreamReq(m) => {
                m.members(to);
                put_json(frame, to);
            }
            Self::StreamReqResponse(m) => m.members(to),
            Self::AddStream(m) => m.members(to),
            Self::AddStreamResponse(m) => m.members(to),
            Self::SeqnoAck(m) => m.members(to),
            Self::BufferAck(m) => m.members(to),
            Self::Control(_) => {
                put_key_text(KEY, frame, to);
                put_value_text(frame, to);
            }
            Self::Open(m) => {
                put_key_text(NAME, frame, to);
                m.members(to);
                put_json(frame, to);
            }
            Self::FailoverLog(m) => m.members(to),
            Self::GetAllVbSeqnos(m) => m.members(to),
            Self::VbSeqnos(m) => m.members(to),
            Self::Hello(m) => {
                put_key_text(KEY, frame, to);
                m.members(to);
            }
            Self::HelloResponse(m) => m.members(to),
            Self::SaslMechanisms(m) => m.members(to),
            Self::SaslAuth(_) => put_key_text(MECHANISM, frame, to),
            Self::SelectBucket(_) => put_key_text(BUCKET, frame, to),
            Self::SetVbucket(m) => m.members(to),
            Self::GetErrorMap(m) => m.members(to),
            Self::GetClusterConfig(m) => m.members(to),
            Self::VersionResponse(m) => m.members(to),
            Self::Stat(_) => put_key_text(KEY, frame, to),
            Self::StatResponse(_) => {
                put_key_text(KEY, frame, to);
                put_value_text(frame, to);
            }
            Self::ClustermapChange(m) => {
                m.members(to);
                put_key_text(BUCKET, frame, to);
            }
            Self::ErrorResponse(_) => {
                if let Some(frame) = frame {
                    put_status(frame, to);
                    ErrorResponse::members(frame, to);
                }
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
    }
}

/// What a frame says beside its message, collected: server opcode, stream id, server duration and other framing extras. Also of
/// a frame that does not decode.
pub fn frame_members(frame: &Frame<'_>) -> Members {
    let mut to = Collected::default();
    write_frame_members(frame, &mut to);
    to.members
}

/// As [`frame_members`], written in their order.
pub fn write_frame_members(frame: &Frame<'_>, to: &mut impl MemberSink) {
    let header = frame.header();
    if let Some(opcode) = header.server_opcode() {
        match opcode.name() {
            Some(name) => to.member(MemberName::server_opcode, name.into()),
            None => to.member(MemberName::server_opcode, opcode.to_string().as_str().into()),
        }
    }
    if frame.framing_extras().is_empty() {
        return;
    }
    let infos = || frame.frame_infos().map_while(Result::ok);
    for (at, info) in infos().enumerate() {
        let Some((member, _)) = named(header, &info) else { continue };
        // One that comes twice stands where it first came, as what it last was.
        let same = |other: &FrameInfo<'_>| named(header, other).filter(|(other, _)| *other == member);
        if infos().take(at).all(|earlier| same(&earlier).is_none())
            && let Some((_, value)) = infos().filter_map(|info| same(&info)).last()
        {
            to.member(member, value.into());
        }
    }
    if infos().next().is_none() {
        return;
    }
    to.open_list(MemberName::frame_infos);
    for info in infos() {
        to.open_object();
        to.member(MemberName::id, info.id.into());
        to.member(MemberName::len, (info.data.len() as u64).into());
        match named(header, &info) {
            Some((member, value)) => to.member(member, value.into()),
            None if info.data.is_empty() => {}
            None => to.member(MemberName::data_hex, Member::Hex(info.data)),
        }
        to.close_object();
    }
    to.close_list();
}

/// The name and number of a frame info that has such.
fn named(header: &Header, info: &FrameInfo<'_>) -> Option<(MemberName, u16)> {
    let member = match (header.is_request(), info.id) {
        (true, FrameInfo::STREAM_ID) => MemberName::stream_id,
        (false, FrameInfo::SERVER_DURATION) => MemberName::server_duration_encoded,
        (false, 1) => MemberName::read_units,
        (false, 2) => MemberName::write_units,
        (false, 3) => MemberName::throttle_duration_encoded,
        _ => return None,
    };
    Some((member, u16::from_be_bytes(info.data.try_into().ok()?)))
}

/// A document's key, without its collection id.
pub(super) fn put_key(bytes: &[u8], negotiated: &Negotiated, to: &mut impl MemberSink) {
    let Ok(key) = split_key(bytes, negotiated.collections) else { return };
    if let Some(id) = key.collection_id {
        to.member(MemberName::collection_id, id.into());
    }
    put_text(KEY, key.logical, to);
}

fn put_key_text(names: (MemberName, MemberName), frame: Option<&Frame<'_>>, to: &mut impl MemberSink) {
    if let Some(frame) = frame {
        put_text(names, frame.key(), to);
    }
}

fn put_value_text(frame: Option<&Frame<'_>>, to: &mut impl MemberSink) {
    if let Some(frame) = frame {
        put_text(VALUE, frame.value().unwrap_or_default(), to);
    }
}

fn put_json(frame: Option<&Frame<'_>>, to: &mut impl MemberSink) {
    if to.wants(MemberName::value)
        && let Some(json) = frame.and_then(Frame::value).and_then(|value| serde_json::from_slice::<Value>(value).ok())
    {
        to.member(MemberName::value, Member::Json(&json));
    }
}

fn put_status(frame: &Frame<'_>, to: &mut impl MemberSink) {
    match frame.header().status() {
        Some(status) if status.name().is_some() => to.member(MemberName::status_name, status.name().into()),
        Some(status) => to.member(MemberName::status_name, status.to_string().as_str().into()),
        None => {}
    }
}

/// The document: as it was sent, inflated, and its xattrs.
fn put_document(frame: &Frame<'_>, to: &mut impl MemberSink) {
    let Some(sent) = frame.value() else { return };
    let datatype = frame.header().datatype;
    to.member(MemberName::value_hex, Member::Hex(sent));
    let inflated = if datatype.contains(Datatype::SNAPPY) && !sent.is_empty() {
        value::inflate(sent, value::MAX_INFLATED_LEN).ok()
    } else {
        None
    };
    if let Some(inflated) = &inflated {
        put_text(UNCOMPRESSED, inflated, to);
    }
    if datatype.contains(Datatype::XATTR)
        && let Ok(section) = value::xattr_section(inflated.as_deref().unwrap_or(sent))
    {
        let mut xattrs = Members::new();
        for (key, value) in section.xattrs {
            xattrs.insert(super::check::text(key), super::check::text(value).into());
        }
        to.member(MemberName::xattrs, Member::Json(&xattrs.into()));
    }
}

/// Keeps the members as JSON values.
#[derive(Default)]
struct Collected {
    members: Members,
    list: Option<(MemberName, Vec<Value>)>,
    object: Option<Members>,
}

impl MemberSink for Collected {
    fn member(&mut self, member: MemberName, value: Member<'_>) {
        self.object.as_mut().unwrap_or(&mut self.members).insert(member.as_str().to_owned(), value.into());
    }

    fn open_list(&mut self, member: MemberName) {
        self.list = Some((member, Vec::new()));
    }

    fn item(&mut self, value: Member<'_>) {
        if let Some((_, list)) = &mut self.list {
            list.push(value.into());
        }
    }

    fn open_object(&mut self) {
        self.object = Some(Members::new());
    }

    fn close_object(&mut self) {
        if let (Some((_, list)), Some(object)) = (&mut self.list, self.object.take()) {
            list.push(object.into());
        }
    }

    fn close_list(&mut self) {
        if let Some((member, list)) = self.list.take() {
            self.members.insert(member.as_str().to_owned(), list.into());
        }
    }
}

impl From<Member<'_>> for Value {
    fn from(member: Member<'_>) -> Self {
        match member {
            Member::Null => Self::Null,
            Member::Flag(value) => value.into(),
            Member::Number(value) => value.into(),
            Member::Signed(value) => value.into(),
            Member::Text(value) => value.into(),
            Member::Hex(bytes) => hex::encode(bytes).into(),
            Member::Json(value) => value.clone(),
        }
    }
}
