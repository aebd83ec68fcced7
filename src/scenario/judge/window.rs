use std::time::Duration;

use super::End;
use super::Seen;
use crate::Timestamp;
use crate::journal::Act;
use crate::journal::Direction;
use crate::journal::Origin;
use crate::journal::Role;
use crate::journal::What;
use crate::verdict::About;
use crate::verdict::Finding;
use crate::verdict::Verdict;
use crate::wire::Opcode;

const ID: &str = "window-restored";
const DEMANDS: &str = "the flow-control window is not leaked: after a close as much may be in flight as before";

/// Whether what was acknowledged came back to the window (design.md §5.4).
///
/// The tool makes the window small and acknowledges nothing of its own stream. A producer whose count is right goes on
/// until that window is full; one that has lost bytes stops before.
#[derive(Debug)]
pub(super) struct Window {
    /// How long the producer must have been silent to have stopped: a backfill may take its time.
    silence: Duration,
    trial: Option<Trial>,
    finding: Option<Finding>,
}

#[derive(Debug)]
struct Trial {
    window: u64,
    /// The most that was in flight behind a message that was sent under this window.
    most: Option<u64>,
    /// NOOPs answered since anything changed that could make the producer go on.
    proofs: u32,
    /// Such an answer counts if it was asked after that time.
    quiet_since: Timestamp,
    /// When the last message came, or the stream was asked for.
    message_at: Timestamp,
}

impl Window {
    pub(super) fn new(settle: Duration) -> Self {
        Self { silence: settle * 3, trial: None, finding: None }
    }

    /// Whether nothing is being tried.
    pub(super) const fn is_at_rest(&self) -> bool {
        self.trial.is_none()
    }

    pub(super) fn observe(&mut self, seen: &Seen<'_>) {
        let at = seen.entry.at;
        match (&seen.entry.what, seen.entry.direction) {
            (What::Acted(Act::Narrowed(Some(window))), _) => {
                self.trial =
                    Some(Trial { window: u64::from(*window), most: None, proofs: 0, quiet_since: at, message_at: at });
            }
            (What::Acted(Act::Narrowed(None) | Act::Fired { .. } | Act::Settling | Act::Settled), _)
            | (What::Closed { .. }, _) => {
                if let Some(trial) = self.trial.take() {
                    self.judge(&trial, seen);
                }
            }
            (What::Frame(head), Direction::From) => {
                let Some(trial) = &mut self.trial else { return };
                if seen.context.charge > 0 {
                    let in_flight = seen.session.flow().outstanding();
                    trial.most = Some(trial.most.unwrap_or(0).max(in_flight));
                    trial.proofs = 0;
                    trial.quiet_since = at;
                    trial.message_at = at;
                } else if seen.entry.origin == Origin::Tool
                    && head.header.opcode == Opcode::NOOP
                    && seen.context.answers.is_some_and(|asked| asked.at > trial.quiet_since)
                {
                    trial.proofs += 1;
                }
            }
            (What::Frame(head), Direction::To) => {
                // Bytes given back, or the stream's request: the producer may need a moment to go on.
                if let Some(trial) = &mut self.trial
                    && matches!(head.header.opcode, Opcode::DCP_BUFFER_ACK | Opcode::DCP_STREAM_REQ)
                {
                    trial.proofs = 0;
                    trial.quiet_since = at;
                    if head.header.opcode == Opcode::DCP_STREAM_REQ {
                        trial.message_at = at;
                    }
                }
            }
            (What::FramingLost(_) | What::Gap(_) | What::Paused(_) | What::Acted(_), _) => {}
        }
    }

    fn judge(&mut self, trial: &Trial, seen: &Seen<'_>) {
        let Some(replay) = seen.before.as_ref().or(seen.story.replay.as_ref()) else { return };
        let most =
            trial.most.unwrap_or(0).max(if trial.most.is_none() { 0 } else { seen.session.flow().outstanding() });
        let finding = |verdict| {
            Finding::new(ID, DEMANDS, verdict)
                .about(About::Role(Role::Producer))
                .expected(format!("messages until {} bytes are in flight, as the window allows", trial.window))
                .at(seen.entry.at)
                .vbucket(replay.key.vbucket)
        };
        let flow = seen.session.flow();
        // The consumer has set another window meanwhile, or turned it off: the trial is not of that one.
        if flow.window() != Some(trial.window) {
            return;
        }
        let in_flight = flow.outstanding();
        let silent = seen.entry.at.since(trial.message_at.max(seen.story.resumed_at)) >= self.silence;
        let open = replay.answer == Some(crate::wire::Status::SUCCESS) && !replay.ended;
        let judged = if trial.most.is_some() && most >= trial.window {
            finding(Verdict::Pass).actual(format!("{most} bytes in flight"))
        } else if open
            && silent
            && trial.proofs >= 1
            && in_flight < trial.window
            && replay.reached < replay.goal
            && !seen.story.paused
        {
            finding(Verdict::Fail).actual(format!(
                "the producer stopped at {in_flight} bytes in flight and answered {} NOOPs, with seqnos {} to {} still to come",
                trial.proofs,
                replay.reached.saturating_add(1),
                replay.goal,
            ))
        } else {
            // Everything came before the window was full: nothing is known of it.
            return;
        };
        if self.finding.as_ref().is_none_or(|finding| judged.verdict > finding.verdict) {
            self.finding = Some(judged);
        }
    }

    pub(super) fn findings(&self, _end: &End<'_>) -> Vec<Finding> {
        self.finding.iter().cloned().collect()
    }
}
