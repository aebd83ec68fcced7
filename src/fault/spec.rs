use serde::Deserialize;
use serde::Serialize;

use super::CloseStreamSpec;
use super::CorruptSpec;
use super::DelaySpec;
use super::DisconnectSpec;
use super::DropSpec;
use super::DuplicateSpec;
use super::FakeResponseSpec;
use super::Fault;
use super::HoldSpec;
use super::LimitDataSpec;
use super::OrphanResponseSpec;
use super::ReleaseSpec;
use super::ReorderSpec;
use super::RewriteSpec;
use super::Scene;
use super::SendSpec;
use super::SliceSpec;
use super::StreamEndSpec;
use super::SwallowNoopSpec;
use super::ThrottleSpec;
use super::TruncateSpec;
use super::WithholdAckSpec;
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
    /// Whether all of that frame is here: the value of a very long one flows by.
    pub is_whole: bool,
    /// Bytes of that frame, header and value included.
    pub len: u64,
    /// Whether that frame is a request.
    pub is_request: bool,
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
    /// The consumer is told that its stream has ended.
    StreamEnd(StreamEndSpec),
    /// The frame goes no further.
    Drop(DropSpec),
    /// What an end says arrives later.
    Delay(DelaySpec),
    /// What an end says is held back.
    Hold(HoldSpec),
    /// What was held back goes on.
    Release(ReleaseSpec),
    /// The frame is sent again.
    Duplicate(DuplicateSpec),
    /// The frame lets others pass.
    Reorder(ReorderSpec),
    /// Only the first bytes of the frame go on.
    Truncate(TruncateSpec),
    /// The frame goes on garbled.
    Corrupt(CorruptSpec),
    /// What an end says arrives at a rate.
    Throttle(ThrottleSpec),
    /// What an end says arrives in pieces.
    Slice(SliceSpec),
    /// The connection is closed.
    Disconnect(DisconnectSpec),
    /// The consumer's acknowledgements are kept back.
    WithholdAck(WithholdAckSpec),
    /// No-ops do not arrive.
    SwallowNoop(SwallowNoopSpec),
    /// The request is answered by the tool.
    FakeResponse(FakeResponseSpec),
    /// The frame goes on with something changed.
    Rewrite(RewriteSpec),
    /// After so many bytes the connection is closed.
    LimitData(LimitDataSpec),
    /// A frame of the tool's own is sent.
    Send(SendSpec),
}
