use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use super::Fault;
use super::Scene;
use super::Shot;
use super::Spec;
use super::flowing::Lasts;
use super::flowing::speaker;
use super::role;
use crate::Timestamp;
use crate::engine::Action;
use crate::engine::Event;
use crate::engine::Pace;
use crate::journal::Role;
use crate::journal::Side;
use crate::units::Size;
use crate::units::Span;

/// What an end says arrives at a rate.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ThrottleSpec {
    /// Bytes a second, such as `100KB`.
    pub rate: Size,
    /// Whose words; those of the end at whose frame it fires.
    #[serde(default, with = "role", skip_serializing_if = "Option::is_none")]
    pub from: Option<Role>,
    /// For how long; without end where it is not said.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
}

/// What an end says arrives in pieces, whatever the frames are.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SliceSpec {
    /// Bytes of a piece.
    pub size: Size,
    /// How long between two; 1 ms where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// Whose words; those of the end at whose frame it fires.
    #[serde(default, with = "role", skip_serializing_if = "Option::is_none")]
    pub from: Option<Role>,
    /// For how long; without end where it is not said.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
}

/// Pieces are sent so often, at least one byte each.
const TICKS_PER_SECOND: u64 = 100;

impl Spec for ThrottleSpec {
    fn fire(&self, shot: &Shot, scene: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        // Slower than a byte a tick: the tick is longer.
        let rate = self.rate.0.max(1);
        let (bytes, every) = match rate / TICKS_PER_SECOND {
            0 => (1, Duration::from_secs(1) / u32::try_from(rate).unwrap_or(u32::MAX)),
            bytes => (bytes, Duration::from_secs(1) / TICKS_PER_SECOND as u32),
        };
        let pace = Pace { bytes: usize::try_from(bytes).unwrap_or(usize::MAX), every };
        Some(Paced::begin(speaker(self.from, shot, scene), pace, Lasts::from(scene.now, self.lasts)))
    }
}

impl Spec for SliceSpec {
    fn fire(&self, shot: &Shot, scene: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        let bytes = usize::try_from(self.size.0).unwrap_or(usize::MAX);
        let every = self.delay.map_or(Duration::from_millis(1), |Span(delay)| delay);
        let from = speaker(self.from, shot, scene);
        Some(Paced::begin(from, Pace { bytes, every }, Lasts::from(scene.now, self.lasts)))
    }
}

#[derive(Debug)]
struct Paced {
    to: Side,
    pace: Option<Pace>,
    lasts: Lasts,
    is_done: bool,
}

impl Paced {
    fn begin(from: Side, pace: Pace, lasts: Lasts) -> Box<dyn Fault> {
        Box::new(Self { to: from.other(), pace: Some(pace), lasts, is_done: false })
    }
}

impl Fault for Paced {
    fn on_event(&mut self, _: &Event<'_>, scene: &mut Scene<'_>) {
        let to = self.to;
        if let Some(pace) = self.pace.take() {
            scene.actions.insert(0, Action::Pace { to, pace: Some(pace) });
        } else if self.lasts.is_over(scene.now) && !self.is_done {
            self.is_done = true;
            scene.actions.push(Action::Pace { to, pace: None });
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
        scene.actions.push(Action::Pace { to: self.to, pace: None });
    }
}
