use std::io::Write;

use super::style::Look;
use super::style::Style;
use crate::Timestamp;
use crate::dcp::JsonText;
use crate::dcp::Member;
use crate::dcp::MemberName;
use crate::dcp::MemberSink;
use crate::dcp::put_hex;
use crate::dcp::write_frame_members;
use crate::filter::Subject;
use crate::filter::opcode_name;
use crate::filter::orphan_of;
use crate::filter::put_number;
use crate::filter::put_seconds;
use crate::wire::Datatype;
use crate::wire::Header;
use crate::wire::Status;

/// The longest that one member gets; documents and long lists are cut behind it.
const MAX_MEMBER: usize = 120;
/// Members that say nothing to people.
const LEFT_OUT: [MemberName; 2] = [MemberName::frame_infos, MemberName::status_name];

/// Prints frames for people: one line each, times from the first frame on.
#[derive(Debug)]
pub(super) struct Text {
    style: Style,
    first: Option<Timestamp>,
    /// Reused for each member.
    scratch: Vec<u8>,
}

impl Text {
    pub(super) const fn new(style: Style) -> Self {
        Self { style, first: None, scratch: Vec::new() }
    }

    /// `12  0.004512 c1 producer > DCP_MUTATION vbucket=3 opaque=0x00001210 ...`; a response has its status behind `<`,
    /// and behind its members the number of its request and the time since.
    pub(super) fn line(&mut self, subject: &Subject<'_>, first: Option<u8>, values: bool, to: &mut Vec<u8>) {
        let begin = to.len();
        self.place(subject, to);
        match (subject.header, first) {
            (Some(header), _) => self.header(header, to),
            (None, Some(byte)) => {
                to.extend_from_slice(b" > magic=0x");
                put_hex(&[byte], to);
            }
            (None, None) => to.extend_from_slice(b" >"),
        }
        let mut members = Members { to: &mut *to, scratch: &mut self.scratch, list: None };
        match (subject.frame, subject.message) {
            (Some(frame), Some(message)) => {
                message.write_members(frame, &subject.negotiated, values, &mut members);
            }
            (Some(frame), None) => write_frame_members(frame, &mut members),
            (None, _) => {}
        }
        self.context(subject, to);
        let end = to.get(begin..).unwrap_or_default().trim_ascii_end().len();
        to.truncate(begin + end);
    }

    /// A line of its own for bytes of `who` that are missing.
    pub(super) fn gap(&self, conn: u64, who: &str, bytes: Option<u64>, offset: Option<u64>, to: &mut Vec<u8>) {
        self.style.part(Some(Look::Notable), to, |to| {
            let _ = write!(to, "--- gap: c{conn}: ");
            let _ = match bytes {
                Some(bytes) => write!(to, "{bytes} bytes"),
                None => write!(to, "bytes of unknown number"),
            };
            let _ = write!(to, " of the {who} missing");
            if let Some(offset) = offset {
                let _ = write!(to, " at offset {offset}");
            }
            to.extend_from_slice(b" ---");
        });
    }

    fn place(&mut self, subject: &Subject<'_>, to: &mut Vec<u8>) {
        let style = self.style;
        style.part(Some(Look::Faint), to, |to| {
            let _ = write!(to, "{:>7}", subject.number.unwrap_or_default());
            match subject.time {
                Some(at) => {
                    let first = *self.first.get_or_insert(at);
                    let (sign, since) = if at < first { ("-", first.since(at)) } else { ("", at.since(first)) };
                    self.scratch.clear();
                    let _ = write!(self.scratch, "{sign}{}.{:06}", since.as_secs(), since.subsec_micros());
                    padded(&self.scratch, 11, to);
                }
                None => padded(b"-", 11, to),
            }
        });
        self.scratch.clear();
        let _ = match subject.conn {
            Some(conn) => write!(self.scratch, "c{conn}"),
            None => write!(self.scratch, "-"),
        };
        padded(&self.scratch, 4, to);
        let look = match subject.from {
            Some("producer") => Some(Look::Producer),
            Some("consumer") => Some(Look::Consumer),
            _ => None,
        };
        style.part(look, to, |to| {
            let _ = write!(to, " {:<8}", subject.from.unwrap_or("-"));
        });
    }

