use serde::Deserialize;
use serde::Serialize;

use super::Fault;
use super::Scene;
use super::Shot;
use super::Spec;
use super::body::Body;
use crate::Timestamp;
use crate::engine::Event;
use crate::units;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// Says to the producer, out of nothing, that a message was refused: one orphaned response, or several that are alike.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OrphanResponseSpec {
    /// To which message.
    #[serde(with = "units::text")]
    pub message: Opcode,
    /// With which status.
    #[serde(with = "units::text")]
    pub status: Status,
    /// How often.
    #[serde(default = "one")]
    pub count: u32,
    /// With this text as its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// With a made-up cluster map of so many bytes as its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_size: Option<units::Size>,
}

const fn one() -> u32 {
    1
}

impl Spec for OrphanResponseSpec {
    fn fire(&self, shot: &Shot, _: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        let stream = shot.struck.as_ref()?.opaque;
        let body = Body::of(self.body.as_deref(), self.body_size);
        let (message, status, count) = (self.message, self.status, self.count.into());
        Some(Box::new(OrphanResponse { message, status, body, stream, count, done: false }))
    }

    fn wants_stream(&self) -> bool {
        true
    }

    fn makes_orphans(&self) -> bool {
        true
    }
}

#[derive(Clone, Debug)]
struct OrphanResponse {
    message: Opcode,
    status: Status,
    body: Body,
    stream: Opaque,
    count: u64,
    done: bool,
}

impl Fault for OrphanResponse {
    fn on_event(&mut self, _event: &Event<'_>, scene: &mut Scene<'_>) {
        if !self.done {
            self.done = true;
            for _ in 0..self.count {
                scene.bursts.add_with(self.message, self.status, self.body.clone(), self.stream, scene.now);
            }
            scene.wanted.remove(&self.message);
        }
    }

    fn wakeup(&self) -> Option<Timestamp> {
        None
    }

    fn is_done(&self) -> bool {
        self.done
    }

    /// Its burst is followed by a proof of life.
    fn blocks(&self) -> bool {
        true
    }
}
