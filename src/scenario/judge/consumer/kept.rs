use std::time::Duration;

use super::Seen;
use super::eras;
use crate::Timestamp;
use crate::dcp::Message;
use crate::dcp::StreamEnd;
use crate::era;
use crate::era::Era;
use crate::journal::Role;
use crate::session::State;
use crate::session::Stream;
use crate::verdict::Finding;
use crate::verdict::Verdict;
use crate::wire::Opcode;
use crate::wire::Status;

const DEMANDS: &str = "the consumer keeps the connection after what it must bear: answers to what it asked, no-ops, the end of one of \
                       several streams";

/// A close within this time, with nothing said in between, is because of what came last: nodes close at the next tick of a
/// second (real-servers.md §2).
const AT_ONCE: Duration = Duration::from_secs(2);

/// Whether the consumer keeps the connection (orphaned-responses.md §3).
#[derive(Debug, Default)]
pub(super) struct ConsumerKept {
    /// What came last that it must bear and that some consumers did not, while the consumer has said nothing since.
    last: Option<(Timestamp, String)>,
    borne: u64,
    closed: Option<Finding>,
}

impl ConsumerKept {
    pub(super) fn observe(&mut self, seen: &Seen<'_>) {
        if seen.said {
            self.borne = self.borne.saturating_add(u64::from(self.last.take().is_some()));
            return;
        }
        if let Some(what) = provocation(seen) {
            self.borne = self.borne.saturating_add(u64::from(self.last.is_some()));
            self.last = Some((seen.at, what));
        }
    }

    /// The first direction was closed, by the consumer or by the other end (or the tool).
    pub(super) fn closed(&mut self, at: Timestamp, by_consumer: bool) {
        if let Some((told, what)) = self.last.take_if(|(told, _)| by_consumer && at.since(*told) <= AT_ONCE) {
            let waited = at.since(told).as_millis();
            self.closed = Some(
                finding(Verdict::Fail)
                    .expected(format!("the connection kept after {what}"))
                    .actual(format!("closed {waited} ms later"))
                    .at(at),
            );
        }
    }

    pub(super) fn finding(&self, now: Timestamp) -> Option<Finding> {
        if let Some(closed) = &self.closed {
            return Some(closed.clone());
        }
        let lately = self.last.as_ref().is_some_and(|(at, _)| now.since(*at) > AT_ONCE);
        let borne = self.borne.saturating_add(u64::from(lately));
        (borne > 0).then(|| {
            finding(Verdict::Pass)
                .expected("the connection kept")
                .actual(format!("kept after {borne} answers, no-ops and ends of streams"))
        })
    }
}

/// What was delivered that a consumer must bear, as a user reads it. Old nodes close at an answer to SEQNO_ACK.
fn provocation(seen: &Seen<'_>) -> Option<String> {
    let header = &seen.head.header;
    let opcode = header.opcode;
    if header.is_response() {
        let status = header.status().unwrap_or(Status::SUCCESS);
        let borne = match opcode {
            Opcode::DCP_CONTROL => status == Status::SUCCESS && seen.context.answers.is_some(),
            Opcode::DCP_BUFFER_ACK => seen.kv,
            Opcode::DCP_SEQNO_ACK => seen.kv && eras(seen).all(|era| era >= Era::V6_6),
            Opcode::DCP_STREAM_REQ => status == Status::SUCCESS && crosses_close(seen),
            _ => false,
        };
        return borne.then(|| format!("{status} in answer to {opcode}"));
    }
    match &seen.head.message {
        Ok(Message::DcpNoop(_)) => Some(opcode.to_string()),
        Ok(Message::StreamEnd(end)) if end.end_reason != StreamEnd::OK => {
            let others = |state| matches!(state, State::Open | State::Requested);
            let key = seen.context.stream.map(|stream| stream.key)?;
            let more = seen.session.streams().iter().any(|stream| stream.key != key && others(stream.state));
            more.then(|| format!("{opcode} of one stream, with reason {}", end.end_reason))
        }
        Ok(_) | Err(_) => None,
    }
}

/// Whether a response to STREAM_REQ meets a stream that the consumer node was told to close meanwhile, and keeps until its end
/// (orphaned-responses.md §3).
fn crosses_close(seen: &Seen<'_>) -> bool {
    let opaque = seen.head.header.opaque;
    let closed =
        |stream: &Stream| stream.opaque == opaque && stream.close.is_some_and(|close| close.to == Role::Consumer);
    seen.kv && eras(seen).all(era::keeps_closed_streams) && seen.session.streams().iter().any(closed)
}

fn finding(verdict: Verdict) -> Finding {
    Finding::new("consumer-kept", DEMANDS, verdict)
}
