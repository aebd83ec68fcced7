use std::fmt;

use super::kind::Kind;
use super::wireshark;
use crate::dcp::MemberKind;
use crate::dcp::MemberName;

/// Something that a filter can ask of a frame: `frame.*` is where and how it was seen, `dcp.*` what it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field(pub(super) Source);

/// Where the values of a field come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// What every frame has, or none: at most one value.
    Head(Head),
    /// A member of the message.
    Member(MemberName),
    /// A member of each object of a list.
    Element(MemberName, MemberName),
    /// What is in the document's xattrs.
    Xattr(XattrPart),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum XattrPart {
    Key,
    Value,
}

/// Declares the fields that are no members: name, how its values look, and a line of meaning.
macro_rules! heads {
    ($($field:ident $name:literal $kind:expr, $meaning:literal;)+) => {
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Head { $($field),+ }

        impl Head {
            const ALL: &'static [Self] = &[$(Self::$field),+];

            const fn name(self) -> &'static str {
                match self { $(Self::$field => $name),+ }
            }

            const fn kind(self) -> Kind {
                match self { $(Self::$field => $kind),+ }
            }

            const fn meaning(self) -> &'static str {
                match self { $(Self::$field => $meaning),+ }
            }
        }
    };
}

heads! {
    Number "frame.number" Kind::Number, "number of the frame, from 1 over all input";
    Time "frame.time" Kind::Time, "when it was seen";
    Conn "frame.conn" Kind::Number, "connection, from 1 over all input";
    From "frame.from" Kind::Word(&["producer", "consumer", "client", "server"]),
        "who sent it; client or server before DCP_OPEN";
    Len "frame.len" Kind::Number, "bytes of the whole frame, header included";
    Malformed "frame.malformed" Kind::Flag, "whether it does not decode";
    MalformedReason "frame.malformed_reason" Kind::Text, "why it does not decode: what was expected, what was found";
    Resynchronised "frame.resynchronised" Kind::Flag, "whether it was found by searching, after framing was lost";
    GapBefore "frame.gap_before" Kind::Number,
        "bytes of the same sender that are missing before it; 0 where their number is unknown";
    Request "dcp.request" Kind::Flag, "whether it asks (by its magic, never by its direction)";
    Response "dcp.response" Kind::Flag, "whether it answers";
    Magic "dcp.magic" Kind::Hex(2), "first byte of the header";
    Opcode "dcp.opcode" Kind::Opcode, "operation; of server requests see dcp.server_opcode";
    ServerOpcode "dcp.server_opcode" Kind::ServerOpcode, "operation of a server request (magics 0x82 and 0x83)";
    Status "dcp.status" Kind::Status, "status of a response";
    Vbucket "dcp.vbucket" Kind::Number, "vbucket of a request";
    Opaque "dcp.opaque" Kind::Hex(8), "opaque, as the bytes are on the wire";
    Cas "dcp.cas" Kind::Number, "CAS";
    Datatype "dcp.datatype" Kind::Datatype, "how the value is to be read";
    DatatypeJson "dcp.datatype.json" Kind::Flag, "whether the document is JSON";
    DatatypeSnappy "dcp.datatype.snappy" Kind::Flag, "whether the value is compressed";
    DatatypeXattr "dcp.datatype.xattr" Kind::Flag, "whether the value begins with xattrs";
    KeyLen "dcp.key_len" Kind::Number, "bytes of the key, its collection included";
    ValueLen "dcp.value_len" Kind::Number, "bytes of the value";
    ExtrasLen "dcp.extras_len" Kind::Number, "bytes of the extras";
    FramingExtrasLen "dcp.framing_extras_len" Kind::Number, "bytes of the framing extras, where the header has room for them";
    BodyLen "dcp.body_len" Kind::Number, "bytes of all but the header";
    Seqno "dcp.seqno" Kind::Number, "the message's own seqno in its stream: by_seqno, commit_seqno or abort_seqno";
    Orphan "dcp.orphan" Kind::Flag, "whether it is an orphaned response";
    OrphanOf "dcp.orphan_of" Kind::Word(&["live", "closing", "gone", "unknown", "connection"]),
        "what an orphaned response answers: a message of a stream in that state, or of no stream";
    ResponseTo "dcp.response_to" Kind::Number, "number of the frame that a response answers";
    ResponseTime "dcp.response_time" Kind::Duration, "time between a request and its response";
    ResponseIn "dcp.response_in" Kind::Number, "number of the frame that answers a request (only with --two-pass)";
    RawKey "dcp.raw_key" Kind::Text, "the whole key of any message, its collection included, where it is UTF-8";
    EventVersion "dcp.event_version" Kind::Number, "layout of a system event";
    OsoFlags "dcp.oso_flags" Kind::Number, "flags of an OSO snapshot: 1 it begins, 2 it ends";
    ServerDuration "dcp.server_duration" Kind::Micros, "how long the server took, microseconds";
    DurabilityReq "dcp.durability_req" Kind::Number, "durability level of a prepare, or that a client asks for in the framing extras";
    OpenSeqno "dcp.open_seqno" Kind::Number, "reserved seqno of DCP_OPEN: 0";
    MarkerVersion "dcp.marker_version" Kind::Number, "minor version of a snapshot marker of version 2";
    Item "couchbase.extras.by_seqno" Kind::Number,
        "Wireshark's view: by_seqno, or the seqno of a commit or of an acknowledgement";
}

