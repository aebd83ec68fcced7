use std::time::Duration;

use super::End;
use super::Seen;
use super::story::ReplayStory;
use crate::journal::Act;
use crate::journal::Role;
use crate::journal::What;
use crate::verdict::About;
use crate::verdict::Finding;
use crate::verdict::Verdict;
use crate::wire::Status;

const ID: &str = "stream-resumes";
const DEMANDS: &str = "a closed stream can be requested again, and goes on from where the consumer was";

/// Whether a cut stream, requested again by the tool, goes on from where the consumer was (design.md §5.3).
#[derive(Debug)]
pub(super) struct Resumes {
    /// How long the stream must have been silent, when the tool closed it, to have stopped.
    silence: Duration,
    finding: Option<Finding>,
}

impl Resumes {
    pub(super) fn new(settle: Duration) -> Self {
        Self { silence: settle * 3, finding: None }
    }

    pub(super) fn observe(&mut self, seen: &Seen<'_>) {
        // A replay is over when the next cut fires, or all has settled.
        let over = matches!(&seen.entry.what, What::Acted(Act::Fired { .. } | Act::Settling | Act::Settled));
        if over && let Some(replay) = &seen.before {
            self.judge(replay, seen);
        }
    }

    fn judge(&mut self, replay: &ReplayStory, seen: &Seen<'_>) {
        let judged = self.of(replay, seen);
        if self.finding.as_ref().is_none_or(|finding| judged.verdict > finding.verdict) {
            self.finding = Some(judged);
        }
    }

    fn of(&self, replay: &ReplayStory, seen: &Seen<'_>) -> Finding {
        let expected =
            format!("Success to STREAM_REQ, and messages after seqno {} up to {}", replay.start_seqno, replay.goal);
        let finding = |verdict| {
            Finding::new(ID, DEMANDS, verdict)
                .about(About::Role(Role::Producer))
                .expected(expected.clone())
                .at(seen.entry.at)
                .vbucket(replay.key.vbucket)
        };
        match replay.answer {
            None => finding(Verdict::Inconclusive).actual("STREAM_REQ was not answered"),
            // The vbucket moved, was rolled back, or is not to be had for now: nothing that the close has to do with.
            Some(
                status @ (Status::NOT_MY_VBUCKET
                | Status::ROLLBACK
                | Status::ETMPFAIL
                | Status::ENOMEM
                | Status::EACCESS
                | Status::EBUSY
                | Status::UNKNOWN_COLLECTION
                | Status::UNKNOWN_SCOPE),
            ) => finding(Verdict::Inconclusive).actual(format!("STREAM_REQ was answered {status}")),
            Some(Status::SUCCESS) => {
                if let Some((at, seqno, wrong)) = &replay.wrong {
                    return finding(Verdict::Fail).actual(wrong.clone()).at(*at).seqno(*seqno);
                }
                let came = format!("{} messages up to seqno {}", replay.messages, replay.reached);
                let silent = replay.closed_after.is_some_and(|silent| silent >= self.silence);
                if replay.reached >= replay.goal {
                    finding(Verdict::Pass).actual(came)
                } else if replay.ended {
                    finding(Verdict::Inconclusive).actual(format!("{came}, then the producer ended it"))
                } else if !seen.session.flow().has_room() || seen.story.paused {
                    finding(Verdict::Inconclusive).actual(format!("{came}, then the window was full"))
                } else if silent {
                    finding(Verdict::Fail).actual(format!("{came}, then nothing")).seqno(replay.reached)
                } else {
                    finding(Verdict::Inconclusive).actual(format!("{came}, and more may have been to come"))
                }
            }
            Some(status) => finding(Verdict::Fail).actual(format!("STREAM_REQ was answered {status}")),
        }
    }

    pub(super) fn findings(&self, _end: &End<'_>) -> Vec<Finding> {
        self.finding.iter().cloned().collect()
    }
}
