//! What the producer does with responses: the table of its era, and its quirks (orphaned-responses.md §4).

use std::time::Duration;

use super::Quirk;
use super::bucket::Bucket;
use super::config::Config;
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
    pub(super) fn response(&mut self, header: &Header, bucket: &mut Bucket, config: &Config) -> Outcome {
        let (opcode, status) = (header.opcode, Status(header.vbucket_or_status));
        let own_noop = opcode == Opcode::DCP_NOOP && self.noops.answered(header.opaque);
        let known = self.by_opaque(header.opaque).is_some();
        let has = |quirk| config.quirks.contains(&quirk);
        if is_fatal(has, opcode, status, known) {
            return Outcome::Disconnect;
        }
        match producer_action(self.terms.era, self.terms.v7, opcode, status, own_noop) {
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
        if has(Quirk::StallAfterOrphan) {
            self.inflict_on_another(header.opaque, Fault::Stall);
        }
        if has(Quirk::RepeatAfterOrphan) {
            self.inflict_on_another(header.opaque, Fault::Repeat);
        }
        if has(Quirk::LeakWindow) {
            self.flow.leak(u64::from(self.terms.window).div_ceil(4), self.terms.window);
        }
        if has(Quirk::LateDisconnect) { Outcome::DisconnectIn(LATE) } else { Outcome::Kept }
    }

    fn acknowledged(&mut self, header: &Header, bucket: &mut Bucket) {
        let Some(stream) = self.by_opaque(header.opaque) else { return };
        let vbucket = stream.to.vbucket;
        if header.opcode == Opcode::DCP_SNAPSHOT_MARKER {
            stream.marker_answered();
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
}

/// Whether a quirk makes the producer disconnect where its era would not.
fn is_fatal(has: impl Fn(Quirk) -> bool, opcode: Opcode, status: Status, known: bool) -> bool {
    let completion = matches!(opcode, Opcode::DCP_COMMIT | Opcode::DCP_ABORT);
    let durability = completion || opcode == Opcode::DCP_PREPARE;
    let acknowledged = matches!(opcode, Opcode::DCP_SNAPSHOT_MARKER | Opcode::DCP_SET_VBUCKET_STATE);
    let of_a_stream = matches!(status, Status::KEY_ENOENT | Status::DCP_STREAM_NOT_FOUND | Status::OPAQUE_NO_MATCH);
    let success = status == Status::SUCCESS;
    (has(Quirk::Mb35287) && (durability || opcode == Opcode::DCP_SYSTEM_EVENT))
        || (has(Quirk::Mb32724) && acknowledged && !known)
        || (has(Quirk::Mb37009) && dcp::is_stream_message(opcode) && !acknowledged && !success)
        || (has(Quirk::Mb40934) && completion && of_a_stream)
}
