use std::collections::BTreeMap;
use std::time::Duration;

use crate::capture::Happened;
use crate::dcp::FrameHead;
use crate::wire::Opcode;
use crate::wire::Status;

/// Requests of one connection that are remembered at once; a session remembers no more of them either.
const MAX_REQUESTS: usize = 16_384;

/// Which frame a response answers: numbers the requests that await an answer.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// By connection and the request's number in its session: the number of the frame.
    requests: BTreeMap<u64, BTreeMap<u64, u64>>,
    answers: Answers,
}

/// Which frame answers a request: learnt in a first pass, told in a second.
#[derive(Debug, Default)]
pub(super) enum Answers {
    /// There is one pass, and a request cannot know.
    #[default]
    Unknown,
    /// The first pass. 16 bytes and more for each request that is answered.
    Learning(BTreeMap<u64, u64>),
    /// The second pass.
    Known(BTreeMap<u64, u64>),
}

/// The request of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Request {
    /// The number of its frame, if that is still known.
    pub(super) frame: Option<u64>,
    /// How long before the response it was seen.
    pub(super) before: Duration,
}

impl Pairs {
    pub(super) fn new(answers: Answers) -> Self {
        Self { answers, ..Self::default() }
    }

    /// The frame that answers frame `number`, where a first pass has found it.
    pub(super) fn answer(&self, number: u64) -> Option<u64> {
        match &self.answers {
            Answers::Known(answers) => answers.get(&number).copied(),
            Answers::Unknown | Answers::Learning(_) => None,
        }
    }

    /// What a first pass has learnt, for the second.
    pub(super) fn learnt(self) -> Answers {
        match self.answers {
            Answers::Learning(answers) => Answers::Known(answers),
            known @ (Answers::Unknown | Answers::Known(_)) => known,
        }
    }

    /// Takes in frame `number` and tells what it answers.
    pub(super) fn observe(
        &mut self,
        conn: u64,
        number: u64,
        head: &FrameHead,
        happened: &Happened<'_>,
    ) -> Option<Request> {
        let header = &head.header;
        if header.is_response() {
            let asked = happened.context.answers?;
            let requests = self.requests.get_mut(&conn);
            // STAT alone has many answers; the last has no key.
            let more = header.opcode == Opcode::STAT && header.status() == Some(Status::SUCCESS) && header.key_len > 0;
            let frame = requests.and_then(|requests| {
                if more { requests.get(&asked.serial).copied() } else { requests.remove(&asked.serial) }
            });
            if let (Answers::Learning(answers), Some(frame)) = (&mut self.answers, frame) {
                answers.entry(frame).or_insert(number);
            }
            return Some(Request { frame, before: happened.entry.at.since(asked.at) });
        }
        if header.is_request() && head.expects_answer() {
            let requests = self.requests.entry(conn).or_default();
            requests.insert(happened.session.outstanding().latest(), number);
            if requests.len() > MAX_REQUESTS {
                requests.pop_first();
            }
        }
        None
    }

    /// The connection is over.
    pub(super) fn forget(&mut self, conn: u64) {
        self.requests.remove(&conn);
    }
}
