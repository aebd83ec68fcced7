use serde::Deserialize;
use serde::Serialize;

use super::CloseStreamSpec;
use super::Fault;
use super::OrphanResponseSpec;
use super::Scene;
use crate::journal::Side;
use crate::session::StreamKey;
use crate::wire::Opaque;

/// The moment at which a step fires.
#[derive(Clone, Debug)]
pub struct Shot {
    /// Whose frame it fires at; `None` where it is time that it waited for.
    pub from: Option<Side>,
    /// The stream of that frame.
    pub struck: Option<Struck>,
    /// Chance, of the connection and the step alone (law L8).
    pub chance: fastrand::Rng,
}

/// A stream at which a step fires.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Struck {
    /// Which.
    pub key: StreamKey,
    /// Its opaque.
    pub opaque: Opaque,
    /// The last seqno that the consumer has got of it.
    pub seqno: u64,
    /// The value that the consumer requested it with.
    pub filter: Vec<u8>,
}

/// The settings of a fault, as a file says them.
pub trait Spec {
    /// Lets it begin at `shot`. It is then given the event that it begins at, like all that follow. `None` where there is
    /// nothing to do it to.
    fn fire(&self, shot: &Shot, scene: &mut Scene<'_>) -> Option<Box<dyn Fault>>;

    /// Whether it is done to a stream, in the middle of its transfer, unless the step says otherwise.
    fn wants_stream(&self) -> bool {
        false
    }

    /// Whether the stream is gone afterwards.
    fn closes_stream(&self) -> bool {
        false
    }

    /// Whether it is there to make orphaned responses, so that without one nothing was tried.
    fn makes_orphans(&self) -> bool {
        false
    }
}

/// A line for each fault: to add one is to write its file and its line.
macro_rules! faults {
    ($($(#[doc = $doc:literal])* $name:ident($spec:ty),)*) => {
        /// A fault and its settings.
        #[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum FaultSpec {
            $($(#[doc = $doc])* $name($spec),)*
        }

        impl Spec for FaultSpec {
            fn fire(&self, shot: &Shot, scene: &mut Scene<'_>) -> Option<Box<dyn Fault>> {
                match self { $(Self::$name(spec) => spec.fire(shot, scene),)* }
            }

            fn wants_stream(&self) -> bool {
                match self { $(Self::$name(spec) => spec.wants_stream(),)* }
            }

            fn closes_stream(&self) -> bool {
                match self { $(Self::$name(spec) => spec.closes_stream(),)* }
            }

            fn makes_orphans(&self) -> bool {
                match self { $(Self::$name(spec) => spec.makes_orphans(),)* }
            }
        }
    };
}

faults! {
    /// A stream is closed.
    CloseStream(CloseStreamSpec),
    /// A response to a message is told to the producer, out of nothing.
    OrphanResponse(OrphanResponseSpec),
}
