//! A frame's JSON line (design.md §4), written straight into bytes.

use super::Subject;
use super::orphan_of;
use crate::Timestamp;
use crate::dcp::JsonText;
use crate::dcp::MemberName;
use crate::dcp::MemberSink;
use crate::dcp::Message;
use crate::dcp::put_hex;
use crate::dcp::write_frame_members;
use crate::wire::Datatype;
use crate::wire::Header;
use crate::wire::Opcode;

/// Writes the line of a frame, without its end of line. `first` is the first byte of what has no header. Where the frame's
/// bytes are not here, as in a journal, what only they tell is left out.
pub fn json_line(subject: &Subject<'_>, first: Option<u8>, values: bool, to: &mut Vec<u8>) {
    to.extend_from_slice(b"{\"frame\":");
    number_or_null(subject.number, to);
    to.extend_from_slice(b",\"time\":");
    match subject.time {
        Some(at) => {
            to.push(b'"');
            put_seconds(at, to);
            to.push(b'"');
        }
        None => to.extend_from_slice(b"null"),
    }
    to.extend_from_slice(b",\"conn\":");
    number_or_null(subject.conn, to);
    to.extend_from_slice(b",\"from\":");
    match subject.from {
        Some(from) => word(from.as_bytes(), to),
        None => to.extend_from_slice(b"null"),
    }
    to.extend_from_slice(b",\"magic\":");
    match subject.header {
        Some(header) => {
            hex(&[header.magic.0], to);
            put_header(header, to);
        }
        None => match first {
            Some(byte) => hex(&[byte], to),
            None => to.extend_from_slice(b"null"),
        },
    }
    match (subject.frame, subject.message) {
        (Some(frame), Some(message)) => {
            message.write_members(frame, &subject.negotiated, values, &mut JsonText(to));
        }
        (Some(frame), None) => write_frame_members(frame, &mut JsonText(to)),
        (None, message) => put_own(subject, message, to),
    }
    if let Some(reason) = subject.malformed {
        to.extend_from_slice(b",\"malformed\":true,\"malformed_reason\":");
        JsonText(to).value(reason.into());
    }
    put_place(subject, to);
    to.push(b'}');
}

/// What is known of a frame without its bytes.
fn put_own(subject: &Subject<'_>, message: Option<&Message>, to: &mut Vec<u8>) {
    let ids =
        [(MemberName::stream_id, subject.stream_id.map(u32::from)), (MemberName::collection_id, subject.collection_id)];
    for (member, id) in ids {
        if let Some(id) = id {
            JsonText(to).member(member, id.into());
        }
    }
    if let Some(message) = message {
        message.write_own_members(&mut JsonText(to));
    }
}

fn put_header(header: &Header, to: &mut Vec<u8>) {
    to.extend_from_slice(b",\"opcode\":");
    // The server's own requests are numbered apart; their name is the member `server_opcode`.
    match opcode_name(header) {
        Some(name) => word(name.as_bytes(), to),
        None => hex(&[header.opcode.0], to),
    }
    if let Some(status) = header.status() {
        to.extend_from_slice(b",\"status\":");
        match status.name() {
            Some(name) => word(name.as_bytes(), to),
            None => word(status.to_string().as_bytes(), to),
        }
    }
    if let Some(vbucket) = header.vbucket() {
        to.extend_from_slice(b",\"vbucket\":");
        put_number(vbucket.into(), to);
    }
    to.extend_from_slice(b",\"opaque\":");
    hex(&header.opaque.0, to);
    to.extend_from_slice(b",\"cas\":");
    put_number(header.cas, to);
    to.extend_from_slice(b",\"datatype\":");
    match header.datatype {
        Datatype::RAW => to.extend_from_slice(b"[]"),
        Datatype::JSON => to.extend_from_slice(b"[\"json\"]"),
        datatype => {
            let mut separator = b'[';
            for name in datatype.names() {
                to.push(separator);
                word(name.as_bytes(), to);
                separator = b',';
            }
            to.push(b']');
        }
    }
    to.extend_from_slice(b",\"key_len\":");
    put_number(header.key_len.into(), to);
    to.extend_from_slice(b",\"value_len\":");
    put_number(header.value_len().into(), to);
}

/// What is known of the frame beside its bytes, where it applies.
fn put_place(subject: &Subject<'_>, to: &mut Vec<u8>) {
    if let Some(number) = subject.response_to {
        to.extend_from_slice(b",\"response_to\":");
        put_number(number, to);
    }
    if let Some(time) = subject.response_time {
        to.extend_from_slice(b",\"response_time\":\"");
        put_seconds(Timestamp(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)), to);
        to.push(b'"');
    }
    if let Some(number) = subject.response_in {
        to.extend_from_slice(b",\"response_in\":");
        put_number(number, to);
    }
    if let Some(orphan) = subject.orphan {
        to.extend_from_slice(b",\"orphan\":true,\"orphan_of\":");
        word(orphan_of(orphan).as_bytes(), to);
    }
    if subject.resynchronised {
        to.extend_from_slice(b",\"resynchronised\":true");
    }
    if let Some(bytes) = subject.gap_before {
        to.extend_from_slice(b",\"gap_before\":");
        number_or_null(Some(bytes).filter(|bytes| *bytes > 0), to);
    }
}

/// The name of an ordinary opcode that has one.
pub fn opcode_name(header: &Header) -> Option<&'static str> {
    match header.server_opcode() {
        Some(_) => None,
        None => Opcode::name(header.opcode),
    }
}

