//! What a message's members are made of: their names, their values, and where they are written.

use serde_json::Value;

/// How the values of a member look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemberKind {
    /// A number.
    Number,
    /// True or false.
    Flag,
    /// Text.
    Text,
    /// A number in some messages, text in others.
    NumberOrText,
    /// A list of numbers.
    Numbers,
    /// A list of texts.
    Texts,
    /// A list of objects.
    Objects,
    /// Any JSON, as the sender wrote it.
    Json,
}

/// Declares the names of all members, each with its kind and a line of meaning.
macro_rules! members {
    ($($name:ident $kind:ident $meaning:literal),+ $(,)?) => {
        /// The name of a member: those that `protocol/vectors.json` uses in `decoded`.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[allow(non_camel_case_types, missing_docs)] // written as in the JSON, and documented by their meaning
        pub enum MemberName {
            $($name),+
        }

        impl MemberName {
            /// Every name there is, in the order of the protocol reference.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name as it is written.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }

            /// The name as JSON has it behind another member: `,"by_seqno":`.
            pub const fn as_json(self) -> &'static str {
                match self { $(Self::$name => concat!(",\"", stringify!($name), "\":")),+ }
            }

            /// How its values look.
            pub const fn kind(self) -> MemberKind {
                match self { $(Self::$name => MemberKind::$kind),+ }
            }

            /// What it means, in one line.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),+ }
            }
        }
    };
}

members! {
    server_opcode Text "operation of a server request (magics 0x82 and 0x83)",
    stream_id Number "stream id in the framing extras",
    server_duration_encoded Number "how long the server took, as it is encoded: microseconds are n^1.74 / 2",
    read_units Number "units read",
    write_units Number "units written",
    throttle_duration_encoded Number "how long the server held it back, encoded as the server's duration",
    frame_infos Objects "items of the framing extras",
    by_seqno Number "seqno in the vbucket",
    rev_seqno Number "revision of the document",
    flags Number "flags of the document or of the message",
    expiration Number "when the document expires, seconds since the epoch; 0 for never",
    lock_time Number "how long it is locked",
    nmeta Number "bytes of extended metadata: 0",
    nru Number "not recently used",
    delete_time Number "when the document was deleted, seconds since the epoch",
    unused Number "sent as 0",
    deleted Number "whether a prepare deletes",
    durability_level Number "1 majority, 2 majority and persisted on the active, 3 persisted to a majority",
    prepared_seqno Number "seqno of the prepare",
    commit_seqno Number "seqno of the commit",
    abort_seqno Number "seqno of the abort",
    version NumberOrText "layout of a marker (text) or system event, version asked for, or of the server (text)",
    start_seqno Number "first seqno of the snapshot, or the last that the consumer has",
    end_seqno Number "last seqno of the snapshot or stream",
    max_visible_seqno Number "highest seqno that a reader may see",
    high_completed_seqno Number "highest completed prepare; null without the Disk flag",
    timestamp Number "time of the snapshot, nanoseconds since the epoch",
    purge_seqno Number "purge seqno",
    high_prepared_seqno Number "highest prepare; null without the Disk flag",
    event Number "0 begin collection, 1 end collection, 3 create scope, 4 drop scope, 5 modify collection",
    uid Number "uid of the manifest (FlatBuffers)",
    manifest_uid Number "uid of the manifest",
    scope_id Number "scope",
    collection_id Number "collection",
    ttl_valid Flag "whether max_ttl is set",
    max_ttl Number "time to live of the collection's documents, seconds",
    history Flag "whether the collection keeps history",
    default_collection_mvs Number "max visible seqno of the default collection",
    metered Flag "whether the collection is metered",
    flush_uid Number "uid of the manifest that flushed the collection",
    system_collection Flag "whether it was one of the system's",
    system_scope Flag "whether it was one of the system's",
    name Text "name of the connection, collection or scope",
    name_hex Text "the name in hex, where it is not UTF-8",
    items Objects "records of a cache transfer",
    state Number "vbucket state: 1 active, 2 replica, 3 pending, 4 dead",
    end_reason Number "why the stream ended: 0 all sent, 1 closed, 2 state changed, 3 disconnected, 4 too slow, ...",
    reserved Number "sent as 0",
    vb_uuid Number "branch of the vbucket's history",
    snap_start_seqno Number "first seqno of the snapshot that the consumer is in",
    snap_end_seqno Number "last seqno of the snapshot that the consumer is in",
    rollback_seqno Number "seqno to go back to",
    failover_log Objects "branches of the vbucket's history, newest first",
    stream_opaque Number "opaque of the stream that was added, big endian",
    stream_opaque_be Number "the same",
    bytes_to_ack Number "bytes given back to the flow-control window",
    seqno Number "seqno of an entry; reserved in DCP_OPEN",
    flag_names Texts "flags of DCP_OPEN by name",
    entries Objects "highest seqno of each vbucket",
    features Numbers "HELLO features",
    mechanisms Texts "SASL mechanisms offered",
    mechanism Text "SASL mechanism used",
    mechanism_hex Text "the mechanism in hex, where it is not UTF-8",
    bucket Text "bucket",
    bucket_hex Text "the bucket in hex, where it is not UTF-8",
    epoch Number "epoch of the cluster map",
    revision Number "revision of the cluster map",
    status_name Text "status of an error",
    error_json Json "JSON of an error",
    key Text "key of a document (without its collection), a control, a statistic or a system event",
    key_hex Text "the key in hex, where it is not UTF-8",
    value Json "value of a control or a statistic, JSON of a request",
    value_hex Text "the document in hex, as it was sent (with --values); a value that is not UTF-8",
    uncompressed Text "the document, inflated (with --values)",
    uncompressed_hex Text "the inflated document in hex, where it is not UTF-8 (with --values)",
    xattrs Json "extended attributes of the document (with --values)",
    id Number "id of a frame info",
    len Number "bytes of a frame info",
    data_hex Text "data of a frame info, where it has no other name",
    vbucket Number "vbucket of an entry",
    cas Number "CAS of a record",
    value_len Number "bytes of a record's value",
    key_len Number "bytes of a record's key",
    cache_hint Number "how hot a record is in the producer's cache",
    datatype Number "datatype of a record",
}

