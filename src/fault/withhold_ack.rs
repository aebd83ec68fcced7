use serde::Deserialize;
use serde::Serialize;

use super::Fault;
use super::Scene;
use super::Shot;
use super::Spec;
use super::flowing::Lasts;
use crate::Timestamp;
use crate::dcp::Message;
use crate::engine::Action;
use crate::engine::Event;
use crate::units::Span;

/// The consumer's DCP_BUFFER_ACKs are kept back, and told in one when it is over; what they say of frames that the producer
/// never sent is left out.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WithholdAckSpec {
    /// Up to so many bytes of them; what is beyond goes on. All where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// For how long; without end where it is not said.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
    /// Whether they are never told: the window is smaller from then on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
}

impl Spec for WithholdAckSpec {
    fn fire(&self, _: &Shot, scene: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        let lasts = Lasts::from(scene.now, self.lasts);
        let left = self.bytes.unwrap_or(u64::MAX);
        Some(Box::new(WithholdAck { lasts, left, kept: 0, lost: self.lost, is_done: false }))
    }
}

#[derive(Debug)]
struct WithholdAck {
    lasts: Lasts,
    left: u64,
    kept: u64,
    lost: bool,
    is_done: bool,
}

impl Fault for WithholdAck {
    fn on_event(&mut self, event: &Event<'_>, scene: &mut Scene<'_>) {
        if self.lasts.is_over(scene.now) {
            return self.abandon(scene);
        }
        if let Event::Frame { from, head, .. } = event
            && *from != scene.producer
            && matches!(head.message, Ok(Message::BufferAck(_)))
            && self.left > 0
            && !scene.is_decided()
        {
            let bytes = scene.take_acknowledged(*from, head);
            let kept = u32::try_from(self.left).unwrap_or(u32::MAX).min(bytes);
            self.left -= u64::from(kept);
            self.kept += u64::from(kept);
            scene.actions.push(Action::Drop);
            if bytes > kept {
                scene.give_back(bytes - kept);
            }
        }
    }

    fn wakeup(&self) -> Option<Timestamp> {
        self.lasts.until()
    }

    fn owed(&self) -> u64 {
        self.kept
    }

    fn is_done(&self) -> bool {
        self.is_done
    }

    fn abandon(&mut self, scene: &mut Scene<'_>) {
        self.is_done = true;
        while !self.lost && self.kept > 0 {
            let bytes = u32::try_from(self.kept).unwrap_or(u32::MAX);
            self.kept -= u64::from(bytes);
            scene.give_back(bytes);
        }
    }
}
