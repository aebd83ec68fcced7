//! `-T fields`: the values of the fields that were asked for, with tabs between.

use std::io::Write;

use crate::Timestamp;
use crate::dcp::put_hex;
use crate::filter::Field;
use crate::filter::Kind;
use crate::filter::Subject;
use crate::filter::Value;
use crate::filter::put_seconds;
use crate::wire::Datatype;
use crate::wire::Opcode;
use crate::wire::ServerOpcode;
use crate::wire::Status;

/// Writes the line of a frame, without its end of line: a column for each field, empty where it is absent, commas between
/// several values. Names and numbers are as in the JSON line; a control character or a backslash in text is escaped.
pub(super) fn line(fields: &[Field], subject: &Subject<'_>, to: &mut Vec<u8>) {
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            to.push(b'\t');
        }
        let begin = to.len();
        subject.each(*field, &mut |value| {
            if to.len() > begin {
                to.push(b',');
            }
            put(field.kind(), value, to);
        });
    }
}

fn put(kind: Kind, value: Value<'_>, to: &mut Vec<u8>) {
    let number = match value {
        Value::Number(number) => number,
        Value::Text(text) => return put_text(text, to),
    };
    let unsigned = u64::try_from(number).unwrap_or_default();
    // Writing to memory does not fail.
    let _ = match kind {
        Kind::Opcode => write!(to, "{}", Opcode(unsigned as u8)),
        Kind::ServerOpcode => write!(to, "{}", ServerOpcode(unsigned as u8)),
        Kind::Status => write!(to, "{}", Status(unsigned as u16)),
        Kind::Datatype if unsigned == 0 => write!(to, "raw"),
        Kind::Datatype => write!(to, "{}", Datatype(unsigned as u8).names().join(",")),
        Kind::Hex(digits) => write!(to, "0x{unsigned:0digits$x}"),
        Kind::Flag => write!(to, "{}", number != 0),
        Kind::Micros => write!(to, "{}.{:03}", unsigned / 1_000, unsigned % 1_000),
        Kind::Time | Kind::Duration => {
            put_seconds(Timestamp(unsigned), to);
            Ok(())
        }
        Kind::Number | Kind::NumberOrText | Kind::Text | Kind::Word(_) | Kind::Objects => {
            write!(to, "{number}")
        }
    };
}

fn put_text(text: &str, to: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\t' => to.extend_from_slice(b"\\t"),
            b'\n' => to.extend_from_slice(b"\\n"),
            b'\r' => to.extend_from_slice(b"\\r"),
            b'\\' => to.extend_from_slice(b"\\\\"),
            byte if byte.is_ascii_control() => {
                to.extend_from_slice(b"\\x");
                put_hex(&[byte], to);
            }
            byte => to.push(byte),
        }
    }
}
