use std::num::NonZeroU32;

use bytes::Bytes;
use serde::Deserialize;
use serde::Serialize;

use super::Fault;
use super::Scene;
use super::Shot;
use super::Spec;
use super::once::once;
use crate::dcp;
use crate::engine::Action;
use crate::engine::Event;

/// The frame is sent again, right behind itself. What the consumer acknowledges for it is kept from the producer.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DuplicateSpec {
    /// How often, once more where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<NonZeroU32>,
    /// Whether the books of flow control are kept right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub books: Option<bool>,
}

impl Spec for DuplicateSpec {
    fn fire(&self, shot: &Shot, _: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        if !shot.is_whole {
            return None;
        }
        let times = self.times.map_or(1, NonZeroU32::get);
        let books = self.books.unwrap_or(true);
        Some(once(move |event, scene| {
            let Event::Frame { from, frame, head, .. } = event else { return };
            let bytes = Bytes::copy_from_slice(frame.bytes());
            for _ in 0..times {
                scene.actions.push(Action::Resume { to: from.other(), frame: bytes.clone() });
            }
            if books && *from == scene.producer && scene.producer().flow().is_on() {
                scene.tools.will_be_acknowledged(dcp::charge(&head.header).saturating_mul(times));
            }
        }))
    }
}
