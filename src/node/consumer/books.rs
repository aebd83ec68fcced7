use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::acks::Acks;
use crate::Timestamp;
use crate::dcp;
use crate::node::Quirk;
use crate::wire::Header;
use crate::wire::Opcode;

/// What a consumer counts and gives back: [`Acks`], kept as its quirks say.
#[derive(Clone, Debug)]
pub(super) struct Books {
    acks: Acks,
    quirks: BTreeSet<Quirk>,
    /// What is counted and not given back of each vbucket's stream; kept only where a quirk needs it.
    of_streams: BTreeMap<u16, u32>,
    given: u64,
}

/// The body of a marker of version 2.0: a byte of extras, and the value (dcp-protocol.md §4.1).
const MARKER_V2_0: u32 = 37;
/// That of version 2.2.
const MARKER_V2_2: u32 = 53;
/// How much longer the extras of a deletion of version 2 are than those of version 1 (dcp-protocol.md §4.3).
const DELETION_V2_MORE: u32 = 3;
/// The extras of a deletion of version 2.
const DELETION_V2_EXTRAS: u8 = 21;
/// Given back before a consumer with kafka-connector-8 stops to.
const STALLS_AFTER: u64 = 256 * 1024;

impl Books {
    pub(super) fn new(acks: Acks, quirks: &BTreeSet<Quirk>) -> Self {
        Self { acks, quirks: quirks.clone(), of_streams: BTreeMap::new(), given: 0 }
    }

    /// A request came, and was taken in or refused; what is to be given back now, if anything is due.
    pub(super) fn came(&mut self, header: &Header, refused: bool, now: Timestamp) -> Option<u32> {
        let counted = self.counted(header, refused);
        if self.has(Quirk::Mb18661) && counted == 0 {
            return None;
        }
        let early = if self.has(Quirk::Mb18661) { self.due(now) } else { None };
        if counted > 0 {
            self.acks.charge(counted);
            if self.remembers_streams() && !refused {
                let of_stream = self.of_streams.entry(header.vbucket_or_status).or_default();
                *of_stream = of_stream.saturating_add(counted);
            }
        }
        if self.has(Quirk::Mb18661) { early } else { self.due(now) }
    }

    /// What is to be given back now, if it is due.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<u32> {
        if self.is_stalled() {
            return None;
        }
        let nothing = self.has(Quirk::Mb59474) && self.acks.unacked() == 0 && self.acks.is_time(now);
        let due = if nothing { self.acks.nothing(now) } else { self.acks.due(now) };
        self.give(due)
    }

    /// Everything there is to give back.
    pub(super) fn all(&mut self, now: Timestamp) -> Option<u32> {
        if self.is_stalled() {
            return None;
        }
        let all = self.acks.all(now);
        self.give(all)
    }

    /// Bytes that were received and not given back, as far as they were counted.
    pub(super) const fn unacked(&self) -> u32 {
        self.acks.unacked()
    }

    /// Whether the producer may not send, as far as this end has said.
    pub(super) const fn is_full(&self) -> bool {
        self.acks.is_full()
    }

    /// When something is due at the latest.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        if self.has(Quirk::Mb18661) || self.is_stalled() {
            None
        } else if self.has(Quirk::Mb59474) {
            self.acks.next()
        } else {
            self.acks.deadline()
        }
    }

    /// CLOSE_STREAM came for the vbucket.
    pub(super) fn closed(&mut self, vbucket: u16) {
        if self.has(Quirk::Mb47318) {
            self.acks.charge(self.of_streams.get(&vbucket).copied().unwrap_or_default());
        }
    }

    /// STREAM_END came for the vbucket.
    pub(super) fn ended(&mut self, vbucket: u16) {
        let bytes = self.of_streams.remove(&vbucket).unwrap_or_default();
        if self.has(Quirk::Mb60468) {
            self.acks.charge(bytes);
        }
        if self.has(Quirk::Mb56275) {
            self.acks.forget(bytes);
        }
    }

    fn counted(&self, header: &Header, refused: bool) -> u32 {
        let charge = dcp::charge(header);
        let deletion = header.opcode == Opcode::DCP_DELETION;
        if refused && self.has(Quirk::Mb28573) {
            0
        } else if deletion && header.extras_len == DELETION_V2_EXTRAS && self.has(Quirk::Mb28502) {
            charge.saturating_sub(DELETION_V2_MORE)
        } else if deletion && self.has(Quirk::Mb72321) {
            charge.saturating_mul(2)
        } else if header.opcode == Opcode::DCP_SNAPSHOT_MARKER
            && header.body_len == MARKER_V2_2
            && self.has(Quirk::Mb64936)
        {
            charge.saturating_sub(MARKER_V2_2 - MARKER_V2_0)
        } else if charge > 0 && self.has(Quirk::Mb72652) {
            charge.saturating_sub(header.framing_extras_len.into())
        } else {
            charge
        }
    }

    fn give(&mut self, bytes: Option<u32>) -> Option<u32> {
        if let Some(bytes) = bytes {
            self.given = self.given.saturating_add(bytes.into());
            self.of_streams.clear();
        }
        bytes
    }

    fn is_stalled(&self) -> bool {
        self.has(Quirk::KafkaConnector8) && self.given >= STALLS_AFTER
    }

    fn remembers_streams(&self) -> bool {
        [Quirk::Mb47318, Quirk::Mb60468, Quirk::Mb56275].into_iter().any(|quirk| self.has(quirk))
    }

    fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }
}
