//! The narrow waist: bytes and time in, bytes and closes out, one interceptor in between.
//!
//! The contract: after every call of [`Engine::feed`], [`Engine::closed`], [`Engine::wakeup`], [`Engine::paused`] or
//! [`Engine::settle`], drain [`Engine::poll`] until it returns `None`. With no interceptor the bytes of a chunk leave
//! before they are looked at (law L1). With one, each frame waits for its head, and its fate is an [`Action`].

mod act;
mod asked;
mod course;
mod event;
mod filters;
mod gate;
mod held;
mod hold;
mod live;
mod outbox;
mod sessions;
mod stage;
mod stretch;

pub use event::Action;
pub use event::Actions;
pub use event::Event;
pub use event::Interceptor;
pub use event::Pace;
pub use gate::Gate;
pub use gate::Standing;
pub use hold::FOR_EVER;
pub use sessions::Sessions;

use bytes::Bytes;

use crate::Timestamp;
use crate::dcp;
use crate::dcp::Mould;
use crate::journal::Direction;
use crate::journal::Entries;
use crate::journal::Entry;
use crate::journal::How;
use crate::journal::Origin;
use crate::journal::Side;
use crate::journal::What;
use crate::session::Context;
use crate::session::Session;
use crate::wire::Deframer;
use crate::wire::Frame;
use crate::wire::FramingError;
use crate::wire::Header;
use crate::wire::Piece;
use act::Fate;
use act::Framed;
use act::Late;
use asked::Asked;
use held::Held;
use hold::Holds;
use live::Over;
use outbox::Outbox;

/// Frames up to this long are looked at whole; of longer ones the head is, and the value flows by, unless the interceptor
/// asks for more ([`Interceptor::whole_limit`]).
pub const WHOLE_LIMIT: usize = 128 * 1024;

/// What the driver is to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Write bytes to an end.
    Write {
        /// To whom.
        to: Side,
        /// The bytes.
        bytes: Bytes,
    },
    /// Close an end, behind all that is to be written to it: [`How::Fin`] ends only the direction to it.
    Close {
        /// Whose.
        side: Side,
        /// How.
        how: How,
    },
    /// Call [`Engine::wakeup`] at that time, once; it replaces what was asked for before.
    Wait(Option<Timestamp>),
}

/// The one who reads the journal. It does nothing else (law L6).
pub trait Observer: Send {
    /// Takes note of an entry; `session` is that of the entry's edge, which has taken it in already.
    fn observe(&mut self, entry: &Entry, context: &Context, session: &Session);

    /// Whether mutations that are alike to the one just observed at both edges, with this header, may be told all at once.
    /// Whoever says no is told each by itself.
    fn bears_stretch(&self, _header: &Header) -> bool {
        false
    }

    /// Takes note of entries that are alike to the one observed last at their edge, as if each came by itself; only where it
    /// [has said](Self::bears_stretch) that it can.
    fn observe_stretch(&mut self, _entries: &Entries<'_>, _session: &Session) {}
}

impl Observer for () {
    fn observe(&mut self, _: &Entry, _: &Context, _: &Session) {}

    fn bears_stretch(&self, _: &Header) -> bool {
        true
    }
}

/// One connection through the tool, without sockets, tasks or clocks.
pub struct Engine<O> {
    deframers: [Deframer; 2],
    /// Whether what an end says goes on by frames, each once its fate is known; else bytes go on before they are looked at.
    by_frame: [bool; 2],
    /// Whether what is fed next of an end has been written already ([`Self::passes`]).
    passed: [bool; 2],
    /// Bytes that have gone on already of the frame that is not complete yet.
    ahead: [usize; 2],
    /// What becomes of the rest of a frame whose value flows by: bytes of it that still go on.
    rest: [u64; 2],
    /// Whether what has come of that frame, or of the one that is ahead, is held back, so that its rest is too.
    rest_is_held: [bool; 2],
    /// Whether the framing of what an end says is lost.
    lost: [bool; 2],
    /// Whether an end was torn down.
    gone: [bool; 2],
    /// Whether an end has said all.
    ended: [bool; 2],
    /// Whether a gate has closed the connection.
    over: Over,
    /// Whose reset an end was sent: after it that end says nothing more.
    torn: [Option<Origin>; 2],
    /// Whether an end still knows where frames begin in what it is sent.
    framed: [Framed; 2],
    sessions: Sessions,
    key_seed: u64,
    interceptor: Option<Box<dyn Interceptor>>,
    observer: O,
    asked: Asked,
    holds: Holds,
    outbox: Outbox,
    /// What waits for the end of a value that flows by.
    late: [Vec<Late>; 2],
    announced: Option<Timestamp>,
}

impl<O> std::fmt::Debug for Engine<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("armed", &self.interceptor.is_some()).finish_non_exhaustive()
    }
}

