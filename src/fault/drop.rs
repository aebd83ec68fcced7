use serde::Deserialize;
use serde::Serialize;

use super::Fault;
use super::Scene;
use super::Shot;
use super::Spec;
use super::once::once;
use crate::engine::Action;
use crate::engine::Event;

/// The frame goes no further. Its bytes are given back to the producer's window, as no consumer will.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DropSpec {
    /// Whether the books of flow control are kept right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub books: Option<bool>,
}

impl Spec for DropSpec {
    fn fire(&self, shot: &Shot, _: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        shot.from?;
        let books = self.books.unwrap_or(true);
        Some(once(move |event, scene| {
            if let Event::Frame { from, head, .. } = event {
                scene.actions.push(Action::Drop);
                if books && *from == scene.producer {
                    scene.give_back_charge(&head.header);
                }
            }
        }))
    }
}
