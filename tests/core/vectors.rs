//! Every vector of `protocol/vectors.json`: what is valid decodes to what it says, what is malformed is refused with a
//! reason about the same thing.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::BTreeSet;

use dcproxy::dcp;
use dcproxy::dcp::Negotiated;
use dcproxy::wire::Deframer;
use dcproxy::wire::Frame;
use dcproxy::wire::Header;
use dcproxy::wire::Piece;
use serde_json::Value;

fn vectors(list: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../data/vectors.json")).unwrap();
    all[list].as_array().unwrap().clone()
}

fn bytes(vector: &Value) -> Vec<u8> {
    hex::decode(vector["hex"].as_str().unwrap()).unwrap()
}

fn name(vector: &Value) -> &str {
    vector["name"].as_str().unwrap()
}

fn negotiated(vector: &Value) -> Negotiated {
    let agreed: Vec<&str> = vector["connection"]
        .as_object()
        .map(|members| members.iter().filter(|(_, on)| on.as_bool().unwrap()).map(|(name, _)| name.as_str()).collect())
        .unwrap_or_default();
    agreed.join(",").parse().unwrap()
}

/// The header under the names that the vectors use.
fn header(frame: &Frame<'_>) -> Value {
    let h = frame.header();
    let mut json = serde_json::json!({
        "magic": h.magic.0,
        "opcode": h.opcode.0,
        "opcode_name": if h.magic.is_server() { "?".to_owned() } else { h.opcode.to_string() },
        "framing_extras_len": h.framing_extras_len,
        "key_len": h.key_len,
        "extras_len": h.extras_len,
        "datatype": h.datatype.0,
        "body_len": h.body_len,
        "value_len": h.value_len(),
        "opaque": u32::from_be_bytes(h.opaque.0),
        "cas": h.cas,
    });
    if let Some(vbucket) = h.vbucket() {
        json["vbucket"] = vbucket.into();
    }
    if let Some(status) = h.status() {
        json["status"] = status.0.into();
    }
    json
}

/// Every member of `expected` is in `found`, with the same value.
fn assert_holds(expected: &Value, found: &Value, what: &str) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (key, value) in expected {
                let Some(other) = found.get(key) else { panic!("{what}: no member {key} in {found:?}") };
                assert_holds(value, other, &format!("{what}.{key}"));
            }
        }
        (Value::Array(expected), Value::Array(found)) => {
            assert_eq!(expected.len(), found.len(), "{what}");
            for (index, (a, b)) in expected.iter().zip(found).enumerate() {
                assert_holds(a, b, &format!("{what}[{index}]"));
            }
        }
        _ => assert_eq!(expected, found, "{what}"),
    }
}

#[test]
fn every_vector_decodes_to_what_it_says() {
    let vectors = vectors("vectors");
    assert_eq!(vectors.len(), 121);
    for vector in &vectors {
        let (name, bytes, negotiated) = (name(vector), bytes(vector), negotiated(vector));
        let frame = Frame::whole(&bytes).unwrap();
        assert_eq!(frame.bytes(), bytes, "{name}");
        let mut decoded = vector["decoded"].as_object().unwrap().clone();
        assert_eq!(decoded.remove("header").unwrap(), header(&frame), "{name}");
        let message = dcp::decode(&frame, &negotiated).unwrap_or_else(|error| panic!("{name}: {error}"));
        let members = message.members(&frame, &negotiated, true);
        assert_holds(&Value::Object(decoded), &Value::Object(members), name);
        if let Some(charge) = vector.get("flow_control_bytes") {
            assert_eq!(u64::from(dcp::charge(frame.header())), charge.as_u64().unwrap(), "{name}");
        }
    }
}

/// What stands in the vector only, and what decoding adds to it, so that nothing is added unseen.
#[test]
fn members_beside_those_of_the_vectors_are_known() {
    let mut added = BTreeSet::new();
    for vector in &vectors("vectors") {
        let (bytes, negotiated) = (bytes(vector), negotiated(vector));
        let frame = Frame::whole(&bytes).unwrap();
        let members = dcp::decode(&frame, &negotiated).unwrap().members(&frame, &negotiated, true);
        let decoded = vector["decoded"].as_object().unwrap();
        added.extend(members.keys().filter(|key| !decoded.contains_key(*key)).cloned());
    }
    let known = [
        "expiration",
        "flag_names",
        "flags",
        "frame_infos",
        "lock_time",
        "mechanism",
        "nru",
        "reserved",
        "seqno",
        "status_name",
        "stream_id",
        "stream_opaque",
        "stream_opaque_be",
        "value_hex",
    ];
    assert_eq!(added.into_iter().collect::<Vec<_>>(), known);
}

