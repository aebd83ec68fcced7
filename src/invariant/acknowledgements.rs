//! Section E, second part: what the consumer of a sync-replication stream acknowledges.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Concerns;
use super::Invariant;
use super::per_stream::Entries;
use super::per_stream::PerStream;
use super::rule::Alike;
use super::rule::Rule;
use super::rule::Ruling;
use super::rule::Seen;
use super::rule::held;
use crate::Timestamp;
use crate::dcp::Message;
use crate::journal::Role;
use crate::verdict::Severity;
use crate::wire::Opcode;

pub(super) fn add(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([held::<AckOfWhatWasSent>(), held::<PrepareAcked>()]);
}

/// E7.
#[derive(Debug, Default)]
pub(super) struct AckOfWhatWasSent(PerStream<LastAck>);

#[derive(Debug, Default)]
struct LastAck(u64);

impl Entries for LastAck {}

impl Rule for AckOfWhatWasSent {
    const ID: &'static str = "e7-ack-of-what-was-sent";
    const REQUIREMENT: &'static str =
        "SEQNO_ACK names no seqno above the last that was sent on its stream, and none below the one before it";
    const EXCEPTIONS: &'static str = "the same seqno again; seqnos up to the one that the stream was requested from, once it is open; streams \
         that are gone";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_SEQNO_ACK]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if seen.header().opcode != Opcode::DCP_SEQNO_ACK || seen.sender != Role::Consumer {
            return Ruling::Silent;
        }
        let Some(Message::SeqnoAck(ack)) = seen.message() else { return Ruling::Silent };
        let Some(before) = seen.context.stream.and_then(|stream| stream.before).filter(|b| b.state.is_live()) else {
            return Ruling::Silent;
        };
        // A message that does not decode may have had any seqno.
        if before.snapshot.is_some_and(|snapshot| snapshot.undecoded > 0) {
            self.0.lose(before.generation);
        }
        let Some(last) = self.0.at(before.generation, seen.session) else { return Ruling::Silent };
        let acked = std::mem::replace(&mut last.0, ack.prepared_seqno);
        let sent = before.snapshot.filter(|snapshot| snapshot.is_open_oso()).map_or(before.last_seqno, |oso| oso.end);
        Ruling::of((acked..=sent).contains(&ack.prepared_seqno), || {
            (format!("a seqno from {acked} to {sent}"), ack.prepared_seqno.to_string())
        })
    }
}

/// E8. Only a prepare that needs no disk is due when its snapshot is whole; one behind a prepare that does waits for it.
#[derive(Debug, Default)]
pub(super) struct PrepareAcked {
    streams: PerStream<Unacked>,
    /// Since when which streams owe an acknowledgement of which seqno.
    due: BTreeMap<u64, (Timestamp, u64)>,
    /// The first of them.
    oldest: Option<Timestamp>,
    /// The tool has acted on the connection: the consumer may not have got what the producer sent.
    off: bool,
}

#[derive(Debug, Default)]
struct Unacked {
    acked: u64,
    /// The last prepare that is to be had in memory only, and the last that is to be on disk.
    majority: u64,
    persist: u64,
}

impl Entries for Unacked {}

impl PrepareAcked {
    const PATIENCE: Duration = Duration::from_secs(10);

    fn no_longer_due(&mut self, generation: u64) -> bool {
        let due = self.due.remove(&generation).is_some();
        self.oldest = self.due.values().map(|(since, _)| *since).min();
        due
    }

    fn sent(&mut self, seen: &Seen<'_>) {
        let Some(before) = seen.produced_live() else { return };
        if self.streams.known(before.generation).is_none() && seen.header().opcode != Opcode::DCP_PREPARE {
            return;
        }
        if let Some(Message::StreamEnd(_)) = seen.message() {
            self.no_longer_due(before.generation);
            return;
        }
        let Some(seqno) = seen.message().and_then(Message::by_seqno) else { return };
        if let Some(Message::Prepare(prepare)) = seen.message()
            && seen.session.sync_replication()
            && let Some(stream) = self.streams.at(before.generation, seen.session)
        {
            let last = if prepare.durability_level == 1 { &mut stream.majority } else { &mut stream.persist };
            *last = seqno;
        }
        let Some(stream) = self.streams.known(before.generation) else { return };
        let whole = before.snapshot.is_some_and(|snapshot| snapshot.undecoded == 0 && seqno == snapshot.end);
        if whole && stream.majority > stream.acked && stream.persist <= stream.acked {
            let seqno = stream.majority;
            self.due.entry(before.generation).or_insert((seen.at, seqno));
            self.oldest = self.oldest.or(Some(seen.at));
        }
    }
}

impl Rule for PrepareAcked {
    const ID: &'static str = "e8-prepare-acked";
    const REQUIREMENT: &'static str =
        "a snapshot with a PREPARE of level majority is followed by a SEQNO_ACK of it, within 10 s of its end";
    const EXCEPTIONS: &'static str = "streams without sync replication, that are closing or gone; a consumer that is silent, or has no room; \
         behind prepares that wait for the disk; after the tool has acted; at the end of a recording";
    const SEVERITY: Severity = Severity::Warning;
    const BLAME: Option<Role> = Some(Role::Consumer);
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if self.off {
            return Ruling::Silent;
        }
        if seen.sender == Role::Producer {
            // Who replicates without acknowledgements has no stream here.
            let prepare = seen.header().opcode == Opcode::DCP_PREPARE && seen.session.sync_replication();
            if prepare || !self.streams.is_empty() {
                self.sent(seen);
            }
            return Ruling::Silent;
        }
        let stream = seen.context.stream.and_then(|stream| stream.before);
        if let (Some(Message::SeqnoAck(ack)), Some(before)) = (seen.message(), stream) {
            if let Some(stream) = self.streams.known(before.generation) {
                stream.acked = stream.acked.max(ack.prepared_seqno);
            }
            let kept = self.due.get(&before.generation).is_some_and(|(_, seqno)| *seqno <= ack.prepared_seqno);
            return if kept && self.no_longer_due(before.generation) { Ruling::Kept } else { Ruling::Silent };
        }
        let Some(oldest) = self.oldest else { return Ruling::Silent };
        if let (Opcode::DCP_CLOSE_STREAM, Some(before)) = (seen.header().opcode, stream) {
            self.no_longer_due(before.generation);
            return Ruling::Silent;
        }
        if seen.at.since(oldest) <= Self::PATIENCE || !seen.session.flow().has_room() {
            return Ruling::Silent;
        }
        let late = self.due.iter().find(|(_, (since, _))| *since == oldest).map(|(g, (_, seqno))| (*g, *seqno));
        let Some((generation, seqno)) = late else { return Ruling::Silent };
        self.no_longer_due(generation);
        Ruling::broken(format!("SEQNO_ACK of {seqno}"), format!("none for {} ms", seen.at.since(oldest).as_millis()))
    }

    fn bears_stretch(&self) -> bool {
        self.off || self.streams.is_empty()
    }

    fn disturbed(&mut self, lasting: bool) {
        self.off |= lasting;
        self.due.clear();
        self.oldest = None;
    }
}

#[cfg(test)]
mod tests;
