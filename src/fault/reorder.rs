use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::Serialize;

use super::Fault;
use super::Scene;
use super::Shot;
use super::Spec;
use crate::Timestamp;
use crate::engine::Action;
use crate::engine::Event;
use crate::journal::Side;

/// The frame lets some that its end says later pass, and goes on then.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReorderSpec {
    /// How many pass; one where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<NonZeroU32>,
}

impl Spec for ReorderSpec {
    fn fire(&self, shot: &Shot, scene: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        let from = shot.from.filter(|_| shot.is_whole)?;
        let pass = self.behind.map_or(1, NonZeroU32::get);
        Some(Box::new(Reorder { from, pass, kept: None, until: scene.now + AT_MOST, is_done: false }))
    }
}

/// A frame that nothing comes behind goes on after this.
const AT_MOST: Duration = Duration::from_secs(1);

struct Reorder {
    from: Side,
    pass: u32,
    kept: Option<Bytes>,
    until: Timestamp,
    is_done: bool,
}

/// Documents do not show (law L9).
impl std::fmt::Debug for Reorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reorder").field("from", &self.from).field("pass", &self.pass).finish_non_exhaustive()
    }
}

impl Fault for Reorder {
    fn on_event(&mut self, event: &Event<'_>, scene: &mut Scene<'_>) {
        let mut over = scene.now >= self.until;
        match event {
            Event::Frame { from, frame, .. } if *from == self.from => {
                if self.kept.is_none() && !self.is_done {
                    self.kept = Some(Bytes::copy_from_slice(frame.bytes()));
                    return scene.actions.push(Action::Drop);
                }
                self.pass -= 1;
                over |= self.pass == 0;
            }
            // It goes before the close.
            Event::Closed { .. } | Event::Raw { .. } => over = true,
            Event::Frame { .. } | Event::Answer { .. } | Event::Paused { .. } | Event::Wakeup | Event::Settle => {}
        }
        if over && self.kept.is_some() {
            self.call_off(scene);
        }
    }

    fn wakeup(&self) -> Option<Timestamp> {
        Some(self.until)
    }

    fn is_done(&self) -> bool {
        self.is_done
    }

    fn call_off(&mut self, scene: &mut Scene<'_>) {
        self.is_done = true;
        let to = self.from.other();
        scene.actions.extend(self.kept.take().map(|frame| Action::Resume { to, frame }));
    }
}