#[test]
fn documents_are_shown_only_where_they_are_asked_for() {
    for vector in &vectors("vectors") {
        let (bytes, negotiated) = (bytes(vector), negotiated(vector));
        let frame = Frame::whole(&bytes).unwrap();
        let members = dcp::decode(&frame, &negotiated).unwrap().members(&frame, &negotiated, false);
        for document in ["value_hex", "uncompressed", "uncompressed_hex", "xattrs"] {
            assert!(!members.contains_key(document), "{}: {document}", name(vector));
        }
        for item in members.get("items").and_then(Value::as_array).into_iter().flatten() {
            assert!(item.get("value").is_none(), "{}", name(vector));
        }
    }
}

#[test]
fn credentials_are_never_shown_nor_kept() {
    for vector in vectors("vectors").iter().filter(|vector| name(vector).starts_with("sasl_")) {
        let bytes = bytes(vector);
        let frame = Frame::whole(&bytes).unwrap();
        let message = dcp::decode(&frame, &Negotiated::default()).unwrap();
        let members = message.members(&frame, &Negotiated::default(), true);
        let shown = format!("{message:?} {}", serde_json::to_string(&members).unwrap());
        for secret in ["user", "pass", "biws", "dGVzdA", "QSXCR", "r=abc"] {
            assert!(!shown.contains(secret), "{}: {shown}", name(vector));
        }
        assert!(!shown.contains(&hex::encode(frame.value().unwrap())) || frame.value().unwrap().is_empty());
    }
}

#[test]
fn the_journal_keeps_neither_keys_nor_documents() {
    for vector in &vectors("vectors") {
        let (bytes, negotiated) = (bytes(vector), negotiated(vector));
        let frame = Frame::whole(&bytes).unwrap();
        let head = dcp::head(&frame, &negotiated, 7);
        let kept = format!("{head:?}");
        if let Some(key) = dcp::document_key(&frame, negotiated.collections).filter(|key| key.logical.len() > 2) {
            assert!(!kept.contains(std::str::from_utf8(key.logical).unwrap()), "{}: {kept}", name(vector));
            assert_ne!(head.key_hash, 0);
            assert_ne!(head.key_hash, dcp::head(&frame, &negotiated, 8).key_hash);
        }
        for secret in ["hello", "world", "World", "snappy snappy", "_sync"] {
            assert!(!kept.contains(secret), "{}: {kept}", name(vector));
        }
    }
}

/// Why a frame is refused: by its framing, or by what it says.
fn refusal(bytes: &[u8], negotiated: &Negotiated) -> Option<String> {
    let mut deframer = Deframer::new(1 << 20);
    let mut input = bytes;
    match deframer.next(&mut input) {
        Some(Piece::Raw { error, .. }) => return Some(error.to_string()),
        Some(Piece::Frame(frame)) => return dcp::decode(&frame, negotiated).err().map(|error| error.to_string()),
        Some(Piece::Value { .. }) => panic!("a value without its frame"),
        None => {}
    }
    // An incomplete frame is no error on a stream, only at its end.
    assert!(!deframer.at_boundary());
    assert_eq!(deframer.partial(), bytes);
    Frame::whole(bytes).err().map(|error| error.to_string())
}

