use std::time::Duration;

use super::Seen;
use crate::Timestamp;
use crate::dcp::Message;
use crate::verdict::Finding;
use crate::verdict::Verdict;
use crate::wire::Opcode;

const DEMANDS: &str = "the consumer gives back every charged byte in the end, also of refused messages and closed streams, and none \
                       that it was not charged";

/// The 5 s after which anything is due (G4), and a second for the way.
const PATIENCE: Duration = Duration::from_secs(6);
/// What comes shortly before an acknowledgement may not be in it.
const MARGIN: Duration = Duration::from_secs(1);
/// Acknowledgements in a row that leave something old before it is told.
const ENOUGH: u32 = 3;

/// Whether acknowledgements add up (dcp-protocol.md §5, invariants.md G3, G4, G7). Exact where the consumer had 6 s to
/// give back the last bytes; what keeps being left while messages keep coming may be a leak, or a consumer that is behind.
#[derive(Debug, Default)]
pub(super) struct Acknowledges {
    charged: u64,
    acked: u64,
    outstanding: u64,
    window: u64,
    prepares: u64,
    last: Timestamp,
    /// Bytes that came lately, and since when: in two spans of at least [`MARGIN`], the older first.
    recent: [(Timestamp, u64); 2],
    leftover: Option<Leftover>,
    too_many: Option<Finding>,
}

/// Old bytes that each of the last acknowledgements left.
#[derive(Clone, Copy, Debug)]
struct Leftover {
    since: Timestamp,
    times: u32,
    least: u64,
}

impl Acknowledges {
    pub(super) fn observe(&mut self, seen: &Seen<'_>) {
        let flow = seen.session.flow();
        let Some(window) = flow.window().filter(|&window| window != 0) else { return };
        self.window = window;
        self.outstanding = flow.outstanding();
        let charge = u64::from(seen.context.charge);
        if charge > 0 && !seen.said {
            self.charged = self.charged.saturating_add(charge);
            self.prepares = self.prepares.saturating_add(u64::from(seen.head.header.opcode == Opcode::DCP_PREPARE));
            self.last = seen.at;
            self.came(seen.at, charge);
        }
        if let (true, Ok(Message::BufferAck(ack))) = (seen.said, &seen.head.message) {
            self.acked = self.acked.saturating_add(u64::from(ack.bytes_to_ack));
            self.last = seen.at;
            self.came(seen.at, 0);
            self.left(seen.at);
            if flow.over_acked() > 0 && self.too_many.is_none() {
                self.too_many = Some(
                    finding(Verdict::Fail)
                        .expected(format!("at most {} bytes", self.charged))
                        .actual(format!("{} more than were outstanding", flow.over_acked()))
                        .at(seen.at),
                );
            }
        }
    }

    fn came(&mut self, now: Timestamp, bytes: u64) {
        let [older, newer] = &mut self.recent;
        if now.since(newer.0) > MARGIN {
            // Nothing of the older span is younger than the margin.
            *older = if now.since(newer.0) > MARGIN * 2 { (now, 0) } else { *newer };
            *newer = (now, 0);
        }
        newer.1 = newer.1.saturating_add(bytes);
    }

    fn left(&mut self, at: Timestamp) {
        let young = self.recent[0].1.saturating_add(self.recent[1].1);
        let old = self.outstanding.saturating_sub(young);
        self.leftover = (old > 0).then(|| match self.leftover {
            Some(left) => Leftover { times: left.times.saturating_add(1), least: left.least.min(old), ..left },
            None => Leftover { since: at, times: 1, least: old },
        });
    }

    /// The consumer was not read from until now.
    pub(super) const fn excuse(&mut self, now: Timestamp) {
        self.last = now;
        self.leftover = None;
    }

    pub(super) fn finding(&self, now: Timestamp) -> Option<Finding> {
        if let Some(too_many) = &self.too_many {
            return Some(too_many.clone());
        }
        if self.charged == 0 {
            return None;
        }
        let rested = now.since(self.last) > PATIENCE;
        // A client that counts a PREPARE as long as it is leaves 2 bytes of each: that is a note of G2's.
        let missing = if self.outstanding == self.prepares.saturating_mul(2) { 0 } else { self.outstanding };
        let say = |verdict, actual: String| {
            Some(finding(verdict).expected("every charged byte given back, those of the last 5 s apart").actual(actual))
        };
        if rested && missing > 0 {
            let waited = now.since(self.last).as_millis();
            let (charged, window) = (self.charged, self.window);
            return say(
                Verdict::Fail,
                format!("{missing} of {charged} bytes still out after {waited} ms of rest, in a window of {window}"),
            );
        }
        if rested {
            return say(Verdict::Pass, format!("{} bytes, all given back", self.charged));
        }
        match self.leftover {
            Some(left) if left.times >= ENOUGH && now.since(left.since) > PATIENCE && missing > 0 => say(
                Verdict::Inconclusive,
                format!("{} bytes or more are left by each acknowledgement, and messages never stopped", left.least),
            ),
            _ if self.acked > 0 => {
                say(Verdict::Pass, format!("{} of {} bytes given back, the rest came lately", self.acked, self.charged))
            }
            // Less than what must be acknowledged, or not for long enough.
            _ => None,
        }
    }
}

fn finding(verdict: Verdict) -> Finding {
    Finding::new("consumer-acknowledges", DEMANDS, verdict)
}
