use std::time::Duration;

/// A gate that stands before an end, and what it is called: one that is changed under its name goes on with what it has
/// counted, and keeps its draws.
#[derive(Clone, PartialEq, Debug)]
pub struct Standing {
    /// Its name; no two before an end have one.
    pub name: String,
    /// What it does.
    pub gate: Gate,
}

/// Something that is done to all bytes that go to an end, in their order, as long as it stands there; frames of the tool's
/// own pass it by. The shapes and the behaviour are toxiproxy's.
#[derive(Clone, PartialEq, Debug)]
pub enum Gate {
    /// Bytes arrive later, by `latency` and up to `jitter` more or less.
    Latency {
        /// By how much.
        latency: Duration,
        /// Up to how much more, or less.
        jitter: Duration,
    },
    /// At most so many bytes arrive in a second.
    Bandwidth {
        /// Bytes a second.
        rate: u64,
    },
    /// The end of the direction arrives later.
    SlowClose {
        /// By how much.
        delay: Duration,
    },
    /// Nothing arrives, and the connection is closed after a time, or once this is removed.
    Timeout {
        /// After how long; `None` means only once it is removed.
        after: Option<Duration>,
    },
    /// The connection is reset after a time.
    ResetPeer {
        /// After how long.
        after: Duration,
    },
    /// Bytes arrive in pieces.
    Slicer {
        /// How long a piece is on average, in bytes.
        average_size: u64,
        /// By how many bytes it may be longer or shorter.
        size_variation: u64,
        /// How long between.
        delay: Duration,
    },
    /// The connection is closed once so many bytes have passed.
    LimitData {
        /// How many.
        bytes: u64,
    },
}