/// Members of the objects of lists: (list, member).
const ELEMENTS: &[(MemberName, MemberName)] = &[
    (MemberName::failover_log, MemberName::vb_uuid),
    (MemberName::failover_log, MemberName::seqno),
    (MemberName::entries, MemberName::vbucket),
    (MemberName::entries, MemberName::seqno),
    (MemberName::frame_infos, MemberName::id),
    (MemberName::frame_infos, MemberName::len),
    (MemberName::frame_infos, MemberName::data_hex),
    (MemberName::items, MemberName::by_seqno),
    (MemberName::items, MemberName::rev_seqno),
    (MemberName::items, MemberName::cas),
    (MemberName::items, MemberName::collection_id),
    (MemberName::items, MemberName::key),
    (MemberName::items, MemberName::key_len),
    (MemberName::items, MemberName::value_len),
    (MemberName::items, MemberName::flags),
    (MemberName::items, MemberName::expiration),
    (MemberName::items, MemberName::datatype),
    (MemberName::items, MemberName::cache_hint),
];

/// Members that only objects of lists have, or whose name means something else here.
const NOT_BY_THEMSELVES: &[MemberName] = &[
    MemberName::server_opcode,
    MemberName::seqno,
    MemberName::id,
    MemberName::len,
    MemberName::data_hex,
    MemberName::vbucket,
    MemberName::cas,
    MemberName::value_len,
    MemberName::key_len,
    MemberName::cache_hint,
    MemberName::datatype,
];

impl Field {
    /// Every field, in the order that they are listed in.
    pub fn all() -> impl Iterator<Item = Self> {
        let heads = Head::ALL.iter().map(|head| Source::Head(*head));
        let members = MemberName::ALL.iter().filter(|member| !NOT_BY_THEMSELVES.contains(member)).flat_map(|member| {
            let elements = ELEMENTS
                .iter()
                .filter(move |(list, _)| list == member)
                .map(|(list, part)| Source::Element(*list, *part));
            std::iter::once(Source::Member(*member)).chain(elements)
        });
        let xattrs = [XattrPart::Key, XattrPart::Value].map(Source::Xattr);
        heads.chain(members).chain(xattrs).map(Self)
    }

    /// The field of a name, or of one of Wireshark's names.
    pub fn named(name: &str) -> Option<Self> {
        let ours = wireshark::ours(name).unwrap_or(name);
        Self::all().find(|field| field.is_named(ours))
    }

    /// A name that `name` was probably meant to be.
    pub fn suggestion(name: &str) -> Option<String> {
        let fields = Self::all().map(|field| field.to_string());
        nearest(name, fields.chain(wireshark::ALIASES.iter().map(|(alias, _)| (*alias).to_owned())))
    }

    /// How its values look.
    pub fn kind(self) -> Kind {
        match self.0 {
            Source::Head(head) => head.kind(),
            Source::Member(member) => match member.kind() {
                MemberKind::Number | MemberKind::Numbers => Kind::Number,
                MemberKind::Flag => Kind::Flag,
                MemberKind::NumberOrText => Kind::NumberOrText,
                MemberKind::Text | MemberKind::Texts | MemberKind::Json => Kind::Text,
                MemberKind::Objects => Kind::Objects,
            },
            Source::Element(_, MemberName::key | MemberName::data_hex) | Source::Xattr(_) => Kind::Text,
            Source::Element(_, MemberName::datatype) => Kind::Datatype,
            Source::Element(..) => Kind::Number,
        }
    }

    /// Whether a frame can have several values of it.
    pub fn is_list(self) -> bool {
        match self.0 {
            Source::Head(_) => false,
            Source::Member(member) => matches!(member.kind(), MemberKind::Numbers | MemberKind::Texts),
            Source::Element(..) | Source::Xattr(_) => true,
        }
    }

    /// What it means, in one line.
    pub fn meaning(self) -> String {
        match self.0 {
            Source::Head(head) => head.meaning().to_owned(),
            Source::Member(member) => member.meaning().to_owned(),
            Source::Element(list, part) => format!("{}, of each of the {}", part.meaning(), list.meaning()),
            Source::Xattr(XattrPart::Key) => "names of the document's extended attributes (with --values)".to_owned(),
            Source::Xattr(XattrPart::Value) => {
                "values of the document's extended attributes (with --values)".to_owned()
            }
        }
    }

