use bytes::Bytes;

use super::Action;
use super::Actions;
use super::Engine;
use super::Observer;
use super::hold::Held;
use super::index;
use crate::Timestamp;
use crate::dcp;
use crate::journal::Act;
use crate::journal::Direction;
use crate::journal::Entry;
use crate::journal::How;
use crate::journal::Origin;
use crate::journal::Side;
use crate::journal::What;
use crate::wire::Frame;
use crate::wire::FramingError;

/// What becomes of the subject of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Forward,
    Replace,
    Drop,
    Truncate(usize),
}

impl Fate {
    /// The fate that is named first among the actions.
    pub(super) fn named(actions: &[Action]) -> Option<Self> {
        actions.iter().find_map(|action| match action {
            Action::Forward => Some(Self::Forward),
            Action::Replace(_) => Some(Self::Replace),
            Action::Drop => Some(Self::Drop),
            Action::Truncate(len) => Some(Self::Truncate(*len)),
            Action::Inject { .. }
            | Action::Resume { .. }
            | Action::Hold { .. }
            | Action::Release { .. }
            | Action::Pace { .. }
            | Action::Lag { .. }
            | Action::Close { .. }
            | Action::Note { .. } => None,
        })
    }
}

impl<O: Observer> Engine<O> {
    /// Does what `actions` say, and tells what becomes of the event's subject.
    pub(super) fn act(&mut self, actions: Actions, now: Timestamp) -> Fate {
        self.fate(actions, now, |_, _| {})
    }

    /// Does what `actions` say, in their order; `place` puts the event's own subject where its fate is named, or first
    /// where none is, behind holds, lags and paces that come before all else.
    pub(super) fn fate(&mut self, actions: Actions, now: Timestamp, place: impl FnOnce(&mut Self, Fate)) -> Fate {
        let fate = Fate::named(&actions);
        let mut place = Some(place);
        for action in actions {
            // Where no fate is named, the subject goes on behind what says how things go on.
            let is_gate = matches!(action, Action::Hold { .. } | Action::Lag { .. } | Action::Pace { .. });
            if fate.is_none()
                && !is_gate
                && let Some(place) = place.take()
            {
                place(self, Fate::Forward);
            }
            match action {
                Action::Forward | Action::Replace(_) | Action::Drop | Action::Truncate(_) => {
                    if let (Some(place), Some(fate)) = (place.take(), fate) {
                        place(self, fate);
                    }
                }
                Action::Inject { to, frame } => self.inject(to, frame, Origin::Tool, now),
                Action::Resume { to, frame } => self.inject(to, frame, Origin::Peer, now),
                Action::Hold { to, until } => self.holds.hold(to, until),
                Action::Release { to } => self.holds.let_go(to, now),
                Action::Lag { to, by } => self.holds.lag(to, by),
                Action::Pace { to, pace } => self.holds.pace(to, pace, now),
                Action::Close { side, how } => {
                    let entry = Entry {
                        at: now,
                        edge: side,
                        direction: Direction::To,
                        origin: Origin::Tool,
                        what: What::Closed { how, partial: 0 },
                    };
                    self.close(side, how, entry);
                }
                Action::Note { edge, act } => {
                    self.note(&Entry {
                        at: now,
                        edge,
                        direction: Direction::To,
                        origin: Origin::Tool,
                        what: What::Acted(act),
                    });
                }
            }
        }
        if let Some(place) = place {
            place(self, Fate::Forward);
        }
        fate.unwrap_or(Fate::Forward)
    }

    /// Tells the journal where what an end said does not go on as it came.
    pub(super) fn tell_fate(&mut self, from: Side, actions: &[Action], now: Timestamp) {
        let act = match Fate::named(actions) {
            None | Some(Fate::Forward) => return,
            Some(Fate::Replace) => Act::Replaced,
            Some(Fate::Drop) => Act::Swallowed,
            Some(Fate::Truncate(len)) => Act::Cut(len as u64),
        };
        self.note(&Entry {
            at: now,
            edge: from,
            direction: Direction::From,
            origin: Origin::Tool,
            what: What::Acted(act),
        });
    }

    /// Closes an end, behind what is held back from it.
    pub(super) fn close(&mut self, side: Side, how: How, entry: Entry) {
        if let Some(entry) = self.holds.pass(side, Held::Close(how, Box::new(entry)), &mut self.outbox) {
            self.note(&entry);
        }
    }

    /// Whether the last byte that was delivered to an end is inside a frame.
    pub(super) fn is_inside_a_frame(&self, to: Side) -> bool {
        let from = index(to.other());
        (self.rest[from] > 0 && !self.rest_is_held[from]) || self.holds.is_split(to)
    }

    /// Sends bytes in the place of a frame. They are the tool's words: what an end makes of them is not the other's doing.
    /// `left` bytes of the frame's value flow by behind them.
    pub(super) fn replace(&mut self, to: Side, bytes: Bytes, left: u64, now: Timestamp) {
        let found = (bytes.len() as u64).saturating_add(left);
        let entry = |what| Entry { at: now, edge: to, direction: Direction::To, origin: Origin::Tool, what };
        let framed = Frame::new(&bytes).and_then(|frame| match frame.header().frame_len() {
            // Lengths that are not its own move where the next frame begins.
            expected if expected != found => Err(FramingError::Truncated { expected, found }),
            _ => Ok(frame),
        });
        let held = match framed {
            Ok(frame) => {
                let head = dcp::head(&frame, self.sessions.at(to).negotiated(), self.key_seed);
                Held::Frame(bytes, Box::new(entry(What::Frame(head))))
            }
            Err(error) => {
                self.note(&entry(What::FramingLost(error)));
                Held::Raw(bytes)
            }
        };
        if let Some(entry) = self.holds.pass(to, held, &mut self.outbox) {
            self.note(&entry);
        }
    }

    /// Sends a frame behind the end of the value that flows by, if one does.
    pub(super) fn inject(&mut self, to: Side, bytes: Bytes, origin: Origin, now: Timestamp) {
        let waits = origin == Origin::Peer && self.holds.is_held(to);
        if !waits && self.is_inside_a_frame(to) {
            self.late[index(to)].push((bytes, origin));
            return;
        }
        if !self.outbox.is_open(to) || self.gone[index(to)] {
            return;
        }
        let Ok(frame) = Frame::new(&bytes) else {
            debug_assert!(false, "only whole frames are injected");
            return;
        };
        if origin == Origin::Tool {
            self.asked.sent(to, &frame);
        }
        let head = dcp::head(&frame, self.sessions.at(to).negotiated(), self.key_seed);
        // What an end had said keeps its place behind what waits; the tool's own does not wait (law L2).
        if origin == Origin::Peer && self.holds.is_held(to) {
            let entry = Entry { at: now, edge: to, direction: Direction::To, origin, what: What::Frame(head) };
            self.holds.pass(to, Held::Frame(bytes, Box::new(entry)), &mut self.outbox);
            return;
        }
        self.note(&Entry { at: now, edge: to, direction: Direction::To, origin, what: What::Frame(head) });
        self.outbox.write(to, bytes);
    }

    /// Sends what waited for the end of a value.
    pub(super) fn flush_late(&mut self, to: Side, now: Timestamp) {
        for (bytes, origin) in std::mem::take(&mut self.late[index(to)]) {
            self.inject(to, bytes, origin, now);
        }
    }
}
