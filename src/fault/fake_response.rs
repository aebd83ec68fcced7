use serde::Deserialize;
use serde::Serialize;

use super::Fault;
use super::Scene;
use super::Shot;
use super::Spec;
use super::body::Body;
use super::once::once;
use crate::engine::Action;
use crate::engine::Event;
use crate::units;
use crate::wire::FrameBuilder;
use crate::wire::Status;

/// The request goes no further, and the tool answers it.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FakeResponseSpec {
    /// With which status.
    #[serde(with = "units::text")]
    pub status: Status,
    /// With a seqno of 8 bytes as its value, as Rollback has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seqno: Option<u64>,
    /// With this text as its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// With a made-up cluster map of so many bytes as its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_size: Option<units::Size>,
}

impl Spec for FakeResponseSpec {
    fn fire(&self, shot: &Shot, _: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        shot.from.filter(|_| shot.is_request)?;
        let status = self.status;
        let value = match self.seqno {
            Some(seqno) => seqno.to_be_bytes().to_vec(),
            None => Body::of(self.body.as_deref(), self.body_size).bytes(),
        };
        Some(once(move |event, scene| {
            let Event::Frame { from, head, .. } = event else { return };
            scene.actions.push(Action::Drop);
            match scene.take_acknowledged(*from, head) {
                0 if *from == scene.producer => scene.give_back_charge(&head.header),
                0 => {}
                bytes => scene.give_back(bytes),
            }
            let frame = FrameBuilder::response(head.header.opcode, status).opaque(head.header.opaque).value(value);
            scene.actions.push(Action::Inject { to: *from, frame: frame.build() });
        }))
    }
}
