use std::time::Duration;

use super::field::Field;
use super::field::Head;
use super::field::Source;
use super::field::XattrPart;
use crate::Timestamp;
use crate::dcp::FrameHead;
use crate::dcp::JsonText;
use crate::dcp::Member;
use crate::dcp::MemberName;
use crate::dcp::MemberSink;
use crate::dcp::Message;
use crate::dcp::Negotiated;
use crate::dcp::SnapshotMarker;
use crate::dcp::write_frame_members;
use crate::session::OrphanOf;
use crate::wire::Datatype;
use crate::wire::Frame;
use crate::wire::Header;

/// A frame as filters see it, and what is known of its place. What is not known is `None`, and its fields are absent.
///
/// A recording fills in all of it. A live proxy has only what the journal keeps, see [`Subject::of_head`]: no keys, no
/// documents, and numbers of frames only where it counts them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'a> {
    /// The frame's number, from 1.
    pub number: Option<u64>,
    /// When it was seen.
    pub time: Option<Timestamp>,
    /// The connection's number, from 1.
    pub conn: Option<u64>,
    /// Who sent it: `producer`, `consumer`, `client` or `server`.
    pub from: Option<&'static str>,
    /// Its header, as far as there is one.
    pub header: Option<&'a Header>,
    /// Its bytes.
    pub frame: Option<&'a Frame<'a>>,
    /// What it says; `None` where it does not decode.
    pub message: Option<&'a Message>,
    /// Why it does not decode.
    pub malformed: Option<&'a str>,
    /// What it was read with.
    pub negotiated: Negotiated,
    /// The stream id in its framing extras, where the frame's bytes are not here.
    pub stream_id: Option<u16>,
    /// The collection of its key, where the frame's bytes are not here.
    pub collection_id: Option<u32>,
    /// Whether it was found by searching.
    pub resynchronised: bool,
    /// Bytes of its sender that are missing before it; 0 where their number is unknown.
    pub gap_before: Option<u64>,
    /// Of an orphaned response: what it answers.
    pub orphan: Option<OrphanOf>,
    /// Of a response: the number of its request's frame.
    pub response_to: Option<u64>,
    /// Of a response: the time since its request.
    pub response_time: Option<Duration>,
    /// Of a request: the number of the frame that answers it.
    pub response_in: Option<u64>,
}

/// One value of a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// A number; times and time spans are in nanoseconds, a flag is 0 or 1.
    Number(i128),
    /// Text.
    Text(&'a str),
}

impl<'a> Subject<'a> {
    /// What a journal's entry of a frame tells.
    pub fn of_head(head: &'a FrameHead, time: Timestamp) -> Self {
        let (message, malformed) = match &head.message {
            Ok(message) => (Some(message), None),
            Err(reason) => (None, Some(reason.0.as_str())),
        };
        Self {
            time: Some(time),
            header: Some(&head.header),
            message,
            malformed,
            stream_id: head.stream_id,
            collection_id: head.collection_id,
            ..Self::default()
        }
    }