/// The value of a member.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Member<'a> {
    /// It is known that there is none.
    Null,
    /// True or false.
    Flag(bool),
    /// A number.
    Number(u64),
    /// A number that may be negative.
    Signed(i64),
    /// Text.
    Text(&'a str),
    /// Bytes, which are shown as hex.
    Hex(&'a [u8]),
    /// Any JSON.
    Json(&'a Value),
}

impl From<bool> for Member<'_> {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}

macro_rules! number {
    ($($type:ty)+) => { $(
        impl From<$type> for Member<'_> {
            fn from(value: $type) -> Self {
                Self::Number(value.into())
            }
        }
    )+ };
}
number!(u8 u16 u32 u64);

impl From<i64> for Member<'_> {
    fn from(value: i64) -> Self {
        Self::Signed(value)
    }
}

impl<'a> From<&'a str> for Member<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a, T: Into<Self>> From<Option<T>> for Member<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Where the members of a frame are written, in their order, each once. A list holds values or objects of members, nothing
/// deeper.
pub trait MemberSink {
    /// Whether the member is of any use here: one that costs to find is left out where it is not.
    fn wants(&self, _: MemberName) -> bool {
        true
    }

    /// A member of the frame, or of the object that is open.
    fn member(&mut self, member: MemberName, value: Member<'_>);

    /// A member that is a list begins.
    fn open_list(&mut self, member: MemberName);

    /// A value of the open list.
    fn item(&mut self, value: Member<'_>);

    /// An object of the open list begins.
    fn open_object(&mut self);

    /// The open object ends.
    fn close_object(&mut self);

    /// The open list ends.
    fn close_list(&mut self);
}

/// Puts fields of a struct under their own names.
macro_rules! put {
    ($to:expr, $from:expr, $($field:ident),+) => {
        {
            $($to.member($crate::dcp::MemberName::$field, $from.$field.into());)+
        }
    };
}
pub(super) use put;

// The names of text, and of its hex where it is not UTF-8.
pub(super) const KEY: (MemberName, MemberName) = (MemberName::key, MemberName::key_hex);
pub(super) const VALUE: (MemberName, MemberName) = (MemberName::value, MemberName::value_hex);
pub(super) const NAME: (MemberName, MemberName) = (MemberName::name, MemberName::name_hex);
pub(super) const BUCKET: (MemberName, MemberName) = (MemberName::bucket, MemberName::bucket_hex);
pub(super) const MECHANISM: (MemberName, MemberName) = (MemberName::mechanism, MemberName::mechanism_hex);
pub(super) const UNCOMPRESSED: (MemberName, MemberName) = (MemberName::uncompressed, MemberName::uncompressed_hex);

/// Bytes as text under the first name, or in hex under the second where they are not UTF-8.
pub(super) fn put_text((text, hex): (MemberName, MemberName), bytes: &[u8], to: &mut impl MemberSink) {
    match std::str::from_utf8(bytes) {
        Ok(value) => to.member(text, value.into()),
        Err(_) => to.member(hex, Member::Hex(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_written_once_and_means_something() {
        let names: BTreeSet<_> = MemberName::ALL.iter().map(|member| member.as_str()).collect();
        assert_eq!(names.len(), MemberName::ALL.len());
        for member in MemberName::ALL {
            assert_eq!(member.as_json(), format!(",\"{}\":", member.as_str()));
            assert!(member.meaning().len() > 3, "{member:?}");
        }
    }
}
