/// The course of a takeover, as the producer walks it (dcp-protocol.md §3.6).
///
/// ```text
/// sending -- caught up, all markers answered --> SET(pending) sent
///         -- answered, vbucket dead --> sending the rest
///         -- caught up, all markers answered --> SET(active) sent
///         -- answered --> done: STREAM_END
/// ```
#[derive(Clone, Copy, Debug)]
pub(super) struct Takeover {
    phase: Phase,
    /// Markers sent with Ack less responses to markers. Never below 0 but with quirk stray-marker-ack: then a response too
    /// many makes it negative, and the takeover never goes on (orphaned-responses.md §5.6).
    unanswered: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Sending,
    PendingSent,
    Finishing,
    ActiveSent,
    Done,
}

/// What is next in a takeover.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// More of the vbucket.
    Send,
    /// Nothing until an answer comes.
    Wait,
    /// SET_VBUCKET_STATE with this state.
    State(u8),
    /// STREAM_END.
    End,
}

const ACTIVE: u8 = 1;
const PENDING: u8 = 3;

impl Takeover {
    pub(super) const fn new() -> Self {
        Self { phase: Phase::Sending, unanswered: 0 }
    }

    /// A marker went out with the Ack flag.
    pub(super) const fn marker_sent(&mut self) {
        self.unanswered += 1;
    }

    /// A marker was answered, with any status. `strays_count`: also one that was not asked for.
    pub(super) const fn acknowledged(&mut self, strays_count: bool) {
        if self.unanswered > 0 || strays_count {
            self.unanswered -= 1;
        }
    }

    /// A vbucket state was answered, with any status; whether the vbucket is dead from here on.
    pub(super) fn state_answered(&mut self) -> bool {
        let before = self.phase;
        self.phase = match before {
            Phase::PendingSent => Phase::Finishing,
            Phase::ActiveSent => Phase::Done,
            Phase::Sending | Phase::Finishing | Phase::Done => before,
        };
        before == Phase::PendingSent
    }

    /// What is next. `caught_up`: the vbucket has no more than was sent.
    pub(super) const fn turn(&mut self, caught_up: bool) -> Turn {
        match self.phase {
            Phase::Sending | Phase::Finishing if !caught_up => Turn::Send,
            Phase::Sending | Phase::Finishing if self.unanswered != 0 => Turn::Wait,
            Phase::Sending => {
                self.phase = Phase::PendingSent;
                Turn::State(PENDING)
            }
            Phase::Finishing => {
                self.phase = Phase::ActiveSent;
                Turn::State(ACTIVE)
            }
            Phase::PendingSent | Phase::ActiveSent => Turn::Wait,
            Phase::Done => Turn::End,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_waits_for_every_marker_to_be_answered() {
        let mut takeover = Takeover::new();
        assert_eq!(takeover.turn(false), Turn::Send);
        takeover.marker_sent();
        assert_eq!(takeover.turn(true), Turn::Wait);
        takeover.acknowledged(false);
        assert_eq!(takeover.turn(true), Turn::State(3));
        assert_eq!(takeover.turn(false), Turn::Wait);
        assert!(takeover.state_answered());
        assert_eq!(takeover.turn(false), Turn::Send);
        takeover.marker_sent();
        assert_eq!(takeover.turn(true), Turn::Wait);
        takeover.acknowledged(false);
        assert_eq!(takeover.turn(true), Turn::State(1));
        assert!(!takeover.state_answered());
        assert_eq!(takeover.turn(true), Turn::End);
    }

    #[test]
    fn a_stray_answer_stops_it_for_ever_where_strays_count() {
        for (strays_count, expected) in [(true, Turn::Wait), (false, Turn::State(3))] {
            let mut takeover = Takeover::new();
            takeover.acknowledged(strays_count);
            assert_eq!(takeover.turn(true), expected);
        }
    }
}
