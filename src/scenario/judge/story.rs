use std::collections::BTreeMap;
use std::collections::VecDeque;

use crate::Timestamp;
use crate::dcp;
use crate::dcp::FrameHead;
use crate::dcp::Message;
use crate::journal::Act;
use crate::journal::Direction;
use crate::journal::Entry;
use crate::journal::Origin;
use crate::journal::What;
use crate::session::StreamKey;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// Swallowed messages whose keys are remembered, to compare with what comes when the stream is requested again.
const MAX_SWALLOWED: usize = 4096;

/// What the tool did on the connection, as its journal tells it.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// Steps that fired.
    pub(super) steps: Vec<Fired>,
    /// The stream that was cut last, and what of it was swallowed.
    pub(super) cut: Option<CutStory>,
    /// The tool's own request for it.
    pub(super) replay: Option<ReplayStory>,
    own: Vec<(StreamKey, Opaque)>,
    /// The seqnos of swallowed messages whose answers the tool has not told yet: it answers each kind in order.
    unanswered: BTreeMap<(Opcode, Opaque), Unanswered>,
    /// Messages that were left without an answer, and what a consumer of the era would have said.
    pub(super) left_out: BTreeMap<Opcode, Status>,
    /// Whether all steps were taken and the settling time is over.
    pub(super) settled: Option<Timestamp>,
    /// Whether the producer is not read from, and until when it last was not.
    pub(super) paused: bool,
    pub(super) resumed_at: Timestamp,
    /// The time of the last entry.
    pub(super) now: Timestamp,
}

/// A step that fired.
#[derive(Clone, Debug)]
pub(super) struct Fired {
    pub(super) step: String,
    pub(super) key: StreamKey,
    pub(super) opaque: Opaque,
    pub(super) seqno: u64,
    pub(super) at: Timestamp,
}

/// A stream whose messages the tool swallows.
#[derive(Clone, Debug)]
pub(super) struct CutStory {
    pub(super) key: StreamKey,
    pub(super) opaque: Opaque,
    /// The last seqno that was swallowed; where the consumer was, before the first.
    pub(super) last_seqno: u64,
    /// Messages with a seqno that were swallowed.
    pub(super) items: u64,
    /// Their keys' hashes, by seqno.
    pub(super) keys: BTreeMap<u64, u64>,
}

/// The cut stream requested again by the tool.
#[derive(Clone, Debug)]
pub(super) struct ReplayStory {
    pub(super) key: StreamKey,
    pub(super) opaque: Opaque,
    pub(super) start_seqno: u64,
    /// The seqno by which all that was swallowed has come again.
    pub(super) goal: u64,
    pub(super) answer: Option<Status>,
    /// Messages that came, markers too.
    pub(super) messages: u64,
    /// The highest seqno that came.
    pub(super) reached: u64,
    /// When the last of these came, or the request was made.
    pub(super) last_at: Timestamp,
    /// Whether the producer ended it of itself.
    pub(super) ended: bool,
    /// Whether the tool has closed it.
    closed: bool,
    /// The first thing about it that is not as it should be.
    pub(super) wrong: Option<(Timestamp, u64, String)>,
    keys: BTreeMap<u64, u64>,
}

/// Swallowed messages of one kind that are to be answered in order; once there are too many, the rest is not told.
#[derive(Debug, Default)]
struct Unanswered {
    seqnos: VecDeque<u64>,
    overflowed: bool,
}

impl Unanswered {
    fn swallowed(&mut self, seqno: u64) {
        self.overflowed |= self.seqnos.len() >= MAX_SWALLOWED;
        if !self.overflowed {
            self.seqnos.push_back(seqno);
        }
    }
}

impl Story {
    /// Takes in an entry of the producer's edge.
    pub(super) fn observe(&mut self, entry: &Entry) {
        self.now = entry.at;
        match &entry.what {
            What::Acted(act) => self.acted(act, entry.at),
            What::Paused(paused) => {
                self.paused = *paused;
                self.resumed_at = entry.at;
            }
            What::Frame(head) if entry.direction == Direction::From => self.said(entry, head),
            What::Frame(head) if entry.origin == Origin::Tool => self.told(head),
            What::Frame(_) | What::FramingLost(_) | What::Gap(_) | What::Closed { .. } => {}
        }
    }

