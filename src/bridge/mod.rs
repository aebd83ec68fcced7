//! Joins a producer node and a consumer node, as a cluster's replication manager does (dcp-protocol.md §2): both are
//! dialled, so nobody speaks first but the tool. It logs in at each, opens one as producer and the other as consumer, and
//! has the consumer node add streams; from then on what the two say is relayed, and scenarios run as on any connection.
//!
//! Sans-IO: a [`Bridge`] is an interceptor between the two sockets, the consumer node in the place of the end that dialled.
//! What it asks is the tool's own, so the answers go no further (law L3); the sessions and the journal see all of it.

mod config;
mod progress;
mod set_up;
mod streams;

use std::any::Any;
use std::fmt;
use std::time::Duration;

use crate::Timestamp;
use crate::engine::Action;
use crate::engine::Actions;
use crate::engine::Event;
use crate::engine::Interceptor;
use crate::engine::Sessions;
use crate::journal::How;
use crate::journal::Side;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Header;
use crate::wire::Opaque;
use crate::wire::Opcode;

pub use config::Config;
pub use config::End;
pub use progress::Progress;
use set_up::SetUp;
use streams::Streams;

/// The consumer node: it stands where the end that dials stands.
const CONSUMER: Side = Side::Dialler;
/// The producer node: the one that is judged.
const PRODUCER: Side = Side::Upstream;

/// One pair of connections, from the dial on; between the steps of scenarios and the two nodes.
pub struct Bridge {
    config: Config,
    progress: Progress,
    inner: Option<Box<dyn Interceptor>>,
    phase: Phase,
    asked: Asked,
    /// Which ends have closed.
    closed: [bool; 2],
    /// When both are torn down at the latest.
    close_by: Option<Timestamp>,
    ending: bool,
    /// What there is to do besides what the steps want.
    actions: Actions,
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("config", &self.config).field("phase", &self.phase).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Phase {
    /// Nothing was said yet.
    Dialled,
    SettingUp(Box<SetUp>),
    Bridging(Box<Streams>),
    /// It came to nothing, or the ends are closing.
    Over,
}

/// How long a node may take for an answer of the set-up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an end may take to close after the other has.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

impl Bridge {
    /// A pair of connections that were just made; the engine is to be woken at once, as neither end speaks first. `inner` takes the steps of scenarios, if there are any; what becomes of it
    /// all is told to `progress`.
    pub fn new(config: Config, progress: Progress, inner: Option<Box<dyn Interceptor>>) -> Self {
        progress.begin();
        Self {
            config,
            progress,
            inner,
            phase: Phase::Dialled,
            asked: Asked::default(),
            closed: [false; 2],
            close_by: None,
            ending: false,
            actions: Vec::new(),
        }
    }

    fn is_done_acting(&self) -> bool {
        !self.has_steps() || self.inner.as_ref().is_none_or(|inner| inner.is_settled())
    }

    /// Whether somebody takes steps, or waits for some to be armed.
    fn has_steps(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.is_armed())
    }

    fn begin(&mut self, now: Timestamp) {
        if matches!(self.phase, Phase::Dialled) {
            let set_up = SetUp::begin(&self.config, &mut self.asked, now);
            self.phase = Phase::SettingUp(Box::new(set_up));
        }
    }

    /// An answer to something that was asked here.
    fn answered(&mut self, from: Side, frame: &Frame<'_>, now: Timestamp) {
        match &mut self.phase {
            Phase::SettingUp(set_up) => match set_up.answered(from, frame, &self.config, &mut self.asked, now) {
                Ok(None) => {}
                Ok(Some(targets)) => {
                    self.progress.set_up(targets);
                    let streams = Streams::new(&self.config.vbuckets, &self.progress, &mut self.asked, now);
                    self.phase = Phase::Bridging(Box::new(streams));
                }
                Err(why) => self.fail(why, now),
            },
            Phase::Bridging(streams) => {
                if let Err(why) = streams.answered(frame, &self.config, now) {
                    self.fail(why, now);
                }
            }
            Phase::Dialled | Phase::Over => {}
        }
    }

    fn watch(&mut self, event: &Event<'_>, sessions: &Sessions, now: Timestamp) {
        match event {
            Event::Closed { from, .. } => self.end_closed(*from, now),
            Event::Raw { from } if matches!(self.phase, Phase::SettingUp(_)) => {
                let at = &self.config.end(*from).at;
                self.fail(format!("expected memcached's protocol from {at}, found other bytes"), now);
            }
            Event::Settle => self.ending = true,
            Event::Frame { .. } | Event::Answer { .. } | Event::Raw { .. } | Event::Paused { .. } | Event::Wakeup => {}
        }
        let acts = !self.is_done_acting();
        match &mut self.phase {
            Phase::SettingUp(set_up) => {
                if let Some(late) = set_up.late(&self.config, &self.asked, now) {
                    self.fail(late, now);
                }
            }
            Phase::Bridging(streams) => {
                streams.look(sessions, !acts && !self.ending, &mut self.asked, now);
            }
            Phase::Dialled | Phase::Over => {}
        }
        if self.closed.contains(&true) && !acts && self.close_by.is_none() {
            self.close_by = Some(now + CLOSE_WITHIN);
        }
        if self.close_by.is_some_and(|by| by <= now) {
            self.close_by = Some(Timestamp(u64::MAX));
            for side in [CONSUMER, PRODUCER] {
                self.actions.push(Action::Close { side, how: How::Reset });
            }
        }
    }