    /// Wireshark's names for it.
    pub fn aliases(self) -> impl Iterator<Item = &'static str> {
        wireshark::ALIASES.iter().filter(move |(_, ours)| self.is_named(ours)).map(|(alias, _)| *alias)
    }

    /// Whether its values are the document, or made of it.
    pub const fn is_document(self) -> bool {
        matches!(
            self.0,
            Source::Xattr(_)
                | Source::Member(
                    MemberName::value_hex
                        | MemberName::uncompressed
                        | MemberName::uncompressed_hex
                        | MemberName::xattrs
                )
        )
    }

    /// Whether mutations that are alike ([`crate::dcp::Mould`]) may have different values of it.
    pub(super) const fn varies_among_alike(self) -> bool {
        match self.0 {
            Source::Head(head) => matches!(
                head,
                Head::Number
                    | Head::Time
                    | Head::Len
                    | Head::GapBefore
                    | Head::Cas
                    | Head::KeyLen
                    | Head::ValueLen
                    | Head::BodyLen
                    | Head::Seqno
                    | Head::RawKey
                    | Head::ServerDuration
                    | Head::Item
            ),
            Source::Member(member) => !matches!(member, MemberName::collection_id),
            Source::Element(..) | Source::Xattr(_) => true,
        }
    }

    fn is_named(self, name: &str) -> bool {
        match self.0 {
            Source::Head(head) => head.name() == name,
            Source::Member(member) => name.strip_prefix("dcp.") == Some(member.as_str()),
            Source::Element(list, part) => name
                .strip_prefix("dcp.")
                .and_then(|name| name.split_once('.'))
                .is_some_and(|(first, second)| first == list.as_str() && second == part.as_str()),
            Source::Xattr(XattrPart::Key) => name == "dcp.xattrs.key",
            Source::Xattr(XattrPart::Value) => name == "dcp.xattrs.value",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Source::Head(head) => f.write_str(head.name()),
            Source::Member(member) => write!(f, "dcp.{}", member.as_str()),
            Source::Element(list, part) => write!(f, "dcp.{}.{}", list.as_str(), part.as_str()),
            Source::Xattr(XattrPart::Key) => f.write_str("dcp.xattrs.key"),
            Source::Xattr(XattrPart::Value) => f.write_str("dcp.xattrs.value"),
        }
    }
}

impl std::str::FromStr for Field {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::named(name).ok_or_else(|| {
            let tip = Self::suggestion(name)
                .map_or_else(|| "; --fields lists them".to_owned(), |near| format!("; did you mean {near}?"));
            format!("expected a field, found '{name}'{tip}")
        })
    }
}

/// The known name that is nearest to `name`, if one is near enough to be meant. Case does not matter.
pub(crate) fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let name = name.to_ascii_lowercase();
    // Names have at most some fifty letters; what is longer is near to none.
    if name.len() > 100 {
        return None;
    }
    known
        .map(|other| (strsim::osa_distance(&name, &other.to_ascii_lowercase()), other))
        .filter(|(distance, other)| *distance <= 1 + other.len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_field_is_found_by_its_name_and_no_name_is_twice() {
        let mut names = BTreeSet::new();
        for field in Field::all() {
            let name = field.to_string();
            assert_eq!(Field::named(&name), Some(field), "{name}");
            assert!(field.meaning().len() > 2, "{name}");
            assert!(names.insert(name));
        }
        assert!(names.len() > 100);
    }

    #[test]
    fn every_alias_names_a_field() {
        for (alias, ours) in wireshark::ALIASES {
            assert_eq!(Field::named(alias).map(|field| field.to_string()).as_deref(), Some(*ours), "{alias}");
        }
        assert_eq!(
            wireshark::ALIASES.iter().map(|(alias, _)| alias).collect::<BTreeSet<_>>().len(),
            wireshark::ALIASES.len()
        );
    }

    #[test]
    fn every_member_can_be_asked_for() {
        for member in MemberName::ALL {
            let alone = Field::named(&format!("dcp.{}", member.as_str())).is_some() || *member == MemberName::seqno;
            let in_a_list = ELEMENTS.iter().any(|(_, part)| part == member);
            assert!(alone || in_a_list, "{member:?}");
        }
    }

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        assert_eq!(Field::suggestion("dcp.opcod").as_deref(), Some("dcp.opcode"));
        assert_eq!(Field::suggestion("dcp.vbukcet").as_deref(), Some("dcp.vbucket"));
        assert_eq!(Field::suggestion("http.request.method"), None);
        assert_eq!(Field::suggestion(&"d".repeat(5_000)), None);
    }
}
