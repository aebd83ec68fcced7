//! What the producer does with responses: the table of its era, and its quirks (orphaned-responses.md §4).

use std::time::Duration;

use super::Quirk;
use super::bucket::Bucket;
use super::producer::Producer;
use super::stream::Fault;
use crate::dcp;
use crate::era::Action;
use crate::era::producer_action;
use crate::wire::Header;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// What a response came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// Nothing that is seen outside.
    Kept,
    /// The connection is to be closed, at the next tick.
    Disconnect,
    /// The connection is to be closed after so long.
    DisconnectIn(Duration),
}

/// How long a late disconnect takes.
pub(super) const LATE: Duration = Duration::from_secs(1);

impl Producer {
    /// A response came in.
    pub(super) fn response(&mut self, header: &Header, bucket: &mut Bucket) -> Outcome {
        let (opcode, status) = (header.opcode, Status(header.vbucket_or_status));
        let own_noop = opcode == Opcode::DCP_NOOP && self.noops.answered(header.opaque);
        let known = self.by_opaque(header.opaque).is_some();
        if self.is_fatal(header, known) {
            return Outcome::Disconnect;
        }
        match producer_action(self.terms.era, self.terms.v7, opcode, status, own_noop) {
            Action::Disc if self.swallows(opcode, status) => {
                if let Some(stream) = self.by_opaque(header.opaque) {
                    stream.inflict(Fault::Stuck);
                }
                return Outcome::Kept;
            }
            Action::Ignore => {}
            Action::Ack => {
                self.acknowledged(header, bucket);
                if known {
                    return Outcome::Kept;
                }
            }
            Action::Cancel if known => {}
            Action::Disc | Action::Close | Action::Throw | Action::Cancel => return Outcome::Disconnect,
        }
        if !dcp::is_stream_message(opcode) {
            return Outcome::Kept;
        }
        if let Some(stream) = self.by_opaque(header.opaque) {
            stream.answer();
        }
        for (quirk, fault) in [
            (Quirk::StallAfterOrphan, Fault::Stall),
            (Quirk::RepeatAfterOrphan, Fault::Repeat),
            (Quirk::SkipAfterOrphan, Fault::Skip),
        ] {
            if self.terms.has(quirk) {
                self.inflict_on_another(header.opaque, fault);
            }
        }
        if self.terms.has(Quirk::LeakWindow) {
            self.flow.leak(self.terms.window.div_ceil(4), self.terms.window);
        }
        if self.terms.has(Quirk::LateDisconnect) { Outcome::DisconnectIn(LATE) } else { Outcome::Kept }
    }

    fn acknowledged(&mut self, header: &Header, bucket: &mut Bucket) {
        let mut streams = self.streams.iter_mut();
        let Some(stream) = streams.find(|stream| stream.to.opaque == header.opaque) else { return };
        let vbucket = stream.to.vbucket;
        if header.opcode == Opcode::DCP_SNAPSHOT_MARKER {
            stream.marker_answered(&self.terms);
        } else if stream.state_answered() {
            bucket.hand_over(vbucket);
        }
    }

    /// The stream that suffers for another: the last one that is open and was not answered itself, once for each fault.
    fn inflict_on_another(&mut self, opaque: Opaque, fault: Fault) {
        if self.streams.iter().any(|stream| stream.fault() == Some(fault)) {
            return;
        }
        let others = self.streams.iter_mut().filter(|stream| stream.is_active() && stream.to.opaque != opaque);
        if let Some(stream) = others.max_by_key(|stream| (!stream.was_answered(), stream.to.vbucket)) {
            stream.inflict(fault);
        }
    }

    /// Whether a quirk makes the producer disconnect where its era would not.
    fn is_fatal(&self, header: &Header, known: bool) -> bool {
        let (opcode, status) = (header.opcode, Status(header.vbucket_or_status));
        let has = |quirk| self.terms.has(quirk);
        let of_a_stream = matches!(status, Status::KEY_ENOENT | Status::DCP_STREAM_NOT_FOUND | Status::OPAQUE_NO_MATCH);
        let orphan = dcp::is_stream_message(opcode);
        let acknowledges = matches!(opcode, Opcode::DCP_SNAPSHOT_MARKER | Opcode::DCP_SET_VBUCKET_STATE);
        (has(Quirk::Mb35287) && (is_durability(opcode) || opcode == Opcode::DCP_SYSTEM_EVENT))
            || (has(Quirk::Mb32724) && acknowledges && !known)
            || (has(Quirk::Mb37009) && orphan && !acknowledges && status != Status::SUCCESS)
            || (has(Quirk::Mb40934) && is_completion(opcode) && of_a_stream)
            || (has(Quirk::OrphanAfterEnd) && orphan && !acknowledges && !known)
            || (has(Quirk::LargeOrphan) && orphan && header.body_len > LARGE)
    }

    /// Whether a quirk makes it bear what its era must disconnect at.
    fn swallows(&self, opcode: Opcode, status: Status) -> bool {
        (self.terms.has(Quirk::Mb36794) && is_durability(opcode) && status == Status::EINVAL)
            || (self.terms.has(Quirk::Mb36971) && is_completion(opcode) && status == Status::KEY_ENOENT)
    }
}

/// What is too large a body for quirk large-orphan: more than any error needs but one with a cluster map.
const LARGE: u32 = 20 * 1024;

const fn is_completion(opcode: Opcode) -> bool {
    matches!(opcode, Opcode::DCP_COMMIT | Opcode::DCP_ABORT)
}

const fn is_durability(opcode: Opcode) -> bool {
    is_completion(opcode) || matches!(opcode, Opcode::DCP_PREPARE)
}
