use serde::Deserialize;
use serde::Serialize;

use super::Fault;
use super::Scene;
use super::Shot;
use super::Spec;
use super::flowing::speaker;
use super::once::once;
use super::role;
use crate::Timestamp;
use crate::engine::Action;
use crate::engine::Event;
use crate::engine::FOR_EVER;
use crate::journal::Role;
use crate::journal::Side;
use crate::units::Span;

/// What an end says, its close too, is held back, from the frame on at which it fires.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HoldSpec {
    /// Whose words; those of the end at whose frame it fires.
    #[serde(with = "role", skip_serializing_if = "Option::is_none")]
    pub from: Option<Role>,
    /// For how long; until a `release` where it is not said.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
}

impl Spec for HoldSpec {
    fn fire(&self, shot: &Shot, scene: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        let to = speaker(self.from, shot, scene).other();
        let until = self.lasts.map_or(FOR_EVER, |Span(span)| scene.now + span);
        Some(Box::new(Held { to, until, phase: Phase::Due }))
    }
}

#[derive(Debug)]
struct Held {
    to: Side,
    until: Timestamp,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Due,
    Holding,
    Done,
}

impl Fault for Held {
    fn on_event(&mut self, _: &Event<'_>, scene: &mut Scene<'_>) {
        let (to, until) = (self.to, self.until);
        match self.phase {
            Phase::Due => {
                self.phase = Phase::Holding;
                scene.actions.insert(0, Action::Hold { to, until });
            }
            Phase::Holding if until <= scene.now => self.phase = Phase::Done,
            Phase::Holding | Phase::Done => {}
        }
    }

    /// The engine knows when it ends.
    fn wakeup(&self) -> Option<Timestamp> {
        None
    }

    fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    fn call_off(&mut self, scene: &mut Scene<'_>) {
        if self.phase == Phase::Holding {
            scene.actions.push(Action::Release { to: self.to });
        }
        self.phase = Phase::Done;
    }
}

/// What was held back goes on.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReleaseSpec {
    /// Whose words; both ends' where it is not said.
    #[serde(with = "role", skip_serializing_if = "Option::is_none")]
    pub from: Option<Role>,
}

impl Spec for ReleaseSpec {
    fn fire(&self, _: &Shot, scene: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        let producer = scene.producer;
        let to: Vec<_> = match self.from {
            Some(Role::Producer) => vec![producer.other()],
            Some(Role::Consumer) => vec![producer],
            None => vec![producer, producer.other()],
        };
        Some(once(move |_, scene| {
            scene.actions.extend(to.into_iter().map(|to| Action::Release { to }));
        }))
    }
}
