//! `close_stream`: a stream is closed in the middle of a transfer (design.md §5).

mod cut;
mod plain;
mod position;
mod replay;

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::Serialize;

use super::Fault;
use super::Scene;
use super::Shot;
use super::Spec;
use crate::Timestamp;
use crate::engine::Event;
use crate::session::Session;
use crate::session::StreamKey;
use crate::units;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;
use cut::Cut;
use plain::Plain;
use position::Position;

pub use cut::is_brought_by_the_close;

/// Where a stream is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CloseAt {
    /// The tool plays a consumer whose stream is gone; for any consumer.
    #[default]
    Cut,
    /// STREAM_END is forged towards a consumer node, which then answers every later message itself.
    End,
    /// CLOSE_STREAM goes to a consumer node.
    Consumer,
    /// CLOSE_STREAM goes to the producer.
    Producer,
    /// CLOSE_STREAM goes to the consumer node, then to the producer, as a cluster manager does.
    Both,
}

impl CloseAt {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Cut, Self::End, Self::Consumer, Self::Producer, Self::Both];

    /// The name that scenarios use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::End => "end",
            Self::Consumer => "consumer",
            Self::Producer => "producer",
            Self::Both => "both",
        }
    }
}

impl fmt::Display for CloseAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CloseAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|at| at.name() == text)
            .ok_or_else(|| format!("expected cut, end, consumer, producer or both, found '{text}'"))
    }
}

/// The stream that is closed.
#[derive(Clone, Copy, Debug)]
struct Target {
    key: StreamKey,
    opaque: Opaque,
}

/// Closes a stream, in the middle of a transfer.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CloseStreamSpec {
    /// Where.
    #[serde(default, with = "units::text")]
    pub at: CloseAt,
    /// At `cut`: the messages that are answered; all of them where it is empty.
    #[serde(default, with = "units::texts", skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Opcode>,
    /// At `cut`: the status that they are answered with, whatever the era's consumer says and its producer may do.
    #[serde(default, with = "units::text_option", skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

impl Spec for CloseStreamSpec {
    fn fire(&self, shot: &Shot, scene: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
        let struck = shot.struck.clone()?;
        let target = Target { key: struck.key, opaque: struck.opaque };
        let course = match self.at {
            CloseAt::Cut => {
                let position = Position::of(scene.consumer(), &struck.key, struck.filter)?;
                Course::Cut(Box::new(Cut::new(target, position, self.clone(), scene.now)))
            }
            CloseAt::End | CloseAt::Consumer | CloseAt::Producer | CloseAt::Both => {
                Course::Plain(Plain::fire(self.at, target, scene))
            }
        };
        Some(Box::new(CloseStream(course)))
    }

    fn wants_stream(&self) -> bool {
        true
    }

    fn closes_stream(&self) -> bool {
        true
    }

    fn makes_orphans(&self) -> bool {
        matches!(self.at, CloseAt::Cut | CloseAt::End)
    }
}

/// One stream being closed, from its trigger until everything about it has been seen.
#[derive(Debug)]
struct CloseStream(Course);

#[derive(Debug)]
enum Course {
    Cut(Box<Cut>),
    Plain(Plain),
}

impl Fault for CloseStream {
    fn on_event(&mut self, event: &Event<'_>, scene: &mut Scene<'_>) {
        match &mut self.0 {
            Course::Cut(cut) => cut.on_event(event, scene),
            Course::Plain(plain) => plain.on_event(event, scene),
        }
    }

    fn wakeup(&self) -> Option<Timestamp> {
        match &self.0 {
            Course::Cut(cut) => cut.wakeup(),
            Course::Plain(plain) => plain.wakeup(),
        }
    }

    fn owed(&self) -> u64 {
        match &self.0 {
            Course::Cut(cut) => cut.owed(),
            Course::Plain(_) => 0,
        }
    }

    fn is_done(&self) -> bool {
        match &self.0 {
            Course::Cut(cut) => cut.is_done(),
            Course::Plain(plain) => plain.is_done(),
        }
    }

    fn blocks(&self) -> bool {
        true
    }

    fn abandon(&mut self, scene: &mut Scene<'_>) {
        match &mut self.0 {
            Course::Cut(cut) => cut.abandon(scene),
            Course::Plain(_) => {}
        }
    }

    fn call_off(&mut self, scene: &mut Scene<'_>) {
        match &mut self.0 {
            Course::Cut(cut) => cut.call_off(scene),
            Course::Plain(plain) => plain.call_off(scene),
        }
    }
}

/// An answer that the tool was waiting for.
fn is_answer(event: &Event<'_>, opcode: Opcode, opaque: Opaque) -> Option<Status> {
    match event {
        Event::Answer { head, .. } if head.header.opcode == opcode && head.header.opaque == opaque => {
            head.header.status()
        }
        Event::Answer { .. }
        | Event::Frame { .. }
        | Event::Raw { .. }
        | Event::Closed { .. }
        | Event::Paused { .. }
        | Event::Wakeup
        | Event::Settle => None,
    }
}

/// Whether the producer has agreed to say STREAM_END once it has closed a stream on request (dcp-protocol.md §3.4).
fn says_stream_end(session: &Session) -> bool {
    session.controls().is_true("send_stream_end_on_client_close_stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for at in CloseAt::ALL {
            assert_eq!(at.to_string().parse(), Ok(at));
        }
        let error = "Cut".parse::<CloseAt>().unwrap_err();
        assert_eq!(error, "expected cut, end, consumer, producer or both, found 'Cut'");
        assert_eq!(CloseAt::default(), CloseAt::Cut);
    }
}
