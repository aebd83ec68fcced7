//! What is blanked in a recording: credentials always, keys and documents where it is asked for. Lengths stay.

use bytes::Bytes;

use super::Part;
use super::Run;
use super::file::is_whole;
use super::record::frames;
use crate::dcp;
use crate::wire::Datatype;
use crate::wire::Frame;
use crate::wire::HEADER_LEN;
use crate::wire::Opcode;
use crate::wire::leb128;

/// What is blanked besides credentials.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Redaction {
    /// Document keys become other text of the same length; equal keys become equal text. Their collection ids stay.
    pub keys: bool,
    /// Documents become filler of the same length that their datatype still fits.
    pub values: bool,
    /// Seeds the text of keys. Whoever knows it can try out keys.
    pub secret: u64,
}

/// The request by which a server asks for a login to be checked.
const SERVER_AUTHENTICATE: u8 = 0x02;
/// Bytes of a cached item before its key (dcp-protocol.md §4.11).
const CACHED: usize = 40;
const FILLER: u8 = b'x';

impl std::str::FromStr for Redaction {
    type Err = String;

    /// Reads a list: `keys`, `values` or `keys,values`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut redaction = Self::default();
        for name in text.split(',').map(str::trim) {
            match name {
                "keys" => redaction.keys = true,
                "values" => redaction.values = true,
                _ => return Err(format!("expected keys, values or both, found '{text}'")),
            }
        }
        Ok(redaction)
    }
}

impl Redaction {
    /// What a recording holds all the same.
    pub const fn holds(&self) -> &'static str {
        match (self.keys, self.values) {
            (false, false) => "the keys and documents that cross",
            (true, false) => "the documents that cross; keys are blanked",
            (false, true) => "the keys that cross; documents are blanked",
            (true, true) => "neither keys nor documents: they are blanked",
        }
    }

    /// The bytes as they are to be written.
    pub(super) fn mask(&self, bytes: &Bytes, part: Option<&Part>) -> Bytes {
        let blanks = self.keys || self.values;
        let Some(part) = part else {
            // Nobody knows what is in no frame.
            return if blanks { vec![0; bytes.len()].into() } else { bytes.clone() };
        };
        let is_covered = is_login(part) || (blanks && holds_document(part, bytes));
        if !is_covered {
            return bytes.clone();
        }
        let mut copy = bytes.to_vec();
        self.cover(&mut copy, part);
        copy.into()
    }

    /// Frames side by side as they are to be written.
    pub(super) fn mask_run(&self, bytes: &Bytes, run: &Run) -> Bytes {
        if !(self.keys || self.values) {
            return bytes.clone();
        }
        let mut copy = bytes.to_vec();
        let mut rest = copy.as_mut_slice();
        for (header, frame) in frames(bytes) {
            let Some((place, behind)) = std::mem::take(&mut rest).split_at_mut_checked(frame.len()) else { break };
            let part = Part { header, start: 0, collections: run.collections };
            if holds_document(&part, frame) {
                self.cover(place, &part);
            }
            rest = behind;
        }
        // Nobody knows what is in no frame.
        rest.fill(0);
        copy.into()
    }

    /// Blanks what of a frame is to be blanked: of a login, or where documents are.
    fn cover(&self, bytes: &mut [u8], part: &Part) {
        let header = &part.header;
        if is_login(part) {
            return beyond(bytes, part, header.head_len()).fill(0);
        }
        if header.opcode == Opcode::DCP_CACHE_TRANSFER && header.magic.is_request() {
            return self.cached(bytes, part);
        }
        if self.keys {
            self.key(bytes, part);
        }
        if self.values && is_whole(part, bytes) {
            let well_formed = Frame::new(bytes).is_ok_and(|frame| dcp::value::check_value(&frame).is_ok());
            blank(beyond(bytes, part, header.head_len()), header.datatype, well_formed);
        } else if self.values {
            fill(bytes, part);
        }
    }

    /// Blanks the key of a frame whose front these bytes are.
    fn key(&self, bytes: &mut [u8], part: &Part) {
        let (from, to) = (part.header.head_len().saturating_sub(part.header.key_len.into()), part.header.head_len());
        if part.start != 0 {
            return;
        }
        let is_whole = bytes.len() >= to;
        let end = to.min(bytes.len());
        let Some(key) = bytes.get_mut(from.min(end)..end) else { return };
        if is_whole { self.text(key, part.collections) } else { key.fill(FILLER) }
    }

    /// Other text in the place of a key, behind its collection id.
    fn text(&self, key: &mut [u8], collections: bool) {
        const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let id = if collections {
            leb128::split(key).map_or(0, |(_, rest)| key.len().saturating_sub(rest.len()))
        } else {
            0
        };
        let Some(logical) = key.get_mut(id..) else { return };
        let hasher = siphasher::sip::SipHasher13::new_with_keys(self.secret, !self.secret);
        let mut state = hasher.hash(logical);
        for byte in logical {
            // splitmix64: each byte by a number of its own.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut number = state;
            number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let letter = usize::try_from((number ^ (number >> 31)) % 36).unwrap_or_default();
            *byte = LETTERS.get(letter).copied().unwrap_or(FILLER);
        }
    }

    /// Blanks the keys and documents of a cache transfer.
    fn cached(&self, bytes: &mut [u8], part: &Part) {
        let whole = is_whole(part, bytes);
        let mut rest = beyond(bytes, part, part.header.head_len());
        while whole && let Some((head, behind)) = std::mem::take(&mut rest).split_first_chunk_mut::<CACHED>() {
            let &mut [.., v0, v1, v2, v3, _, _, _, _, _, _, _, _, k0, k1, datatype, _] = head;
            let key_len = usize::from(u16::from_be_bytes([k0, k1]));
            let value_len = usize::try_from(u32::from_be_bytes([v0, v1, v2, v3])).unwrap_or(usize::MAX);
            let Some((key, behind)) = behind.split_at_mut_checked(key_len) else { return };
            let Some((value, behind)) = behind.split_at_mut_checked(value_len) else { return };
            if self.keys {
                self.text(key, part.collections);
            }
            if self.values {
                blank(value, Datatype(datatype), true);
            }
            rest = behind;
        }
        rest.fill(0);
    }
}

