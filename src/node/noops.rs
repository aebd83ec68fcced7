use super::terms::Terms;
use crate::Timestamp;
use crate::dcp::DcpNoop;
use crate::wire::Opaque;

/// The no-ops of a producer (dcp-protocol.md §6): one each interval, never a second one while one is unanswered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noops {
    sent: u32,
    last: Option<Timestamp>,
    unanswered: bool,
}

/// Counted up from here; written as the host has it, which on x86 is little endian.
const FIRST_OPAQUE: u32 = 10_000_001;

impl Noops {
    pub(super) const fn new() -> Self {
        Self { sent: 0, last: None, unanswered: false }
    }

    /// Starts the clock, when the connection is opened.
    pub(super) const fn start(&mut self, now: Timestamp) {
        self.last = Some(now);
    }

    /// Appends a no-op if one is due.
    pub(super) fn send(&mut self, terms: &Terms, now: Timestamp, out: &mut Vec<u8>) {
        if self.next(terms).is_some_and(|due| due <= now) {
            self.sent = self.sent.wrapping_add(1);
            self.last = Some(now);
            self.unanswered = true;
            DcpNoop.request(self.opaque()).write(out);
        }
    }

    /// When the next one is due.
    pub(super) fn next(&self, terms: &Terms) -> Option<Timestamp> {
        self.last.filter(|_| terms.noop && !self.unanswered).map(|last| last + terms.noop_interval)
    }

    /// Takes note of a response; whether its opaque is that of the no-op sent last.
    pub(super) fn answered(&mut self, opaque: Opaque) -> bool {
        let own = self.sent > 0 && opaque == self.opaque();
        if own {
            self.unanswered = false;
        }
        own
    }

    fn opaque(&self) -> Opaque {
        Opaque(FIRST_OPAQUE.wrapping_add(self.sent).wrapping_sub(1).to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::era::Era;

    #[test]
    fn one_goes_each_interval_once_the_last_is_answered() {
        let terms = Terms { noop: true, noop_interval: Duration::from_secs(1), ..Terms::new(Era::V7_0) };
        let at = |ms: u64| Timestamp(ms * 1_000_000);
        let mut noops = Noops::new();
        noops.start(at(0));
        let mut out = Vec::new();
        noops.send(&terms, at(999), &mut out);
        assert!(out.is_empty());
        noops.send(&terms, at(1000), &mut out);
        assert_eq!(hex::encode(&out), "805c00000000000000000000819698000000000000000000");
        noops.send(&terms, at(3000), &mut out);
        assert_eq!(out.len(), 24, "the first is not answered");
        assert!(!noops.answered(Opaque([0x82, 0x96, 0x98, 0])));
        assert!(noops.answered(Opaque([0x81, 0x96, 0x98, 0])));
        noops.send(&terms, at(3000), &mut out);
        assert_eq!(out[36..40], [0x82, 0x96, 0x98, 0]);
        assert!(noops.answered(Opaque([0x82, 0x96, 0x98, 0])));
        assert_eq!(noops.next(&terms), Some(at(4000)));
        assert_eq!(noops.next(&Terms { noop: false, ..terms }), None);
    }
}
