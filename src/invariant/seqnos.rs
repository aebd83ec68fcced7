//! Section D, first part: the seqnos of a stream.

use super::Concerns;
use super::Invariant;
use super::rule::Alike;
use super::rule::Rule;
use super::rule::Ruling;
use super::rule::Seen;
use super::rule::held;
use crate::dcp::Message;
use crate::dcp::SnapshotMarker;
use crate::session::Snapshot;
use crate::session::SnapshotKind;
use crate::verdict::Severity;
use crate::wire::Opcode;

pub(super) fn add(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([
        held::<MarkerFirst>(),
        held::<SeqnoIncreases>(),
        held::<SeqnoInSnapshot>(),
        held::<SeqnoAdvancedInSnapshot>(),
        held::<SeqnoAdvancedUncalledFor>(),
        held::<DeleteTimes>(),
    ]);
}

/// The snapshot that a marker began.
pub(super) fn of_marker(snapshot: Option<Snapshot>) -> Option<Snapshot> {
    snapshot.filter(|snapshot| matches!(snapshot.kind, SnapshotKind::Marker(_)))
}

/// D1. A cache transfer precedes the first marker; its items have no seqno of their own.
#[derive(Debug, Default)]
pub(super) struct MarkerFirst;

impl Rule for MarkerFirst {
    const ID: &'static str = "d1-marker-first";
    const REQUIREMENT: &'static str = "a snapshot marker or OSO start precedes every message with a seqno";
    const EXCEPTIONS: &'static str = "cache transfers";
    const CONCERNS: Concerns = Concerns::ITEMS;
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((seqno, before)) = seen.item() else { return Ruling::Silent };
        Ruling::of(before.snapshots > 0, || {
            ("a marker first".to_owned(), format!("{} with seqno {seqno}", seen.header().opcode))
        })
    }
}

/// D2. Inside an OSO snapshot any order is legal above where it began; behind it the next seqno is above its highest.
#[derive(Debug, Default)]
pub(super) struct SeqnoIncreases;

impl Rule for SeqnoIncreases {
    const ID: &'static str = "d2-seqno-increases";
    const REQUIREMENT: &'static str =
        "seqnos strictly increase within a stream, from the one that it was requested from";
    const EXCEPTIONS: &'static str = "inside an OSO snapshot, above where it began; SEQNO_ADVANCED is D20's";
    const CONCERNS: Concerns = Concerns::ITEMS;
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((seqno, before)) = seen.item() else { return Ruling::Silent };
        // A SEQNO_ADVANCED has a rule of its own.
        if advanced(seen) {
            return Ruling::Silent;
        }
        Ruling::of(seqno > before.last_seqno, || {
            (format!("a seqno above {}", before.last_seqno), format!("{} with {seqno}", seen.header().opcode))
        })
    }
}

fn advanced(seen: &Seen<'_>) -> bool {
    seen.header().opcode == Opcode::DCP_SEQNO_ADVANCED
}

/// D3.
#[derive(Debug, Default)]
pub(super) struct SeqnoInSnapshot;

impl Rule for SeqnoInSnapshot {
    const ID: &'static str = "d3-seqno-in-snapshot";
    const REQUIREMENT: &'static str = "every seqno is within the snapshot that the last marker began";
    const EXCEPTIONS: &'static str = "OSO snapshots";
    const CONCERNS: Concerns = Concerns::ITEMS;
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((seqno, before)) = seen.item().filter(|_| !advanced(seen)) else { return Ruling::Silent };
        let Some(snapshot) = of_marker(before.snapshot) else { return Ruling::Silent };
        Ruling::of((snapshot.start..=snapshot.end).contains(&seqno), || {
            let expected = format!("a seqno from {} to {}", snapshot.start, snapshot.end);
            (expected, format!("{} with {seqno}", seen.header().opcode))
        })
    }
}

/// D20. Just before the end of an OSO snapshot it is the greatest seqno of what is on disk.
#[derive(Debug, Default)]
pub(super) struct SeqnoAdvancedInSnapshot;

