use std::collections::BTreeMap;
use std::time::Duration;

use super::super::SUSPICIOUS;
use super::super::is_due;
use super::End;
use super::Seen;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::Message;
use crate::dcp::Stretch;
use crate::journal::Direction;
use crate::journal::Origin;
use crate::journal::Role;
use crate::journal::What;
use crate::session::StreamKey;
use crate::verdict::About;
use crate::verdict::Finding;
use crate::verdict::Verdict;
use crate::wire::Opaque;

const ID: &str = "streams-undisturbed";
const DEMANDS: &str = "the other streams of the connection go on: in order, none repeated, none stalled inside an open snapshot while \
                       the window has room";

/// Whether the streams that were not closed go on (design.md §5.2).
#[derive(Debug)]
pub(super) struct Undisturbed {
    /// A stream that has been silent for so long inside a snapshot, with room in the window, is stalled.
    patience: Duration,
    /// When each stream that is not the tool's last brought a message since the first step.
    last: BTreeMap<(StreamKey, Opaque), Timestamp>,
    messages: u64,
    /// When the window last was full.
    full_at: Timestamp,
    repeated: Option<Finding>,
    stalled: Option<Finding>,
    open: usize,
}

impl Undisturbed {
    pub(super) fn new(settle: Duration) -> Self {
        Self {
            patience: settle * 3,
            last: BTreeMap::new(),
            messages: 0,
            full_at: Timestamp(0),
            repeated: None,
            stalled: None,
            open: 0,
        }
    }

    pub(super) fn observe(&mut self, seen: &Seen<'_>) {
        let story = seen.story;
        if story.steps.is_empty() {
            return;
        }
        if !seen.session.flow().has_room() {
            self.full_at = seen.entry.at;
        }
        match &seen.entry.what {
            What::Frame(head) if seen.entry.direction == Direction::From && seen.entry.origin == Origin::Peer => {
                let header = &head.header;
                if !header.is_request() || !dcp::is_stream_message(header.opcode) {
                    return;
                }
                let Some(context) = &seen.context.stream else { return };
                if story.is_tools(context.key, header.opaque) {
                    return;
                }
                self.messages += 1;
                self.last.insert((context.key, header.opaque), seen.entry.at);
                let Some(before) = context.before.filter(|before| before.state.is_live()) else { return };
                let Some(seqno) = head.message.as_ref().ok().and_then(Message::by_seqno) else { return };
                let in_oso = before.snapshot.is_some_and(|snapshot| snapshot.is_open_oso());
                if seqno <= before.last_seqno && !in_oso && self.repeated.is_none() {
                    self.repeated = Some(
                        finding(Verdict::Fail)
                            .expected(format!("a seqno above {}", before.last_seqno))
                            .actual(format!("{} with seqno {seqno}", header.opcode))
                            .at(seen.entry.at)
                            .vbucket(context.key.vbucket)
                            .seqno(seqno),
                    );
                }
            }
            What::Acted(crate::journal::Act::Settled) => self.look_for_stalls(seen),
            What::Frame(_)
            | What::FramingLost(_)
            | What::Gap(_)
            | What::Paused(_)
            | What::Acted(_)
            | What::Closed { .. } => {}
        }
    }

    /// Takes in mutations behind one of a stream that is not the tool's: none is repeated, and that one has told when.
    pub(super) fn observe_stretch(&mut self, stretch: &Stretch<'_>) {
        self.messages += stretch.frames();
    }

    fn look_for_stalls(&mut self, seen: &Seen<'_>) {
        let (session, story, now) = (seen.session, seen.story, seen.entry.at);
        let first = story.steps.first().map_or(now, |step| step.at);
        for stream in session.streams().live() {
            if story.is_tools(stream.key, stream.opaque) || stream.state.is_closing() {
                continue;
            }
            self.open += 1;
            if !is_due(session, stream) || story.paused {
                continue;
            }
            let key = (stream.key, stream.opaque);
            let last = self.last.get(&key).copied().unwrap_or(first);
            // Room there was for sure if the window was never full since, or if others got through.
            let others = self.last.iter().filter(|(other, _)| **other != key).map(|(_, &at)| at).max();
            let others_go_on = others.is_some_and(|at| at.since(last) >= self.patience);
            let silent =
                if others_go_on { now.since(last) } else { now.since(last.max(self.full_at).max(story.resumed_at)) };
            let room = others_go_on || session.flow().has_room();
            if !room || silent < SUSPICIOUS || self.stalled.is_some() {
                continue;
            }
            let verdict = if silent >= self.patience { Verdict::Fail } else { Verdict::Inconclusive };
            let end = stream.snapshot.map_or(0, |snapshot| snapshot.end);
            self.stalled = Some(
                finding(verdict)
                    .expected(format!("its snapshot up to seqno {end}"))
                    .actual(format!(
                        "nothing after seqno {} for {} ms, with {} of {} bytes of the window in use",
                        stream.last_seqno,
                        silent.as_millis(),
                        session.flow().outstanding(),
                        session.flow().window().unwrap_or(0),
                    ))
                    .at(now)
                    .vbucket(stream.key.vbucket)
                    .seqno(stream.last_seqno),
            );
        }
    }

    pub(super) fn findings(&self, _end: &End<'_>) -> Vec<Finding> {
        let failed: Vec<_> = self.repeated.iter().chain(&self.stalled).cloned().collect();
        if !failed.is_empty() {
            return failed;
        }
        // Not applicable where there is no other stream, or none that had something to say.
        if self.messages == 0 {
            return Vec::new();
        }
        vec![finding(Verdict::Pass).expected("seqnos in order, and no stall").actual(format!(
            "{} messages of {} other streams",
            self.messages,
            self.last.len().max(self.open)
        ))]
    }
}

fn finding(verdict: Verdict) -> Finding {
    Finding::new(ID, DEMANDS, verdict).about(About::Role(Role::Producer))
}