const fn index(side: Side) -> usize {
    match side {
        Side::Dialler => 0,
        Side::Upstream => 1,
    }
}

impl<O: Observer> Engine<O> {
    /// A connection through the tool. `key_seed` seeds the hashes of keys in the journal.
    pub fn new(interceptor: Option<Box<dyn Interceptor>>, observer: O, key_seed: u64) -> Self {
        Self {
            deframers: [Deframer::new(WHOLE_LIMIT), Deframer::new(WHOLE_LIMIT)],
            by_frame: [interceptor.is_some(); 2],
            passed: [false; 2],
            ahead: [0; 2],
            rest: [0, 0],
            rest_is_held: [false; 2],
            lost: [false; 2],
            gone: [false; 2],
            ended: [false; 2],
            over: Over::No,
            torn: [None; 2],
            framed: [Framed::Yes; 2],
            sessions: Sessions::new(),
            key_seed,
            interceptor,
            observer,
            asked: Asked::default(),
            holds: Holds::default(),
            outbox: Outbox::default(),
            late: [Vec::new(), Vec::new()],
            announced: None,
        }
    }

    /// Takes in bytes that were read from an end.
    pub fn feed(&mut self, from: Side, bytes: Bytes, now: Timestamp) {
        self.holds.at(now);
        if !self.by_frame[index(from)] {
            self.flow(from, &bytes, now);
            return self.announce(now);
        }
        let mut deframer = std::mem::replace(&mut self.deframers[index(from)], Deframer::new(0));
        let mut input: &[u8] = &bytes;
        self.outbox.begin(&bytes);
        while let Some(piece) = deframer.next_with(&mut input, |header| self.whole_limit(from, header)) {
            let mould = match piece {
                Piece::Frame(frame) => self.frame(from, frame, input, now),
                Piece::Value { bytes, .. } => {
                    self.value(from, bytes, now);
                    None
                }
                Piece::Raw { bytes, error } => {
                    self.raw(from, bytes, error, now);
                    None
                }
            };
            if self.rest[index(from)] == 0 {
                self.flush_late(from.other(), true, now);
            }
            if let Some(stretch) = mould.and_then(|mould| mould.stretch(input)) {
                input = input.get(stretch.bytes().len()..).unwrap_or_default();
                self.outbox.relay(from.other(), stretch.bytes());
                self.stretch(from, &stretch, now);
            }
        }
        self.outbox.end();
        self.deframers[index(from)] = deframer;
        self.announce(now);
    }

    /// Whether bytes that were read from an end go on before they are looked at (law L1). The driver then writes them itself, so
    /// that nobody waits for whoever looks on, and feeds them: they are not written again.
    pub fn passes(&mut self, from: Side) -> bool {
        let passes = self.flows_on(from);
        self.passed[index(from)] = passes;
        passes
    }

