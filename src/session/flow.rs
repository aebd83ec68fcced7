use crate::Timestamp;

/// The producer's flow-control window as seen at one edge (dcp-protocol.md §5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flow {
    window: Option<u64>,
    outstanding: u64,
    max_outstanding: u64,
    charged_total: u64,
    acked_total: u64,
    over_acked: u64,
    last_ack: Option<Timestamp>,
}

impl Flow {
    /// The window in bytes: the last `connection_buffer_size` that was accepted. `None` and 0 mean that flow control is
    /// off.
    pub const fn window(&self) -> Option<u64> {
        self.window
    }

    /// Whether the producer must mind the window.
    pub fn is_on(&self) -> bool {
        self.window.is_some_and(|window| window != 0)
    }

    /// Bytes charged and not acknowledged since flow control is on.
    pub const fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// The most that was ever outstanding.
    pub const fn max_outstanding(&self) -> u64 {
        self.max_outstanding
    }

    /// Whether the producer may send another charged message.
    pub fn has_room(&self) -> bool {
        !self.is_on() || self.outstanding < self.window.unwrap_or_default()
    }

    /// All bytes charged, also while flow control was off.
    pub const fn charged_total(&self) -> u64 {
        self.charged_total
    }

    /// All bytes acknowledged.
    pub const fn acked_total(&self) -> u64 {
        self.acked_total
    }

    /// Bytes acknowledged that were not outstanding; the counter stays at 0 there.
    pub const fn over_acked(&self) -> u64 {
        self.over_acked
    }

    /// When the last BUFFER_ACK crossed.
    pub const fn last_ack(&self) -> Option<Timestamp> {
        self.last_ack
    }

    pub(super) const fn set_window(&mut self, window: u64) {
        self.window = Some(window);
        if window == 0 {
            self.outstanding = 0;
        }
    }

    /// Bytes that may be charged with room left behind them.
    pub(super) fn spare(&self) -> u64 {
        if !self.is_on() {
            return u64::MAX;
        }
        self.window.unwrap_or_default().saturating_sub(self.outstanding).saturating_sub(1)
    }

    #[inline]
    pub(super) fn charge(&mut self, bytes: u64) {
        self.charged_total = self.charged_total.saturating_add(bytes);
        if self.is_on() {
            self.outstanding = self.outstanding.saturating_add(bytes);
            self.max_outstanding = self.max_outstanding.max(self.outstanding);
        }
    }

    pub(super) fn ack(&mut self, bytes: u32, at: Timestamp) {
        let bytes = u64::from(bytes);
        self.acked_total = self.acked_total.saturating_add(bytes);
        if self.is_on() {
            self.over_acked = self.over_acked.saturating_add(bytes.saturating_sub(self.outstanding));
            self.outstanding = self.outstanding.saturating_sub(bytes);
        }
        self.last_ack = Some(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_counts_from_when_it_is_set() {
        let mut flow = Flow::default();
        flow.charge(500);
        assert_eq!((flow.outstanding(), flow.charged_total(), flow.has_room()), (0, 500, true));
        flow.set_window(100);
        flow.charge(99);
        assert!(flow.has_room());
        flow.charge(60);
        assert_eq!((flow.outstanding(), flow.has_room()), (159, false));
        flow.ack(59, Timestamp(1));
        assert!(!flow.has_room(), "outstanding = window is full");
        flow.ack(1, Timestamp(2));
        assert!(flow.has_room());
        assert_eq!((flow.max_outstanding(), flow.last_ack()), (159, Some(Timestamp(2))));
    }

    #[test]
    fn an_acknowledgement_too_many_stops_at_zero_and_is_counted() {
        let mut flow = Flow::default();
        flow.set_window(100);
        flow.charge(10);
        flow.ack(25, Timestamp(1));
        assert_eq!((flow.outstanding(), flow.over_acked(), flow.acked_total()), (0, 15, 25));
    }

    #[test]
    fn a_window_of_zero_turns_it_off() {
        let mut flow = Flow::default();
        flow.set_window(10);
        flow.charge(50);
        flow.set_window(0);
        assert_eq!((flow.outstanding(), flow.is_on(), flow.has_room()), (0, false, true));
        flow.charge(50);
        assert_eq!(flow.outstanding(), 0);
    }
}
