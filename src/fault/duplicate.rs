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
use crate::dcp::Message;
use crate::engine::Action;
use crate::engine::Event;

/// The frame is sent again, right behind itself. What a copy is answered with goes to nobody (law L3); what the consumer
/// acknowledges for it is kept from the producer, as are the bytes that a copy of an acknowledgement adds.
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
            if !scene.is_decided() {
                scene.actions.push(Action::Forward);
            }
            let bytes = Bytes::copy_from_slice(frame.bytes());
            for _ in 0..times {
                scene.actions.push(Action::Append { to: from.other(), frame: bytes.clone() });
            }
            if books {
                let added = match &head.message {
                    _ if *from == scene.producer => dcp::charge(&head.header),
                    Ok(Message::BufferAck(ack)) => ack.bytes_to_ack,
                    _ => 0,
                };
                scene.will_be_acknowledged(added.saturating_mul(times));
            }
        }))
    }
}
