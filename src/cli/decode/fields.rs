use serde_json::Map;
use serde_json::Value;

use crate::Timestamp;
use crate::dcp;
use crate::dcp::Malformed;
use crate::dcp::Message;
use crate::dcp::Negotiated;
use crate::wire::Frame;
use crate::wire::Header;
use crate::wire::Magic;

/// Where a frame was seen; nothing is known of a frame that came as hex.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Place {
    pub(super) time: Option<Timestamp>,
    pub(super) conn: Option<u64>,
    pub(super) from: Option<&'static str>,
}

/// The members of a frame's JSON line, in their order.
pub(super) fn of_frame(
    number: u64,
    place: Place,
    frame: &Frame<'_>,
    message: &Result<Message, Malformed>,
    negotiated: &Negotiated,
    values: bool,
) -> Map<String, Value> {
    let mut line = located(number, place);
    put_header(frame.header(), &mut line);
    match message {
        Ok(message) => put_members(message.members(frame, negotiated, values), &mut line),
        Err(reason) => {
            put_members(dcp::frame_members(frame), &mut line);
            put_malformed(&reason.0, &mut line);
        }
    }
    line
}

/// As [`of_frame`], of bytes that are no frame: as much of a header as they have, and why not.
pub(super) fn of_bytes(number: u64, place: Place, bytes: &[u8], reason: &str) -> Map<String, Value> {
    let mut line = located(number, place);
    match Header::parse_slice(bytes) {
        Ok(header) => put_header(&header, &mut line),
        Err(_) => {
            let magic = bytes.first().map(|&magic| Magic(magic).to_string());
            line.insert("magic".to_owned(), magic.into());
        }
    }
    put_malformed(reason, &mut line);
    line
}

fn located(number: u64, place: Place) -> Map<String, Value> {
    let mut line = Map::new();
    line.insert("frame".to_owned(), number.into());
    line.insert("time".to_owned(), place.time.map(epoch_seconds).into());
    line.insert("conn".to_owned(), place.conn.into());
    line.insert("from".to_owned(), place.from.into());
    line
}

/// Seconds since the epoch, with all nine decimals.
fn epoch_seconds(at: Timestamp) -> String {
    format!("{}.{:09}", at.0 / 1_000_000_000, at.0 % 1_000_000_000)
}

fn put_header(header: &Header, line: &mut Map<String, Value>) {
    let opcode = match header.server_opcode() {
        // The server's own requests are numbered apart; their name is the member `server_opcode`.
        Some(opcode) => format!("0x{:02x}", opcode.0),
        None => header.opcode.to_string(),
    };
    line.insert("magic".to_owned(), header.magic.to_string().into());
    line.insert("opcode".to_owned(), opcode.into());
    if let Some(status) = header.status() {
        line.insert("status".to_owned(), status.to_string().into());
    }
    if let Some(vbucket) = header.vbucket() {
        line.insert("vbucket".to_owned(), vbucket.into());
    }
    line.insert("opaque".to_owned(), header.opaque.to_string().into());
    line.insert("cas".to_owned(), header.cas.into());
    line.insert("datatype".to_owned(), header.datatype.names().into());
    line.insert("key_len".to_owned(), header.key_len.into());
    line.insert("value_len".to_owned(), header.value_len().into());
}

/// What the message says never hides what the header says.
fn put_members(members: Map<String, Value>, line: &mut Map<String, Value>) {
    for (name, value) in members {
        line.entry(name).or_insert(value);
    }
}

fn put_malformed(reason: &str, line: &mut Map<String, Value>) {
    line.insert("malformed".to_owned(), true.into());
    line.insert("malformed_reason".to_owned(), reason.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::FrameBuilder;
    use crate::wire::Opaque;
    use crate::wire::Opcode;
    use crate::wire::Status;

    fn line(bytes: &[u8], place: Place) -> String {
        let frame = Frame::whole(bytes).expect("a frame");
        let message = dcp::decode(&frame, &Negotiated::default());
        Value::from(of_frame(7, place, &frame, &message, &Negotiated::default(), false)).to_string()
    }

    #[test]
    fn the_members_come_in_the_order_of_the_contract() {
        let end = FrameBuilder::request(Opcode::DCP_STREAM_END).vbucket(528).opaque(Opaque([0, 0, 0x12, 0x10]));
        let place = Place { time: Some(Timestamp(1_563_000_000_000_000_012)), conn: Some(2), from: Some("producer") };
        assert_eq!(
            line(&end.extras([0, 0, 0, 2]).build(), place),
            r#"{"frame":7,"time":"1563000000.000000012","conn":2,"from":"producer","magic":"0x80","opcode":"DCP_STREAM_END","vbucket":528,"opaque":"0x00001210","cas":0,"datatype":[],"key_len":0,"value_len":0,"end_reason":2}"#
        );
    }

    #[test]
    fn unknown_names_are_numbers_and_responses_have_a_status() {
        let response = FrameBuilder::response(Opcode(0x7e), Status(0x1234)).cas(u64::MAX).build();
        let line = line(&response, Place::default());
        assert!(
            line.starts_with(
                r#"{"frame":7,"time":null,"conn":null,"from":null,"magic":"0x81","opcode":"0x7e","status":"0x1234","opaque":"0x00000000","cas":18446744073709551615,"datatype":[]"#
            ),
            "{line}"
        );
    }

    #[test]
    fn a_malformed_frame_says_why_behind_what_could_be_read() {
        let end = FrameBuilder::request(Opcode::DCP_STREAM_END).extras([0]).build();
        let line = line(&end, Place::default());
        let (_, tail) = line.split_once(r#""value_len":0,"malformed":true,"malformed_reason":"expected"#).expect(&line);
        assert!(tail.contains("found 1"), "{tail}");
    }

    #[test]
    fn bytes_without_a_header_are_told_as_far_as_they_go() {
        let of = |bytes: &[u8]| Value::from(of_bytes(1, Place::default(), bytes, "why")).to_string();
        let front = r#"{"frame":1,"time":null,"conn":null,"from":null,"#;
        assert_eq!(of(&[]), format!(r#"{front}"magic":null,"malformed":true,"malformed_reason":"why"}}"#));
        assert_eq!(of(&[0x80]), format!(r#"{front}"magic":"0x80","malformed":true,"malformed_reason":"why"}}"#));
        assert!(
            of(&[0x79; 24]).starts_with(&format!(r#"{front}"magic":"0x79","opcode":"0x79","opaque":"0x79797979""#))
        );
    }
}