impl Rule for SeqnoAdvancedInSnapshot {
    const ID: &'static str = "d20-seqno-advanced";
    const REQUIREMENT: &'static str = "SEQNO_ADVANCED is above the last seqno and not above the snapshot's end";
    const EXCEPTIONS: &'static str = "at the end of an OSO snapshot it is its greatest seqno";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_SEQNO_ADVANCED]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((seqno, before)) = seen.item().filter(|_| advanced(seen)) else { return Ruling::Silent };
        match before.snapshot {
            Some(snapshot) if snapshot.is_open_oso() => Ruling::of(seqno >= snapshot.end, || {
                (format!("at least {}, the highest of the OSO snapshot", snapshot.end), seqno.to_string())
            }),
            Some(snapshot) => Ruling::of(seqno > before.last_seqno && seqno <= snapshot.end, || {
                (format!("above {} and at most {}", before.last_seqno, snapshot.end), seqno.to_string())
            }),
            None => Ruling::Silent,
        }
    }
}

/// D21. Releases differ: 7.0 to 7.2 never send one with sync replication.
#[derive(Debug, Default)]
pub(super) struct SeqnoAdvancedUncalledFor;

impl Rule for SeqnoAdvancedUncalledFor {
    const ID: &'static str = "d21-seqno-advanced-uncalled-for";
    const REQUIREMENT: &'static str =
        "no SEQNO_ADVANCED comes to who has sync replication and FlatBuffers events and does not skip deletes";
    const EXCEPTIONS: &'static str = "connections that skip deletes; releases differ";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::STREAM_MESSAGES;
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if seen.produced().is_none() || !seen.session.sync_replication() {
            return Ruling::Silent;
        }
        let skips = crate::dcp::Open::SKIP_DELETES_IN_INITIAL_BACKFILL;
        if !seen.session.negotiated().flatbuffers || seen.session.open().is_some_and(|open| open.has(skips)) {
            return Ruling::Silent;
        }
        Ruling::of(!advanced(seen), || ("no SEQNO_ADVANCED".to_owned(), "one".to_owned()))
    }
}

/// D25, of what is read from disk. In memory real producers send 0 but for deletions whose time was given, as an
/// expiration's is.
#[derive(Debug, Default)]
pub(super) struct DeleteTimes;

