use serde::Deserialize;
use serde::Serialize;

use super::Fault;
use super::Scene;
use super::Shot;
use super::Spec;
use crate::Timestamp;
use crate::engine::Action;
use crate::engine::Event;
use crate::journal::How;
use crate::journal::Side;

/// How a connection is ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndsBy {
    /// FIN, and nothing that the end says is heard any more.
    #[default]
    Fin,
    /// RST.
    Rst,
    /// FIN, and what the end says is still heard.
    HalfClose,
}

/// Which ends are closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ends {
    /// The producer.
    Producer,
    /// The consumer.
    Consumer,
    /// Both.
    #[default]
    Both,
}

/// The connection is closed.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DisconnectSpec {
    /// How.
    pub how: EndsBy,
    /// Towards whom.
    pub end: Ends,
}

impl Spec for DisconnectSpec {
    fn fire(&self, _: &Shot, scene: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        let producer = scene.producer;
        let sides = match self.end {
            Ends::Producer => vec![producer],
            Ends::Consumer => vec![producer.other()],
            Ends::Both => vec![producer, producer.other()],
        };
        Some(Box::new(Disconnect { how: self.how, sides, closed: false }))
    }
}

#[derive(Debug)]
struct Disconnect {
    how: EndsBy,
    sides: Vec<Side>,
    closed: bool,
}

/// Closes ends, behind what was sent to them.
pub(super) fn close(sides: &[Side], how: EndsBy, scene: &mut Scene<'_>) {
    let how = match how {
        EndsBy::Fin | EndsBy::HalfClose => How::Fin,
        EndsBy::Rst => How::Reset,
    };
    scene.actions.extend(sides.iter().map(|&side| Action::Close { side, how }));
}

impl Fault for Disconnect {
    fn on_event(&mut self, event: &Event<'_>, scene: &mut Scene<'_>) {
        if !std::mem::replace(&mut self.closed, true) {
            return close(&self.sides, self.how, scene);
        }
        // What is said by an end that is closed is heard by nobody.
        if let Event::Frame { from, .. } | Event::Raw { from } = event
            && self.how != EndsBy::HalfClose
            && self.sides.contains(from)
        {
            scene.actions.push(Action::Drop);
        }
    }

    fn wakeup(&self) -> Option<Timestamp> {
        None
    }

    fn is_done(&self) -> bool {
        self.closed && self.how == EndsBy::HalfClose
    }
}
