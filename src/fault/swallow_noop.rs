use serde::Deserialize;
use serde::Serialize;

use super::Fault;
use super::Scene;
use super::Shot;
use super::Spec;
use super::flowing::Lasts;
use crate::Timestamp;
use crate::engine::Action;
use crate::engine::Event;
use crate::units::Span;
use crate::wire::Opcode;

/// DCP_NOOPs do not arrive: the producer's requests, or the consumer's answers.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwallowNoopSpec {
    /// The answers, not the requests.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub answers: bool,
    /// For how long; without end where it is not said.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
}

impl Spec for SwallowNoopSpec {
    fn fire(&self, _: &Shot, scene: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        Some(Box::new(SwallowNoop { answers: self.answers, lasts: Lasts::from(scene.now, self.lasts), is_done: false }))
    }
}

#[derive(Debug)]
struct SwallowNoop {
    answers: bool,
    lasts: Lasts,
    is_done: bool,
}

impl Fault for SwallowNoop {
    fn on_event(&mut self, event: &Event<'_>, scene: &mut Scene<'_>) {
        self.is_done = self.lasts.is_over(scene.now);
        if let Event::Frame { from, head, .. } = event
            && !self.is_done
            && head.header.opcode == Opcode::DCP_NOOP
            && head.header.is_response() == self.answers
            && (*from == scene.producer) != self.answers
        {
            scene.actions.push(Action::Drop);
        }
    }

    fn wakeup(&self) -> Option<Timestamp> {
        self.lasts.until()
    }

    fn is_done(&self) -> bool {
        self.is_done
    }

    fn call_off(&mut self, _: &mut Scene<'_>) {
        self.is_done = true;
    }
}