    /// An end closed: the close goes on to the other, which is to close in its turn.
    fn end_closed(&mut self, from: Side, now: Timestamp) {
        self.closed[usize::from(from == PRODUCER)] = true;
        if let Phase::SettingUp(_) = self.phase {
            let at = &self.config.end(from).at;
            let asked = self.asked.first(from).or_else(|| self.asked.first(from.other())).unwrap_or(Opcode::HELLO);
            self.fail(format!("{at} closed the connection before {asked} was answered"), now);
        }
        self.phase = Phase::Over;
    }

    fn fail(&mut self, why: String, now: Timestamp) {
        self.progress.fail(why);
        self.phase = Phase::Over;
        for side in [CONSUMER, PRODUCER] {
            self.actions.push(Action::Close { side, how: How::Fin });
        }
        self.close_by.get_or_insert(now + CLOSE_WITHIN);
    }
}

impl Interceptor for Bridge {
    fn on_event(&mut self, event: &Event<'_>, sessions: &Sessions, now: Timestamp) -> Actions {
        self.begin(now);
        let mut actions = if let Event::Answer { from, frame, .. } = event
            && self.asked.take(*from, frame)
        {
            self.answered(*from, frame, now);
            Vec::new()
        } else {
            self.inner.as_mut().map(|inner| inner.on_event(event, sessions, now)).unwrap_or_default()
        };
        self.watch(event, sessions, now);
        actions.append(&mut self.asked.ready);
        actions.append(&mut self.actions);
        actions
    }

    fn wakeup(&self) -> Option<Timestamp> {
        let own = match &self.phase {
            Phase::SettingUp(set_up) => Some(set_up.due()),
            Phase::Bridging(streams) => Some(streams.due()),
            Phase::Dialled | Phase::Over => None,
        };
        let close_by = self.close_by.filter(|by| *by != Timestamp(u64::MAX));
        let inner = self.inner.as_ref().and_then(|inner| inner.wakeup());
        [own, close_by, inner].into_iter().flatten().min()
    }

    /// Where nothing else ends it, a bridge that has no steps to take is never settled.
    fn is_settled(&self) -> bool {
        let acted = self.is_done_acting();
        if self.ending {
            acted
        } else if self.config.until_caught_up {
            acted && self.progress.is_caught_up()
        } else {
            acted && self.has_steps()
        }
    }

    /// Where it is to come somewhere, that is waited for.
    fn is_armed(&self) -> bool {
        self.config.until_caught_up || self.has_steps()
    }

    fn stepper(&mut self) -> Option<&mut dyn Any> {
        self.inner.as_mut()?.stepper()
    }

    fn whole_limit(&self, from: Side, header: &Header) -> Option<usize> {
        self.inner.as_ref()?.whole_limit(from, header)
    }
}

/// What was asked of the two nodes and is not answered yet.
#[derive(Debug, Default)]
struct Asked {
    open: Vec<(Side, Opcode, Opaque)>,
    next: u16,
    ready: Actions,
}

/// The first byte of an opaque of the bridge's own, and what is behind it: "db", for those who read recordings.
const OPAQUE: [u8; 2] = *b"db";

impl Asked {
    /// Asks a node something, under an opaque of its own.
    fn ask(&mut self, to: Side, request: FrameBuilder) -> Opaque {
        let [hi, lo] = self.next.to_be_bytes();
        let opaque = Opaque([OPAQUE[0], OPAQUE[1], hi, lo]);
        self.next = self.next.wrapping_add(1);
        self.open.push((to, request.opcode(), opaque));
        self.ready.push(Action::Inject { to, frame: request.opaque(opaque).build() });
        opaque
    }

    /// Whether a frame answers something that was asked, which is then answered.
    fn take(&mut self, from: Side, frame: &Frame<'_>) -> bool {
        let answered = (from, frame.header().opcode, frame.header().opaque);
        let at = self.open.iter().position(|asked| *asked == answered);
        at.is_some_and(|at| {
            self.open.remove(at);
            true
        })
    }

    /// Whether all was answered.
    fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// What a node was asked first, of what it has not answered.
    fn first(&self, of: Side) -> Option<Opcode> {
        self.open.iter().find(|(to, ..)| *to == of).map(|(_, opcode, _)| *opcode)
    }
}
