//! `close_stream`: a stream is closed in the middle of a transfer (design.md §5).

mod cut;
mod plain;
mod position;
mod replay;

use std::fmt;
use std::str::FromStr;

use super::Fault;
use super::Scene;
use crate::Timestamp;
use crate::engine::Event;
use crate::session::Session;
use crate::session::StreamKey;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;
use cut::Cut;
use plain::Plain;
use position::Position;

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

/// One stream being closed, from its trigger until everything about it has been seen.
#[derive(Debug)]
pub struct CloseStream(Course);

#[derive(Debug)]
enum Course {
    Cut(Box<Cut>),
    Plain(Plain),
}

impl CloseStream {
    /// Closes the stream `key`, which has `opaque`, at `at`. `filter` is the value that the consumer requested it with.
    /// The event that it is made at is then given to [`Fault::on_event`] like all that follow.
    pub fn fire(at: CloseAt, key: StreamKey, opaque: Opaque, filter: Vec<u8>, scene: &mut Scene<'_>) -> Option<Self> {
        let target = Target { key, opaque };
        Some(Self(match at {
            CloseAt::Cut => {
                Course::Cut(Box::new(Cut::new(target, Position::of(scene.consumer(), &key, filter)?, scene.now)))
            }
            CloseAt::End | CloseAt::Consumer | CloseAt::Producer | CloseAt::Both => {
                Course::Plain(Plain::fire(at, target, scene))
            }
        }))
    }
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

    fn abandon(&mut self, scene: &mut Scene<'_>) {
        match &mut self.0 {
            Course::Cut(cut) => cut.abandon(scene),
            Course::Plain(_) => {}
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