    /// Takes in that an end closed: what is pending of a frame goes on first. The driver says so too once it has reset an
    /// end as it was told: then the tool has ended what that end says, or the end across has.
    pub fn closed(&mut self, from: Side, how: How, now: Timestamp) {
        self.holds.at(now);
        let origin = match self.torn[index(from)] {
            // The end across was told first: all is said.
            Some(Origin::Peer) if how == How::Reset => return,
            Some(origin) => origin,
            None => Origin::Peer,
        };
        let deframer = std::mem::replace(&mut self.deframers[index(from)], Deframer::new(WHOLE_LIMIT));
        let pending = (deframer.partial().len() as u64).saturating_add(deframer.value_left());
        let to = from.other();
        self.gone[index(from)] |= how == How::Reset;
        self.ended[index(from)] = true;
        let entry =
            |edge, direction| Entry { at: now, edge, direction, origin, what: What::Closed { how, partial: pending } };
        self.note(&entry(from, Direction::From));
        let actions = match &mut self.interceptor {
            None => Vec::new(),
            Some(interceptor) => interceptor.on_event(&Event::Closed { from, how }, &self.sessions, now),
        };
        self.tell_fate(from, Fate::named(&actions, u64::MAX), now);
        if self.holds.is_inside(to) {
            // It never ends, so a frame that waited for that would land inside it.
            self.flush_late(to, false, now);
            if !self.holds.is_held(to) {
                self.holds.relayed(to, false);
            }
        }
        self.rest[index(from)] = 0;
        let ahead = std::mem::take(&mut self.ahead[index(from)]);
        self.flush_late(to, true, now);
        if self.by_frame[index(from)]
            && let Some(partial) = deframer.partial().get(ahead..).filter(|partial| !partial.is_empty())
        {
            self.pass(to, Held::raw(Bytes::copy_from_slice(partial), true), now);
        }
        if self.act(actions, now) == Fate::Forward {
            self.close(to, how, entry(to, Direction::To), now);
        }
        self.announce(now);
    }

    /// Takes in that the time asked for has come.
    pub fn wakeup(&mut self, now: Timestamp) {
        self.holds.at(now);
        self.announced = None;
        let late = [!self.late[0].is_empty(), !self.late[1].is_empty()];
        for (to, told) in self.holds.release(now, late, &mut self.outbox) {
            self.let_go(to, told, now);
        }
        self.tear_down(now);
        for from in [Side::Dialler, Side::Upstream] {
            self.rest_is_held[index(from)] &= self.holds.is_held(from.other());
            self.flush_late(from.other(), true, now);
        }
        self.tell(&Event::Wakeup, now);
    }

    /// Takes in that reading from an end is paused, or goes on, as the other end is slow.
    pub fn paused(&mut self, from: Side, paused: bool, now: Timestamp) {
        self.holds.at(now);
        self.note(&Entry {
            at: now,
            edge: from,
            direction: Direction::From,
            origin: Origin::Tool,
            what: What::Paused(paused),
        });
        self.tell(&Event::Paused { from, paused }, now);
    }

    /// Takes in that the user wants an end: no new step is taken, what is under way is settled.
    pub fn settle(&mut self, now: Timestamp) {
        self.holds.at(now);
        self.tell(&Event::Settle, now);
    }

    /// Whether an interceptor has steps to take.
    pub fn is_armed(&self) -> bool {
        self.interceptor.as_ref().is_some_and(|interceptor| interceptor.is_armed())
    }

    /// Whether all that was armed has fired and settled; true where nothing is armed.
    pub fn is_settled(&self) -> bool {
        self.interceptor.as_ref().is_none_or(|interceptor| interceptor.is_settled())
    }

    /// The one who takes steps, where there is one: it knows itself what it may be told ([`Interceptor::stepper`]). It acts on
    /// that at the next event, such as [`Self::wakeup`].
    pub fn stepper(&mut self) -> Option<&mut dyn std::any::Any> {
        self.interceptor.as_mut()?.stepper()
    }

    /// Bytes that are held back from an end: the driver reads no more from the other where this is large.
    pub fn held(&self, to: Side) -> usize {
        self.holds.bytes(to)
    }

    /// All bytes that are held back from an end, those among them that are merely on their way to it.
    pub const fn waiting(&self, to: Side) -> usize {
        self.holds.all_bytes(to)
    }