    fn header(&self, header: &Header, to: &mut Vec<u8>) {
        let status = header.status();
        to.extend_from_slice(if status.is_some() { b" < " } else { b" > " });
        self.style.part(Some(Look::Strong), to, |to| {
            let _ = match opcode_name(header) {
                Some(name) => write!(to, "{name:<22}"),
                None => write!(to, "0x{:02x}                  ", header.opcode.0),
            };
        });
        if let Some(status) = status {
            let look = (status != Status::SUCCESS).then_some(Look::Notable);
            self.style.part(look, to, |to| {
                let _ = write!(to, " {status}");
            });
        }
        if let Some(vbucket) = header.vbucket() {
            to.extend_from_slice(b" vbucket=");
            put_number(vbucket.into(), to);
        }
        to.extend_from_slice(b" opaque=0x");
        put_hex(&header.opaque.0, to);
        if header.cas != 0 {
            to.extend_from_slice(b" cas=");
            put_number(header.cas, to);
        }
        if header.datatype != Datatype::RAW {
            to.extend_from_slice(b" datatype=");
            to.extend_from_slice(header.datatype.names().join("+").as_bytes());
        }
        for (name, len) in [("key_len", u32::from(header.key_len)), ("value_len", header.value_len())] {
            if len != 0 {
                let _ = write!(to, " {name}={len}");
            }
        }
    }

    /// What is known of the frame beside its bytes.
    fn context(&self, subject: &Subject<'_>, to: &mut Vec<u8>) {
        if let Some(number) = subject.response_to {
            let _ = write!(to, " response_to={number}");
        }
        if let Some(time) = subject.response_time {
            to.extend_from_slice(b" response_time=");
            put_seconds(Timestamp(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)), to);
        }
        if let Some(number) = subject.response_in {
            let _ = write!(to, " response_in={number}");
        }
        let mut mark = |look: Look, text: std::fmt::Arguments<'_>| {
            to.push(b' ');
            self.style.part(Some(look), to, |to| {
                let _ = to.write_fmt(text);
            });
        };
        if let Some(orphan) = subject.orphan {
            mark(Look::Wrong, format_args!("ORPHAN of={}", orphan_of(orphan)));
        }
        if subject.resynchronised {
            mark(Look::Notable, format_args!("RESYNC"));
        }
        if let Some(bytes) = subject.gap_before {
            match bytes {
                0 => mark(Look::Notable, format_args!("gap_before=?")),
                bytes => mark(Look::Notable, format_args!("gap_before={bytes}")),
            }
        }
        if let Some(reason) = subject.malformed {
            let mut text = Vec::new();
            reason.chars().for_each(|c| put_char(c, &mut text));
            mark(Look::Wrong, format_args!("MALFORMED: {}", String::from_utf8_lossy(&text)));
        }
    }
}

/// Flush to the right of a column of `width` and a space before it.
fn padded(text: &[u8], width: usize, to: &mut Vec<u8>) {
    to.push(b' ');
    to.extend(std::iter::repeat_n(b' ', width.saturating_sub(text.len())));
    to.extend_from_slice(text);
}

/// Writes members as ` name=value`.
struct Members<'t> {
    to: &'t mut Vec<u8>,
    scratch: &'t mut Vec<u8>,
    /// The list that is open, which stands in `scratch`: its name, and whether all in it is text.
    list: Option<(MemberName, bool)>,
}

impl Members<'_> {
    fn name(&mut self, member: MemberName) {
        self.to.push(b' ');
        self.to.extend_from_slice(member.as_str().as_bytes());
        self.to.push(b'=');
    }
}

