use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::time::Duration;

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
use crate::wire::Header;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// Swallowed messages whose keys are remembered, to compare with what comes when the stream is requested again.
const MAX_SWALLOWED: usize = 4096;

/// Steps that are listed; whoever arms them may do so for weeks, each under a name of its own. A close always is: it takes its
/// time.
const MAX_STEPS: usize = 16_384;

/// What the tool did on the connection, as its journal tells it.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// Steps that fired.
    pub(super) steps: Vec<Fired>,
    /// The stream that was cut last, and what of it was swallowed.
    pub(super) cut: Option<CutStory>,
    /// The tool's own request for it.
    pub(super) replay: Option<ReplayStory>,
    own: BTreeSet<(StreamKey, Opaque)>,
    /// Where in the list of steps those are that leave streams open.
    open_steps: BTreeMap<String, usize>,
    /// The producer's last message of a stream.
    last_said: Option<Said>,
    /// The seqnos of swallowed messages whose answers the tool has not told yet: it answers each kind in order.
    unanswered: BTreeMap<(Opcode, Opaque), Unanswered>,
    /// Messages that were left without an answer, and what a consumer of the era would have said.
    pub(super) left_out: BTreeMap<Opcode, Status>,
    /// Steps that found no place to fire.
    pub(super) never_fired: Vec<String>,
    /// Whether all steps were taken and the settling time is over.
    pub(super) settled: Option<Timestamp>,
    /// Whether the producer is not read from, and until when it last was not.
    pub(super) paused: bool,
    pub(super) resumed_at: Timestamp,
    /// Whether the tool has closed the connection on purpose.
    pub(super) closed_by_tool: bool,
    /// The time of the last entry.
    pub(super) now: Timestamp,
}

/// A step that fired.
#[derive(Clone, Debug)]
pub(super) struct Fired {
    pub(super) step: String,
    /// The stream that it fired at, and the last seqno that the consumer had got of it.
    pub(super) stream: Option<(StreamKey, Opaque, u64)>,
    /// Whether it closes that stream.
    pub(super) closes: bool,
    pub(super) at: Timestamp,
    /// How often, where it leaves streams open: the rest is of the first time.
    pub(super) times: u64,
}