/// Those bytes of a part that are at or behind a place in their frame.
fn beyond<'a>(bytes: &'a mut [u8], part: &Part, place: usize) -> &'a mut [u8] {
    let skipped = (place as u64).saturating_sub(part.start);
    let skipped = usize::try_from(skipped).unwrap_or(usize::MAX).min(bytes.len());
    bytes.get_mut(skipped..).unwrap_or_default()
}

/// Whether the value of a frame has to do with a login.
pub(super) fn is_login(part: &Part) -> bool {
    let (magic, opcode) = (part.header.magic, part.header.opcode);
    if magic.is_server() {
        return opcode.0 == SERVER_AUTHENTICATE;
    }
    matches!(opcode, Opcode::SASL_AUTH | Opcode::SASL_STEP)
}

/// Whether a frame may hold the key or the bytes of a document. What is not known to hold none may.
fn holds_document(part: &Part, bytes: &[u8]) -> bool {
    let header = &part.header;
    if header.magic.is_server() {
        return false;
    }
    if header.opcode.is_dcp() {
        return header.magic.is_request()
            && (dcp::carries_key(header.opcode) || header.opcode == Opcode::DCP_CACHE_TRANSFER);
    }
    match header.opcode {
        // `STAT key NAME VBUCKET` asks for one document.
        Opcode::STAT => {
            let key = bytes.get(HEADER_LEN..).unwrap_or_default();
            key.starts_with(b"key ") || key.starts_with(b"vkey ")
        }
        opcode => !WITHOUT_DOCUMENTS.contains(&opcode),
    }
}

