use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use super::Fault;
use super::Scene;
use super::Shot;
use super::Spec;
use crate::Timestamp;
use crate::dcp::Message;
use crate::engine::Action;
use crate::engine::Event;

/// The frame goes no further. The bytes of a message are given back to the producer's window, as no consumer will; those of an
/// acknowledgement are told with the next one, or after a second.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DropSpec {
    /// Whether the books of flow control are kept right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub books: Option<bool>,
}

impl Spec for DropSpec {
    fn fire(&self, shot: &Shot, scene: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        shot.from?;
        let books = self.books.unwrap_or(true);
        Some(Box::new(Dropped { books, owed: 0, until: scene.now + AT_MOST, fired: false }))
    }
}

/// A consumer that has nothing to acknowledge meanwhile may wait for a producer that may say no more.
const AT_MOST: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Dropped {
    books: bool,
    /// Bytes of the acknowledgement that went no further.
    owed: u32,
    until: Timestamp,
    fired: bool,
}

impl Fault for Dropped {
    fn on_event(&mut self, event: &Event<'_>, scene: &mut Scene<'_>) {
        if std::mem::replace(&mut self.fired, true) {
            let next = matches!(event, Event::Frame { from, head, .. }
                if *from != scene.producer && matches!(head.message, Ok(Message::BufferAck(_))));
            if next || scene.now >= self.until {
                self.abandon(scene);
            }
            return;
        }
        let Event::Frame { from, head, .. } = event else { return };
        scene.actions.push(Action::Drop);
        if self.books && *from == scene.producer {
            scene.give_back_charge(&head.header);
        } else if self.books {
            self.owed = scene.take_acknowledged(*from, head);
        }
    }

    fn wakeup(&self) -> Option<Timestamp> {
        (self.owed > 0).then_some(self.until)
    }

    fn owed(&self) -> u64 {
        self.owed.into()
    }

    fn is_done(&self) -> bool {
        self.fired && self.owed == 0
    }

    fn abandon(&mut self, scene: &mut Scene<'_>) {
        match std::mem::take(&mut self.owed) {
            0 => {}
            owed => scene.give_back(owed),
        }
    }
}
