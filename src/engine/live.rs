//! What comes in, and goes, while a connection is open: an interceptor, and the gates. Bytes that go on before they are
//! looked at; how the two ways of going on change into each other; and the ends that gates make of a connection.

use std::time::Duration;

use bytes::Bytes;

use super::Engine;
use super::Interceptor;
use super::Observer;
use super::Standing;
use super::held::Held;
use super::index;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::Mould;
use crate::journal::Direction;
use crate::journal::Entry;
use crate::journal::How;
use crate::journal::Origin;
use crate::journal::Side;
use crate::journal::What;
use crate::wire::Deframer;
use crate::wire::Frame;
use crate::wire::FramingError;
use crate::wire::Piece;

/// Whether a gate has closed the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Over {
    #[default]
    No,
    /// One has; what went the other way before leaves yet.
    Closing,
    /// Both ends have been closed, and have up to this time to close too.
    Closed(Timestamp),
    /// Those that did not have been torn down.
    Torn,
}

/// How long an end that was closed may go on: what it says goes nowhere, and a closed socket would refuse it.
const GRACE: Duration = Duration::from_secs(2);

const SIDES: [Side; 2] = [Side::Dialler, Side::Upstream];

impl<O: Observer> Engine<O> {
    /// Puts an interceptor in the place of the one that was there, at any moment of the connection; `None` lets it go: bytes
    /// leave before they are looked at again, once nothing is pending of what was done before.
    ///
    /// A frame of which a part has left goes on, and is shown to nobody: the first that the interceptor sees is the one
    /// behind it. What an interceptor that goes has held back leaves, and answers to what it has asked stay withheld (law
    /// L3).
    pub fn intercept(
        &mut self,
        interceptor: Option<Box<dyn Interceptor>>,
        now: Timestamp,
    ) -> Option<Box<dyn Interceptor>> {
        self.holds.at(now);
        let before = std::mem::replace(&mut self.interceptor, interceptor);
        if before.is_some() {
            for to in SIDES {
                self.holds.let_go(to, now);
                self.holds.pace(to, None, now);
                self.holds.lag(to, None);
            }
        }
        if self.interceptor.is_some() {
            SIDES.into_iter().for_each(|from| self.look_at_frames(from));
        } else {
            self.asked.over(now);
        }
        self.announce(now);
        before
    }

    /// What stands before an end is this, in this order, from now on: what waits for that end goes through it from the time
    /// that it came. Frames of the tool's own pass it by.
    pub fn gates(&mut self, to: Side, gates: &[Standing], now: Timestamp) {
        if self.over != Over::No {
            return;
        }
        self.holds.at(now);
        let from = to.other();
        let is_inside = match self.by_frame[index(from)] {
            true => self.rest[index(from)] > 0 || self.ahead[index(from)] > 0,
            false => !self.deframers[index(from)].at_boundary(),
        };
        if !self.by_frame[index(from)] && !self.holds.is_held(to) {
            self.holds.relayed(to, is_inside);
        }
        let is_over = self.holds.gates(to, gates, now);
        // Unlike a hold, a gate does not wait for the end of a frame.
        self.rest_is_held[index(from)] |= is_inside && self.holds.has_gates(to);
        if is_over {
            self.over(to, How::Fin, now);
        }
        self.announce(now);
    }

    /// Bytes that go on before they are looked at; where gates stand, or something waits, behind that, each frame's entry with
    /// the last of its bytes.
    pub(super) fn flow(&mut self, from: Side, bytes: &Bytes, now: Timestamp) {
        let to = from.other();
        let waits = self.holds.is_held(to);
        let is_open = self.outbox.is_open(to);
        let is_written = std::mem::take(&mut self.passed[index(from)]);
        if !waits && is_open && !is_written {
            self.outbox.write(to, bytes.clone());
        }
        let mut deframer = std::mem::replace(&mut self.deframers[index(from)], Deframer::new(0));
        let mut input: &[u8] = bytes;
        loop {
            let start = bytes.len() - input.len();
            let piece = deframer.next(&mut input);
            let is_last = piece.is_none();
            let mut mould = None;
            let (entry, ends) = match piece {
                Some(Piece::Frame(frame)) => {
                    let entry = self.seen(from, frame, now);
                    if let What::Frame(head) = &entry.what
                        && !waits
                        && Mould::may_fit(&frame, input)
                    {
                        mould = self.mould(from, &frame, head);
                    }
                    (Some(entry), frame.is_whole())
                }
                Some(Piece::Value { last, .. }) => (None, last),
                Some(Piece::Raw { error, .. }) => (Some(self.lose(from, error, now)), true),
                None => (None, false),
            };
            let fresh = start..bytes.len() - input.len();
            match entry {
                Some(entry) if waits => self.pass(to, Held::frame(bytes.slice(fresh), entry, ends), now),
                None if waits && !fresh.is_empty() => self.pass(to, Held::raw(bytes.slice(fresh), ends), now),
                Some(entry) if is_open => self.delivered(&entry),
                Some(_) | None => {}
            }
            if is_last {
                break;
            }
            if let Some(stretch) = mould.and_then(|mould| self.leads(from, mould)?.stretch(input)) {
                input = input.get(stretch.bytes().len()..).unwrap_or_default();
                self.stretch(from, &stretch, now);
            }
        }
        self.deframers[index(from)] = deframer;
    }

    /// Whether what an end says goes on before it is looked at, and nothing stands in its way.
    pub(super) fn flows_on(&self, from: Side) -> bool {
        let to = from.other();
        !self.by_frame[index(from)] && !self.holds.is_held(to) && self.outbox.is_open(to)
    }

