use crate::Timestamp;
use crate::wire::Opaque;

/// The producer's no-ops as seen at one edge (dcp-protocol.md §6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Noop {
    /// DCP_NOOPs that the producer sent.
    pub sent: u64,
    /// Those that were answered.
    pub answered: u64,
    /// The last one, while it is not answered.
    pub outstanding: Option<(Opaque, Timestamp)>,
    /// When the last one was sent.
    pub last_sent: Option<Timestamp>,
    /// When the last answer crossed.
    pub last_answered: Option<Timestamp>,
}

impl Noop {
    pub(super) const fn sent(&mut self, opaque: Opaque, at: Timestamp) {
        self.sent = self.sent.saturating_add(1);
        self.outstanding = Some((opaque, at));
        self.last_sent = Some(at);
    }

    pub(super) fn answered(&mut self, opaque: Opaque, at: Timestamp) {
        self.answered = self.answered.saturating_add(1);
        self.last_answered = Some(at);
        if self.outstanding.is_some_and(|(awaited, _)| awaited == opaque) {
            self.outstanding = None;
        }
    }
}