    /// Hands each value of `field` to `found`. Only fields of the message look at more than the header.
    pub fn each(&self, field: Field, found: &mut dyn FnMut(Value<'_>)) {
        match field.0 {
            Source::Head(head) => {
                if let Some(value) = self.head(head) {
                    found(value);
                }
            }
            source @ (Source::Member(_) | Source::Element(..) | Source::Xattr(_)) => self.members(source, found),
        }
    }

    /// The value of a field that has at most one.
    pub(super) fn head(&self, head: Head) -> Option<Value<'a>> {
        let header = self.header;
        let number = |number: u64| Some(Value::Number(number.into()));
        let flag = |flag: bool| Some(Value::Number(flag.into()));
        match head {
            Head::Number => number(self.number?),
            Head::Time => number(self.time?.0),
            Head::Conn => number(self.conn?),
            Head::From => self.from.map(Value::Text),
            Head::Len => number(header?.frame_len()),
            Head::Malformed => flag(self.malformed.is_some()),
            Head::MalformedReason => self.malformed.map(Value::Text),
            Head::Resynchronised => flag(self.resynchronised),
            Head::GapBefore => number(self.gap_before?),
            Head::Request => flag(header?.magic.is_request()),
            Head::Response => flag(header?.magic.is_response()),
            Head::Magic => number(header?.magic.0.into()),
            Head::Opcode => number(header.filter(|header| !header.magic.is_server())?.opcode.0.into()),
            Head::ServerOpcode => number(header?.server_opcode()?.0.into()),
            Head::Status => number(header?.status()?.0.into()),
            Head::Vbucket => number(header?.vbucket()?.into()),
            Head::Opaque => number(u32::from_be_bytes(header?.opaque.0).into()),
            Head::Cas => number(header?.cas),
            Head::Datatype => number(header?.datatype.0.into()),
            Head::DatatypeJson => flag(header?.datatype.contains(Datatype::JSON)),
            Head::DatatypeSnappy => flag(header?.datatype.contains(Datatype::SNAPPY)),
            Head::DatatypeXattr => flag(header?.datatype.contains(Datatype::XATTR)),
            Head::KeyLen => number(header?.key_len.into()),
            Head::ValueLen => number(header?.value_len().into()),
            Head::ExtrasLen => number(header?.extras_len.into()),
            Head::FramingExtrasLen => number(header.filter(|header| header.magic.is_flex())?.framing_extras_len.into()),
            Head::BodyLen => number(header?.body_len.into()),
            Head::Seqno => number(self.message?.by_seqno()?),
            Head::Orphan => flag(self.orphan.is_some()),
            Head::OrphanOf => Some(Value::Text(orphan_of(self.orphan?))),
            Head::ResponseTo => number(self.response_to?),
            Head::ResponseTime => Some(Value::Number(self.response_time?.as_nanos().try_into().ok()?)),
            Head::ResponseIn => number(self.response_in?),
            Head::RawKey => std::str::from_utf8(self.frame?.key()).ok().filter(|key| !key.is_empty()).map(Value::Text),
            Head::ServerDuration => number(self.server_duration()?),
            Head::DurabilityReq => number(self.durability_req()?.into()),
            Head::EventVersion | Head::OsoFlags | Head::OpenSeqno | Head::MarkerVersion | Head::Item => {
                number(of_message(head, self.message?)?)
            }
        }
    }

    /// Nanoseconds: the encoded time n is n^1.74 / 2 microseconds.
    fn server_duration(&self) -> Option<u64> {
        let header = self.header.filter(|header| header.is_response())?;
        let info = self.frame?.frame_infos().map_while(Result::ok).find(|info| info.id == 0 && info.data.len() == 2)?;
        let encoded = u16::from_be_bytes(info.data.try_into().ok()?);
        let micros = f64::from(encoded).powf(1.74) / 2.0;
        header.is_response().then_some((micros * 1_000.0) as u64)
    }

    /// The level of a prepare, or the first byte of frame info 1 of a request.
    fn durability_req(&self) -> Option<u8> {
        if let Some(Message::Prepare(prepare)) = self.message {
            return Some(prepare.durability_level);
        }
        self.header.filter(|header| header.is_request())?;
        let info = self.frame?.frame_infos().map_while(Result::ok).find(|info| info.id == 1)?;
        info.data.first().copied()
    }

    fn members(&self, wanted: Source, found: &mut dyn FnMut(Value<'_>)) {
        if self.frame.is_none() {
            let id = if wanted == Source::Member(MemberName::stream_id) {
                self.stream_id.map(u64::from)
            } else if wanted == Source::Member(MemberName::collection_id) {
                self.collection_id.map(u64::from)
            } else {
                None
            };
            if let Some(id) = id {
                return found(Value::Number(id.into()));
            }
        }
        let mut picker = Picker { wanted, list: None, json: None, found };
        match (self.frame, self.message) {
            (Some(frame), Some(message)) => {
                let documents = Field(wanted).is_document();
                message.write_members(frame, &self.negotiated, documents, &mut picker);
            }
            (Some(frame), None) => write_frame_members(frame, &mut picker),
            (None, Some(message)) => message.write_own_members(&mut picker),
            (None, None) => {}
        }
    }
}

/// What a field that only some messages have is in this one.
fn of_message(head: Head, message: &Message) -> Option<u64> {
    match (head, message) {
        (Head::EventVersion, Message::SystemEvent(event)) => Some(event.version.into()),
        (Head::OsoFlags, Message::OsoSnapshot(oso)) => Some(oso.flags.into()),
        (Head::OpenSeqno, Message::Open(open)) => Some(open.seqno.into()),
        (Head::MarkerVersion, Message::SnapshotMarker(marker)) => minor_version(marker).map(u64::from),
        (Head::Item, Message::Abort(_)) => None,
        (Head::Item, Message::SeqnoAck(ack)) => Some(ack.prepared_seqno),
        (Head::Item, message) => message.by_seqno(),
        _ => None,
    }
}

/// The word for what an orphaned response answers.
pub const fn orphan_of(orphan: OrphanOf) -> &'static str {
    match orphan {
        OrphanOf::Live => "live",
        OrphanOf::Closing => "closing",
        OrphanOf::Gone => "gone",
        OrphanOf::Unknown => "unknown",
        OrphanOf::Connection => "connection",
    }
}

