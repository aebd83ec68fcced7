use std::time::Duration;

/// A gate that stands before an end, and what it is called: one that is changed under its name goes on with what it has
/// counted.
#[derive(Clone, PartialEq, Debug)]
pub struct Standing {
    /// Its name; no two before an end have one.
    pub name: String,
    /// The seed of what is drawn for it.
    pub seed: u64,
    /// What it does.
    pub gate: Gate,
}

/// Something that is done to all bytes that go to an end, in their order, as long as it stands there; frames of the tool's
/// own pass it by. The shapes and the behaviour are those of toxiproxy's documents.
///
/// What waits before it leaves as the gates that stand there then say, from the time that it came: where a latency is
/// removed, at once. Times run from when a gate came to stand before the end of that connection.
#[derive(Clone, PartialEq, Debug)]
pub enum Gate {
    /// Bytes, and the end of the direction, arrive later. (The API's `latency` and `jitter`: milliseconds.)
    Latency {
        /// By how much.
        latency: Duration,
        /// Up to how much more, or less, by chance: what was read at once has one draw, and nothing overtakes.
        jitter: Duration,
    },
    /// At most so many bytes arrive in a second, evenly.
    Bandwidth {
        /// Bytes a second; none at all with 0. (The API's `rate` is in KB/s of 1,000 bytes: toxiproxy lets a byte go each
        /// millisecond for each of them.)
        rate: u64,
    },
    /// The end of the direction arrives later; bytes do not.
    SlowClose {
        /// By how much. (The API's `delay`: milliseconds.)
        delay: Duration,
    },
    /// Nothing arrives: what comes, or waits, is dropped. The connection is closed (FIN to both ends) after a time, and at
    /// once when this is removed. Where the end of the direction comes, it goes on.
    Timeout {
        /// After how long; a change of it begins the time anew. `None` means only once it is removed. (The API's `timeout`:
        /// milliseconds, 0 stands for `None`.)
        after: Option<Duration>,
    },
    /// The connection is reset (RST to both ends) after a time; until then what comes waits, and it leaves where this is
    /// removed first. (toxiproxy runs the time from the first bytes that come; its documents do not say so.)
    ResetPeer {
        /// After how long; with zero at once. A change of it begins the time anew. (The API's `timeout`: milliseconds.)
        after: Duration,
    },
    /// Bytes that were read at once arrive in pieces, each written by itself.
    Slicer {
        /// How long a piece is on average, in bytes; at least one.
        average_size: u64,
        /// By how many bytes it may be longer or shorter, by chance.
        size_variation: u64,
        /// How long between two pieces. (The API's `delay`: microseconds.)
        delay: Duration,
    },
    /// Exactly so many bytes pass, and with the last of them the connection is closed (FIN to both ends), wherever in a
    /// frame that is; with 0, when a byte comes.
    LimitData {
        /// How many, from when this came to stand there; a change of the number goes on counting.
        bytes: u64,
    },
}

impl Gate {
    /// By how much it makes bytes later, where it does so to each alike.
    pub(super) fn delay(&self) -> Option<Duration> {
        match self {
            Self::Latency { latency, jitter } => Some(latency.saturating_add(*jitter)),
            Self::Bandwidth { .. }
            | Self::SlowClose { .. }
            | Self::Timeout { .. }
            | Self::ResetPeer { .. }
            | Self::Slicer { .. }
            | Self::LimitData { .. } => None,
        }
    }

    /// The bytes a second that it lets through at most, where it is one that says so.
    pub(super) fn rate(&self) -> Option<u64> {
        match self {
            Self::Bandwidth { rate } => Some(*rate),
            Self::Slicer { average_size, delay, .. } if !delay.is_zero() => {
                let rate = *average_size as f64 / delay.as_secs_f64();
                Some(if rate < 1e15 { rate as u64 } else { u64::MAX })
            }
            Self::Latency { .. }
            | Self::SlowClose { .. }
            | Self::Timeout { .. }
            | Self::ResetPeer { .. }
            | Self::Slicer { .. }
            | Self::LimitData { .. } => None,
        }
    }
}
