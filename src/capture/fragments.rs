use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::Timestamp;

/// The most packets that are waited for at a time; the oldest makes room.
const LIMIT: usize = 256;
/// How long the rest of a packet is waited for, by the packets' times: what Linux takes (`net.ipv4.ipfrag_time`).
const TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes that an IP packet holds.
const MAX_PACKET: usize = 65_535;
/// The most pieces that a packet is believed to come in: fragments of eight bytes would be more, and are an attack.
const MAX_PIECES: usize = 1024;

/// A fragment of an IP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fragment<'a> {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    /// Which packet it belongs to.
    pub(super) id: u32,
    /// Where in the packet's payload it begins.
    pub(super) offset: usize,
    /// Whether others follow it.
    pub(super) more: bool,
    pub(super) bytes: &'a [u8],
    /// Whether all of it was captured.
    pub(super) whole: bool,
}

/// Puts IP packets together that were sent in fragments. (TCP's ends avoid them, but tunnels make them.)
///
/// At most 256 packets of at most 64 KiB are held. A packet of which a part does not come within 30 seconds of its first one
/// is given up: its bytes are then missing from their connection, which the reassembly of TCP tells.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    /// By number, in the order of their first fragments.
    waiting: BTreeMap<u64, Waiting>,
    count: u64,
    lost: u64,
}

#[derive(Debug)]
struct Waiting {
    from: IpAddr,
    to: IpAddr,
    id: u32,
    since: Timestamp,
    /// By offset. They do not overlap.
    pieces: BTreeMap<usize, Vec<u8>>,
    held: usize,
    /// Known once the last one is there.
    len: Option<usize>,
    fragments: u64,
}

/// A packet's payload, put together.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Whole {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) bytes: Vec<u8>,
}

impl Fragments {
    /// Takes in one fragment; gives the packet, once it is whole.
    pub(super) fn take(&mut self, at: Timestamp, fragment: &Fragment<'_>) -> Option<Whole> {
        while let Some(oldest) = self.waiting.first_entry()
            && at.since(oldest.get().since) > TIMEOUT
        {
            self.lost = self.lost.saturating_add(oldest.remove().fragments);
        }
        let is_its =
            |waiting: &Waiting| (waiting.id, waiting.from, waiting.to) == (fragment.id, fragment.from, fragment.to);
        let known = self.waiting.iter().find(|(_, waiting)| is_its(waiting)).map(|(&number, _)| number);
        let number = known.unwrap_or_else(|| self.begin(at, fragment));
        let waiting = self.waiting.get_mut(&number)?;
        waiting.fragments = waiting.fragments.saturating_add(1);
        let believed = waiting.insert(fragment);
        if believed && !waiting.is_whole() {
            return None;
        }
        let waiting = self.waiting.remove(&number)?;
        if !believed {
            self.lost = self.lost.saturating_add(waiting.fragments);
            return None;
        }
        let bytes = waiting.pieces.into_values().flatten().collect();
        Some(Whole { from: waiting.from, to: waiting.to, bytes })
    }

    /// How many fragments were given up; at the end of a capture, those that are still waiting too.
    pub(super) fn lost(&self) -> u64 {
        self.waiting.values().fold(self.lost, |lost, waiting| lost.saturating_add(waiting.fragments))
    }

    fn begin(&mut self, at: Timestamp, fragment: &Fragment<'_>) -> u64 {
        if self.waiting.len() >= LIMIT
            && let Some((_, oldest)) = self.waiting.pop_first()
        {
            self.lost = self.lost.saturating_add(oldest.fragments);
        }
        self.count = self.count.saturating_add(1);
        let waiting = Waiting {
            from: fragment.from,
            to: fragment.to,
            id: fragment.id,
            since: at,
            pieces: BTreeMap::new(),
            held: 0,
            len: None,
            fragments: 0,
        };
        self.waiting.insert(self.count, waiting);
        self.count
    }
}

