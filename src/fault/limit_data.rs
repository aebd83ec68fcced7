use serde::Deserialize;
use serde::Serialize;

use super::EndsBy;
use super::Fault;
use super::Scene;
use super::Shot;
use super::Spec;
use super::disconnect::close;
use super::flowing::speaker;
use super::role;
use super::truncate::Then;
use crate::Timestamp;
use crate::engine::Action;
use crate::engine::Event;
use crate::journal::Role;
use crate::journal::Side;

/// After so many bytes of an end, counted from the frame on at which it fires, both are closed, wherever in a frame that is.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LimitDataSpec {
    /// How many.
    pub bytes: u64,
    /// Whose; those of the end at whose frame it fires.
    #[serde(default, with = "role", skip_serializing_if = "Option::is_none")]
    pub from: Option<Role>,
    /// How they are closed.
    #[serde(default)]
    pub then: Then,
}

impl Spec for LimitDataSpec {
    fn fire(&self, shot: &Shot, scene: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        let from = speaker(self.from, shot, scene);
        let how = self.then.ends_by().unwrap_or(EndsBy::Fin);
        Some(Box::new(LimitData { from, left: self.bytes, how, over: false, is_off: false }))
    }
}

#[derive(Debug)]
struct LimitData {
    from: Side,
    left: u64,
    how: EndsBy,
    over: bool,
    is_off: bool,
}

impl Fault for LimitData {
    fn on_event(&mut self, event: &Event<'_>, scene: &mut Scene<'_>) {
        match event {
            Event::Frame { from, frame, .. } if *from == self.from && !self.over => {
                let len = frame.header().frame_len();
                if len < self.left {
                    self.left -= len;
                    return;
                }
                self.over = true;
                scene.actions.push(Action::Truncate(usize::try_from(self.left).unwrap_or(usize::MAX)));
                close(&[from.other(), *from], self.how, scene);
            }
            Event::Frame { .. } | Event::Raw { .. } if self.over => scene.actions.push(Action::Drop),
            Event::Frame { .. }
            | Event::Raw { .. }
            | Event::Answer { .. }
            | Event::Closed { .. }
            | Event::Paused { .. }
            | Event::Wakeup
            | Event::Settle => {}
        }
    }

    fn wakeup(&self) -> Option<Timestamp> {
        None
    }

    fn is_done(&self) -> bool {
        self.is_off
    }

    /// Ends that were closed stay closed.
    fn call_off(&mut self, _: &mut Scene<'_>) {
        self.is_off = !self.over;
    }
}