const WITHOUT_DOCUMENTS: [Opcode; 16] = [
    Opcode::NOOP,
    Opcode::VERSION,
    Opcode::HELLO,
    Opcode::SASL_LIST_MECHS,
    Opcode::SASL_AUTH,
    Opcode::SASL_STEP,
    Opcode::SELECT_BUCKET,
    Opcode::GET_ALL_VB_SEQNOS,
    Opcode::GET_CLUSTER_CONFIG,
    Opcode::GET_ERROR_MAP,
    Opcode(0x3d), // SET_VBUCKET
    Opcode(0x3e), // GET_VBUCKET
    Opcode(0x3f), // DEL_VBUCKET
    Opcode(0x96), // GET_FAILOVER_LOG
    Opcode(0xb9), // COLLECTIONS_SET_MANIFEST
    Opcode(0xba), // COLLECTIONS_GET_MANIFEST
];

/// Filler for a whole value, such that what its datatype says of it stays as true as it was.
fn blank(value: &mut [u8], datatype: Datatype, well_formed: bool) {
    let len = value.len();
    if datatype.contains(Datatype::SNAPPY) {
        let front = if well_formed { snappy_front(len) } else { Vec::new() };
        let content = len.saturating_sub(front.len());
        let xattr = if datatype.contains(Datatype::XATTR) { 4.min(content) } else { 0 };
        let mut place = 0;
        for byte in value {
            *byte = match front.get(place) {
                Some(&byte) => byte,
                None if front.is_empty() => 0xff,
                None => {
                    let at = place.saturating_sub(front.len());
                    if at < xattr {
                        0
                    } else {
                        filler(at.saturating_sub(xattr), content.saturating_sub(xattr), datatype)
                    }
                }
            };
            place = place.saturating_add(1);
        }
        return;
    }
    let body = if datatype.contains(Datatype::XATTR) { xattrs(value) } else { value };
    let len = body.len();
    for (at, byte) in body.iter_mut().enumerate() {
        *byte = filler(at, len, datatype);
    }
}

/// Blanks the pairs of an xattr section, and gives what is behind it. Lengths and zeros stay.
fn xattrs(value: &mut [u8]) -> &mut [u8] {
    let Some((len, rest)) = value.split_first_chunk_mut::<4>() else { return &mut [] };
    let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX).min(rest.len());
    let (mut pairs, body) = rest.split_at_mut(len);
    while let Some((len, rest)) = std::mem::take(&mut pairs).split_first_chunk_mut::<4>() {
        let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX).min(rest.len());
        let (pair, behind) = rest.split_at_mut(len);
        pair.iter_mut().filter(|byte| **byte != 0).for_each(|byte| *byte = FILLER);
        pairs = behind;
    }
    body
}

/// What a raw Snappy block of `len` bytes begins with, the rest of which stands for itself: the inflated length, and the
/// tag of one run. Nothing where there is no such block.
fn snappy_front(len: usize) -> Vec<u8> {
    // A number and a tag take more bytes as they grow: a length that falls between has a number with a zero too many.
    for (front, padded) in (1..=10).flat_map(|front| [(front, false), (front, true)]) {
        let Some(content) = len.checked_sub(front) else { break };
        let mut bytes = Vec::new();
        leb128::write(u32::try_from(content).unwrap_or(u32::MAX), &mut bytes);
        if padded && let Some(last) = bytes.last_mut() {
            *last |= 0x80;
            bytes.push(0);
        }
        literal(content, &mut bytes);
        if bytes.len() == front {
            return bytes;
        }
    }
    Vec::new()
}

fn literal(len: usize, to: &mut Vec<u8>) {
    let Some(less) = len.checked_sub(1).and_then(|less| u32::try_from(less).ok()) else { return };
    let [a, b, c, d] = less.to_le_bytes();
    match less {
        0..60 => to.push(a << 2),
        60..0x100 => to.extend([60 << 2, a]),
        0x100..0x1_0000 => to.extend([61 << 2, a, b]),
        0x1_0000..0x100_0000 => to.extend([62 << 2, a, b, c]),
        _ => to.extend([63 << 2, a, b, c, d]),
    }
}