/// The number after the dot of `2.1`; version 1 has none.
fn minor_version(marker: &SnapshotMarker) -> Option<u8> {
    marker.version.name().strip_prefix("2.")?.parse().ok()
}

/// Picks the values of one field out of a message's members.
struct Picker<'f> {
    wanted: Source,
    list: Option<MemberName>,
    /// The wanted list, as JSON.
    json: Option<Vec<u8>>,
    found: &'f mut dyn FnMut(Value<'_>),
}

impl Picker<'_> {
    fn hand(&mut self, value: Member<'_>) {
        match value {
            Member::Null => {}
            Member::Flag(flag) => (self.found)(Value::Number(flag.into())),
            Member::Number(number) => (self.found)(Value::Number(number.into())),
            Member::Signed(number) => (self.found)(Value::Number(number.into())),
            Member::Text(text) => (self.found)(Value::Text(text)),
            Member::Hex(bytes) => (self.found)(Value::Text(&hex::encode(bytes))),
            Member::Json(serde_json::Value::String(text)) => (self.found)(Value::Text(text)),
            Member::Json(json) => (self.found)(Value::Text(&json.to_string())),
        }
    }

    fn xattrs(&mut self, part: XattrPart, value: Member<'_>) {
        let Member::Json(serde_json::Value::Object(pairs)) = value else { return };
        for (key, value) in pairs {
            match part {
                XattrPart::Key => (self.found)(Value::Text(key)),
                XattrPart::Value => (self.found)(Value::Text(value.as_str().unwrap_or_default())),
            }
        }
    }
}

impl MemberSink for Picker<'_> {
    fn wants(&self, member: MemberName) -> bool {
        self.wanted == Source::Member(member)
    }

    fn member(&mut self, member: MemberName, value: Member<'_>) {
        if let Some(json) = &mut self.json {
            return JsonText(json).member(member, value);
        }
        let wanted = match (self.wanted, self.list) {
            (Source::Member(wanted), None) => wanted == member,
            (Source::Element(in_list, wanted), Some(list)) => in_list == list && wanted == member,
            (Source::Xattr(part), None) if member == MemberName::xattrs => return self.xattrs(part, value),
            _ => false,
        };
        if wanted {
            self.hand(value);
        }
    }

    fn open_list(&mut self, member: MemberName) {
        self.list = Some(member);
        if self.wanted == Source::Member(member) && member.kind() == crate::dcp::MemberKind::Objects {
            self.json = Some(b"[".to_vec());
        }
    }

    fn item(&mut self, value: Member<'_>) {
        if matches!((self.wanted, self.list), (Source::Member(wanted), Some(list)) if wanted == list) {
            self.hand(value);
        }
    }

    fn open_object(&mut self) {
        if let Some(json) = &mut self.json {
            JsonText(json).open_object();
        }
    }

    fn close_object(&mut self) {
        if let Some(json) = &mut self.json {
            JsonText(json).close_object();
        }
    }

    fn close_list(&mut self) {
        self.list = None;
        if let Some(mut json) = self.json.take() {
            json.push(b']');
            (self.found)(Value::Text(std::str::from_utf8(&json).unwrap_or_default()));
        }
    }
}
