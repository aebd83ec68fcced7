use crate::wire::Header;
use crate::wire::Opcode;

/// The frames that a rule looks at, by their header alone: a rule is not shown the others, so a message costs only the
/// rules that it concerns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Concerns {
    requests: [u64; 4],
    responses: [u64; 4],
    /// Requests and responses of the server's own numbering (magics 0x82 and 0x83).
    others: bool,
}

impl Concerns {
    const NOTHING: Self = Self { requests: [0; 4], responses: [0; 4], others: false };
    /// Every frame.
    pub(super) const ALL: Self = Self { requests: [u64::MAX; 4], responses: [u64::MAX; 4], others: true };
    /// Every response.
    pub(super) const RESPONSES: Self = Self { responses: [u64::MAX; 4], ..Self::NOTHING };
    /// Snapshot markers.
    pub(super) const MARKERS: Self = Self::requests(&[Opcode::DCP_SNAPSHOT_MARKER]);
    /// What a document's key comes with.
    pub(super) const DOCUMENTS: Self = Self::requests(&[
        Opcode::DCP_MUTATION,
        Opcode::DCP_DELETION,
        Opcode::DCP_EXPIRATION,
        Opcode::DCP_PREPARE,
        Opcode::DCP_COMMIT,
        Opcode::DCP_ABORT,
    ]);
    /// Whatever has a seqno of its own.
    pub(super) const ITEMS: Self =
        Self::DOCUMENTS.and(Self::requests(&[Opcode::DCP_SYSTEM_EVENT, Opcode::DCP_SEQNO_ADVANCED]));
    /// What a producer sends on a stream: as `dcp::is_stream_message` says.
    pub(super) const STREAM_MESSAGES: Self = Self::ITEMS.and(Self::MARKERS).and(Self::requests(&[
        Opcode::DCP_STREAM_END,
        Opcode::DCP_SET_VBUCKET_STATE,
        Opcode::DCP_OSO_SNAPSHOT,
        Opcode::DCP_CACHE_TRANSFER,
        Opcode::DCP_CACHE_TRANSFER_END,
    ]));

    /// Requests with these opcodes.
    pub(super) const fn requests(opcodes: &[Opcode]) -> Self {
        Self { requests: set(opcodes), ..Self::NOTHING }
    }

    /// Responses with these opcodes.
    pub(super) const fn responses(opcodes: &[Opcode]) -> Self {
        Self { responses: set(opcodes), ..Self::NOTHING }
    }

    /// What either holds.
    pub(super) const fn and(self, other: Self) -> Self {
        let mut both = self;
        let mut word = 0;
        while word < 4 {
            both.requests[word] |= other.requests[word];
            both.responses[word] |= other.responses[word];
            word += 1;
        }
        both.others |= other.others;
        both
    }

    /// Whether a frame with this header is among them.
    pub fn has(&self, header: &Header) -> bool {
        let bit = |set: &[u64; 4]| set[usize::from(header.opcode.0 >> 6)] >> (header.opcode.0 & 63) & 1 == 1;
        if header.is_request() {
            bit(&self.requests)
        } else if header.is_response() {
            bit(&self.responses)
        } else {
            self.others
        }
    }
}

const fn set(opcodes: &[Opcode]) -> [u64; 4] {
    let mut set = [0; 4];
    let mut at = 0;
    while at < opcodes.len() {
        let opcode = opcodes[at].0;
        set[(opcode >> 6) as usize] |= 1 << (opcode & 63);
        at += 1;
    }
    set
}

/// For each kind of frame the rules, by their number, that it is shown to.
#[derive(Debug)]
pub(super) struct Dispatch {
    lists: Vec<Vec<u16>>,
}

impl Dispatch {
    /// Of rules with these concerns, in their order.
    pub(super) fn new(concerns: &[Concerns]) -> Self {
        let of = |kind: usize, opcode: u8| {
            let (word, bit) = (usize::from(opcode >> 6), opcode & 63);
            let holds = move |concern: &Concerns| match kind {
                0 => concern.requests[word] >> bit & 1 == 1,
                1 => concern.responses[word] >> bit & 1 == 1,
                _ => concern.others,
            };
            let numbered = concerns.iter().zip(0..);
            numbered.filter(move |(concern, _)| holds(concern)).map(|(_, number)| number).collect()
        };
        Self { lists: (0..3).flat_map(|kind| (0..=u8::MAX).map(move |opcode| of(kind, opcode))).collect() }
    }

    /// The rules that a frame with this header is shown to.
    pub(super) fn of(&self, header: &Header) -> &[u16] {
        let kind = if header.is_request() {
            0
        } else if header.is_response() {
            1
        } else {
            2
        };
        self.lists.get(kind * 256 + usize::from(header.opcode.0)).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcp;
    use crate::wire::FrameBuilder;
    use crate::wire::Status;

    fn request(opcode: Opcode) -> Header {
        Header::parse_slice(&FrameBuilder::request(opcode).build()).unwrap()
    }

    fn response(opcode: Opcode) -> Header {
        Header::parse_slice(&FrameBuilder::response(opcode, Status::SUCCESS).build()).unwrap()
    }

    #[test]
    fn stream_messages_are_those_of_the_protocol() {
        for opcode in (0..=u8::MAX).map(Opcode) {
            assert_eq!(Concerns::STREAM_MESSAGES.has(&request(opcode)), dcp::is_stream_message(opcode), "{opcode}");
            assert!(!Concerns::STREAM_MESSAGES.has(&response(opcode)), "{opcode}");
            assert!(Concerns::ALL.has(&request(opcode)) && Concerns::ALL.has(&response(opcode)));
            assert!(Concerns::RESPONSES.has(&response(opcode)) && !Concerns::RESPONSES.has(&request(opcode)));
        }
    }

    #[test]
    fn a_frame_is_shown_to_the_rules_that_it_concerns() {
        let concerns = [Concerns::ALL, Concerns::MARKERS, Concerns::responses(&[Opcode::DCP_STREAM_REQ])];
        let dispatch = Dispatch::new(&concerns);
        for opcode in (0..=u8::MAX).map(Opcode) {
            for header in [request(opcode), response(opcode)] {
                let expected: Vec<u16> = (0..3).filter(|&at| concerns[usize::from(at)].has(&header)).collect();
                assert_eq!(dispatch.of(&header), expected, "{opcode}");
            }
        }
    }
}
