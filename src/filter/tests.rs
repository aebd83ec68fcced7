use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::Negotiated;
use crate::session::OrphanOf;
use crate::wire::Datatype;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

const COLLECTIONS: Negotiated = Negotiated {
    collections: true,
    snappy: false,
    xattr: false,
    stream_id: false,
    flatbuffers: false,
    include_delete_times: false,
};

/// A mutation of key `user::7` in collection 8, vbucket 3, seqno 101, flags 6.
fn mutation() -> bytes::Bytes {
    let extras = [&101_u64.to_be_bytes()[..], &2_u64.to_be_bytes(), &[0, 0, 0, 6], &[0; 11]].concat();
    FrameBuilder::request(Opcode::DCP_MUTATION)
        .vbucket(3)
        .opaque(Opaque([0, 0, 0x12, 0x10]))
        .cas(9)
        .datatype(Datatype::JSON)
        .extras(extras)
        .key(*b"\x08user::7")
        .value(*b"{\"a\":1}")
        .build()
}

fn holds(filter: &str, bytes: &[u8], change: impl FnOnce(&mut Subject<'_>)) -> bool {
    let filter: Filter = filter.parse().unwrap_or_else(|error| panic!("{filter}: {error}"));
    let frame = Frame::whole(bytes).unwrap();
    let message = dcp::decode(&frame, &COLLECTIONS);
    let mut subject = Subject {
        number: Some(7),
        time: Some(Timestamp(1_563_000_000_500_000_000)),
        conn: Some(2),
        from: Some("producer"),
        header: Some(frame.header()),
        frame: Some(&frame),
        message: message.as_ref().ok(),
        malformed: message.as_ref().err().map(|reason| reason.0.as_str()),
        negotiated: COLLECTIONS,
        ..Subject::default()
    };
    change(&mut subject);
    filter.matches(&subject)
}

#[track_caller]
fn assert_matches(bytes: &[u8], true_ones: &[&str], false_ones: &[&str]) {
    for filter in true_ones {
        assert!(holds(filter, bytes, |_| {}), "{filter} holds");
    }
    for filter in false_ones {
        assert!(!holds(filter, bytes, |_| {}), "{filter} does not hold");
    }
}

#[track_caller]
fn assert_refused(cases: &[(&str, usize, &str)]) {
    for (filter, column, words) in cases {
        let error = filter.parse::<Filter>().expect_err(filter);
        assert_eq!(error.column, *column, "{filter}: {error}");
        assert!(error.to_string().contains(words), "{filter}: {error}");
        assert!(error.to_string().starts_with(&format!("filter: column {column}: expected ")), "{error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error:?}");
    }
}

#[test]
fn every_comparison_in_both_spellings() {
    assert_matches(
        &mutation(),
        &[
            "dcp.seqno == 101",
            "dcp.seqno eq 101",
            "dcp.seqno != 100",
            "dcp.seqno ne 100",
            "dcp.seqno > 100",
            "dcp.seqno gt 100",
            "dcp.seqno >= 101",
            "dcp.seqno ge 101",
            "dcp.seqno < 102",
            "dcp.seqno lt 102",
            "dcp.seqno <= 101",
            "dcp.seqno le 101",
            "dcp.seqno == 0x65",
        ],
        &[
            "dcp.seqno == 100",
            "dcp.seqno != 101",
            "dcp.seqno > 101",
            "dcp.seqno >= 102",
            "dcp.seqno < 101",
            "dcp.seqno <= 100",
            "dcp.seqno == -101",
        ],
    );
}

#[test]
fn sets_have_values_and_ranges_between_spaces_or_commas() {
    assert_matches(
        &mutation(),
        &[
            "dcp.vbucket in {0..3}",
            "dcp.vbucket in {1 3}",
            "dcp.vbucket in {1,3}",
            "dcp.vbucket in {0..1, 3..9 12}",
            "dcp.vbucket not in {4..9}",
            "dcp.vbucket !in {4}",
            "dcp.opcode in {mutation deletion}",
            "dcp.vbucket in {3..3}",
        ],
        &[
            "dcp.vbucket in {0..2}",
            "dcp.vbucket in {4}",
            "dcp.vbucket not in {3}",
            "dcp.status in {0..0xffff}",
            "dcp.status not in {0}",
        ],
    );
}

#[test]
fn text_is_compared_searched_and_matched() {
    assert_matches(
        &mutation(),
        &[
            r#"dcp.key == "user::7""#,
            r#"dcp.key contains "r::""#,
            r#"dcp.key matches "^USER::[0-9]$""#,
            r#"dcp.key ~ "7$""#,
            r#"dcp.key >= "user""#,
            r#"dcp.uncompressed contains "a" || dcp.value_hex contains "7b""#,
        ],
        &[
            r#"dcp.key == "USER::7""#,
            r#"dcp.key contains "R::""#,
            r#"dcp.key matches "^user$""#,
            r#"dcp.key contains "\"\\""#,
        ],
    );
}

#[test]
fn bits_are_tested_and_compared() {
    assert_matches(
        &mutation(),
        &[
            "dcp.flags & 2",
            "dcp.flags & 0x4",
            "dcp.flags & 7 == 6",
            "dcp.datatype & json",
            "dcp.datatype.json",
            "dcp.flags & 8 == 0",
        ],
        &[
            "dcp.flags & 1",
            "dcp.flags & 7 == 7",
            "dcp.datatype & snappy",
            "dcp.datatype.xattr",
            "dcp.rollback_seqno & 1",
        ],
    );
}

#[test]
fn and_binds_tighter_than_or_and_not_tightest() {
    let (yes, no) = ("dcp.vbucket == 3", "dcp.vbucket == 4");
    for (filter, expected) in [
        (format!("{yes} || {no} && {no}"), true),
        (format!("({yes} || {no}) && {no}"), false),
        (format!("{no} && {no} || {yes}"), true),
        (format!("! {no} && {yes}"), true),
        (format!("!({no} || {yes})"), false),
        (format!("not not {yes}"), true),
        (format!("{yes} and not {no} or {no}"), true),
        ("dcp.opcode == prepare && dcp.vbucket in {0..3} && dcp.seqno > 100 || frame.conn == 2".to_owned(), true),
    ] {
        assert_eq!(holds(&filter, &mutation(), |_| {}), expected, "{filter}");
    }
}

#[test]
fn a_bare_name_asks_whether_it_is_there_and_a_bare_flag_whether_it_is_true() {
    assert_matches(
        &mutation(),
        &[
            "dcp.key",
            "dcp.by_seqno",
            "dcp.request",
            "!dcp.response",
            "!frame.malformed",
            "dcp.response == false",
            "dcp.nmeta",
        ],
        &["dcp.status", "dcp.response", "dcp.failover_log", "frame.resynchronised", "dcp.orphan", "dcp.orphan_of"],
    );
}

#[test]
fn what_is_absent_compares_to_nothing() {
    assert_matches(
        &mutation(),
        &["!(dcp.status == 0)"],
        &["dcp.status == 0", "dcp.status != 0", "dcp.end_reason < 100"],
    );
}

#[test]
fn opcodes_statuses_and_words_have_names() {
    let response = FrameBuilder::response(Opcode::DCP_PREPARE, Status::KEY_ENOENT).build();
    assert_matches(
        &response,
        &[
            "dcp.opcode == prepare",
            "dcp.opcode == DCP_PREPARE",
            "dcp.opcode == 0x60",
            "dcp.opcode == 96",
            "dcp.opcode == Prepare",
            "dcp.status == key_enoent",
            "dcp.status == KeyEnoent",
            "dcp.status == 0x01",
            "dcp.status == 1",
            "dcp.response",
            "frame.from == producer",
            "frame.from != consumer",
            r#"frame.from == "producer""#,
            "couchbase.status == 1",
            "dcp.status_name == \"KeyEnoent\"",
        ],
        &["dcp.opcode == commit", "dcp.status == success", "frame.from == client", "dcp.request"],
    );
}

#[test]
fn server_requests_have_opcodes_of_their_own() {
    let request = FrameBuilder::server_request(crate::wire::ServerOpcode::AUTHENTICATE).build();
    assert_matches(
        &request,
        &["dcp.server_opcode == authenticate", "couchbase.server.opcode == 0x02", "dcp.server_opcode", "dcp.request"],
        &["dcp.opcode", "dcp.server_opcode == GetAuthorization"],
    );
    assert_matches(&mutation(), &["!dcp.server_opcode"], &[]);
}

#[test]
fn times_and_time_spans_have_units() {
    let response = FrameBuilder::response(Opcode::DCP_NOOP, Status::SUCCESS).build();
    for (filter, expected) in [
        ("frame.time >= 1563000000.5", true),
        ("frame.time > 1563000000.5", false),
        (r#"frame.time == "2019-07-13 06:40:00.5""#, true),
        (r#"frame.time in {"2019-07-13".."2019-07-14"}"#, true),
        ("dcp.response_time == 0.02", true),
        ("dcp.response_time > 5ms", true),
        ("dcp.response_time >= 20000us", true),
        ("dcp.response_time > 20000000ns", false),
        ("dcp.response_time < 1s", true),
        ("dcp.response_to == 6", true),
        ("dcp.response_in", false),
        ("dcp.orphan && dcp.orphan_of == gone", true),
        ("frame.resynchronised && frame.gap_before >= 10", true),
    ] {
        let found = holds(filter, &response, |subject| {
            subject.response_time = Some(Duration::from_millis(20));
            subject.response_to = Some(6);
            subject.orphan = Some(OrphanOf::Gone);
            subject.resynchronised = true;
            subject.gap_before = Some(10);
        });
        assert_eq!(found, expected, "{filter}");
    }
}

#[test]
fn of_a_list_one_value_is_enough_and_none_may_be_the_one_excluded() {
    let log = [5_u64, 70, 4, 0].map(u64::to_be_bytes).concat();
    let response = FrameBuilder::response(Opcode::DCP_STREAM_REQ, Status::SUCCESS).value(log).build();
    assert_matches(
        &response,
        &[
            "dcp.failover_log",
            "dcp.failover_log.seqno == 70",
            "dcp.failover_log.seqno == 0",
            "dcp.failover_log.vb_uuid != 6",
            "couchbase.dcp.failover_log.seqno > 69",
        ],
        &["dcp.failover_log.seqno != 70", "dcp.failover_log.seqno not in {70}", "dcp.failover_log.vb_uuid == 70"],
    );
}

#[test]
fn the_opaque_is_the_bytes_of_the_wire() {
    assert_matches(
        &mutation(),
        &["dcp.opaque == 0x00001210", "couchbase.opaque == 0x1210"],
        &["couchbase.opaque == 0x10120000"],
    );
}

#[test]
fn a_malformed_frame_has_a_header_and_a_reason() {
    let end = FrameBuilder::request(Opcode::DCP_STREAM_END).extras([0]).build();
    assert_matches(
        &end,
        &[
            "frame.malformed",
            r#"frame.malformed_reason contains "extras""#,
            "dcp.opcode == stream_end",
            "frame.len == 25",
        ],
        &["dcp.end_reason", "dcp.seqno"],
    );
}

#[test]
fn the_journals_head_is_enough_for_all_but_keys() {
    let bytes = mutation();
    let frame = Frame::whole(&bytes).unwrap();
    let head = dcp::head(&frame, &COLLECTIONS, 0);
    let subject = Subject::of_head(&head, Timestamp(5));
    for (filter, expected) in [
        ("dcp.opcode == mutation && dcp.vbucket == 3 && dcp.seqno > 100", true),
        ("dcp.by_seqno == 101 && dcp.rev_seqno == 2", true),
        ("dcp.collection_id == 8", true),
        ("dcp.flags & 6 == 6", true),
        ("dcp.key", false),
        ("frame.conn || frame.number", false),
    ] {
        let filter: Filter = filter.parse().unwrap();
        assert_eq!(filter.matches(&subject), expected, "{filter}");
    }
}

#[test]
fn errors_point_at_their_column_and_say_what_was_meant() {
    assert_refused(&[
        ("", 1, "expected a field, ! or (, found the end of the filter"),
        ("dcp.opcod == prepare", 1, "expected a field, found 'dcp.opcod'; did you mean dcp.opcode?"),
        ("tcp.port == 11210", 1, "expected a field, found 'tcp.port'"),
        ("dcp.opcode == prepar", 15, "found 'prepar'; did you mean prepare?"),
        ("dcp.opcode == \"prepar\"", 15, "found \"prepar\"; did you mean prepare?"),
        ("dcp.status == KeyEnoen", 15, "did you mean KeyEnoent?"),
        (
            "frame.from == procuder",
            15,
            "expected producer, consumer, client, server, found 'procuder'; did you mean producer?",
        ),
        ("dcp.vbucket == x", 16, "expected a number, found 'x'"),
        ("dcp.vbucket == \"3\"", 16, "expected a number, found \"3\""),
        ("dcp.vbucket == 18446744073709551616", 16, "expected a number"),
        ("dcp.key == user", 12, "expected text in quotes, found 'user'; did you mean \"user\"?"),
        ("dcp.vbucket ==", 15, "expected a number, found the end of the filter"),
        ("dcp.vbucket = 3", 13, "expected ==, found '='"),
        ("dcp.request | dcp.response", 13, "expected ||, found '|'"),
        ("dcp.vbucket == 3 dcp.seqno", 18, "expected &&, || or the end of the filter, found 'dcp.seqno'"),
        ("(dcp.vbucket == 3", 18, "expected &&, || or ), found the end"),
        ("dcp.vbucket in 3", 16, "expected { and a set of values, found '3'"),
        ("dcp.vbucket in {}", 17, "expected at least one value in the set"),
        ("dcp.vbucket in {1 2", 20, "expected a value or }, found the end"),
        ("dcp.vbucket in {5..2}", 20, "no less than its begin, found '2'"),
        ("frame.from in {client..server}", 22, "a word has no order"),
        ("frame.from > client", 12, "expected == or !=, as a word has no order, found '>'"),
        ("dcp.vbucket contains \"3\"", 13, "expected a comparison of the number dcp.vbucket, found 'contains'"),
        ("dcp.key matches \"(\"", 17, "expected a regular expression, found one that is none"),
        ("dcp.status & 1", 12, "expected a comparison of the status dcp.status, found '&'"),
        ("dcp.key & 3", 9, "expected a comparison of the text dcp.key, found '&'"),
        ("dcp.failover_log == 3", 21, "expected a member of the list"),
        ("dcp.key == \"a", 12, "expected the end of the quoted text"),
        ("dcp.key == \"\\q\"", 12, "expected the end of the quoted text"),
        ("dcp.vbucket == 3 ; 4", 18, "expected a field, an operator or a value, found ';'"),
        ("dcp.key == \"é\" && x", 19, "expected a field, found 'x'"),
        ("dcp.response_time > 5min", 21, "expected a time span"),
        ("frame.time > \"yesterday\"", 14, "expected seconds since the epoch"),
        ("! ", 3, "found the end"),
    ]);
}

#[test]
fn length_and_depth_are_bounded() {
    let nested = |depth: usize| format!("{}dcp.key{}", "(".repeat(depth), ")".repeat(depth));
    assert!(nested(64).parse::<Filter>().is_ok());
    let error = nested(65).parse::<Filter>().unwrap_err();
    assert_eq!((error.column, error.to_string().contains("at most 64 nested")), (65, true), "{error}");
    assert!("!".repeat(10_000).parse::<Filter>().is_err());
    let long = "dcp.key && ".repeat(2_000);
    let error = long.parse::<Filter>().unwrap_err();
    assert!(error.to_string().contains("at most 16384 bytes"), "{error}");
    assert!(format!("dcp.key{}", " && dcp.key".repeat(1_000)).parse::<Filter>().is_ok());
    let regex = format!("dcp.key matches \"{}\"", "(a{100}){100}");
    assert!(regex.parse::<Filter>().is_err());
}

/// A filter of tests about the mutation, and whether it holds for it.
fn filters() -> impl Strategy<Value = (String, bool)> {
    let test = prop_oneof![
        (90_u64..110).prop_map(|n| (format!("dcp.seqno > {n}"), 101 > n)),
        (0_u64..6).prop_map(|n| (format!("dcp.vbucket == {n}"), n == 3)),
        (0_u64..6, 0_u64..6)
            .prop_map(|(a, b)| (format!("dcp.vbucket in {{{a} {b}..5}}"), a == 3 || (b..=5).contains(&3))),
        (0_u64..16).prop_map(|n| (format!("dcp.flags & {n:#x}"), 6 & n != 0)),
        Just((r#"dcp.key contains "::""#.to_owned(), true)),
        Just(("dcp.status".to_owned(), false)),
    ];
    test.prop_recursive(6, 64, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|(text, holds)| (format!("!({text})"), !holds)),
            (inner.clone(), inner.clone()).prop_map(|((a, x), (b, y))| (format!("({a}) && ({b})"), x && y)),
            (inner.clone(), inner.clone()).prop_map(|((a, x), (b, y))| (format!("({a})or({b})"), x || y)),
        ]
    })
}

proptest! {
    #[test]
    fn a_filter_says_what_its_parts_say((text, expected) in filters()) {
        prop_assert_eq!(holds(&text, &mutation(), |_| {}), expected, "{}", text);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[ -~é\\n]{0,80}") {
        if let Err(error) = text.parse::<Filter>() {
            prop_assert!(error.column >= 1 && error.column <= text.chars().count() + 1, "{}", error);
        }
    }

    #[test]
    fn nor_do_words_in_any_order(words in proptest::collection::vec(proptest::sample::select(vec![
        "dcp.opcode", "dcp.vbucket", "dcp.key", "frame.time", "==", "!=", "in", "not", "!", "&", "&&", "||", "{", "}", "(", ")", "..",
        ",", "3", "0x60", "-1", "1.5", "5ms", "prepare", "\"a\"", "contains", "matches", "\"(\"", "~", "=",
    ]), 0..12)) {
        let text = words.join(" ");
        if let Ok(filter) = text.parse::<Filter>() {
            let bytes = mutation();
            let frame = Frame::whole(&bytes).unwrap();
            let message = dcp::decode(&frame, &COLLECTIONS).unwrap();
            let subject =
                Subject { header: Some(frame.header()), frame: Some(&frame), message: Some(&message), ..Subject::default() };
            filter.matches(&subject);
        }
    }
}