/// A message of a stream.
#[derive(Clone, Copy, Debug)]
struct Said {
    header: Header,
    stream_id: Option<u16>,
    seqno: u64,
    key_hash: Option<u64>,
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
    /// Whether the producer ended it, before the tool closed it.
    pub(super) ended: bool,
    /// How long it had been silent when the tool closed it.
    pub(super) closed_after: Option<Duration>,
    /// When the last message came, or the answer that opened it.
    last_at: Timestamp,
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
            What::Frame(head) => self.told(entry, head),
            What::Closed { .. } => {
                // The close of a consumer that has left is passed on late, and no step's doing.
                let by_step = self.steps.iter().any(|step| !step.closes);
                self.closed_by_tool |= by_step && entry.origin == Origin::Tool && entry.direction == Direction::To;
            }
            What::FramingLost(_) | What::Gap(_) => {}
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
                self.own.insert((key, *opaque));
                self.steps.push(Fired {
                    step: step.clone(),
                    stream: Some((key, *opaque, *seqno)),
                    closes: true,
                    at,
                    times: 1,
                });
                if *cut {
                    let cut = CutStory { key, opaque: *opaque, last_seqno: *seqno, items: 0, keys: BTreeMap::new() };
                    self.cut = Some(cut);
                    self.unanswered.clear();
                    self.replay = None;
                    // The message that it fired at has crossed already, and is the first that is swallowed.
                    if let Some(first) = self.last_said.take() {
                        self.swallow(&first);
                    }
                }
            }
            Act::Triggered { step, stream } => {
                let key = |vbucket, stream_id| StreamKey { vbucket, stream_id };
                let stream = stream.map(|(vbucket, id, opaque, seqno)| (key(vbucket, id), opaque, seqno));
                // One that fires at every frame is no more to remember than one that fires once.
                let is_full = self.steps.len() >= MAX_STEPS;
                match self.open_steps.get(step).and_then(|&index| self.steps.get_mut(index)) {
                    Some(fired) => fired.times = fired.times.saturating_add(1),
                    None if is_full => {}
                    None => {
                        self.open_steps.insert(step.clone(), self.steps.len());
                        self.steps.push(Fired { step: step.clone(), stream, closes: false, at, times: 1 });
                    }
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
                    ended: false,
                    closed_after: None,
                    last_at: at,
                    wrong: None,
                    keys: cut.keys,
                });
            }
            Act::LeftOut { message, status } => {
                self.left_out.insert(*message, *status);
            }
            // After a verdict, what is armed begins anew what is waited for.
            Act::Armed { .. } => {
                if self.settled.take().is_some() {
                    self.never_fired.clear();
                }
            }
            Act::NeverFired { step } if self.never_fired.len() < MAX_STEPS => self.never_fired.push(step.clone()),
            Act::NeverFired { .. } => {}
            Act::Settled => self.settled = Some(at),
            Act::Narrowed(_) | Act::Settling | Act::Swallowed | Act::Replaced | Act::Cut(_) => {}
        }
    }

    /// Takes in a message that is kept from the consumer, if it is one of the cut stream.
    fn swallow(&mut self, said: &Said) {
        let header = &said.header;
        let Some(cut) = &mut self.cut else { return };
        if cut.opaque != header.opaque || !is_of(header, said.stream_id, cut.key) {
            return;
        }
        cut.last_seqno = cut.last_seqno.max(said.seqno);
        cut.items = cut.items.saturating_add(1);
        if let Some(key_hash) = said.key_hash.filter(|_| cut.keys.len() < MAX_SWALLOWED) {
            cut.keys.insert(said.seqno, key_hash);
        }
        self.unanswered.entry((header.opcode, header.opaque)).or_default().swallowed(said.seqno);
    }

    fn told(&mut self, entry: &Entry, head: &FrameHead) {
        let header = &head.header;
        if !header.is_request() {
            return;
        }
        if entry.origin == Origin::Tool
            && header.opcode == Opcode::DCP_CLOSE_STREAM
            && let Some(replay) = &mut self.replay
            && is_of(header, head.stream_id, replay.key)
        {
            replay.closed_after.get_or_insert(entry.at.since(replay.last_at.max(self.resumed_at)));
        } else if entry.origin == Origin::Peer && header.opcode == Opcode::DCP_STREAM_REQ {
            // A consumer may use its opaque again: the stream is its own then.
            self.own.retain(|&(key, opaque)| opaque != header.opaque || header.vbucket() != Some(key.vbucket));
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
                replay.last_at = entry.at;
            }
            return;
        }
        if !header.is_request() || !dcp::is_stream_message(header.opcode) {
            return;
        }
        let seqno = head.message.as_ref().ok().and_then(Message::by_seqno);
        self.last_said = seqno.map(|seqno| Said {
            header: *header,
            stream_id: head.stream_id,
            seqno,
            key_hash: (header.key_len > 0).then_some(head.key_hash),
        });
        if let Some(said) = self.last_said.filter(|_| self.cut.is_some()) {
            self.swallow(&said);
        }
        if let Some(replay) = &mut self.replay
            && replay.opaque == header.opaque
            && is_of(header, head.stream_id, replay.key)
        {
            replay.message(entry.at, head, seqno);
        }
    }
}

/// Whether a frame is of that stream, as far as it says; some have no stream id where they should (dcp-protocol.md §3).
fn is_of(header: &Header, stream_id: Option<u16>, key: StreamKey) -> bool {
    header.vbucket() == Some(key.vbucket) && (stream_id.is_none() || stream_id == key.stream_id)
}

impl ReplayStory {
    fn message(&mut self, at: Timestamp, head: &FrameHead, seqno: Option<u64>) {
        let opcode = head.header.opcode;
        self.messages = self.messages.saturating_add(1);
        self.last_at = at;
        self.ended |= opcode == Opcode::DCP_STREAM_END && self.closed_after.is_none();
        let Some(seqno) = seqno else { return };
        if self.wrong.is_none() {
            let wrong = if seqno <= self.start_seqno {
                Some(format!("{opcode} with seqno {seqno}"))
            } else {
                self.keys
                    .get(&seqno)
                    .filter(|&&swallowed| head.header.key_len > 0 && swallowed != head.key_hash)
                    .map(|_| format!("{opcode} with seqno {seqno} and another key than it had before the close"))
            };
            self.wrong = wrong.map(|text| (at, seqno, text));
        }
        self.reached = self.reached.max(seqno);
    }
}