/// One byte of filler: of text, or of a JSON document of `len` bytes.
const fn filler(at: usize, len: usize, datatype: Datatype) -> u8 {
    match (datatype.contains(Datatype::JSON), at) {
        (true, 0) if len == 1 => b'0',
        (true, 0) => b'"',
        (true, at) if at.saturating_add(1) == len => b'"',
        (true | false, _) => FILLER,
    }
}

/// Filler for a part of a value that is too long to be looked at whole.
fn fill(bytes: &mut [u8], part: &Part) {
    let head = part.header.head_len() as u64;
    let len = usize::try_from(part.header.value_len()).unwrap_or(usize::MAX);
    let datatype = part.header.datatype;
    let front = if datatype.contains(Datatype::SNAPPY) { snappy_front(len) } else { Vec::new() };
    let xattr = if datatype.contains(Datatype::XATTR) { 4 } else { 0_usize };
    let content = len.saturating_sub(front.len()).saturating_sub(xattr);
    let mut place = usize::try_from(part.start.saturating_sub(head)).unwrap_or(usize::MAX);
    for byte in beyond(bytes, part, part.header.head_len()) {
        *byte = match place.checked_sub(front.len()) {
            None => front.get(place).copied().unwrap_or_default(),
            Some(at) if at < xattr => 0,
            Some(at) => filler(at.saturating_sub(xattr), content, datatype),
        };
        place = place.saturating_add(1);
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_blanked_is_a_list() {
        let of = |keys, values| Ok(Redaction { keys, values, secret: 0 });
        assert_eq!("keys".parse(), of(true, false));
        assert_eq!("values, keys".parse(), of(true, true));
        for text in ["", "keys,", "documents"] {
            assert_eq!(text.parse::<Redaction>(), Err(format!("expected keys, values or both, found '{text}'")));
        }
    }

    fn inflated(len: usize) -> Option<Vec<u8>> {
        let mut value = vec![1; len];
        blank(&mut value, Datatype::SNAPPY | Datatype::JSON, true);
        dcp::value::inflate(&value, 1 << 24).ok()
    }

    #[test]
    fn a_blank_snappy_block_of_any_length_inflates() {
        let lengths = (1..1_000).chain(16_300..16_500).chain(65_500..65_600);
        let without: Vec<usize> = lengths.filter(|&len| inflated(len).is_none()).collect();
        assert!(without.is_empty(), "{without:?}");
        let text = inflated(200).unwrap();
        assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok());
    }

    #[test]
    fn equal_keys_stay_equal_and_others_do_not() {
        let redaction = Redaction { keys: true, values: false, secret: 5 };
        let text = |key: &[u8], collections| {
            let mut key = key.to_vec();
            redaction.text(&mut key, collections);
            key
        };
        assert_eq!(text(b"some-key-1", false), text(b"some-key-1", false));
        assert_ne!(text(b"some-key-1", false), text(b"some-key-2", false));
        let plain = text(b"some-key-1", false);
        assert_eq!(plain.len(), 10);
        assert_eq!(text(b"\xd5\x0asome-key-1", true), [&b"\xd5\x0a"[..], &plain].concat(), "in another collection");
        let other = Redaction { secret: 6, ..redaction };
        let mut key = *b"some-key-1";
        other.text(&mut key, false);
        assert_ne!(key.to_vec(), plain);
    }

    #[test]
    fn a_blank_section_of_xattrs_keeps_its_structure() {
        let mut value = b"\0\0\0\x1d\0\0\0\x0e_sync\0{\"x\":1}\0\0\0\0\x07user\0y\0{\"a\":1}".to_vec();
        blank(&mut value, Datatype::XATTR | Datatype::JSON, true);
        assert_eq!(value, b"\0\0\0\x1d\0\0\0\x0exxxxx\0xxxxxxx\0\0\0\0\x07xxxx\0x\0\"xxxxx\"");
    }
}