impl Rule for DeleteTimes {
    const ID: &'static str = "d25-delete-times";
    const REQUIREMENT: &'static str = "a deletion that was read from disk has a delete time";
    const EXCEPTIONS: &'static str = "expirations, and memory snapshots";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_DELETION]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let (Some(Message::Deletion(deletion)), Some(before)) = (seen.message(), seen.produced_live()) else {
            return Ruling::Silent;
        };
        let (Some(time), Some(snapshot)) = (deletion.delete_time, of_marker(before.snapshot)) else {
            return Ruling::Silent;
        };
        if !snapshot.has(SnapshotMarker::DISK) {
            return Ruling::Silent;
        }
        Ruling::of(time != 0, || ("a delete time".to_owned(), "0".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::verdicts;
    use super::*;
    use crate::dcp;
    use crate::dcp::FrameHead;
    use crate::session::script::*;
    use crate::verdict::Verdict;

    const PASS: Option<Verdict> = Some(Verdict::Pass);
    const FAIL: Option<Verdict> = Some(Verdict::Fail);

    fn advance(by_seqno: u64) -> FrameHead {
        request(Opcode::DCP_SEQNO_ADVANCED, 1, 10, Message::SeqnoAdvanced(dcp::SeqnoAdvanced { by_seqno }))
    }

    fn oso(flags: u32) -> FrameHead {
        request(Opcode::DCP_OSO_SNAPSHOT, 1, 10, Message::OsoSnapshot(dcp::OsoSnapshot { flags }))
    }

    fn of<R: Rule>(start: u64, heads: &[FrameHead]) -> Option<Verdict> {
        let mut script = Script::opened();
        script.stream(1, 10, start);
        for head in heads {
            script.p(head.clone());
        }
        verdicts::<R>(&script).0
    }

    fn m(seqno: u64) -> FrameHead {
        mutation(1, 10, seqno)
    }

    fn s(start: u64, end: u64) -> FrameHead {
        marker(1, 10, start, end)
    }

    #[test]
    fn a_marker_comes_first() {
        assert_eq!(of::<MarkerFirst>(0, &[s(0, 2), m(1)]), PASS);
        assert_eq!(of::<MarkerFirst>(0, &[oso(1), m(1)]), PASS);
        assert_eq!(of::<MarkerFirst>(0, &[m(1)]), FAIL);
        let end = request(Opcode::DCP_CACHE_TRANSFER_END, 1, 10, Message::CacheTransferEnd(dcp::CacheTransferEnd));
        assert_eq!(of::<MarkerFirst>(0, &[end]), None);
    }

    #[test]
    fn seqnos_increase() {
        type R = SeqnoIncreases;
        assert_eq!(of::<R>(0, &[s(0, 9), m(1), m(3), s(10, 12), m(12)]), PASS);
        assert_eq!(of::<R>(0, &[s(0, 9), m(3), m(3)]), FAIL);
        assert_eq!(of::<R>(0, &[s(0, 9), m(3), s(10, 12), m(2)]), FAIL);
        assert_eq!(of::<R>(5, &[s(5, 9), m(5)]), FAIL, "the consumer has 5 already");
        assert_eq!(of::<R>(0, &[oso(1), m(7), m(3), oso(2), s(8, 9), m(8)]), PASS);
        assert_eq!(of::<R>(0, &[oso(1), m(7), m(3), oso(2), s(4, 9), m(5)]), FAIL);
    }

    #[test]
    fn seqnos_are_in_their_snapshot() {
        type R = SeqnoInSnapshot;
        assert_eq!(of::<R>(0, &[s(1, 4), m(1), m(4)]), PASS);
        assert_eq!(of::<R>(0, &[s(1, 4), m(5)]), FAIL);
        assert_eq!(of::<R>(0, &[s(1, 4), m(1), s(6, 9), m(5)]), FAIL);
        assert_eq!(of::<R>(0, &[oso(1), m(99)]), None);
    }

    #[test]
    fn seqno_advanced() {
        type R = SeqnoAdvancedInSnapshot;
        assert_eq!(of::<R>(0, &[s(1, 4), m(1), advance(4)]), PASS);
        assert_eq!(of::<R>(0, &[s(1, 4), m(1), advance(1)]), FAIL);
        assert_eq!(of::<R>(0, &[s(1, 4), m(1), advance(5)]), FAIL);
        assert_eq!(of::<R>(0, &[oso(1), m(7), advance(9), oso(2)]), PASS);
        assert_eq!(of::<R>(0, &[oso(1), m(7), advance(6), oso(2)]), FAIL);
        assert_eq!(of::<SeqnoIncreases>(0, &[s(1, 4), m(2), advance(1)]), PASS, "one breach, one rule");
    }

    #[test]
    fn seqno_advanced_where_nothing_is_left_out() {
        let all = [("enable_sync_writes", "true"), ("consumer_name", "replica"), ("flatbuffers_system_events", "true")];
        for (controls, head, expected) in [
            (&all[..], m(1), PASS),
            (&all[..], advance(1), FAIL),
            (&all[..2], advance(1), None),
            (&all[2..], advance(1), None),
        ] {
            let mut script = Script::with(&[], dcp::Open::PRODUCER, controls);
            script.stream(1, 10, 0);
            script.p(s(0, 1));
            script.p(head);
            let found = verdicts::<SeqnoAdvancedUncalledFor>(&script).0;
            assert_eq!(found, expected, "{controls:?}");
        }
    }

    #[test]
    fn delete_times_come_from_disk() {
        type R = DeleteTimes;
        let deletion = |delete_time| {
            let deletion = dcp::Deletion { version: 2, by_seqno: 1, delete_time, ..dcp::Deletion::default() };
            request(Opcode::DCP_DELETION, 1, 10, Message::Deletion(deletion))
        };
        let disk = || marker_with(1, 10, 0, 9, SnapshotMarker::DISK);
        assert_eq!(of::<R>(0, &[disk(), deletion(Some(7))]), PASS);
        assert_eq!(of::<R>(0, &[disk(), deletion(Some(0))]), FAIL);
        assert_eq!(of::<R>(0, &[disk(), deletion(None)]), None, "version 1 has none");
        assert_eq!(of::<R>(0, &[s(0, 9), deletion(Some(7))]), None);
    }
}
