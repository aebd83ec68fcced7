//! What is expected of an end after a step has fired: one file each. Each is judged from the journal at that end's edge,
//! and from nothing else (laws L5 and L6).

mod answered_once;
mod case;
mod disconnect;
mod progress;
mod response;
mod resumes;
mod says;
mod silence;
mod stream_end;
mod survives;
mod window_restored;

use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::Timestamp;
use crate::dcp::FrameHead;
use crate::filter::Filter;
use crate::filter::Subject;
use crate::journal::Direction;
use crate::journal::Entry;
use crate::journal::Origin;
use crate::journal::Role;
use crate::journal::Side;
use crate::journal::What;
use crate::session::Context;
use crate::session::Session;
use crate::session::StreamKey;
use crate::units::Span;
use crate::wire::Opaque;
use crate::wire::Opcode;

pub use answered_once::AnsweredOnce;
pub(super) use case::Cases;
pub use case::Expected;
pub use disconnect::Disconnect;
pub use progress::Progress;
pub use progress::Which;
pub use response::Response;
pub use resumes::Resumes;
pub use says::Says;
pub use silence::Silence;
pub use stream_end::StreamEnd;
pub use survives::Survives;
pub use window_restored::WindowRestored;

/// What every expectation has, whatever it is about.
#[derive(Clone, PartialEq, Debug)]
pub struct Common {
    /// How long it is waited for after the step has fired; the settling time where it is not said.
    pub within: Option<Span>,
    /// Whether the contrary is expected.
    pub not: bool,
    /// Which end it is about.
    pub of: Role,
    /// Why, as the report says it.
    pub because: Option<String>,
}

/// Something that is watched for, from the moment at which its step fired.
pub(super) trait Watch: std::fmt::Debug + Send {
    /// Takes in an entry of the edge of the end that it is about, which lies within the time.
    fn observe(&mut self, moment: &Moment<'_>);

    /// Whether it has come to be, once nothing more is to come.
    fn outcome(&self, end: &End) -> Outcome;
}

/// Whether what is expected came to be, and what was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Yes(String),
    No(String),
    /// There is too little evidence to say; what is missing.
    Unknown(String),
}

/// An entry, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment<'a> {
    pub(super) entry: &'a Entry,
    pub(super) context: &'a Context,
    pub(super) session: &'a Session,
    pub(super) fired: &'a Fired,
}

/// The moment at which the step fired.
#[derive(Clone, Debug)]
pub(super) struct Fired {
    pub(super) at: Timestamp,
    /// The stream that it fired at, and the last seqno that the consumer had got of it.
    pub(super) stream: Option<(StreamKey, Opaque, u64)>,
    /// The requests that an answer may be awaited to: the one that it fired at, and those that the tool sent since. Whose
    /// edge they were delivered at is the side.
    pub(super) requests: Vec<(Side, Opcode, Opaque)>,
}

/// How flow control stands at an edge.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Books {
    /// The window; `None` where there is none.
    pub(super) window: Option<u64>,
    pub(super) outstanding: u64,
    /// Bytes that were acknowledged and never charged.
    pub(super) over_acked: u64,
}

impl Books {
    fn of(session: &Session) -> Self {
        let flow = session.flow();
        Self {
            window: flow.window().filter(|_| flow.is_on()),
            outstanding: flow.outstanding(),
            over_acked: flow.over_acked(),
        }
    }
}

/// What is known when nothing more is to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Whether all of the time was seen.
    pub(super) complete: bool,
    /// Whether the end that it is about has closed within it.
    pub(super) closed: bool,
    /// How long was waited for.
    pub(super) within: Duration,
    /// How flow control stood at the end's edge when the step fired, and how it stands.
    pub(super) before: Books,
    pub(super) now: Books,
}

impl End {
    /// What it means that it was not seen.
    fn unseen(&self, what: &str) -> Outcome {
        if self.closed {
            Outcome::No(format!("{what}; the connection was closed"))
        } else if self.complete {
            Outcome::No(format!("{what} within {} ms", self.within.as_millis()))
        } else {
            Outcome::Unknown(format!("{what}, but it was watched for less than {} ms", self.within.as_millis()))
        }
    }
}