    /// The next thing that the driver is to do.
    #[inline]
    pub fn poll(&mut self) -> Option<Output> {
        self.outbox.pop()
    }

    /// The one who reads the journal.
    pub const fn observer(&self) -> &O {
        &self.observer
    }

    /// The one who reads the journal, and the sessions at both edges.
    pub const fn observed(&mut self) -> (&mut O, &Sessions) {
        (&mut self.observer, &self.sessions)
    }

    #[inline]
    fn whole_limit(&self, from: Side, header: &Header) -> Option<usize> {
        self.interceptor.as_ref()?.whole_limit(from, header)
    }

    #[inline]
    fn tell(&mut self, event: &Event<'_>, now: Timestamp) {
        if let Some(interceptor) = &mut self.interceptor {
            let actions = interceptor.on_event(event, &self.sessions, now);
            self.act(actions, now);
        }
        self.announce(now);
    }

    #[inline]
    fn note(&mut self, entry: &Entry) -> Context {
        let context = *self.sessions.at_mut(entry.edge).observe(entry);
        self.observer.observe(entry, &context, self.sessions.at(entry.edge));
        context
    }

    /// Takes in a frame. Returns what those behind it, which begin with `next`, must be like to be taken in all at once.
    fn frame(&mut self, from: Side, frame: Frame<'_>, next: &[u8], now: Timestamp) -> Option<Mould> {
        if let ahead @ 1.. = std::mem::take(&mut self.ahead[index(from)]) {
            self.go_on(from, frame, ahead, now);
            return None;
        }
        let head = dcp::head(&frame, self.sessions.at(from).negotiated(), self.key_seed);
        let withheld = self.asked.is_answer(from, &frame, self.sessions.at(from), now);
        let entry = Entry {
            at: now,
            edge: from,
            direction: Direction::From,
            origin: if withheld { Origin::Tool } else { Origin::Peer },
            what: What::Frame(head),
        };
        let context = self.note(&entry);
        let What::Frame(head) = &entry.what else { return None };
        self.sessions.remember(&frame, head);
        let mut leads = self.interceptor.is_none() && Mould::may_fit(&frame, next);
        let actions = match &mut self.interceptor {
            None => Vec::new(),
            Some(interceptor) if withheld => {
                interceptor.on_event(&Event::Answer { from, frame, head }, &self.sessions, now)
            }
            Some(interceptor) => {
                let event = Event::Frame { from, frame, head, context: &context };
                let actions = interceptor.on_event(&event, &self.sessions, now);
                leads = actions.is_empty() && Mould::may_fit(&frame, next) && interceptor.bears_stretch(&event, now);
                actions
            }
        };
        let mould = if leads { self.mould(from, &frame, head) } else { None };
        if actions.is_empty() && !withheld {
            self.forward(from, &frame, entry, now);
        } else {
            self.treat(from, &frame, entry, withheld, actions, now);
        }
        self.leads(from, mould?)
    }

    /// Does with a frame what actions say.
    fn treat(&mut self, from: Side, frame: &Frame<'_>, entry: Entry, withheld: bool, actions: Actions, now: Timestamp) {
        let (to, len) = (from.other(), frame.header().frame_len());
        if !withheld {
            self.tell_fate(from, Fate::named(&actions, len), now);
        }
        let replacement = actions.iter().find_map(|action| match action {
            Action::Replace(bytes) | Action::Readdress(bytes) => Some(bytes.clone()),
            Action::Forward
            | Action::Truncate(_)
            | Action::Drop
            | Action::Inject { .. }
            | Action::Append { .. }
            | Action::Resume { .. }
            | Action::Hold { .. }
            | Action::Release { .. }
            | Action::Lag { .. }
            | Action::Pace { .. }
            | Action::Close { .. }
            | Action::Note { .. } => None,
        });
        self.fate(actions, Some((from, len)), now, |engine, fate| {
            let value_left = len.saturating_sub(frame.bytes().len() as u64);
            let fate = if withheld { Fate::Drop } else { fate };
            engine.rest[index(from)] = match fate {
                Fate::Forward | Fate::Replace(_) => value_left,
                Fate::Drop => 0,
                Fate::Truncate(len) => (len as u64).saturating_sub(frame.bytes().len() as u64),
            };
            engine.rest_is_held[index(from)] = engine.holds.is_held(to);
            match fate {
                Fate::Forward => engine.forward(from, frame, entry, now),
                Fate::Replace(origin) => {
                    if !engine.outbox.is_open(to) {
                        engine.rest[index(from)] = 0;
                    } else if let Some(bytes) = replacement {
                        engine.replace(to, bytes, value_left, origin, now);
                    }
                }
                Fate::Truncate(cut) => {
                    let bytes = Bytes::copy_from_slice(frame.bytes().get(..cut).unwrap_or(frame.bytes()));
                    let error = FramingError::Truncated { expected: len, found: cut as u64 };
                    engine.pass(to, Held::cut(bytes, error, engine.rest[index(from)] == 0), now);
                }
                Fate::Drop => {}
            }
        });
    }

