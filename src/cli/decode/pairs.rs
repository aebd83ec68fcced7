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
