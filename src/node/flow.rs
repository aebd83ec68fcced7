/// The flow-control window of a connection (dcp-protocol.md §5).
///
/// While less than the window is outstanding the next message goes, whatever its size: so at most one message less a byte
/// lies beyond it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flow {
    outstanding: u64,
    /// What a leak keeps for ever.
    leaked: u64,
}

impl Flow {
    /// Whether a message may go.
    pub(crate) const fn may_send(&self, window: u64) -> bool {
        window == 0 || self.outstanding < window
    }

    /// Whether a message may go if what leaked counts too.
    pub(super) const fn may_send_with_leak(&self, window: u64) -> bool {
        window == 0 || self.outstanding.saturating_add(self.leaked) < window
    }

    /// A message was sent.
    pub(crate) const fn charge(&mut self, bytes: u32) {
        self.outstanding = self.outstanding.saturating_add(bytes as u64);
    }

    /// The consumer gave bytes back; more than there are do no harm.
    pub(crate) const fn acknowledge(&mut self, bytes: u32) {
        self.outstanding = self.outstanding.saturating_sub(bytes as u64);
    }

    /// Loses bytes for ever, up to a whole window.
    pub(super) fn leak(&mut self, bytes: u64, window: u64) {
        self.leaked = self.leaked.saturating_add(bytes).min(window);
    }

    /// What was sent and not given back.
    #[cfg(test)]
    pub(super) const fn outstanding(&self) -> u64 {
        self.outstanding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_goes_while_the_window_is_not_full_whatever_its_size() {
        let mut flow = Flow::default();
        flow.charge(99);
        assert!(flow.may_send(100));
        flow.charge(1000);
        assert!(!flow.may_send(100));
        flow.acknowledge(999);
        assert!(!flow.may_send(100), "100 outstanding fill a window of 100");
        flow.acknowledge(1);
        assert!(flow.may_send(100));
        flow.acknowledge(5000);
        assert_eq!(flow.outstanding(), 0);
        assert!(flow.may_send(0), "0 is off");
    }

    #[test]
    fn a_leak_stays() {
        let mut flow = Flow::default();
        flow.leak(60, 100);
        flow.charge(50);
        assert!(flow.may_send(100));
        assert!(!flow.may_send_with_leak(100));
        flow.acknowledge(50);
        assert!(flow.may_send_with_leak(100));
        flow.leak(1000, 100);
        assert!(!flow.may_send_with_leak(100));
    }
}