/// Words that the reason must have to be about the same thing as the vector's.
const REASONS: [(&str, &[&str]); 49] = [
    ("bad_magic_0x79", &["magic", "0x79"]),
    ("truncated_header_23_bytes", &["expected 24 bytes", "found 23"]),
    ("truncated_body", &["expected 57 bytes", "found 56"]),
    ("alt_felen_plus_rest_exceeds_body", &["framing extras, extras and key", "body of 6 bytes", "found 7"]),
    ("body_length_over_30_mib", &["30 MiB", "32505880"]),
    ("datatype_0x08", &["datatype", "defined bits", "0x08"]),
    ("datatype_snappy_on_stream_end", &["DCP_STREAM_END", "datatype raw", "0x02"]),
    ("mutation_no_key", &["DCP_MUTATION", "to have a key", "found none"]),
    ("mutation_seqno_zero", &["by_seqno above 0", "found 0"]),
    ("mutation_nmeta_nonzero", &["nmeta of 0", "found 4"]),
    ("mutation_key_251_no_collections", &["key of 1 to 250 bytes", "no collections", "found 251"]),
    ("mutation_key_leb_no_stop_byte", &["LEB128 stop byte", "found none"]),
    ("mutation_key_leb_non_canonical", &["shortest LEB128 form of 9", "found one of 2 bytes"]),
    ("mutation_key_only_collection_id", &["key after the collection id", "found none"]),
    ("mutation_key_one_byte_collections", &["key of at least 2 bytes", "with collections", "found 1"]),
    ("mutation_snappy_garbage", &["snappy"]),
    ("mutation_xattr_length_beyond_value", &["xattr section of 100 bytes", "found 3 bytes of value"]),
    ("deletion_v1_extras_when_v2_negotiated", &["DCP_DELETION", "delete times", "21 bytes of extras", "found 18"]),
    ("deletion_datatype_json_only", &["DCP_DELETION", "JSON", "only together with xattr"]),
    ("snapshot_marker_v2_0_short_value", &["DCP_SNAPSHOT_MARKER", "36 bytes of value", "found 35"]),
    ("snapshot_marker_v2_2_with_v2_0_value", &["DCP_SNAPSHOT_MARKER", "52 bytes of value", "found 36"]),
    ("snapshot_marker_v2_7", &["marker version", "found 2.7"]),
    ("snapshot_marker_start_after_end", &["start", "end of 8", "found 9"]),
    ("prepare_level_0", &["durability level", "found 0"]),
    ("prepare_cas_0", &["DCP_PREPARE", "CAS above 0"]),
    ("prepare_extras_33", &["DCP_PREPARE", "31 bytes of extras", "found 33"]),
    ("commit_with_value", &["DCP_COMMIT", "no value", "found one of 1 bytes"]),
    ("system_event_id_2", &["system event of id", "found id 2"]),
    ("system_event_version_3", &["system event version", "found 3"]),
    ("set_vbucket_state_0", &["vbucket state of 1 to 4", "found 0"]),
    ("set_vbucket_state_5", &["vbucket state of 1 to 4", "found 5"]),
    ("buffer_ack_extras_8", &["DCP_BUFFER_ACK", "4 bytes of extras", "found 8"]),
    ("control_no_value", &["DCP_CONTROL", "value beside its key", "found none"]),
    ("stream_req_extras_40", &["DCP_STREAM_REQ", "48 bytes of extras", "found 40"]),
    ("stream_req_flag_no_value_8", &["stream flags without 0x08", "removed in 5.0"]),
    ("stream_req_cache_transfer_with_to_latest", &["stream flag 0x100 only together with 0x01 and 0x10"]),
    ("stream_req_rollback_response_value_4", &["DCP_STREAM_REQ response", "8 bytes of value", "found 4"]),
    ("stream_req_ok_response_failover_log_24", &["failover log", "positive multiple of 16", "found 24"]),
    ("stream_req_ok_response_failover_log_empty", &["failover log", "positive multiple of 16", "found 0"]),
    ("dcp_open_deleted_user_xattrs_without_xattrs", &["open flag 0x100 only together with 0x04"]),
    ("dcp_open_no_value_and_underlying", &["open flags 0x08 and 0x40", "found both"]),
    ("hello_odd_value", &["HELLO feature list", "odd"]),
    ("stream_id_frame_len_3", &["stream id frame info", "2 bytes", "found 3"]),
    ("frame_info_overflow", &["2 bytes of frame info", "found 1"]),
    ("frame_info_escape_without_next_byte", &["byte after an escaped frame info id"]),
    ("cache_transfer_with_extras", &["DCP_CACHE_TRANSFER", "0 bytes of extras", "found 1"]),
    ("cache_transfer_41_bytes", &["DCP_CACHE_TRANSFER", "at least 42 bytes", "found 41"]),
    ("cache_transfer_key_len_1", &["key_len", "2 to 251", "found 1"]),
    ("quirk_deletion_v2_stream_id_felen0", &["framing extras length", "found 0", "3 framing bytes", "in the body"]),
];

#[test]
fn every_malformed_vector_is_refused_with_its_reason() {
    let vectors = vectors("malformed");
    assert_eq!(vectors.len(), 49);
    let mut failures = Vec::new();
    for vector in &vectors {
        let (_, words) = REASONS.iter().find(|(known, _)| *known == name(vector)).unwrap();
        let Some(reason) = refusal(&bytes(vector), &negotiated(vector)) else {
            failures.push(format!("{}: not refused", name(vector)));
            continue;
        };
        if !words.iter().chain([&"expected", &"found"]).all(|word| reason.contains(word)) {
            failures.push(format!("{}: {reason}", name(vector)));
        }
    }
    assert_eq!(failures, Vec::<String>::new());
}

#[test]
fn the_unknown_decodes_by_its_header() {
    let vectors = vectors("unknown");
    assert_eq!(vectors.len(), 2);
    for vector in &vectors {
        let bytes = bytes(vector);
        let frame = Frame::whole(&bytes).unwrap();
        let header: &Header = frame.header();
        assert_eq!(header.opcode.to_string(), format!("0x{:02x}", bytes[1]));
        assert_eq!(dcp::decode(&frame, &Negotiated::default()), Ok(dcp::Message::Other));
        assert!(dcp::Message::Other.members(&frame, &Negotiated::default(), true).is_empty());
        assert_eq!(dcp::charge(header), 0);
    }
}
