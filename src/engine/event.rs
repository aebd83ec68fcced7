use std::any::Any;
use std::time::Duration;

use bytes::Bytes;

use super::Sessions;
use crate::Timestamp;
use crate::dcp::FrameHead;
use crate::journal::Act;
use crate::journal::How;
use crate::journal::Side;
use crate::session::Context;
use crate::wire::Frame;
use crate::wire::Header;

/// What happens on a connection, as an interceptor sees it.
#[derive(Debug)]
pub enum Event<'a> {
    /// A frame came; its head is whole, and its value where it is not longer than [`super::WHOLE_LIMIT`], or than the
    /// interceptor asked for.
    Frame {
        /// Who sent it.
        from: Side,
        /// Its bytes.
        frame: Frame<'a>,
        /// What it says.
        head: &'a FrameHead,
        /// What it is in its session, at the edge of the end that sent it.
        context: &'a Context,
    },
    /// The answer to a request that the interceptor injected. It goes no further (law L3).
    Answer {
        /// Who answered.
        from: Side,
        /// Its bytes.
        frame: Frame<'a>,
        /// What it says.
        head: &'a FrameHead,
    },
    /// Bytes without framing came.
    Raw {
        /// Who sent them.
        from: Side,
    },
    /// One direction ended.
    Closed {
        /// Whose.
        from: Side,
        /// How.
        how: How,
    },
    /// Reading from an end stopped (true) or goes on, as the other end does not take what came before.
    Paused {
        /// The end that is read from.
        from: Side,
        /// Whether it is paused.
        paused: bool,
    },
    /// The time that the interceptor asked for has come.
    Wakeup,
    /// The driver is told to end: no new step is to be taken, what is under way is to be settled.
    Settle,
}

/// How what goes to an end leaves: so many bytes at a time, and so long between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// Bytes at a time, at least one.
    pub bytes: usize,
    /// How long between.
    pub every: Duration,
}

/// What is to be done about an event. No action at all means [`Action::Forward`].
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// The frame, the bytes or the close goes on as it came.
    Forward,
    /// Only so many bytes of the frame go on, wherever in it that is; none of them is [`Self::Drop`], all of them
    /// [`Self::Forward`].
    Truncate(usize),
    /// The frame goes on as these bytes instead, in its place; they need not be a frame. Of one whose value flows by, they
    /// stand for the head, and the value follows.
    Replace(Bytes),
    /// As [`Self::Replace`], with the same words of the same end, in which addresses lead through the tool: it stays that
    /// end's, and the judge reads it so.
    Readdress(Bytes),
    /// The frame, the bytes or the close goes no further.
    Drop,
    /// A frame of the tool's own is sent. The answer to a request is withheld, and comes back as [`Event::Answer`].
    Inject {
        /// To whom.
        to: Side,
        /// The frame.
        frame: Bytes,
    },
    /// As [`Self::Inject`], but behind what waits for that end: a frame more in the order of those that came.
    Append {
        /// To whom.
        to: Side,
        /// The frame.
        frame: Bytes,
    },
    /// A frame that an end had sent, and that was dropped, is sent after all; its answer belongs to that end.
    Resume {
        /// To whom.
        to: Side,
        /// The frame.
        frame: Bytes,
    },
    /// What goes to an end, closes too, waits; injected frames do not.
    Hold {
        /// To whom.
        to: Side,
        /// Until when.
        until: Timestamp,
    },
    /// A hold ends now.
    Release {
        /// Whose.
        to: Side,
    },
    /// What goes to an end from now on leaves so much later, in its order, injected frames excepted; `None`: as it comes.
    Lag {
        /// To whom.
        to: Side,
        /// By how much.
        by: Option<Duration>,
    },
    /// What goes to an end leaves in pieces from now on, injected frames excepted; `None`: as it comes.
    Pace {
        /// To whom.
        to: Side,
        /// How much, and how often.
        pace: Option<Pace>,
    },
    /// A connection is closed by the tool.
    Close {
        /// Whose.
        side: Side,
        /// How.
        how: How,
    },
    /// Something for the journal, at the edge of an end.
    Note {
        /// At whose edge.
        edge: Side,
        /// What.
        act: Act,
    },
}

impl Action {
    /// Whether it says how things go on from here: the event's subject goes on behind it, where no fate is named.
    pub const fn is_gate(&self) -> bool {
        matches!(self, Self::Hold { .. } | Self::Lag { .. } | Self::Pace { .. })
    }

    /// Whether it decides what becomes of the event's subject.
    pub const fn is_fate(&self) -> bool {
        matches!(self, Self::Forward | Self::Truncate(_) | Self::Replace(_) | Self::Readdress(_) | Self::Drop)
    }
}

/// What an event leads to.
pub type Actions = Vec<Action>;

/// The one who acts. It decides the fate of each event; it judges nothing (law L6).
pub trait Interceptor: Send {
    /// Decides what happens.
    fn on_event(&mut self, event: &Event<'_>, sessions: &Sessions, now: Timestamp) -> Actions;

    /// Whether it would do nothing, and remember nothing, at mutations alike to that of this event, which it has just let go
    /// on: they are not shown to it then. Those alike differ in seqno, CAS, revision, flags, times, key, value and lengths.
    fn bears_stretch(&self, _event: &Event<'_>, _now: Timestamp) -> bool {
        false
    }

    /// When it wants to be woken.
    fn wakeup(&self) -> Option<Timestamp>;

    /// Whether all of its steps have fired and settled.
    fn is_settled(&self) -> bool;

    /// Whether it has steps to take; one that has none is waited for by nobody.
    fn is_armed(&self) -> bool {
        true
    }

    /// The one who takes steps, as itself, be it this or one that this is around: for those who arm steps while the
    /// connection is open.
    fn stepper(&mut self) -> Option<&mut dyn Any> {
        None
    }

    /// The length, in bytes, up to which a frame of this header is to be whole, where that is more than
    /// [`super::WHOLE_LIMIT`]. So much is kept in memory.
    fn whole_limit(&self, _from: Side, _header: &Header) -> Option<usize> {
        None
    }
}
