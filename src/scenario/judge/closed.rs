use std::collections::BTreeMap;
use std::time::Duration;

use super::End;
use super::Seen;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::FrameHead;
use crate::journal::Act;
use crate::journal::Direction;
use crate::journal::Origin;
use crate::journal::Role;
use crate::journal::What;
use crate::session::StreamKey;
use crate::verdict::About;
use crate::verdict::Finding;
use crate::verdict::Verdict;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

const ID: &str = "stream-stays-closed";
const SAYS_END: &str = "send_stream_end_on_client_close_stream";
const DEMANDS: &str = "a closed stream ends, where STREAM_END was negotiated, and nothing of it comes after that";

/// Whether what was closed stays closed (design.md §5.3).
#[derive(Debug)]
pub(super) struct StaysClosed {
    /// How long a STREAM_END is waited for.
    patience: Duration,
    /// The streams that steps fired on and the tool's own, by their opaque.
    streams: BTreeMap<(StreamKey, Opaque), Watched>,
    /// Streams that ended, those among them whose opaque was used again since.
    ended: u64,
    /// When the window last was full.
    full_at: Timestamp,
    after_end: Option<Finding>,
    no_end: Option<Finding>,
    steps: usize,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    ended: Option<Timestamp>,
    /// When it last brought a message.
    last: Timestamp,
}

impl StaysClosed {
    pub(super) const fn new(settle: Duration) -> Self {
        Self {
            patience: settle,
            streams: BTreeMap::new(),
            ended: 0,
            full_at: Timestamp(0),
            after_end: None,
            no_end: None,
            steps: 0,
        }
    }

    pub(super) fn observe(&mut self, seen: &Seen<'_>) {
        let at = seen.entry.at;
        let new = Watched { ended: None, last: at };
        while let Some(step) = seen.story.steps.get(self.steps) {
            if let Some((key, opaque, _)) = step.stream.filter(|_| step.closes) {
                self.streams.insert((key, opaque), new);
            }
            self.steps += 1;
        }
        if self.streams.is_empty() {
            return;
        }
        if !seen.session.flow().has_room() {
            self.full_at = at;
        }
        match &seen.entry.what {
            What::Frame(head) => self.frame(head, seen),
            What::Acted(Act::Resuming { opaque, .. }) => {
                if let Some(replay) = &seen.story.replay {
                    self.streams.insert((replay.key, *opaque), new);
                }
            }
            What::Acted(Act::Settled) => self.look_for_ends(seen),
            What::Acted(_) | What::FramingLost(_) | What::Gap(_) | What::Paused(_) | What::Closed { .. } => {}
        }
    }

    fn frame(&mut self, head: &FrameHead, seen: &Seen<'_>) {
        let (header, at) = (&head.header, seen.entry.at);
        let Some(vbucket) = header.vbucket().filter(|_| header.is_request()) else { return };
        match seen.entry.direction {
            // A consumer may use its opaque again.
            Direction::To if header.opcode == Opcode::DCP_STREAM_REQ && seen.entry.origin == Origin::Peer => {
                self.streams.retain(|(key, opaque), _| key.vbucket != vbucket || *opaque != header.opaque);
            }
            Direction::From if dcp::is_stream_message(header.opcode) && seen.entry.origin == Origin::Peer => {
                let Some(key) = seen.context.stream.map(|stream| stream.key) else { return };
                let Some(watched) = self.streams.get_mut(&(key, header.opaque)) else { return };
                watched.last = at;
                match watched.ended {
                    None if header.opcode == Opcode::DCP_STREAM_END => {
                        watched.ended = Some(at);
                        self.ended += 1;
                    }
                    None => {}
                    Some(ended) => {
                        let mut found = finding(Verdict::Fail)
                            .expected("nothing of the stream after its STREAM_END")
                            .actual(format!("{} {} ms after it", header.opcode, at.since(ended).as_millis()))
                            .at(at)
                            .vbucket(vbucket);
                        found.seqno = head.message.as_ref().ok().and_then(|message| message.by_seqno());
                        self.after_end.get_or_insert(found);
                    }
                }
            }
            Direction::To | Direction::From => {}
        }
    }

    /// A STREAM_END is owed only where the producer has said that it closed, and had room and time for it since.
    fn look_for_ends(&mut self, seen: &Seen<'_>) {
        let (session, story, now) = (seen.session, seen.story, seen.entry.at);
        if !session.controls().is_true(SAYS_END) || !session.flow().has_room() || story.paused {
            return;
        }
        for ((key, opaque), watched) in self.streams.iter().filter(|(_, watched)| watched.ended.is_none()) {
            let close = session.streams().of(*key, *opaque).and_then(|stream| stream.close);
            let Some(close) = close.filter(|close| close.to == Role::Producer) else { continue };
            let waited = |since: Timestamp| {
                now.since(since.max(watched.last).max(self.full_at).max(story.resumed_at)) >= self.patience
            };
            let found = match close.answered {
                Some((Status::SUCCESS, at)) if waited(at) => finding(Verdict::Fail)
                    .expected("STREAM_END after CLOSE_STREAM was answered")
                    .actual("none came, with room in the window"),
                None if waited(close.at) => finding(Verdict::Inconclusive)
                    .expected("an answer to CLOSE_STREAM, and STREAM_END")
                    .actual("neither came, with room in the window"),
                Some(_) | None => continue,
            };
            if self.no_end.as_ref().is_none_or(|worst| worst.verdict < found.verdict) {
                self.no_end = Some(found.at(close.at).vbucket(key.vbucket));
            }
        }
    }

    pub(super) fn findings(&self, _end: &End<'_>) -> Vec<Finding> {
        if let Some(failed) = self.after_end.as_ref().or(self.no_end.as_ref()) {
            return vec![failed.clone()];
        }
        // Nothing ended: nothing is known of what comes after it.
        if self.ended == 0 {
            return Vec::new();
        }
        vec![
            finding(Verdict::Pass)
                .expected("nothing of a stream after its STREAM_END")
                .actual(format!("{} streams closed, nothing came after their ends", self.ended)),
        ]
    }
}

fn finding(verdict: Verdict) -> Finding {
    Finding::new(ID, DEMANDS, verdict).about(About::Role(Role::Producer))
}
