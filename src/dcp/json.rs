use super::Member;
use super::MemberName;
use super::MemberSink;

/// Writes members as JSON text behind what is in `0` already: an object without its end, `{` at least. The text is that of
/// serde_json, without a tree being built for it.
#[derive(Debug)]
pub struct JsonText<'a>(pub &'a mut Vec<u8>);

impl JsonText<'_> {
    /// A value alone. Where its variant is known no more than that is left of it.
    #[inline]
    pub fn value(&mut self, value: Member<'_>) {
        match value {
            Member::Null => self.0.extend_from_slice(b"null"),
            Member::Flag(true) => self.0.extend_from_slice(b"true"),
            Member::Flag(false) => self.0.extend_from_slice(b"false"),
            Member::Number(number) => self.number(number),
            Member::Signed(number) => self.0.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
            Member::Text(text) => {
                // Writing text to memory does not fail.
                let _ = serde_json::to_writer(&mut *self.0, text);
            }
            Member::Hex(bytes) => {
                self.0.push(b'"');
                put_hex(bytes, self.0);
                self.0.push(b'"');
            }
            Member::Json(json) => {
                let _ = serde_json::to_writer(&mut *self.0, json);
            }
        }
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    fn comma(&mut self) {
        if !matches!(self.0.last(), None | Some(b'[' | b'{')) {
            self.0.push(b',');
        }
    }

    #[inline]
    fn name(&mut self, member: MemberName) {
        let name = member.as_json().as_bytes();
        let first = self.0.last() == Some(&b'{');
        self.0.extend_from_slice(if first { name.get(1..).unwrap_or_default() } else { name });
    }
}

impl MemberSink for JsonText<'_> {
    #[inline]
    fn member(&mut self, member: MemberName, value: Member<'_>) {
        self.name(member);
        self.value(value);
    }

    fn open_list(&mut self, member: MemberName) {
        self.name(member);
        self.0.push(b'[');
    }

    fn item(&mut self, value: Member<'_>) {
        self.comma();
        self.value(value);
    }

    fn open_object(&mut self) {
        self.comma();
        self.0.push(b'{');
    }

    fn close_object(&mut self) {
        self.0.push(b'}');
    }

    fn close_list(&mut self) {
        self.0.push(b']');
    }
}

/// Bytes as lower-case hex digits.
pub fn put_hex(bytes: &[u8], to: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    to.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]));
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_text_is_that_of_serde_json() {
        let xattrs = json!({"_sync": "{\"a\":1}", "n": null});
        let mut text = b"{".to_vec();
        let mut to = JsonText(&mut text);
        to.member(MemberName::by_seqno, u64::MAX.into());
        to.member(MemberName::epoch, (-3_i64).into());
        to.member(MemberName::key, "a\"\\\u{8}\n\u{1}\u{7f}é\u{1f600}".into());
        to.member(MemberName::history, true.into());
        to.member(MemberName::high_completed_seqno, Member::Null);
        to.member(MemberName::value_hex, Member::Hex(&[0x00, 0xa9, 0xff]));
        to.member(MemberName::xattrs, Member::Json(&xattrs));
        for _ in 0..2 {
            to.open_list(MemberName::features);
            to.item(6_u16.into());
            to.item(7_u16.into());
            to.close_list();
        }
        to.open_list(MemberName::entries);
        to.close_list();
        to.open_list(MemberName::failover_log);
        for seqno in 0..2_u64 {
            to.open_object();
            to.member(MemberName::vb_uuid, 5_u64.into());
            to.member(MemberName::seqno, seqno.into());
            to.close_object();
        }
        to.close_list();
        text.push(b'}');
        let text = String::from_utf8(text).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        let twice = r#""features":[6,7],"features":[6,7]"#;
        assert_eq!(text.replace(twice, r#""features":[6,7]"#), read.to_string());
        assert!(text.contains(r#""key":"a\"\\\b\n\u0001"#), "{text}");
        assert!(text.contains(r#""value_hex":"00a9ff""#), "{text}");
    }
}
