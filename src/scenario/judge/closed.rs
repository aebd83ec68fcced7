use std::collections::BTreeMap;

use super::End;
use super::Seen;
use crate::Timestamp;
use crate::dcp;
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

const ID: &str = "stream-stays-closed";
const DEMANDS: &str = "a closed stream ends, where STREAM_END was negotiated, and nothing of it comes after that";

/// Whether what was closed stays closed (design.md §5.3).
#[derive(Debug, Default)]
pub(super) struct StaysClosed {
    /// The streams that steps fired on and the tool's own, by vbucket and opaque; `Some` once they ended.
    ended: BTreeMap<(StreamKey, Opaque), Option<Timestamp>>,
    after_end: Option<Finding>,
    steps: usize,
}

impl StaysClosed {
    pub(super) fn observe(&mut self, seen: &Seen<'_>) {
        while let Some(step) = seen.story.steps.get(self.steps) {
            self.ended.insert((step.key, step.opaque), None);
            self.steps += 1;
        }
        if self.ended.is_empty() {
            return;
        }
        let What::Frame(head) = &seen.entry.what else { return };
        let header = &head.header;
        let Some(vbucket) = header.vbucket().filter(|_| header.is_request()) else { return };
        match seen.entry.direction {
            // A consumer may use its opaque again.
            Direction::To if header.opcode == Opcode::DCP_STREAM_REQ => {
                self.ended.retain(|(key, opaque), _| key.vbucket != vbucket || *opaque != header.opaque);
            }
            Direction::From if dcp::is_stream_message(header.opcode) && seen.entry.origin == Origin::Peer => {
                let stream = self.ended.iter_mut().find(|((key, opaque), _)| {
                    key.vbucket == vbucket
                        && *opaque == header.opaque
                        && (head.stream_id.is_none() || head.stream_id == key.stream_id)
                });
                let Some((_, ended)) = stream else { return };
                match ended {
                    None if header.opcode == Opcode::DCP_STREAM_END => *ended = Some(seen.entry.at),
                    None => {}
                    Some(at) => {
                        let seqno = head.message.as_ref().ok().and_then(|message| message.by_seqno());
                        let mut found = finding(Verdict::Fail)
                            .expected("nothing of the stream after its STREAM_END")
                            .actual(format!("{} {} ms after it", header.opcode, seen.entry.at.since(*at).as_millis()))
                            .at(seen.entry.at)
                            .vbucket(vbucket);
                        found.seqno = seqno;
                        self.after_end.get_or_insert(found);
                    }
                }
            }
            Direction::To | Direction::From => {}
        }
    }

    pub(super) fn findings(&self, end: &End<'_>) -> Vec<Finding> {
        if let Some(failed) = &self.after_end {
            return vec![failed.clone()];
        }
        let Some(step) = end.story.steps.last() else { return Vec::new() };
        let negotiated = end.session.controls().is_true("send_stream_end_on_client_close_stream");
        let missing = self.ended.iter().find(|(_, ended)| ended.is_none());
        let stream = missing.and_then(|((key, opaque), _)| end.session.streams().of(*key, *opaque));
        // It owes a STREAM_END only where it has said that it closed, the window has room, and there was time.
        let owes = stream.is_some_and(|stream| {
            stream.close.is_some_and(|close| {
                close
                    .answered
                    .is_some_and(|(_, at)| end.story.settled.is_some_and(|settled| settled.since(at) >= end.settle))
            })
        });
        match missing {
            Some(((key, _), _)) if negotiated && owes && end.session.flow().has_room() && !end.story.paused => vec![
                finding(Verdict::Fail)
                    .expected("STREAM_END after CLOSE_STREAM was answered")
                    .actual("none came, with room in the window")
                    .at(step.at)
                    .vbucket(key.vbucket),
            ],
            Some(_) => Vec::new(),
            None => vec![
                finding(Verdict::Pass)
                    .expected("nothing of a stream after its STREAM_END")
                    .actual(format!("{} streams closed, nothing came after their ends", self.ended.len())),
            ],
        }
    }
}

fn finding(verdict: Verdict) -> Finding {
    Finding::new(ID, DEMANDS, verdict).about(About::Role(Role::Producer))
}