impl Waiting {
    /// Keeps what of a fragment is new (what came first wins); false where it can belong to no packet, or was cut.
    fn insert(&mut self, fragment: &Fragment<'_>) -> bool {
        let end = fragment.offset.saturating_add(fragment.bytes.len());
        if !fragment.whole || end > MAX_PACKET || self.pieces.len() >= MAX_PIECES {
            return false;
        }
        if !fragment.more {
            self.len.get_or_insert(end);
        }
        let mut at = fragment.offset;
        if let Some((&from, piece)) = self.pieces.range(..=at).next_back() {
            at = at.max(from.saturating_add(piece.len()));
        }
        while at < end {
            let next = self.pieces.range(at..end).next().map(|(&from, piece)| (from, from.saturating_add(piece.len())));
            let (to, behind) = next.unwrap_or((end, end));
            let part = fragment.bytes.get(at.saturating_sub(fragment.offset)..to.saturating_sub(fragment.offset));
            if let Some(part) = part.filter(|part| !part.is_empty()) {
                self.held = self.held.saturating_add(part.len());
                self.pieces.insert(at, part.to_vec());
            }
            at = behind;
        }
        true
    }

    /// They do not overlap: as many bytes as there are to be are all of them.
    fn is_whole(&self) -> bool {
        self.len.is_some_and(|len| self.held >= len)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    fn fragment(id: u32, offset: usize, more: bool, bytes: &[u8]) -> Fragment<'_> {
        Fragment { from: [10, 0, 0, 1].into(), to: [10, 0, 0, 2].into(), id, offset, more, bytes, whole: true }
    }

    const NOW: Timestamp = Timestamp(1_000_000_000_000);

    fn whole(fragments: &mut Fragments, pieces: &[Fragment<'_>]) -> Vec<String> {
        let bytes = pieces.iter().filter_map(|piece| fragments.take(NOW, piece)).map(|whole| whole.bytes);
        bytes.map(|bytes| String::from_utf8(bytes).unwrap()).collect()
    }

    #[test]
    fn in_any_order_twice_and_overlapping_they_are_one_packet() {
        let [one, two, three] =
            [fragment(1, 0, true, b"abcdefgh"), fragment(1, 8, true, b"ijklmnop"), fragment(1, 16, false, b"qr")];
        for order in [[one, two, three], [three, two, one], [two, three, one], [one, three, two]] {
            let mut fragments = Fragments::default();
            assert_eq!(whole(&mut fragments, &order), ["abcdefghijklmnopqr"]);
            assert_eq!(fragments.lost(), 0);
        }
        let mut fragments = Fragments::default();
        let overlapping = fragment(1, 0, true, b"XXXXXXXXijklmnop");
        assert_eq!(whole(&mut fragments, &[one, one, three, overlapping]), ["abcdefghijklmnopqr"], "the first wins");
        let mut fragments = Fragments::default();
        assert_eq!(whole(&mut fragments, &[two, three, fragment(1, 0, true, b"abcdefghXXXXXXXXXX")]).len(), 1);
    }

    #[test]
    fn packets_do_not_mix() {
        let mut fragments = Fragments::default();
        let other_way =
            Fragment { from: [10, 0, 0, 2].into(), to: [10, 0, 0, 1].into(), ..fragment(1, 8, false, b"x") };
        let seen = whole(
            &mut fragments,
            &[fragment(1, 0, true, b"12345678"), fragment(2, 8, false, b"b"), other_way, fragment(1, 8, false, b"a")],
        );
        assert_eq!(seen, ["12345678a"]);
        assert_eq!(fragments.lost(), 2, "they wait for their firsts");
    }

    #[test]
    fn what_does_not_come_in_time_is_given_up() {
        let mut fragments = Fragments::default();
        assert_eq!(fragments.take(NOW, &fragment(1, 0, true, b"12345678")), None);
        let late = NOW + TIMEOUT + Duration::from_nanos(1);
        assert_eq!(fragments.take(late, &fragment(1, 8, false, b"a")), None);
        assert_eq!((fragments.lost, fragments.waiting.len()), (1, 1));
    }

    #[test]
    fn memory_is_bounded() {
        let mut fragments = Fragments::default();
        for id in 0..10_000 {
            fragments.take(NOW, &fragment(id, 8, true, b"12345678"));
        }
        assert_eq!((fragments.waiting.len(), fragments.lost()), (LIMIT, 10_000));
        for n in 0..5000 {
            fragments.take(NOW, &fragment(1, 16 * n, true, b"12345678"));
        }
        assert!(fragments.waiting.values().all(|waiting| waiting.pieces.len() <= MAX_PIECES));
        let cut = Fragment { whole: false, ..fragment(7, 0, true, b"123") };
        assert_eq!(fragments.take(NOW, &cut), None);
        assert!(fragments.waiting.values().all(|waiting| waiting.id != 7), "one that the snaplen cut");
    }
}
