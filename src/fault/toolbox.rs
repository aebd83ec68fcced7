use std::collections::BTreeSet;
use std::time::Duration;

use crate::era::Era;
use crate::wire::Opaque;

/// What every fault of a connection shares.
#[derive(Debug)]
pub struct Toolbox {
    /// The era whose consumer is played, and whose producer is judged.
    pub era: Era,
    /// How long the producer is watched after the last orphaned response.
    pub settle: Duration,
    /// Whether answers at which the era's producer may or must close are given too.
    pub fatal_too: bool,
    prefix: [u8; 2],
    next: u16,
    /// Bytes of forged frames that the consumer has yet to acknowledge, although the producer never sent them.
    surplus: u32,
    /// Opaques of streams that the consumer has nothing to do with, or nothing more.
    strange: BTreeSet<Opaque>,
}

/// Opaques of streams that are remembered.
const MOST_STRANGE: usize = 65_536;

impl Toolbox {
    /// Tools for a connection.
    pub const fn new(era: Era, settle: Duration, fatal_too: bool) -> Self {
        Self { era, settle, fatal_too, prefix: [0xdc, 0x0d], next: 0, surplus: 0, strange: BTreeSet::new() }
    }

    /// How long something that the producer owes is waited for, before the course goes on without it.
    pub fn patience(&self) -> Duration {
        self.settle.saturating_mul(5).max(Duration::from_secs(5))
    }

    /// The consumer will acknowledge a forged frame of so many bytes.
    pub const fn will_be_acknowledged(&mut self, bytes: u32) {
        self.surplus = self.surplus.saturating_add(bytes);
    }

    /// What of an acknowledgement of the consumer's is for forged frames.
    pub fn take_surplus(&mut self, acknowledged: u32) -> u32 {
        let taken = self.surplus.min(acknowledged);
        self.surplus -= taken;
        taken
    }

    /// The messages of the stream with that opaque are not for the consumer, unless it has it open itself.
    pub fn keep_from_consumer(&mut self, stream: Opaque) {
        if self.strange.len() >= MOST_STRANGE {
            self.strange.pop_first();
        }
        self.strange.insert(stream);
    }

    /// Whether the messages of the stream with that opaque are not for the consumer.
    pub fn is_kept_from_consumer(&self, stream: Opaque) -> bool {
        self.strange.contains(&stream)
    }

    /// How long a stream that is due must bring nothing to count as stalled.
    pub fn silence(&self) -> Duration {
        self.settle.saturating_mul(3)
    }

    /// An opaque that no end of the connection has used.
    pub const fn opaque(&mut self) -> Opaque {
        self.next = self.next.wrapping_add(1);
        let [hi, lo] = self.next.to_be_bytes();
        Opaque([self.prefix[0], self.prefix[1], hi, lo])
    }

    /// As [`Self::avoid`], of all that are in use where the tool comes late.
    pub fn avoid_all(&mut self, used: impl IntoIterator<Item = Opaque>) {
        let used: BTreeSet<[u8; 2]> = used.into_iter().map(|Opaque([a, b, ..])| [a, b]).collect();
        // There are more prefixes than an end has requests under way.
        while used.contains(&self.prefix) && used.len() <= usize::from(u16::MAX) {
            self.prefix = next_prefix(self.prefix);
        }
    }

    /// Takes note of an opaque that an end uses, so that it is never the tool's.
    pub fn avoid(&mut self, Opaque([a, b, ..]): Opaque) {
        if self.prefix == [a, b] {
            self.prefix = next_prefix(self.prefix);
        }
    }
}

/// All prefixes, one after another.
const fn next_prefix(prefix: [u8; 2]) -> [u8; 2] {
    u16::from_be_bytes(prefix).wrapping_add(0x101).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opaques_differ_from_each_other_and_from_those_seen() {
        let mut tools = Toolbox::new(Era::V7_0, Duration::from_secs(2), false);
        let first = tools.opaque();
        tools.avoid(Opaque([1, 0, 0, 0]));
        let second = tools.opaque();
        assert_ne!(first, second);
        assert_eq!(first.0[..2], second.0[..2]);
        tools.avoid(second);
        assert_ne!(tools.opaque().0[..2], second.0[..2]);
    }

    #[test]
    fn late_tools_avoid_what_is_in_use_whatever_its_order() {
        let mut tools = Toolbox::new(Era::V7_0, Duration::from_secs(2), false);
        let used = [Opaque([0xdd, 0x0e, 0, 0]), Opaque([0xde, 0x0f, 9, 9]), Opaque([0xdc, 0x0d, 7, 7])];
        tools.avoid_all(used);
        assert_eq!(tools.opaque().0[..2], [0xdf, 0x10]);
        let all = (0..=u16::MAX).map(|n| {
            let [hi, lo] = n.to_be_bytes();
            Opaque([hi, lo, 0, 0])
        });
        tools.avoid_all(all);
    }

    #[test]
    fn what_was_forged_is_taken_out_of_acknowledgements_once() {
        let mut tools = Toolbox::new(Era::V7_0, Duration::from_secs(2), false);
        assert_eq!(tools.take_surplus(100), 0);
        tools.will_be_acknowledged(28);
        tools.will_be_acknowledged(28);
        assert_eq!((tools.take_surplus(30), tools.take_surplus(30), tools.take_surplus(30)), (30, 26, 0));
    }

    #[test]
    fn streams_that_are_kept_from_the_consumer_are_not_kept_in_mind_without_end() {
        let mut tools = Toolbox::new(Era::V7_0, Duration::from_secs(2), false);
        for n in 0..100_000_u32 {
            tools.keep_from_consumer(Opaque(n.to_be_bytes()));
        }
        assert_eq!(tools.strange.len(), MOST_STRANGE);
        assert!(tools.is_kept_from_consumer(Opaque(99_999_u32.to_be_bytes())));
        assert!(!tools.is_kept_from_consumer(Opaque([9; 4])));
    }
}
