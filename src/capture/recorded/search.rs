use crate::wire::HEADER_LEN;
use crate::wire::Header;
use crate::wire::Magic;

/// Bytes that are held while no frame has been found among them; a longer frame is not found, but those behind it are.
const LIMIT: usize = 1024 * 1024;
/// Beginnings of frames that are held as possible.
const MAX_CANDIDATES: usize = 256;
/// The longest key: a collection id of five bytes and a document's key, or a connection's name.
const MAX_KEY: u16 = 256;

/// Looks for frames again after a gap.
///
/// A frame is believed where its header makes sense (a known magic, opcode, datatype and status, lengths that fit) and
/// what follows it is another such header, or the end of what was read so far: those who send mostly end a segment with
/// a frame.
#[derive(Debug, Default)]
pub(super) struct Search {
    held: Vec<u8>,
    /// Up to where beginnings were looked for.
    looked: usize,
    candidates: Vec<usize>,
}

impl Search {
    /// Takes more bytes; gives them back from the first frame on, once one is found.
    pub(super) fn data(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = bytes;
        loop {
            let room = LIMIT.saturating_sub(self.held.len()).min(bytes.len());
            let (now, later) = bytes.split_at_checked(room)?;
            self.held.extend_from_slice(now);
            self.look();
            if let Some(at) = self.confirmed(later.is_empty()) {
                let mut found = self.held.split_off(at);
                found.extend_from_slice(later);
                return Some(found);
            }
            if later.is_empty() {
                return None;
            }
            self.forget(LIMIT / 2);
            bytes = later;
        }
    }

    fn look(&mut self) {
        while let Some(rest) = self.held.get(self.looked..).filter(|rest| rest.len() >= HEADER_LEN) {
            if makes_sense(rest) == Some(true) && self.candidates.len() < MAX_CANDIDATES {
                self.candidates.push(self.looked);
            }
            self.looked = self.looked.saturating_add(1);
        }
    }

    /// The first candidate that is followed by a header, or that ends with the bytes where they end with a segment.
    fn confirmed(&mut self, segment_ends: bool) -> Option<usize> {
        let held = &self.held;
        let followed = |at: usize| {
            let header = held.get(at..).and_then(|rest| Header::parse_slice(rest).ok())?;
            let next = at.checked_add(usize::try_from(header.frame_len()).ok()?)?;
            let rest = held.get(next..)?;
            if rest.is_empty() { segment_ends.then_some(true) } else { makes_sense(rest) }
        };
        let mut found = None;
        self.candidates.retain(|&at| {
            let verdict = followed(at);
            if verdict == Some(true) && found.is_none() {
                found = Some(at);
            }
            verdict != Some(false)
        });
        found
    }

    fn forget(&mut self, len: usize) {
        let len = len.min(self.held.len());
        self.held.drain(..len);
        self.looked = self.looked.saturating_sub(len);
        self.candidates = self.candidates.iter().filter_map(|at| at.checked_sub(len)).collect();
    }
}

/// Whether a header begins here, as far as can be told; `None` where its first bytes make sense and the rest is not here.
fn makes_sense(bytes: &[u8]) -> Option<bool> {
    if bytes.first().is_some_and(|&magic| !Magic(magic).is_known()) {
        return Some(false);
    }
    let header = Header::parse_slice(bytes).ok()?;
    let named = match header.server_opcode() {
        Some(opcode) => opcode.name().is_some(),
        None => header.opcode.name().is_some(),
    };
    let status = header.status().is_none_or(|status| status.name().is_some());
    Some(header.check().is_ok() && named && status && header.datatype.is_defined() && header.key_len <= MAX_KEY)
}