impl<'a> Moment<'a> {
    /// What the end itself says: its frame.
    fn said(&self) -> Option<&'a FrameHead> {
        self.frame(Direction::From)
    }

    /// What is delivered to the end: a frame.
    fn told(&self) -> Option<&'a FrameHead> {
        self.frame(Direction::To)
    }

    fn frame(&self, direction: Direction) -> Option<&'a FrameHead> {
        match &self.entry.what {
            What::Frame(head) if self.entry.direction == direction => Some(head),
            What::Frame(_)
            | What::FramingLost(_)
            | What::Gap(_)
            | What::Paused(_)
            | What::Acted(_)
            | What::Closed { .. } => None,
        }
    }

    /// Whether the end itself closes.
    fn closes(&self) -> bool {
        matches!(self.entry.what, What::Closed { .. })
            && self.entry.direction == Direction::From
            && self.entry.origin == Origin::Peer
    }

    /// Milliseconds since the step fired.
    fn ms(&self) -> u128 {
        self.entry.at.since(self.fired.at).as_millis()
    }

    /// Whether a message is one of the stream that the step fired at.
    fn is_of_stream(&self, head: &FrameHead) -> bool {
        self.fired.stream.as_ref().is_some_and(|&(key, opaque, _)| {
            head.header.opaque == opaque
                && head.header.vbucket() == Some(key.vbucket)
                && (head.stream_id.is_none() || head.stream_id == key.stream_id)
        })
    }

    fn matches(&self, filter: &Filter, head: &FrameHead) -> bool {
        let from = self.context.sender.map(|role| match role {
            Role::Producer => "producer",
            Role::Consumer => "consumer",
        });
        filter.matches(&Subject { from, ..Subject::of_head(head, self.entry.at) })
    }
}

/// A line for each: to add one is to write its file and its line.
macro_rules! expectations {
    ($($(#[doc = $doc:literal])* $name:ident($text:literal),)*) => {
        /// Something that is expected.
        #[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Expect {
            $($(#[doc = $doc])* $name($name),)*
        }

        impl Expect {
            /// As files call it.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => $text,)* }
            }

            /// What every expectation has.
            pub fn common(&self) -> Common {
                match self { $(Self::$name(expect) => expect.common(),)* }
            }

            /// What it demands, in words; with `not`, what must not be.
            pub(super) fn demand(&self) -> String {
                match self { $(Self::$name(expect) => expect.demand(),)* }
            }

            pub(super) fn watch(&self) -> Box<dyn Watch> {
                match self { $(Self::$name(expect) => Box::new(expect.watch()),)* }
            }
        }

    };
}

expectations! {
    /// STREAM_END comes for the stream.
    StreamEnd("stream_end"),
    /// A request is answered.
    Response("response"),
    /// The end closes the connection.
    Disconnect("disconnect"),
    /// The end keeps the connection, and lives.
    Survives("survives"),
    /// The end says nothing of a kind.
    Silence("silence"),
    /// The end says something of a kind.
    Says("says"),
    /// Streams go on.
    Progress("progress"),
    /// The stream is requested again, from where the consumer was, and goes on.
    Resumes("resumes"),
    /// The flow-control window is as large as before.
    WindowRestored("window_restored"),
    /// Each request is answered exactly once.
    AnsweredOnce("answered_once"),
}

/// The members that every expectation has, beside its own.
macro_rules! expectation {
    (
        $(#[$meta:meta])*
        $name:ident of $role:ident {
            $($(#[$field_meta:meta])* $field:ident: $ty:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Debug, serde::Deserialize, serde::Serialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $ty,)*
            /// How long it is waited for after the step has fired.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub within: Option<crate::units::Span>,
            /// Whether the contrary is expected.
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            pub not: bool,
            /// Which end it is about.
            #[serde(default, with = "crate::journal::role", skip_serializing_if = "Option::is_none")]
            pub of: Option<crate::journal::Role>,
            /// Why, as the report says it.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub because: Option<String>,
        }

        impl $name {
            pub(super) fn common(&self) -> super::Common {
                super::Common {
                    within: self.within,
                    not: self.not,
                    of: self.of.unwrap_or(crate::journal::Role::$role),
                    because: self.because.clone(),
                }
            }
        }
    };
}
use expectation;

/// An end, as sentences call it.
const fn name_of(role: Role) -> &'static str {
    match role {
        Role::Producer => "the producer",
        Role::Consumer => "the consumer",
    }
}
