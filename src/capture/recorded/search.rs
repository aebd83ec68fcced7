use crate::dcp::is_stream_message;
use crate::journal::Role;
use crate::wire::HEADER_LEN;
use crate::wire::Header;
use crate::wire::Magic;
use crate::wire::Opcode;

/// Bytes that are held while no frame has been found among them; a longer frame is not found, but those behind it are.
const LIMIT: usize = 1024 * 1024;
/// Beginnings of frames that are held as possible.
const MAX_CANDIDATES: usize = 256;
/// The longest key: a collection id of five bytes and a document's key, or a connection's name.
const MAX_KEY: u16 = 256;
/// So many frames in a row are believed wherever they are.
const ENOUGH: u8 = 3;
/// So many are, where a segment ends with the last of them: those who send mostly end a segment with a frame.
const ENOUGH_AT_END: u8 = 2;

/// Looks for frames again after a gap.
///
/// A frame is believed where it is followed by two others; where it is followed by one that a segment ends with; or where it fills
/// a segment from its first byte to its last, as the few frames of a direction that says little do. Each must make sense by its
/// header: a known magic, opcode, datatype and status, lengths that fit each other, and extras as long as the opcode's are
/// (dcp-protocol.md §3). None may be a producer's where another is a consumer's: one end sends them all.
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
        let segment_len = bytes.len();
        let mut bytes = bytes;
        loop {
            let room = LIMIT.saturating_sub(self.held.len()).min(bytes.len());
            let (now, later) = bytes.split_at_checked(room)?;
            let segment_begin = (now.len() == segment_len).then_some(self.held.len());
            self.held.extend_from_slice(now);
            self.look();
            if let Some(at) = self.confirmed(segment_begin, later.is_empty()) {
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

    /// The first candidate that is believed.
    fn confirmed(&mut self, segment_begin: Option<usize>, segment_ends: bool) -> Option<usize> {
        let held = &self.held;
        let mut found = None;
        self.candidates.retain(|&at| {
            let verdict = match row(held.get(at..).unwrap_or_default()) {
                Row::Broken => Some(false),
                Row::Long => Some(true),
                Row::Ends(frames) => {
                    let enough = frames >= ENOUGH_AT_END || segment_begin == Some(at);
                    (segment_ends && enough).then_some(true)
                }
                Row::Open => None,
            };
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

/// The frames in a row that bytes begin with.
enum Row {
    /// One makes no sense, or not beside the others.
    Broken,
    /// Enough of them.
    Long,
    /// So many, then the bytes end.
    Ends(u8),
    /// The bytes end in one of them.
    Open,
}

fn row(bytes: &[u8]) -> Row {
    let (mut rest, mut frames, mut sender) = (bytes, 0_u8, None);
    while frames < ENOUGH {
        if rest.is_empty() {
            return Row::Ends(frames);
        }
        match makes_sense(rest) {
            Some(true) => frames = frames.saturating_add(1),
            Some(false) => return Row::Broken,
            None => return Row::Open,
        }
        let Ok(header) = Header::parse_slice(rest) else { return Row::Open };
        let role = sender_of(&header);
        if role.is_some() && sender.is_some() && role != sender {
            return Row::Broken;
        }
        sender = sender.or(role);
        let next = usize::try_from(header.frame_len()).ok().and_then(|len| rest.get(len..));
        match next {
            Some(next) => rest = next,
            None if frames >= ENOUGH => break,
            None => return Row::Open,
        }
    }
    Row::Long
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
    let lengths = header.check().is_ok() && header.key_len <= MAX_KEY && extras_fit(&header);
    Some(lengths && named && status && header.datatype.is_defined())
}

/// Whether a request of DCP has as many bytes of extras as its opcode has in any version (dcp-protocol.md §3).
fn extras_fit(header: &Header) -> bool {
    let lengths: &[u8] = match header.opcode {
        _ if !header.is_request() => return true,
        Opcode::DCP_MUTATION | Opcode::DCP_PREPARE => &[31],
        Opcode::DCP_DELETION => &[18, 21],
        Opcode::DCP_EXPIRATION => &[18, 20, 21],
        Opcode::DCP_COMMIT | Opcode::DCP_ABORT => &[16],
        Opcode::DCP_SNAPSHOT_MARKER => &[1, 20],
        Opcode::DCP_SYSTEM_EVENT => &[13],
        Opcode::DCP_STREAM_REQ => &[48],
        Opcode::DCP_OPEN | Opcode::DCP_SEQNO_ACK | Opcode::DCP_SEQNO_ADVANCED => &[8],
        Opcode::DCP_STREAM_END | Opcode::DCP_ADD_STREAM | Opcode::DCP_BUFFER_ACK | Opcode::DCP_OSO_SNAPSHOT => &[4],
        Opcode::DCP_SET_VBUCKET_STATE => &[1],
        Opcode::DCP_NOOP | Opcode::DCP_CONTROL | Opcode::DCP_CLOSE_STREAM | Opcode::DCP_GET_FAILOVER_LOG => &[0],
        _ => return true,
    };
    lengths.contains(&header.extras_len)
}

/// Which end sends such a frame, where only one does.
fn sender_of(header: &Header) -> Option<Role> {
    let of_request = match header.opcode {
        opcode if is_stream_message(opcode) => Role::Producer,
        Opcode::DCP_STREAM_REQ | Opcode::DCP_BUFFER_ACK | Opcode::DCP_SEQNO_ACK => Role::Consumer,
        _ => return None,
    };
    match (header.is_request(), header.is_response(), of_request) {
        (true, _, role) => Some(role),
        (_, true, Role::Producer) => Some(Role::Consumer),
        (_, true, Role::Consumer) => Some(Role::Producer),
        _ => None,
    }
}