impl MemberSink for Members<'_> {
    fn wants(&self, member: MemberName) -> bool {
        !LEFT_OUT.contains(&member)
    }

    fn member(&mut self, member: MemberName, value: Member<'_>) {
        if self.list.is_some() {
            return JsonText(self.scratch).member(member, value);
        }
        if !self.wants(member) {
            return;
        }
        self.name(member);
        match value {
            Member::Text(text) => put_text(text, self.scratch, self.to),
            Member::Hex([]) => self.to.extend_from_slice(b"\"\""),
            Member::Hex(bytes) => {
                put_hex(bytes.get(..MAX_MEMBER / 2).unwrap_or(bytes), self.to);
                if bytes.len() > MAX_MEMBER / 2 {
                    self.to.extend_from_slice(b"...");
                }
            }
            Member::Json(serde_json::Value::String(text)) => put_text(text, self.scratch, self.to),
            Member::Null | Member::Flag(_) | Member::Number(_) | Member::Signed(_) => JsonText(self.to).value(value),
            Member::Json(_) => {
                self.scratch.clear();
                JsonText(self.scratch).value(value);
                put_cut(&String::from_utf8_lossy(self.scratch), self.to);
            }
        }
    }

    fn open_list(&mut self, member: MemberName) {
        self.scratch.clear();
        self.scratch.push(b'[');
        self.list = Some((member, true));
    }

    fn item(&mut self, value: Member<'_>) {
        if let Some((_, all_text)) = &mut self.list {
            *all_text = *all_text && matches!(value, Member::Text(_));
        }
        JsonText(self.scratch).item(value);
    }

    fn open_object(&mut self) {
        if let Some((_, all_text)) = &mut self.list {
            *all_text = false;
        }
        JsonText(self.scratch).open_object();
    }

    fn close_object(&mut self) {
        JsonText(self.scratch).close_object();
    }

    fn close_list(&mut self) {
        let Some((member, all_text)) = self.list.take().filter(|(member, _)| !LEFT_OUT.contains(member)) else {
            return;
        };
        self.name(member);
        self.scratch.push(b']');
        let json = String::from_utf8_lossy(self.scratch);
        if json == "[]" {
            self.to.push(b'-');
        } else if all_text {
            // A set of names, as the datatype.
            put_cut(&json.trim_matches(['[', ']']).replace("\",\"", "+").replace('"', ""), self.to);
        } else {
            put_cut(&json, self.to);
        }
    }
}

/// Text as people read it: plain words as they are, all else as JSON, so that nothing in it can disturb a terminal.
fn put_text(text: &str, scratch: &mut Vec<u8>, to: &mut Vec<u8>) {
    if !text.is_empty() && text.chars().take(MAX_MEMBER).all(is_plain) {
        return put_cut(text, to);
    }
    // Of what is cut anyway no more than that is looked at.
    let end = text.char_indices().nth(MAX_MEMBER).map_or(text.len(), |(end, _)| end);
    scratch.clear();
    JsonText(scratch).value(text.get(..end).unwrap_or(text).into());
    put_cut(&String::from_utf8_lossy(scratch), to);
}

fn put_cut(text: &str, to: &mut Vec<u8>) {
    let mut chars = text.chars();
    chars.by_ref().take(MAX_MEMBER).for_each(|c| put_char(c, to));
    if chars.next().is_some() {
        to.extend_from_slice(b"...");
    }
}

fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "_-.:/@+*!$%&()[]{}<>|;,~^?#'".contains(c)
}

