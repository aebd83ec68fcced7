use std::collections::BTreeMap;

use super::per_stream::Entries;
use super::per_stream::PerStream;
use super::rule::Seen;
use crate::dcp::Message;
use crate::dcp::OsoSnapshot;
use crate::dcp::SnapshotMarker;
use crate::session::Before;
use crate::session::SnapshotKind;
use crate::wire::Opcode;

/// The prepares of each stream that were not completed yet. A stream of which a message does not decode, and one that has
/// more than there is room for, is not judged any more.
#[derive(Debug, Default)]
pub(super) struct Prepares(PerStream<OfStream>);

/// A prepare that was delivered and not completed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prepared {
    pub(super) seqno: u64,
    /// Whether it is pending without doubt: it came from memory, and no disk snapshot, in which what completes it may be
    /// left out, has begun since.
    pub(super) certain: bool,
}

/// What a message of a live stream does, and what was pending for its key before.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) message: &'a Message,
    pub(super) before: &'a Before,
    pub(super) pending: Option<Prepared>,
    /// Whether the snapshot is one of memory; of others much is left out on purpose.
    pub(super) memory: bool,
    /// Whether anything else is pending on the stream.
    pub(super) others: bool,
}

/// The pending prepares of one stream, by collection and hash of the key.
#[derive(Debug, Default)]
struct OfStream(BTreeMap<(u32, u64), Prepared>);

impl Entries for OfStream {
    fn entries(&self) -> usize {
        self.0.len()
    }
}

impl Step<'_> {
    /// Whether a prepare with this seqno may have come before the stream.
    pub(super) const fn may_precede(&self, prepared_seqno: u64) -> bool {
        prepared_seqno <= self.before.request.start_seqno
    }
}

impl Prepares {
    /// Takes in a frame, and tells of a PREPARE, COMMIT or ABORT what it meets.
    pub(super) fn take<'a>(&mut self, seen: &Seen<'a>) -> Option<Step<'a>> {
        match seen.header().opcode {
            Opcode::DCP_MUTATION | Opcode::DCP_DELETION | Opcode::DCP_EXPIRATION => None,
            _ => self.take_all(seen),
        }
    }

    /// Whether nothing is pending on any stream.
    pub(super) const fn is_unused(&self) -> bool {
        self.0.is_unused()
    }

    /// As [`Self::take`], and tells of a mutation, deletion or expiration too, where something is pending.
    pub(super) fn take_all<'a>(&mut self, seen: &Seen<'a>) -> Option<Step<'a>> {
        match seen.header().opcode {
            Opcode::DCP_PREPARE | Opcode::DCP_COMMIT | Opcode::DCP_ABORT => {}
            Opcode::DCP_MUTATION
            | Opcode::DCP_DELETION
            | Opcode::DCP_EXPIRATION
            | Opcode::DCP_SNAPSHOT_MARKER
            | Opcode::DCP_OSO_SNAPSHOT
                if !self.0.is_unused() => {}
            _ => return None,
        }
        let before = seen.produced_live()?;
        let Ok(message) = &seen.head.message else {
            self.0.lose(before.generation);
            return None;
        };
        let memory = before.snapshot.is_some_and(|snapshot| {
            matches!(snapshot.kind, SnapshotKind::Marker(_))
                && snapshot.has(SnapshotMarker::MEMORY)
                && !snapshot.has(SnapshotMarker::DISK)
                && snapshot.undecoded == 0
        });
        let stream = self.0.at(before.generation, seen.session)?;
        let key = (seen.head.collection_id.unwrap_or_default(), seen.head.key_hash);
        #[allow(clippy::wildcard_enum_match_arm)] // the opcodes were looked at above
        let pending = match message {
            Message::Prepare(prepare) => {
                let pending = Prepared { seqno: prepare.by_seqno, certain: memory };
                let old = stream.0.insert(key, pending);
                if old.is_none() && !self.0.grow(before.generation, seen.session) {
                    return None;
                }
                old
            }
            Message::Commit(_) | Message::Abort(_) => {
                let old = stream.0.remove(&key);
                if old.is_some() {
                    self.0.shrink();
                }
                old
            }
            Message::SnapshotMarker(marker) => {
                if marker.flags & SnapshotMarker::MEMORY == 0 || marker.flags & SnapshotMarker::DISK != 0 {
                    stream.doubt();
                }
                return None;
            }
            Message::OsoSnapshot(oso) => {
                if oso.flags == OsoSnapshot::START {
                    stream.doubt();
                }
                return None;
            }
            _ if memory => stream.0.get(&key).copied(),
            // From disk it is the commit itself.
            _ => {
                if stream.0.remove(&key).is_some() {
                    self.0.shrink();
                }
                None
            }
        };
        let others = self.0.known(before.generation).is_some_and(|stream| !stream.0.is_empty());
        Some(Step { message, before, pending, memory, others })
    }
}

impl OfStream {
    fn doubt(&mut self) {
        for pending in self.0.values_mut() {
            pending.certain = false;
        }
    }
}
