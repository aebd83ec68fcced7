use std::time::Duration;

use super::Toolbox;
use crate::Timestamp;
use crate::engine::Action;
use crate::engine::Actions;
use crate::journal::Side;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// How long after the last orphaned response a proof of life is asked for, at least: one that follows in the same burst
/// is answered by producers which have decided to close (real-servers.md §2).
pub const PROOF_AFTER: Duration = Duration::from_millis(150);

/// A proof of life of the producer: a plain NOOP, injected, whose answer is withheld.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Proof {
    /// None is wanted.
    #[default]
    Idle,
    /// One is to be asked for at that time.
    Due(Timestamp),
    /// It was asked for.
    Asked {
        /// The NOOP's opaque.
        opaque: Opaque,
        /// When.
        at: Timestamp,
    },
}

impl Proof {
    /// Wants a proof some time after `now`; one that was asked for before proves nothing any more.
    pub fn want(&mut self, now: Timestamp, after: Duration) {
        *self = Self::Due(now + after);
    }

    /// Asks, when it is time.
    pub fn step(&mut self, producer: Side, tools: &mut Toolbox, now: Timestamp, actions: &mut Actions) {
        if let Self::Due(at) = *self
            && at <= now
        {
            let opaque = tools.opaque();
            let frame = FrameBuilder::request(Opcode::NOOP).opaque(opaque).build();
            actions.push(Action::Inject { to: producer, frame });
            *self = Self::Asked { opaque, at: now };
        }
    }

    /// Whether an answer is that to this proof's NOOP, which is then given.
    pub fn given(&mut self, opcode: Opcode, opaque: Opaque) -> bool {
        let given = opcode == Opcode::NOOP && matches!(*self, Self::Asked { opaque: asked, .. } if asked == opaque);
        if given {
            *self = Self::Idle;
        }
        given
    }

    /// When [`Self::step`] has something to do.
    pub const fn wakeup(&self) -> Option<Timestamp> {
        match self {
            Self::Due(at) => Some(*at),
            Self::Idle | Self::Asked { .. } => None,
        }
    }

    /// Since when an answer is awaited.
    pub const fn asked_at(&self) -> Option<Timestamp> {
        match self {
            Self::Asked { at, .. } => Some(*at),
            Self::Idle | Self::Due(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::era::Era;

    #[test]
    fn it_is_asked_for_when_it_is_time_and_given_by_its_own_answer() {
        let mut tools = Toolbox::new(Era::V7_0, Duration::from_secs(2), false);
        let (mut proof, mut actions) = (Proof::Idle, Actions::new());
        let step = |proof: &mut Proof, tools: &mut Toolbox, actions: &mut Actions, at| {
            proof.step(Side::Upstream, tools, Timestamp(at), actions);
        };
        step(&mut proof, &mut tools, &mut actions, 5);
        proof.want(Timestamp(10), PROOF_AFTER);
        let due = 10 + 150_000_000;
        assert_eq!(proof.wakeup(), Some(Timestamp(due)));
        step(&mut proof, &mut tools, &mut actions, due - 1);
        assert!(actions.is_empty());
        step(&mut proof, &mut tools, &mut actions, due);
        step(&mut proof, &mut tools, &mut actions, due + 1);
        let opaque = Opaque([0xdc, 0x0d, 0, 1]);
        let frame = FrameBuilder::request(Opcode::NOOP).opaque(opaque).build();
        assert_eq!(actions, [Action::Inject { to: Side::Upstream, frame }]);
        assert_eq!((proof.asked_at(), proof.wakeup()), (Some(Timestamp(due)), None));
        assert!(!proof.given(Opcode::NOOP, Opaque::default()));
        assert!(!proof.given(Opcode::NOOP, Opaque([0xdc, 0x0d, 0, 2])), "another proof's answer");
        assert!(!proof.given(Opcode::DCP_NOOP, opaque));
        assert!(proof.given(Opcode::NOOP, opaque) && proof == Proof::Idle);
        assert!(!proof.given(Opcode::NOOP, opaque));
    }

    #[test]
    fn one_that_is_wanted_anew_is_asked_for_anew() {
        let mut tools = Toolbox::new(Era::V7_0, Duration::from_secs(2), false);
        let (mut proof, mut actions) = (Proof::Idle, Actions::new());
        proof.want(Timestamp(0), Duration::ZERO);
        proof.step(Side::Upstream, &mut tools, Timestamp(0), &mut actions);
        proof.want(Timestamp(5), Duration::ZERO);
        assert!(!proof.given(Opcode::NOOP, Opaque([0xdc, 0x0d, 0, 1])), "the answer to the one before proves nothing");
        proof.step(Side::Upstream, &mut tools, Timestamp(5), &mut actions);
        assert_eq!(actions.len(), 2);
    }
}
