use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use super::Seen;
use super::eras;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::Message;
use crate::dcp::SetVbucketState;
use crate::dcp::SnapshotMarker;
use crate::era;
use crate::era::Situation;
use crate::session::StreamKey;
use crate::verdict::Finding;
use crate::verdict::Verdict;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

const DEMANDS: &str = "the consumer answers what asks for an answer, and a node answers messages of a stream that is gone as its era does";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is remembered of each kind; beyond that nothing is said.
const LIMIT: usize = 16_384;

/// Whether the consumer answers as it must (dcp-protocol.md §3.4, §4; orphaned-responses.md §2): a client answers no-ops,
/// markers that ask for it and states of vbuckets, a node also what its manager asks, and messages of streams that it no
/// longer has.
#[derive(Debug, Default)]
pub(super) struct Answers {
    owed: Vec<Owed>,
    /// Streams of a node, by vbucket.
    streams: BTreeMap<u16, KvStream>,
    gone: BTreeMap<(Opcode, Opaque), Gone>,
    /// Commands that take a vbucket's stream and are not answered yet, with what they take.
    moved: BTreeMap<(Opcode, Opaque), (u16, Option<KvStream>)>,
    /// Vbuckets that may have a stream, and may have none.
    unsure: BTreeSet<u16>,
    /// Answers that were right, and silences.
    right: u64,
    wrong: Option<Finding>,
    overflowed: bool,
}

/// A request that the consumer has not answered.
#[derive(Clone, Copy, Debug)]
struct Owed {
    opcode: Opcode,
    opaque: Opaque,
    vbucket: u16,
    /// The stream and the seqno after which a marker is to be answered.
    until: Option<(StreamKey, u64)>,
    /// Since when; `None` while it may be answered and need not.
    since: Option<Timestamp>,
}

/// Where a node's stream stands after all that was delivered to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum KvState {
    Live,
    Closed,
    Refused,
}

#[derive(Clone, Copy, Debug)]
struct KvStream {
    opaque: Opaque,
    state: KvState,
    /// ADD_STREAM was delivered, and STREAM_REQ has not come yet: what is delivered now meets one or the other stream.
    adding: bool,
}

/// Messages of one kind of a stream that is gone.
#[derive(Clone, Debug, Default)]
struct Gone {
    statuses: BTreeSet<Status>,
    /// Still to be answered, and the last of them.
    due: u64,
    last: Timestamp,
    /// To be met with silence.
    silent: u64,
    vbucket: u16,
    was_live: bool,
}

impl Answers {
    pub(super) fn observe(&mut self, seen: &Seen<'_>) {
        let header = &seen.head.header;
        if header.is_response() {
            if seen.said { self.answer(seen) } else { self.told(seen) }
        } else if header.is_request() {
            match (seen.said, header.opcode) {
                (true, Opcode::DCP_STREAM_REQ) if seen.kv && !self.full(self.streams.len()) => {
                    let stream = KvStream { opaque: header.opaque, state: KvState::Live, adding: false };
                    self.streams.insert(header.vbucket_or_status, stream);
                }
                (true, _) => {}
                (false, _) => self.delivered(seen),
            }
        }
    }

    /// A response to the consumer: what became of its request for a stream.
    fn told(&mut self, seen: &Seen<'_>) {
        let header = &seen.head.header;
        if header.opcode != Opcode::DCP_STREAM_REQ || !seen.kv {
            return;
        }
        let refused = header.status().is_some_and(|status| status != Status::SUCCESS && status != Status::ROLLBACK);
        for stream in self.streams.values_mut().filter(|stream| stream.opaque == header.opaque && refused) {
            stream.state = KvState::Refused;
        }
    }

    fn delivered(&mut self, seen: &Seen<'_>) {
        let header = &seen.head.header;
        let vbucket = header.vbucket_or_status;
        if seen.head.message.is_err() {
            return;
        }
        match header.opcode {
            Opcode::DCP_NOOP => self.owe(seen, None, true),
            Opcode::DCP_ADD_STREAM if seen.kv => {
                self.owe(seen, None, false);
                if let Some(stream) = self.streams.get_mut(&vbucket) {
                    stream.adding = true;
                }
            }
            Opcode::DCP_CLOSE_STREAM if seen.kv => {
                self.owe(seen, None, true);
                self.ended(vbucket);
                if let Some(stream) = self.streams.get_mut(&vbucket) {
                    stream.state = KvState::Closed;
                }
            }
            Opcode::SET_VBUCKET | Opcode::DEL_VBUCKET if seen.kv => self.vbucket_changes(seen),
            opcode if dcp::is_stream_message(opcode) && !self.unsure.contains(&vbucket) => {
                if seen.kv && !self.is_live(seen) {
                    self.gone(seen);
                } else {
                    self.live(seen);
                }
            }
            _ => {}
        }
    }

