//! Section G: the charge of a message, as far as the acknowledgements show how it was counted.

use super::Concerns;
use super::Invariant;
use super::rule::Rule;
use super::rule::Ruling;
use super::rule::Seen;
use super::rule::held;
use crate::dcp::Message;
use crate::journal::Role;
use crate::verdict::Severity;
use crate::wire::HEADER_LEN;
use crate::wire::Opcode;

pub(super) fn add(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([held::<PrepareCharge>()]);
}

/// G2. How the producer counts shows in G1, and who acknowledges too much in G3. This is for the 2 bytes that a PREPARE is
/// charged above its length: what is left after an acknowledgement is at least the length of a header, as no message is
/// shorter, or it is what was not counted.
#[derive(Debug, Default)]
pub(super) struct PrepareCharge {
    prepares: u64,
}

impl Rule for PrepareCharge {
    const ID: &'static str = "g2-prepare-charge";
    const REQUIREMENT: &'static str =
        "who acknowledges all that was charged acknowledges 2 bytes more than its length for each PREPARE";
    const EXCEPTIONS: &'static str = "third-party consumers that count the length alone leave 2 bytes for each PREPARE, so it is a note; above \
         11 PREPAREs what is left may be a message";
    const SEVERITY: Severity = Severity::Warning;
    const BLAME: Option<Role> = Some(Role::Consumer);
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_PREPARE, Opcode::DCP_BUFFER_ACK]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let flow = seen.session.flow();
        if seen.header().opcode == Opcode::DCP_PREPARE && seen.context.charge > 0 && flow.is_on() {
            self.prepares = self.prepares.saturating_add(1);
        }
        if self.prepares == 0 || seen.sender != Role::Consumer || !matches!(seen.message(), Some(Message::BufferAck(_)))
        {
            return Ruling::Silent;
        }
        let left = flow.outstanding();
        match left {
            0 if flow.over_acked() == 0 => Ruling::Kept,
            1.. if left < HEADER_LEN as u64 && left == self.prepares.saturating_mul(2) => {
                let found = format!("{left} bytes left of {} PREPAREs", self.prepares);
                Ruling::broken("every charged byte acknowledged, or a whole message left".to_owned(), found)
            }
            _ => Ruling::Silent,
        }
    }
}

#[cfg(test)]
mod tests;