/// A character, escaped where a terminal would obey it. JSON escapes the control characters of ASCII alone.
fn put_char(c: char, to: &mut Vec<u8>) {
    let obeyed = c.is_control() || ('\u{200b}'..='\u{202f}').contains(&c) || ('\u{2060}'..='\u{206f}').contains(&c);
    let _ = if obeyed { write!(to, "{}", c.escape_unicode()) } else { write!(to, "{c}") };
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
    use crate::wire::Opcode;

    fn line(text: &mut Text, time: u64, bytes: &[u8], place: Subject<'_>) -> String {
        let frame = Frame::whole(bytes).unwrap();
        let message = dcp::decode(&frame, &Negotiated::default());
        let subject = Subject {
            number: Some(1),
            time: Some(Timestamp(time)),
            conn: Some(3),
            from: Some("producer"),
            header: Some(frame.header()),
            frame: Some(&frame),
            message: message.as_ref().ok(),
            malformed: message.as_ref().err().map(|reason| reason.0.as_str()),
            ..place
        };
        let mut to = Vec::new();
        text.line(&subject, None, true, &mut to);
        String::from_utf8(to).unwrap()
    }

    fn mutation(key: &[u8], value: &[u8]) -> bytes::Bytes {
        FrameBuilder::request(Opcode::DCP_MUTATION)
            .vbucket(7)
            .opaque(Opaque([0, 0, 0x12, 0x10]))
            .datatype(Datatype(1))
            .extras([&9_u64.to_be_bytes()[..], &[0; 23]].concat())
            .key(key.to_vec())
            .value(value.to_vec())
            .build()
    }

    #[test]
    fn a_line_is_read_at_a_glance() {
        let mut text = Text::new(Style::new(false));
        let front =
            "      1    0.000000   c3 producer > DCP_MUTATION           vbucket=7 opaque=0x00001210 datatype=json";
        let found = line(&mut text, 1_000_000_000, &mutation(b"a b", b""), Subject::default());
        assert!(found.starts_with(&format!("{front} key_len=3 by_seqno=9 rev_seqno=0")), "{found}");
        assert!(found.contains(" key=\"a b\""), "{found}");
        let answer = FrameBuilder::response(Opcode::DCP_NOOP, Status::SUCCESS).build();
        let place =
            Subject { response_to: Some(1), response_time: Some(Duration::from_nanos(20)), ..Subject::default() };
        assert_eq!(
            line(&mut text, 3_500_001_999, &answer, place),
            "      1    2.500001   c3 producer < DCP_NOOP               Success opaque=0x00000000 response_to=1 \
             response_time=0.000000020"
        );
        let end = FrameBuilder::request(Opcode::DCP_STREAM_END).extras([0]).build();
        let place =
            Subject { orphan: Some(OrphanOf::Gone), resynchronised: true, gap_before: Some(12), ..Subject::default() };
        assert_eq!(
            line(&mut text, 999_000_000, &end, place),
            "      1   -0.001000   c3 producer > DCP_STREAM_END         vbucket=0 opaque=0x00000000 ORPHAN of=gone RESYNC \
             gap_before=12 MALFORMED: expected DCP_STREAM_END to have 4 bytes of extras, found 1"
        );
    }

    #[test]
    fn nothing_in_a_key_disturbs_the_terminal_or_the_line() {
        let key = "\u{1b}[2J\n\u{9b}31m\u{202e}x";
        let line =
            line(&mut Text::new(Style::new(false)), 0, &mutation(key.as_bytes(), &[b'x'; 5000]), Subject::default());
        assert!(line.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{line}");
        assert!(line.len() < 500, "{}", line.len());
    }

    #[test]
    fn colours_hide_nothing() {
        let plain = line(&mut Text::new(Style::new(false)), 0, &mutation(b"k", b"v"), Subject::default());
        let coloured = line(&mut Text::new(Style::new(true)), 0, &mutation(b"k", b"v"), Subject::default());
        assert_ne!(plain, coloured);
        let mut stripped = String::new();
        let mut parts = coloured.split('\u{1b}');
        stripped.push_str(parts.next().unwrap());
        parts.for_each(|part| stripped.push_str(part.split_once('m').unwrap().1));
        assert_eq!(plain, stripped);
    }

    #[test]
    fn a_gap_has_a_line_of_its_own() {
        let mut to = Vec::new();
        let text = Text::new(Style::new(false));
        text.gap(2, "producer", Some(1448), Some(70_000), &mut to);
        to.push(b'\n');
        text.gap(2, "client", None, Some(0), &mut to);
        assert_eq!(
            String::from_utf8(to).unwrap(),
            "--- gap: c2: 1448 bytes of the producer missing at offset 70000 ---\n\
             --- gap: c2: bytes of unknown number of the client missing at offset 0 ---"
        );
    }
}