    /// A vbucket that is made active, other than by a takeover, or deleted loses its stream at once (orphaned-responses.md §1,
    /// case 3).
    fn vbucket_changes(&mut self, seen: &Seen<'_>) {
        let header = &seen.head.header;
        let loses = match &seen.head.message {
            Ok(Message::SetVbucket(set)) => set.state == SetVbucketState::ACTIVE,
            Ok(_) => header.opcode == Opcode::DEL_VBUCKET,
            Err(_) => false,
        };
        if !loses {
            return;
        }
        let vbucket = header.vbucket_or_status;
        // Whether the stream that is being added was there by then is not to be seen.
        let adding = |owed: &Owed| owed.opcode == Opcode::DCP_ADD_STREAM && owed.vbucket == vbucket;
        if self.owed.iter().any(adding) {
            self.unsure.insert(vbucket);
        } else if !self.full(self.moved.len()) {
            self.ended(vbucket);
            let stream = self.streams.remove(&vbucket);
            self.moved.insert((header.opcode, header.opaque), (vbucket, stream));
        }
    }

    fn is_live(&self, seen: &Seen<'_>) -> bool {
        let header = &seen.head.header;
        self.streams
            .get(&header.vbucket_or_status)
            .is_some_and(|stream| stream.adding || (stream.opaque == header.opaque && stream.state == KvState::Live))
    }

    /// A message of a stream that the consumer has.
    fn live(&mut self, seen: &Seen<'_>) {
        let (header, at) = (&seen.head.header, seen.at);
        let Some(stream) = seen.context.stream else { return };
        if !stream.before.is_some_and(|before| before.state.is_live()) {
            return;
        }
        match &seen.head.message {
            Ok(Message::SnapshotMarker(marker)) if marker.flags & SnapshotMarker::ACK != 0 => {
                self.owe(seen, Some((stream.key, marker.end_seqno)), false);
            }
            Ok(Message::SetVbucketState(_)) => self.owe(seen, None, stream.before.is_none_or(|b| b.close.is_none())),
            Ok(Message::StreamEnd(_)) => {
                self.ended(header.vbucket_or_status);
                if seen.kv {
                    self.streams.remove(&header.vbucket_or_status);
                }
            }
            Ok(message) => {
                let Some(seqno) = message.by_seqno() else { return };
                let due = |owed: &&mut Owed| owed.until.is_some_and(|(key, end)| key == stream.key && end <= seqno);
                self.owed
                    .iter_mut()
                    .filter(|owed| owed.opaque == header.opaque)
                    .filter(due)
                    .for_each(|owed| owed.since = owed.since.or(Some(at)));
            }
            Err(_) => {}
        }
    }

    /// A message of a stream that a node no longer has, or never had.
    fn gone(&mut self, seen: &Seen<'_>) {
        let header = &seen.head.header;
        let stream = self.streams.get(&header.vbucket_or_status).copied();
        let own = stream.filter(|stream| stream.opaque == header.opaque);
        let answer = |era| {
            let situation = match (stream, own) {
                (None, _) => Situation::NoStream,
                (Some(stream), _) if stream.state == KvState::Closed && !era::keeps_closed_streams(era) => {
                    Situation::NoStream
                }
                (Some(_), None) => Situation::OtherOpaque,
                (Some(_), Some(_)) => Situation::DeadStream,
            };
            era::consumer_answer(era, seen.session.v7(), situation, header.opcode)
        };
        let allowed: BTreeSet<Option<Status>> = eras(seen).map(answer).collect();
        if header.opcode == Opcode::DCP_STREAM_END && own.is_some() {
            self.streams.remove(&header.vbucket_or_status);
        }
        if self.full(self.gone.len()) {
            return;
        }
        let gone = self.gone.entry((header.opcode, header.opaque)).or_default();
        gone.vbucket = header.vbucket_or_status;
        gone.was_live |= own.is_some();
        let silence = allowed.contains(&None);
        gone.statuses.extend(allowed.iter().flatten());
        if !silence {
            gone.due = gone.due.saturating_add(1);
            gone.last = seen.at;
        } else if allowed.len() == 1 {
            gone.silent = gone.silent.saturating_add(1);
        }
    }

