use serde_json::Value;
use serde_json::json;

use super::Malformed;
use super::MemberName;
use super::MemberSink;
use super::check;
use super::malformed::malformed;
use super::member::put;
use crate::wire::Datatype;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// DCP_OPEN: makes a DCP connection of an ordinary one (dcp-protocol.md §2.1).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Open {
    /// The connection's name.
    pub name: String,
    /// Reserved.
    pub seqno: u32,
    /// A set of this type's flags.
    pub flags: u32,
    /// The name that a consumer is to give itself.
    pub consumer_name: Option<String>,
}

impl Open {
    /// The end that is asked becomes the producer; without it, the consumer.
    pub const PRODUCER: u32 = 0x001;
    /// Values with their xattrs.
    pub const INCLUDE_XATTRS: u32 = 0x004;
    /// No values.
    pub const NO_VALUE: u32 = 0x008;
    /// Deletions with their times (version 2).
    pub const INCLUDE_DELETE_TIMES: u32 = 0x020;
    /// No values, but their datatypes.
    pub const NO_VALUE_WITH_UNDERLYING_DATATYPE: u32 = 0x040;
    /// Deletions with the users' xattrs.
    pub const INCLUDE_DELETED_USER_XATTRS: u32 = 0x100;
    /// No deletions in the first backfill.
    pub const SKIP_DELETES_IN_INITIAL_BACKFILL: u32 = 0x200;
}

impl Open {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// Flags that exclude each other, a value that is not JSON of a consumer name, or another broken rule of
    /// dcp-protocol.md §2.1.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::some_key(frame)?;
        let mut fields = check::extras(frame, 8)?;
        let (seqno, flags) = (fields.u32(), fields.u32());
        let set = |flag| flags & flag != 0;
        if set(Self::INCLUDE_DELETED_USER_XATTRS) && !set(Self::INCLUDE_XATTRS) {
            return Err(malformed!("expected open flag 0x100 only together with 0x04, found 0x{flags:02x}"));
        }
        if set(Self::NO_VALUE) && set(Self::NO_VALUE_WITH_UNDERLYING_DATATYPE) {
            return Err(malformed!("expected one of the open flags 0x08 and 0x40, found both in 0x{flags:02x}"));
        }
        Ok(Self { name: check::text(frame.key()), seqno, flags, consumer_name: consumer_name(frame)? })
    }

    /// The request.
    pub fn request(&self, opaque: Opaque) -> FrameBuilder {
        let extras = [self.seqno.to_be_bytes(), self.flags.to_be_bytes()].concat();
        let frame = FrameBuilder::request(Opcode::DCP_OPEN).opaque(opaque).extras(extras).key(self.name.as_bytes());
        match &self.consumer_name {
            Some(name) => {
                frame.datatype(Datatype::JSON).value(json!({ "consumer_name": name }).to_string().into_bytes())
            }
            None => frame,
        }
    }

    /// The flags by name; what has none is named by its hex value.
    pub fn flag_names(&self) -> Vec<String> {
        let known = NAMES.iter().filter(|(flag, _)| self.flags & flag != 0).map(|(_, name)| (*name).to_owned());
        let unknown = NAMES.iter().fold(self.flags, |flags, (flag, _)| flags & !flag);
        known.chain((unknown != 0).then(|| format!("0x{unknown:02x}"))).collect()
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put!(to, self, seqno, flags);
        to.open_list(MemberName::flag_names);
        for name in self.flag_names() {
            to.item(name.as_str().into());
        }
        to.close_list();
    }
}

fn consumer_name(frame: &Frame<'_>) -> Result<Option<String>, Malformed> {
    let value = frame.value().unwrap_or_default();
    match (frame.header().datatype, value.is_empty()) {
        (Datatype::RAW, true) => return Ok(None),
        (Datatype::JSON, false) => {}
        (Datatype(found), empty) => {
            let what = if empty { "no value" } else { "a value" };
            return Err(malformed!(
                "expected DCP_OPEN to have no value and datatype 0x00, or JSON and 0x01, found {what} and 0x{found:02x}"
            ));
        }
    }
    let members: serde_json::Map<String, Value> = serde_json::from_slice(value)
        .map_err(|error| malformed!("expected the value of DCP_OPEN to be a JSON object, found: {error}"))?;
    match (members.get("consumer_name"), members.len()) {
        (Some(Value::String(name)), 1) => Ok(Some(name.clone())),
        (_, len) => {
            Err(malformed!("expected a string 'consumer_name' alone in the value of DCP_OPEN, found {len} members"))
        }
    }
}

/// The flags by name, as `decode` prints them; 0x02, 0x10 and 0x80 are gone.
const NAMES: [(u32, &str); 10] = [
    (Open::PRODUCER, "PRODUCER"),
    (0x002, "NOTIFIER"),
    (Open::INCLUDE_XATTRS, "INCLUDE_XATTRS"),
    (Open::NO_VALUE, "NO_VALUE"),
    (0x010, "COLLECTIONS"),
    (Open::INCLUDE_DELETE_TIMES, "INCLUDE_DELETE_TIMES"),
    (Open::NO_VALUE_WITH_UNDERLYING_DATATYPE, "NO_VALUE_WITH_UNDERLYING_DATATYPE"),
    (0x080, "PITR"),
    (Open::INCLUDE_DELETED_USER_XATTRS, "INCLUDE_DELETED_USER_XATTRS"),
    (Open::SKIP_DELETES_IN_INITIAL_BACKFILL, "SKIP_DELETES_IN_INITIAL_BACKFILL"),
];