    /// The rest of a frame of which `ahead` bytes have gone on already.
    pub(super) fn go_on(&mut self, from: Side, frame: Frame<'_>, ahead: usize, now: Timestamp) {
        let (to, entry) = (from.other(), self.seen(from, frame, now));
        let value_left = frame.header().frame_len().saturating_sub(frame.bytes().len() as u64);
        let bytes = frame.bytes().get(ahead..).unwrap_or_default();
        self.rest_is_held[index(from)] &= self.holds.is_held(to);
        if !self.outbox.is_open(to) {
            return;
        }
        self.rest[index(from)] = value_left;
        if self.rest_is_held[index(from)] {
            self.pass(to, Held::frame(Bytes::copy_from_slice(bytes), entry, value_left == 0), now);
        } else {
            self.outbox.relay(to, bytes);
            self.holds.relayed(to, value_left > 0);
            self.delivered(&entry);
        }
    }

    /// Notes that a frame came; returns the entry that tells of its delivery.
    #[inline]
    fn seen(&mut self, from: Side, frame: Frame<'_>, now: Timestamp) -> Entry {
        let head = dcp::head(&frame, self.sessions.at(from).negotiated(), self.key_seed);
        let (direction, origin) = (Direction::From, Origin::Peer);
        let entry = Entry { at: now, edge: from, direction, origin, what: What::Frame(head) };
        self.note(&entry);
        Entry { edge: from.other(), direction: Direction::To, ..entry }
    }

    /// Notes that what an end says has lost its framing, once; returns the entry that tells it to the other.
    pub(super) fn lose(&mut self, from: Side, error: FramingError, now: Timestamp) -> Entry {
        let entry =
            |edge, direction| Entry { at: now, edge, direction, origin: Origin::Peer, what: What::FramingLost(error) };
        if !std::mem::replace(&mut self.lost[index(from)], true) {
            self.note(&entry(from, Direction::From));
        }
        entry(from.other(), Direction::To)
    }

    /// What an end says goes on by frames from now on; what has gone on of the one that is on its way has.
    fn look_at_frames(&mut self, from: Side) {
        if std::mem::replace(&mut self.by_frame[index(from)], true) {
            return;
        }
        let (deframer, to) = (&self.deframers[index(from)], from.other());
        self.ahead[index(from)] = deframer.partial().len();
        self.rest[index(from)] = deframer.value_left();
        self.rest_is_held[index(from)] = self.holds.is_held(to);
        if !self.holds.is_held(to) {
            self.holds.relayed(to, !deframer.at_boundary());
        }
    }

    /// Where nobody intercepts and nothing is pending, bytes go on before they are looked at: first those that have waited for
    /// the rest of their frame.
    pub(super) fn relax(&mut self, now: Timestamp) {
        // What is late may be a question to either end.
        if self.interceptor.is_some() || self.late.iter().any(|late| !late.is_empty()) {
            return;
        }
        for from in SIDES {
            let (at, to) = (index(from), from.other());
            let is_pending = self.asked.awaits(from, now).is_some() || self.rest[at] != self.deframers[at].value_left();
            if is_pending || !std::mem::replace(&mut self.by_frame[at], false) {
                continue;
            }
            let ahead = std::mem::take(&mut self.ahead[at]);
            let partial = self.deframers[at].partial().get(ahead..).unwrap_or_default();
            if !partial.is_empty() {
                self.pass(to, Held::raw(Bytes::copy_from_slice(partial), false), now);
            }
        }
    }

    /// When bytes go on that wait for an answer that may never come.
    pub(super) fn relaxes(&self, now: Timestamp) -> Option<Timestamp> {
        if self.interceptor.is_some() {
            return None;
        }
        let waits = |from: &Side| self.by_frame[index(*from)] && !self.deframers[index(*from)].partial().is_empty();
        let awaited = SIDES.into_iter().filter(waits).filter_map(|from| self.asked.awaits(from, now));
        awaited.map(|until| until + Duration::from_nanos(1)).filter(|until| *until < Timestamp(u64::MAX)).min()
    }

    /// A gate before an end closes the connection: that end at once, the other behind what goes to it, or resets both.
    pub(super) fn over(&mut self, to: Side, how: How, now: Timestamp) {
        match how {
            How::Fin => {
                self.holds.give_up(to);
                self.hang_up(to, how, now);
                self.hang_up(to.other(), how, now);
                self.over = Over::Closing;
            }
            How::Reset => {
                for side in SIDES {
                    self.holds.give_up(side);
                    self.hang_up(side, how, now);
                }
                self.over = Over::Torn;
            }
        }
    }

    /// When an end that was closed and does not close is torn down.
    pub(super) fn tears(&mut self, now: Timestamp) -> Option<Timestamp> {
        if self.over == Over::Closing && SIDES.into_iter().all(|side| !self.outbox.is_open(side)) {
            self.over = Over::Closed(now + GRACE);
        }
        match self.over {
            Over::Closed(until) => Some(until),
            Over::No | Over::Closing | Over::Torn => None,
        }
    }

    /// Tears down ends that were closed by a gate, and have had their time.
    pub(super) fn tear_down(&mut self, now: Timestamp) {
        if !matches!(self.over, Over::Closed(until) if until <= now) {
            return;
        }
        self.over = Over::Torn;
        for side in SIDES {
            if !self.ended[index(side)] {
                self.holds.give_up(side);
                self.hang_up(side, How::Reset, now);
            }
        }
    }
}