    /// The consumer answers something.
    fn answer(&mut self, seen: &Seen<'_>) {
        let header = &seen.head.header;
        let status = header.status().unwrap_or(Status::SUCCESS);
        if let Some((vbucket, stream)) = self.moved.remove(&(header.opcode, header.opaque)) {
            // Where it was refused the stream has stayed, and what came of it meanwhile is not to be answered.
            if let Some(stream) = stream.filter(|_| status != Status::SUCCESS) {
                self.gone.retain(|(_, opaque), _| *opaque != stream.opaque);
                self.streams.entry(vbucket).or_insert(stream);
            }
            return;
        }
        if status != Status::SUCCESS && header.opcode == Opcode::DCP_ADD_STREAM {
            for stream in self.streams.values_mut() {
                stream.adding = false;
            }
        }
        let asked = self.owed.iter().position(|owed| owed.opcode == header.opcode && owed.opaque == header.opaque);
        if let Some(asked) = asked {
            let owed = self.owed.remove(asked);
            let fits = match header.opcode {
                Opcode::DCP_NOOP => status == Status::SUCCESS,
                _ => true,
            };
            if fits {
                self.right = self.right.saturating_add(1);
            } else {
                self.fail(seen.at, owed.vbucket, "Success", format!("{status} in answer to {}", header.opcode));
            }
            return;
        }
        let Some(gone) = self.gone.get_mut(&(header.opcode, header.opaque)) else {
            let opcode = header.opcode;
            let marker = opcode == Opcode::DCP_SNAPSHOT_MARKER && status == Status::SUCCESS;
            if (marker || opcode == Opcode::DCP_NOOP) && !self.overflowed {
                self.fail(seen.at, None, "one answer to each request", format!("one more to {opcode}"));
            }
            return;
        };
        if gone.statuses.contains(&status) {
            gone.due = gone.due.saturating_sub(1);
            self.right = self.right.saturating_add(1);
            return;
        }
        // A live stream's COMMIT and ABORT are answered so where their prepare is missing, and this may be such an answer.
        let of_prepare = matches!(header.opcode, Opcode::DCP_COMMIT | Opcode::DCP_ABORT)
            && status == Status::KEY_ENOENT
            && gone.was_live;
        let of_streams = [
            Status::KEY_ENOENT,
            Status::KEY_EEXISTS,
            Status::DCP_STREAM_NOT_FOUND,
            Status::OPAQUE_NO_MATCH,
            Status::SUCCESS,
        ];
        if of_streams.contains(&status) && !of_prepare && (gone.silent > 0 || gone.due > 0) {
            let expected = match gone.statuses.first() {
                Some(status) => format!("{status} to {} of a stream that is gone", header.opcode),
                None => format!("no answer to {} of a stream that is gone", header.opcode),
            };
            let vbucket = gone.vbucket;
            self.fail(seen.at, vbucket, &expected, format!("{status}"));
        }
    }

    fn owe(&mut self, seen: &Seen<'_>, until: Option<(StreamKey, u64)>, due: bool) {
        if self.full(self.owed.len()) {
            return;
        }
        let header = &seen.head.header;
        self.owed.push(Owed {
            opcode: header.opcode,
            opaque: header.opaque,
            vbucket: header.vbucket_or_status,
            until,
            since: due.then_some(seen.at),
        });
    }

    /// A stream is over: what of it was to be answered need not be any more.
    fn ended(&mut self, vbucket: u16) {
        let of_stream = |owed: &&mut Owed| {
            owed.vbucket == vbucket
                && matches!(owed.opcode, Opcode::DCP_SNAPSHOT_MARKER | Opcode::DCP_SET_VBUCKET_STATE)
        };
        self.owed.iter_mut().filter(of_stream).for_each(|owed| {
            owed.since = None;
            owed.until = None;
        });
    }

    const fn full(&mut self, len: usize) -> bool {
        self.overflowed |= len >= LIMIT;
        self.overflowed
    }

    fn fail(&mut self, at: Timestamp, vbucket: impl Into<Option<u16>>, expected: &str, actual: String) {
        let mut failed = finding(Verdict::Fail).expected(expected.to_owned()).actual(actual).at(at);
        failed.vbucket = vbucket.into();
        self.wrong.get_or_insert(failed);
    }

    /// The consumer was not read from until now.
    pub(super) fn excuse(&mut self, now: Timestamp) {
        self.owed.iter_mut().for_each(|owed| owed.since = owed.since.map(|_| now));
        self.gone.values_mut().for_each(|gone| gone.last = now);
    }

    pub(super) fn finding(&self, now: Timestamp) -> Option<Finding> {
        if let Some(wrong) = &self.wrong {
            return Some(wrong.clone());
        }
        let late = |since: Timestamp| now.since(since) > PATIENCE;
        if let Some(owed) = self.owed.iter().find(|owed| owed.since.is_some_and(late)) {
            return Some(
                finding(Verdict::Fail)
                    .expected(format!("an answer to {} within {} s", owed.opcode, PATIENCE.as_secs()))
                    .actual("none")
                    .at(owed.since.unwrap_or_default()),
            );
        }
        if let Some(((opcode, _), gone)) = self.gone.iter().find(|(_, gone)| gone.due > 0 && late(gone.last)) {
            let status = gone.statuses.first().map(ToString::to_string).unwrap_or_default();
            return Some(
                finding(Verdict::Fail)
                    .expected(format!("{status} to {opcode} of a stream that is gone"))
                    .actual(format!("{} left without an answer", gone.due))
                    .at(gone.last)
                    .vbucket(gone.vbucket),
            );
        }
        let silent: u64 = self.gone.values().map(|gone| gone.silent).sum();
        let tested = self.right.saturating_add(silent);
        (tested > 0 && !self.overflowed).then(|| {
            finding(Verdict::Pass)
                .expected("the answers that the protocol demands")
                .actual(format!("{} answers, {silent} messages of closed streams met with silence", self.right))
        })
    }
}

fn finding(verdict: Verdict) -> Finding {
    Finding::new("consumer-answers", DEMANDS, verdict)
}
