use bytes::Bytes;

use super::Action;
use super::Actions;
use super::Engine;
use super::Observer;
use super::held::Held;
use super::held::Told;
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
    /// By other bytes, which are the words of that one.
    Replace(Origin),
    Drop,
    Truncate(usize),
}

/// Whose a frame is that is sent besides those that are relayed, and when it goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    /// The tool's; it waits for no hold (law L2).
    Injected,
    /// The tool's, in its place behind what waits.
    Appended,
    /// That of an end, in its place behind what waits.
    Resumed,
}

/// What waits for the end of a value that flows by.
#[derive(Debug)]
pub(super) enum Late {
    Frame(Bytes, Sent),
    /// The close of an end at whose frame, or at the cut of it, this is to be.
    Close(Side, How),
}

/// Whether an end still knows where frames begin in what it is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Framed {
    #[default]
    Yes,
    /// It has got the first bytes of a frame of which no more come: whatever does is taken for the rest.
    NotBehind(FramingError),
    No,
}

impl Fate {
    /// The fate that is named first among the actions, for a frame of so many bytes.
    pub(super) fn named(actions: &[Action], len: u64) -> Option<Self> {
        actions.iter().find_map(|action| match action {
            Action::Forward => Some(Self::Forward),
            Action::Replace(_) => Some(Self::Replace(Origin::Tool)),
            Action::Readdress(_) => Some(Self::Replace(Origin::Peer)),
            Action::Drop | Action::Truncate(0) => Some(Self::Drop),
            Action::Truncate(cut) if *cut as u64 >= len => Some(Self::Forward),
            Action::Truncate(cut) => Some(Self::Truncate(*cut)),
            Action::Inject { .. }
            | Action::Append { .. }
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
        self.fate(actions, None, now, |_, _| {})
    }

    /// Does what `actions` say, in their order; `place` puts the event's own subject where its fate is named, or first where
    /// none is, behind holds, lags and paces that come before all else. `frame` is whose frame that is, and its bytes.
    pub(super) fn fate(
        &mut self,
        actions: Actions,
        frame: Option<(Side, u64)>,
        now: Timestamp,
        place: impl FnOnce(&mut Self, Fate),
    ) -> Fate {
        let fate = Fate::named(&actions, frame.map_or(u64::MAX, |(_, len)| len));
        let mut place = Some(place);
        for action in actions {
            // Where no fate is named, the subject goes on behind what says how things go on.
            if fate.is_none()
                && !action.is_gate()
                && let Some(place) = place.take()
            {
                place(self, Fate::Forward);
            }
            match action {
                Action::Forward | Action::Replace(_) | Action::Readdress(_) | Action::Drop | Action::Truncate(_) => {
                    if let (Some(place), Some(fate)) = (place.take(), fate) {
                        place(self, fate);
                    }
                }
                Action::Inject { to, frame } => self.send(to, frame, Sent::Injected, now),
                Action::Append { to, frame } => self.send(to, frame, Sent::Appended, now),
                Action::Resume { to, frame } => self.send(to, frame, Sent::Resumed, now),
                Action::Hold { to, until } => self.holds.hold(to, until),
                Action::Release { to } => self.holds.let_go(to, now),
                Action::Lag { to, by } => self.holds.lag(to, by),
                Action::Pace { to, pace } => self.holds.pace(to, pace, now),
                // Behind the frame that it is done at, or what is left of it, though that is still to come.
                Action::Close { side, how } => match frame {
                    Some((from, _)) if place.is_none() && self.rest[index(from)] > 0 => {
                        self.late[index(from.other())].push(Late::Close(side, how));
                    }
                    Some(_) | None => self.hang_up(side, how, now),
                },
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

    pub(super) fn hang_up(&mut self, side: Side, how: How, now: Timestamp) {
        let what = What::Closed { how, partial: 0 };
        let entry = Entry { at: now, edge: side, direction: Direction::To, origin: Origin::Tool, what };
        self.close(side, how, entry, now);
    }

    /// Tells the journal where what an end said does not go on as it came.
    pub(super) fn tell_fate(&mut self, from: Side, fate: Option<Fate>, now: Timestamp) {
        let act = match fate {
            None | Some(Fate::Forward) => return,
            Some(Fate::Replace(_)) => Act::Replaced,
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
    pub(super) fn close(&mut self, side: Side, how: How, entry: Entry, now: Timestamp) {
        // A connection is torn down once.
        if self.torn[index(side)].is_none() {
            self.pass(side, Held::close(how, entry), now);
        }
    }

    /// Passes something on, or queues it behind what is held.
    pub(super) fn pass(&mut self, to: Side, held: Held, now: Timestamp) {
        if let Some(told) = self.holds.pass(to, held, &mut self.outbox) {
            self.let_go(to, told, now);
        }
    }

    /// Tells of what was held back and is delivered.
    pub(super) fn let_go(&mut self, to: Side, told: Told, now: Timestamp) {
        match told {
            Told::Entry(entry) => self.delivered(&entry),
            Told::Cut(error) if self.framed[index(to)] == Framed::Yes => {
                self.framed[index(to)] = Framed::NotBehind(error);
            }
            Told::Cut(_) => {}
            Told::Over(how) => self.over(to, how, now),
        }
    }

    /// Tells of what is delivered to an end, as far as that end knows where frames begin.
    #[inline]
    pub(super) fn delivered(&mut self, entry: &Entry) {
        let to = index(entry.edge);
        match (&entry.what, self.framed[to]) {
            (What::Frame(_) | What::FramingLost(_), Framed::No) => return,
            (What::Frame(_) | What::FramingLost(_), Framed::NotBehind(error)) => {
                self.framed[to] = Framed::No;
                let (origin, what) = (Origin::Tool, What::FramingLost(error));
                self.note(&Entry { origin, what, ..*entry });
                return;
            }
            (What::FramingLost(_), Framed::Yes) => self.framed[to] = Framed::No,
            (What::Closed { how: How::Reset, .. }, _) => self.torn[to] = Some(entry.origin),
            (What::Frame(_) | What::Closed { .. } | What::Gap(_) | What::Paused(_) | What::Acted(_), _) => {}
        }
        self.note(entry);
    }

    /// Sends bytes in the place of a frame. Where they are the tool's words, what an end makes of them is not the other's doing.
    /// `left` bytes of the frame's value flow by behind them. They are read as what they are made of, with what the other
    /// end has agreed on.
    pub(super) fn replace(&mut self, to: Side, bytes: Bytes, left: u64, origin: Origin, now: Timestamp) {
        let found = (bytes.len() as u64).saturating_add(left);
        let entry = |what| Entry { at: now, edge: to, direction: Direction::To, origin, what };
        let framed = Frame::new(&bytes).and_then(|frame| match frame.header().frame_len() {
            // Lengths that are not its own move where the next frame begins.
            expected if expected != found => Err(FramingError::Truncated { expected, found }),
            _ => Ok(frame),
        });
        let what = match framed {
            Ok(frame) => What::Frame(dcp::head(&frame, self.sessions.at(to.other()).negotiated(), self.key_seed)),
            Err(error) => What::FramingLost(error),
        };
        self.pass(to, Held::frame(bytes, entry(what), left == 0), now);
    }

    /// Sends a frame behind the end of the value that flows by, if one does.
    pub(super) fn send(&mut self, to: Side, bytes: Bytes, sent: Sent, now: Timestamp) {
        // What an end had said, or what is added to it, keeps its place; else the tool's own does not wait (law L2).
        let waits = sent != Sent::Injected && self.holds.is_held(to);
        let from = index(to.other());
        let inside = if waits { self.rest[from] > 0 || self.ahead[from] > 0 } else { self.holds.is_inside(to) };
        if inside {
            self.late[index(to)].push(Late::Frame(bytes, sent));
            return;
        }
        if !self.outbox.is_open(to) || self.gone[index(to)] {
            return;
        }
        let Ok(frame) = Frame::new(&bytes) else {
            debug_assert!(false, "only whole frames are injected");
            return;
        };
        let (origin, words_of) = match sent {
            Sent::Injected => (Origin::Tool, to),
            Sent::Appended => (Origin::Tool, to.other()),
            Sent::Resumed => (Origin::Peer, to.other()),
        };
        if origin == Origin::Tool {
            self.asked.sent(to, &frame, sent == Sent::Appended, now);
        }
        let head = dcp::head(&frame, self.sessions.at(words_of).negotiated(), self.key_seed);
        let entry = Entry { at: now, edge: to, direction: Direction::To, origin, what: What::Frame(head) };
        if waits {
            return self.pass(to, Held::frame(bytes, entry, true), now);
        }
        self.delivered(&entry);
        self.outbox.write(to, bytes);
    }

    /// Does what waited for the end of a value. Of one that never ends, closes are all that is left to do.
    pub(super) fn flush_late(&mut self, to: Side, ends: bool, now: Timestamp) {
        if self.late[index(to)].is_empty() {
            return;
        }
        for late in std::mem::take(&mut self.late[index(to)]) {
            match late {
                Late::Frame(bytes, sent) if ends => self.send(to, bytes, sent, now),
                Late::Frame(..) => {}
                close @ Late::Close(..) if ends && self.rest[index(to.other())] > 0 => {
                    self.late[index(to)].push(close);
                }
                Late::Close(side, how) => self.hang_up(side, how, now),
            }
        }
    }
}