    /// The seqno of the swallowed message that an orphaned response answers, where the tool told it.
    pub(super) fn answered(&mut self, message: Opcode, stream: Opaque, origin: Origin) -> Option<u64> {
        if origin != Origin::Tool {
            return None;
        }
        self.unanswered.get_mut(&(message, stream))?.seqnos.pop_front()
    }

    /// Whether a stream is one that the tool keeps from the consumer.
    pub(super) fn is_tools(&self, key: StreamKey, opaque: Opaque) -> bool {
        self.own.contains(&(key, opaque))
    }

    fn acted(&mut self, act: &Act, at: Timestamp) {
        match act {
            Act::Fired { step, vbucket, stream_id, opaque, seqno, cut } => {
                let key = StreamKey { vbucket: *vbucket, stream_id: *stream_id };
                self.own.push((key, *opaque));
                self.steps.push(Fired { step: step.clone(), key, opaque: *opaque, seqno: *seqno, at });
                if *cut {
                    self.cut =
                        Some(CutStory { key, opaque: *opaque, last_seqno: *seqno, items: 0, keys: BTreeMap::new() });
                    self.unanswered.clear();
                    self.replay = None;
                }
            }
            Act::Resuming { opaque, start_seqno, .. } => {
                self.own.extend(self.cut.as_ref().map(|cut| (cut.key, *opaque)));
                self.replay = self.cut.take().map(|cut| ReplayStory {
                    key: cut.key,
                    opaque: *opaque,
                    start_seqno: *start_seqno,
                    goal: cut.last_seqno,
                    answer: None,
                    messages: 0,
                    reached: *start_seqno,
                    last_at: at,
                    ended: false,
                    closed: false,
                    wrong: None,
                    keys: cut.keys,
                });
            }
            Act::LeftOut { message, status } => {
                self.left_out.insert(*message, *status);
            }
            Act::Settled => self.settled = Some(at),
            Act::Narrowed(_) | Act::Settling => {}
        }
    }

    fn told(&mut self, head: &FrameHead) {
        let header = &head.header;
        if let Some(replay) = &mut self.replay
            && header.is_request()
            && header.opcode == Opcode::DCP_CLOSE_STREAM
            && header.vbucket() == Some(replay.key.vbucket)
        {
            replay.closed = true;
        }
    }

    fn said(&mut self, entry: &Entry, head: &FrameHead) {
        let header = &head.header;
        if entry.origin == Origin::Tool {
            if let Some(replay) = &mut self.replay
                && header.opcode == Opcode::DCP_STREAM_REQ
                && header.opaque == replay.opaque
            {
                replay.answer = header.status();
            }
            return;
        }
        if !header.is_request() || !dcp::is_stream_message(header.opcode) {
            return;
        }
        let seqno = head.message.as_ref().ok().and_then(Message::by_seqno);
        if let Some(cut) = &mut self.cut
            && cut.opaque == header.opaque
            && header.vbucket() == Some(cut.key.vbucket)
            && let Some(seqno) = seqno
        {
            cut.last_seqno = cut.last_seqno.max(seqno);
            cut.items = cut.items.saturating_add(1);
            if cut.keys.len() < MAX_SWALLOWED {
                cut.keys.insert(seqno, head.key_hash);
            }
            self.unanswered.entry((header.opcode, header.opaque)).or_default().swallowed(seqno);
        }
        if let Some(replay) = &mut self.replay
            && replay.opaque == header.opaque
            && header.vbucket() == Some(replay.key.vbucket)
        {
            replay.message(entry.at, header.opcode, seqno, head.key_hash);
        }
    }
}

impl ReplayStory {
    fn message(&mut self, at: Timestamp, opcode: Opcode, seqno: Option<u64>, key_hash: u64) {
        self.messages = self.messages.saturating_add(1);
        self.last_at = at;
        self.ended |= opcode == Opcode::DCP_STREAM_END && !self.closed;
        let Some(seqno) = seqno else { return };
        if self.wrong.is_none() {
            let wrong = if seqno <= self.start_seqno {
                Some(format!("{opcode} with seqno {seqno}"))
            } else {
                self.keys
                    .get(&seqno)
                    .filter(|&&swallowed| swallowed != key_hash)
                    .map(|_| format!("{opcode} with seqno {seqno} and another key than it had before the close"))
            };
            self.wrong = wrong.map(|text| (at, seqno, text));
        }
        self.reached = self.reached.max(seqno);
    }
}
