use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use super::Fault;
use super::Scene;
use super::Shot;
use super::Spec;
use super::flowing::Lasts;
use super::flowing::some_of;
use super::flowing::speaker;
use super::role;
use crate::Timestamp;
use crate::engine::Action;
use crate::engine::Event;
use crate::journal::Role;
use crate::journal::Side;
use crate::units::Span;

/// What an end says arrives later, in its order, from the frame on at which it fires.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DelaySpec {
    /// By how much.
    pub by: Span,
    /// And up to so much more, by chance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Span>,
    /// Whose words; those of the end at whose frame it fires.
    #[serde(default, with = "role", skip_serializing_if = "Option::is_none")]
    pub from: Option<Role>,
    /// For how long; without end where it is not said.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
}

impl Spec for DelaySpec {
    fn fire(&self, shot: &Shot, scene: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        Some(Box::new(Delay {
            to: speaker(self.from, shot, scene).other(),
            by: self.by.0,
            jitter: self.jitter.unwrap_or_default().0,
            lasts: Lasts::from(scene.now, self.lasts),
            chance: shot.chance.clone(),
            is_done: false,
        }))
    }
}

#[derive(Debug)]
struct Delay {
    to: Side,
    by: Duration,
    jitter: Duration,
    lasts: Lasts,
    chance: fastrand::Rng,
    is_done: bool,
}

impl Fault for Delay {
    fn on_event(&mut self, event: &Event<'_>, scene: &mut Scene<'_>) {
        let to = self.to;
        if self.lasts.is_over(scene.now) {
            self.is_done = true;
            scene.actions.push(Action::Lag { to, by: None });
        } else if matches!(event, Event::Frame { from, .. } | Event::Closed { from, .. } if *from == to.other()) {
            let by = self.by + some_of(self.jitter, &mut self.chance);
            // It is there before the frame is.
            scene.actions.insert(0, Action::Lag { to, by: Some(by) });
        }
    }

    fn wakeup(&self) -> Option<Timestamp> {
        self.lasts.until()
    }

    fn is_done(&self) -> bool {
        self.is_done
    }

    fn call_off(&mut self, scene: &mut Scene<'_>) {
        self.is_done = true;
        scene.actions.push(Action::Lag { to: self.to, by: None });
    }
}