    /// A frame goes on as it came; `entry` is what was told of that.
    #[inline]
    fn forward(&mut self, from: Side, frame: &Frame<'_>, mut entry: Entry, now: Timestamp) {
        let to = from.other();
        if !self.outbox.is_open(to) {
            self.rest[index(from)] = 0;
            return;
        }
        let value_left = frame.header().frame_len().saturating_sub(frame.bytes().len() as u64);
        self.rest[index(from)] = value_left;
        self.rest_is_held[index(from)] = self.holds.is_held(to);
        (entry.edge, entry.direction) = (to, Direction::To);
        self.relay(to, frame.bytes(), entry, value_left == 0, now);
    }

    /// Passes on a frame, or what is left of one, behind what is held; it `ends` unless a value flows by behind it.
    #[inline]
    fn relay(&mut self, to: Side, bytes: &[u8], entry: Entry, ends: bool, now: Timestamp) {
        if self.holds.is_held(to) {
            return self.pass(to, Held::frame(Bytes::copy_from_slice(bytes), entry, ends), now);
        }
        self.outbox.relay(to, bytes);
        self.holds.relayed(to, !ends);
        self.delivered(&entry);
    }

    fn value(&mut self, from: Side, bytes: &[u8], now: Timestamp) {
        let left = &mut self.rest[index(from)];
        let len = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
        *left -= len as u64;
        let (ends, to) = (*left == 0, from.other());
        // A hold that began inside the frame lets it end: an injected frame, which passes holds, may follow.
        self.rest_is_held[index(from)] &= self.holds.is_held(to);
        if len == 0 {
            return;
        }
        if self.rest_is_held[index(from)] {
            self.pass(to, Held::raw(Bytes::copy_from_slice(&bytes[..len]), ends), now);
        } else {
            self.holds.relayed(to, !ends);
            self.outbox.relay(to, &bytes[..len]);
        }
    }

    fn raw(&mut self, from: Side, bytes: &[u8], error: FramingError, now: Timestamp) {
        let ahead = std::mem::take(&mut self.ahead[index(from)]);
        let (lost, to) = (self.lose(from, error, now), from.other());
        if ahead == 0
            && let Some(interceptor) = &mut self.interceptor
        {
            let actions = interceptor.on_event(&Event::Raw { from }, &self.sessions, now);
            if self.act(actions, now) != Fate::Forward {
                return;
            }
        }
        // The end across loses its framing when it gets them.
        if self.outbox.is_open(to) {
            self.relay(to, bytes.get(ahead..).unwrap_or_default(), lost, true, now);
        }
    }

    fn announce(&mut self, now: Timestamp) {
        self.relax(now);
        let wanted = self.interceptor.as_ref().and_then(|interceptor| interceptor.wakeup());
        let wanted = [wanted, self.holds.wakeup(), self.tears(now), self.relaxes(now)].into_iter().flatten().min();
        if wanted != self.announced {
            self.announced = wanted;
            self.outbox.wait(wanted);
        }
    }
}