/// Seconds since the epoch, with all nine decimals.
pub fn put_seconds(at: Timestamp, to: &mut Vec<u8>) {
    put_number(at.0 / 1_000_000_000, to);
    to.push(b'.');
    let mut nanos = [b'0'; 9];
    let mut rest = at.0 % 1_000_000_000;
    for digit in nanos.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    to.extend_from_slice(&nanos);
}

/// A number in decimal digits.
pub fn put_number(number: u64, to: &mut Vec<u8>) {
    JsonText(to).value(number.into());
}

fn number_or_null(number: Option<u64>, to: &mut Vec<u8>) {
    JsonText(to).value(number.into());
}

/// A word that needs no escapes.
fn word(word: &[u8], to: &mut Vec<u8>) {
    to.push(b'"');
    to.extend_from_slice(word);
    to.push(b'"');
}

fn hex(bytes: &[u8], to: &mut Vec<u8>) {
    to.extend_from_slice(b"\"0x");
    put_hex(bytes, to);
    to.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dcp;
    use crate::dcp::Negotiated;
    use crate::session::OrphanOf;
    use crate::wire::Frame;
    use crate::wire::FrameBuilder;
    use crate::wire::Opaque;
    use crate::wire::Status;

    fn text(subject: &Subject<'_>, first: Option<u8>) -> String {
        let mut to = Vec::new();
        json_line(subject, first, false, &mut to);
        let text = String::from_utf8(to).unwrap();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read.to_string(), text, "as serde_json writes it, no member twice");
        text
    }

    fn line_of(bytes: &[u8], place: Subject<'_>) -> String {
        let frame = Frame::whole(bytes).expect("a frame");
        let message = dcp::decode(&frame, &Negotiated::default());
        text(
            &Subject {
                number: Some(7),
                header: Some(frame.header()),
                frame: Some(&frame),
                message: message.as_ref().ok(),
                malformed: message.as_ref().err().map(|reason| reason.0.as_str()),
                ..place
            },
            None,
        )
    }

    #[test]
    fn the_members_come_in_the_order_of_the_contract() {
        let end = FrameBuilder::request(Opcode::DCP_STREAM_END).vbucket(528).opaque(Opaque([0, 0, 0x12, 0x10]));
        let place = Subject {
            time: Some(Timestamp(1_563_000_000_000_000_012)),
            conn: Some(2),
            from: Some("producer"),
            ..Subject::default()
        };
        assert_eq!(
            line_of(&end.extras([0, 0, 0, 2]).build(), place),
            r#"{"frame":7,"time":"1563000000.000000012","conn":2,"from":"producer","magic":"0x80","opcode":"DCP_STREAM_END","vbucket":528,"opaque":"0x00001210","cas":0,"datatype":[],"key_len":0,"value_len":0,"end_reason":2}"#
        );
    }

    #[test]
    fn unknown_names_are_numbers_and_responses_have_a_status() {
        let response = FrameBuilder::response(Opcode(0x7e), Status(0x1234)).cas(u64::MAX).build();
        let line = line_of(&response, Subject::default());
        assert!(
            line.starts_with(
                r#"{"frame":7,"time":null,"conn":null,"from":null,"magic":"0x81","opcode":"0x7e","status":"0x1234","opaque":"0x00000000","cas":18446744073709551615,"datatype":[]"#
            ),
            "{line}"
        );
    }

    #[test]
    fn what_is_known_of_its_place_comes_last() {
        let response = FrameBuilder::response(Opcode::DCP_NOOP, Status::EINVAL).datatype(Datatype(0x87)).build();
        let place = Subject {
            response_to: Some(3),
            response_time: Some(Duration::from_nanos(1_000_000_020)),
            orphan: Some(OrphanOf::Gone),
            resynchronised: true,
            gap_before: Some(0),
            ..Subject::default()
        };
        let line = line_of(&response, place);
        assert!(
            line.ends_with(
                r#""response_to":3,"response_time":"1.000000020","orphan":true,"orphan_of":"gone","resynchronised":true,"gap_before":null}"#
            ),
            "{line}"
        );
        assert!(line.contains(r#""datatype":["json","snappy","xattr","0x80"]"#), "{line}");
    }

    #[test]
    fn a_malformed_frame_says_why_behind_what_could_be_read() {
        let end = FrameBuilder::request(Opcode::DCP_STREAM_END).extras([0]).build();
        let line = line_of(&end, Subject::default());
        let (_, tail) = line.split_once(r#""value_len":0,"malformed":true,"malformed_reason":"expected"#).expect(&line);
        assert!(tail.contains("found 1"), "{tail}");
    }

    #[test]
    fn bytes_without_a_header_are_told_as_far_as_they_go() {
        let of = |bytes: &[u8]| {
            let header = Header::parse_slice(bytes).ok();
            let subject =
                Subject { number: Some(1), header: header.as_ref(), malformed: Some("why"), ..Subject::default() };
            text(&subject, bytes.first().copied())
        };
        let front = r#"{"frame":1,"time":null,"conn":null,"from":null,"#;
        assert_eq!(of(&[]), format!(r#"{front}"magic":null,"malformed":true,"malformed_reason":"why"}}"#));
        assert_eq!(of(&[0x80]), format!(r#"{front}"magic":"0x80","malformed":true,"malformed_reason":"why"}}"#));
        assert!(
            of(&[0x79; 24]).starts_with(&format!(r#"{front}"magic":"0x79","opcode":"0x79","opaque":"0x79797979""#))
        );
    }
}
