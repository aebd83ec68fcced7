use std::fmt::Write;

use serde_json::Map;
use serde_json::Value;

use super::fields::Place;
use crate::Timestamp;

/// The longest that one member gets; documents and long lists are cut behind it.
const MAX_MEMBER: usize = 120;
/// Members that have a column of their own, or that say nothing to people.
const LEFT_OUT: [&str; 7] = ["time", "conn", "from", "magic", "frame_infos", "status_name", "malformed"];
/// Members that are left out where nothing is remarkable about them.
const PLAIN: [(&str, &str); 4] = [("cas", "0"), ("datatype", "-"), ("key_len", "0"), ("value_len", "0")];

/// Prints frames for people: one line each, times from the first frame on.
#[derive(Debug, Default)]
pub(super) struct Text {
    first: Option<Timestamp>,
}

impl Text {
    /// `12  0.004512 c1 producer > DCP_MUTATION vbucket=3 opaque=0x00001210 ...`; a response has its status behind `<`.
    pub(super) fn line(&mut self, place: Place, mut members: Map<String, Value>) -> String {
        let mut take = |name: &str| members.shift_remove(name).map(|value| shown(&value)).unwrap_or_default();
        let (number, opcode, status) = (take("frame"), take("opcode"), take("status"));
        let reason = members.shift_remove("malformed_reason");
        let time = place.time.map_or_else(|| "-".to_owned(), |at| self.since_first(at));
        let conn = place.conn.map_or_else(|| "-".to_owned(), |conn| format!("c{conn}"));
        let from = place.from.unwrap_or("-");
        let kind = if status.is_empty() { ">" } else { "<" };
        let mut line = format!("{number:>7} {time:>11} {conn:>4} {from:<8} {kind} {opcode:<22}");
        if !status.is_empty() {
            let _ = write!(line, " {status}");
        }
        for (name, value) in &members {
            let value = shown(value);
            let says_nothing = LEFT_OUT.contains(&name.as_str()) || PLAIN.contains(&(name.as_str(), value.as_str()));
            if !says_nothing {
                let _ = write!(line, " {name}={value}");
            }
        }
        if let Some(Value::String(reason)) = reason {
            let reason: String = reason.chars().flat_map(escaped).collect();
            let _ = write!(line, " MALFORMED: {reason}");
        }
        line.truncate(line.trim_end().len());
        line
    }

    fn since_first(&mut self, at: Timestamp) -> String {
        let first = *self.first.get_or_insert(at);
        let (sign, since) = if at < first { ("-", first.since(at)) } else { ("", at.since(first)) };
        format!("{sign}{}.{:06}", since.as_secs(), since.subsec_micros())
    }
}

/// A value as people read it: plain words as they are, all else as JSON, so that nothing in it can disturb a terminal.
fn shown(value: &Value) -> String {
    let mut text = match value {
        Value::String(text) if !text.is_empty() && text.chars().all(is_plain) => text.clone(),
        // A set, such as the datatype.
        Value::Array(names) if names.iter().all(Value::is_string) => {
            if names.is_empty() {
                "-".to_owned()
            } else {
                names.iter().map(shown).collect::<Vec<_>>().join("+")
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    };
    if let Some((cut, _)) = text.char_indices().nth(MAX_MEMBER) {
        text.truncate(cut);
        text.push_str("...");
    }
    text.chars().flat_map(escaped).collect()
}

fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "_-.:/@+*!$%&()[]{}<>|;,~^?#'".contains(c)
}

/// JSON escapes the control characters of ASCII alone.
fn escaped(c: char) -> impl Iterator<Item = char> {
    let escape = (c.is_control() || ('\u{200b}'..='\u{202f}').contains(&c) || ('\u{2060}'..='\u{206f}').contains(&c))
        .then(|| c.escape_unicode());
    let plain = escape.is_none().then_some(c);
    escape.into_iter().flatten().chain(plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(text: &mut Text, time: u64, members: Value) -> String {
        let place = Place { time: Some(Timestamp(time)), conn: Some(3), from: Some("producer") };
        let Value::Object(members) = members else { panic!("an object") };
        text.line(place, members)
    }

    #[test]
    fn a_line_is_read_at_a_glance() {
        let mut text = Text::default();
        let members = json!({"frame": 1, "time": "1.0", "conn": 3, "from": "producer", "magic": "0x80", "opcode":
            "DCP_MUTATION", "vbucket": 7, "opaque": "0x00001210", "cas": 0, "datatype": ["json", "xattr"], "key_len": 3,
            "value_len": 0, "by_seqno": 9, "key": "a b"});
        assert_eq!(
            line(&mut text, 1_000_000_000, members),
            "      1    0.000000   c3 producer > DCP_MUTATION           vbucket=7 opaque=0x00001210 \
             datatype=json+xattr key_len=3 by_seqno=9 key=\"a b\""
        );
        let members = json!({"frame": 2, "opcode": "DCP_NOOP", "status": "Success", "opaque": "0x1", "cas": 0});
        assert_eq!(
            line(&mut text, 3_500_001_999, members),
            "      2    2.500001   c3 producer < DCP_NOOP               Success opaque=0x1"
        );
        let members =
            json!({"frame": 3, "opcode": "DCP_NOOP", "malformed": true, "malformed_reason": "expected 0 bytes"});
        assert_eq!(
            line(&mut text, 999_000_000, members),
            "      3   -0.001000   c3 producer > DCP_NOOP               MALFORMED: expected 0 bytes"
        );
    }

    #[test]
    fn nothing_in_a_key_disturbs_the_terminal_or_the_line() {
        let key = "\u{1b}[2J\n\u{9b}31m\u{202e}x";
        let members = json!({"frame": 1, "opcode": "SET", "key": key, "value": "x".repeat(5000)});
        let line = line(&mut Text::default(), 0, members);
        assert!(line.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{line}");
        assert!(line.len() < 400, "{}", line.len());
    }
}
