//! Section A, second half: nothing is sent that was not agreed on.

use super::Concerns;
use super::Invariant;
use super::rule::Alike;
use super::rule::Rule;
use super::rule::Ruling;
use super::rule::Seen;
use super::rule::held;
use crate::dcp;
use crate::dcp::Feature;
use crate::dcp::MarkerVersion;
use crate::dcp::Message;
use crate::dcp::SnapshotMarker;
use crate::dcp::SystemEvent;
use crate::journal::Role;
use crate::session::Owner;
use crate::verdict::Severity;
use crate::wire::Magic;
use crate::wire::Opcode;
use crate::wire::Status;

pub(super) fn add(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([
        held::<StreamIdFrames>(),
        held::<DurabilityAgreed>(),
        held::<ExpirationAgreed>(),
        held::<MarkerVersionAgreed>(),
        held::<CollectionsAgreed>(),
        held::<SystemEventVersion>(),
        held::<OsoAgreed>(),
        held::<CacheTransferAsked>(),
        held::<HistoryAgreed>(),
        held::<NoopBeforeStream>(),
        held::<ControlsFirst>(),
    ]);
}

fn needs(seen: &Seen<'_>, agreed: bool, what: &str) -> Ruling {
    Ruling::of(agreed, || (format!("{} only after {what}", seen.header().opcode), "not agreed on".to_owned()))
}

/// A7.
#[derive(Debug, Default)]
pub(super) struct StreamIdFrames;

impl Rule for StreamIdFrames {
    const ID: &'static str = "a7-stream-id-frames";
    const REQUIREMENT: &'static str = "the producer sends framing extras only where stream ids were agreed on, and then every message of a stream has \
         the stream id of its request";
    const EXCEPTIONS: &'static str =
        "PREPARE, COMMIT, ABORT and SET_VBUCKET_STATE never have one; deletions of 6.5 that hide theirs";
    const CONCERNS: Concerns = Concerns::STREAM_MESSAGES;
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some(stream) = seen.produced() else { return Ruling::Silent };
        let header = seen.header();
        if !seen.session.negotiated().stream_id {
            return Ruling::of(header.magic != Magic::FLEX_REQUEST, || {
                ("magic 0x80: stream ids were not agreed on".to_owned(), format!("{} with 0x08", header.opcode))
            });
        }
        // These never carry one (dcp-protocol.md §3).
        let without = [Opcode::DCP_PREPARE, Opcode::DCP_COMMIT, Opcode::DCP_ABORT, Opcode::DCP_SET_VBUCKET_STATE];
        if without.contains(&header.opcode) {
            return Ruling::Silent;
        }
        match (seen.head.stream_id, stream.owner) {
            (None, _) => Ruling::broken("a stream id".to_owned(), format!("{} without", header.opcode)),
            (Some(sid), Owner::Unknown) => {
                let ours = seen.session.streams().with_opaque(header.opaque);
                let other = ours.filter(|other| other.key.vbucket == stream.key.vbucket).find_map(|o| o.key.stream_id);
                match other {
                    Some(other) => Ruling::broken(format!("stream id {other}"), format!("{sid} on {}", header.opcode)),
                    None => Ruling::Silent,
                }
            }
            (Some(_), Owner::Current(_) | Owner::Requested | Owner::Gone(_) | Owner::OtherOpaque(_)) => Ruling::Kept,
        }
    }
}

/// A8. A connection that has agreed on stream ids too has none of them from 7.0 on; 6.5.0 agrees on both, and sends them
/// (real-servers.md §4).
#[derive(Debug, Default)]
pub(super) struct DurabilityAgreed;

impl Rule for DurabilityAgreed {
    const ID: &'static str = "a8-durability-agreed";
    const REQUIREMENT: &'static str = "PREPARE, COMMIT and ABORT come only after enable_sync_writes";
    const EXCEPTIONS: &'static str = "stream ids as well: 6.5.0 agrees on both; the control's name of July 2019";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_PREPARE, Opcode::DCP_COMMIT, Opcode::DCP_ABORT]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let opcodes = [Opcode::DCP_PREPARE, Opcode::DCP_COMMIT, Opcode::DCP_ABORT];
        if seen.produced().is_none() || !opcodes.contains(&seen.header().opcode) {
            return Ruling::Silent;
        }
        needs(seen, seen.session.sync_writes(), "enable_sync_writes")
    }
}

/// A9. Up to 6.5.0 the control is enough, without the open flag 0x20 that later releases need as well (the captures
/// `truth-table.*` and others).
#[derive(Debug, Default)]
pub(super) struct ExpirationAgreed;

impl Rule for ExpirationAgreed {
    const ID: &'static str = "a9-expiration-agreed";
    const REQUIREMENT: &'static str = "EXPIRATION comes only after enable_expiry_opcode";
    const EXCEPTIONS: &'static str = "the open flag 0x20 is not asked for: up to 6.5.0 the control is enough";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_EXPIRATION]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if seen.produced().is_none() || seen.header().opcode != Opcode::DCP_EXPIRATION {
            return Ruling::Silent;
        }
        needs(seen, seen.session.controls().is_true("enable_expiry_opcode"), "enable_expiry_opcode")
    }
}

/// A10.
#[derive(Debug, Default)]
pub(super) struct MarkerVersionAgreed;

impl Rule for MarkerVersionAgreed {
    const ID: &'static str = "a10-marker-version-agreed";
    const REQUIREMENT: &'static str =
        "marker v2.0 comes only after sync replication or max_marker_version, v2.2 only after the latter, v2.1 never";
    const CONCERNS: Concerns = Concerns::MARKERS;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let (Some(Message::SnapshotMarker(marker)), Some(_)) = (seen.message(), seen.produced()) else {
            return Ruling::Silent;
        };
        let newer = seen.session.controls().accepted("max_marker_version").is_some();
        match marker.version {
            MarkerVersion::V1 => Ruling::Kept,
            MarkerVersion::V2_0 => {
                let agreed = newer
                    || seen.session.sync_replication()
                    || seen.session.controls().is_true("enable_synchronous_replication");
                needs(seen, agreed, "consumer_name and enable_sync_writes, or max_marker_version, in v2.0")
            }
            MarkerVersion::V2_1 => needs(seen, false, "nothing at all in v2.1"),
            MarkerVersion::V2_2 => needs(seen, newer, "max_marker_version in v2.2"),
        }
    }
}

/// A11, first half.
#[derive(Debug, Default)]
pub(super) struct CollectionsAgreed;

impl Rule for CollectionsAgreed {
    const ID: &'static str = "a11-collections-agreed";
    const REQUIREMENT: &'static str = "SYSTEM_EVENT and SEQNO_ADVANCED come only where HELLO has agreed on collections";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_SYSTEM_EVENT, Opcode::DCP_SEQNO_ADVANCED]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let opcodes = [Opcode::DCP_SYSTEM_EVENT, Opcode::DCP_SEQNO_ADVANCED];
        if seen.produced().is_none() || !opcodes.contains(&seen.header().opcode) {
            return Ruling::Silent;
        }
        needs(seen, seen.session.features().has(Feature::COLLECTIONS), "HELLO with collections (0x12)")
    }
}

/// A11, second half.
#[derive(Debug, Default)]
pub(super) struct SystemEventVersion;

impl Rule for SystemEventVersion {
    const ID: &'static str = "a11-system-event-version";
    const REQUIREMENT: &'static str = "system events have version 2 exactly where flatbuffers_system_events was agreed on, and event 5 comes only then";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_SYSTEM_EVENT]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let (Some(Message::SystemEvent(event)), Some(_)) = (seen.message(), seen.produced()) else {
            return Ruling::Silent;
        };
        let agreed = seen.session.negotiated().flatbuffers;
        let modified = event.event == SystemEvent::MODIFY_COLLECTION;
        Ruling::of((event.version == 2) == agreed && (agreed || !modified), || {
            let expected = if agreed { "version 2" } else { "version 0 or 1, and not event 5" };
            (expected.to_owned(), format!("event {} in version {}", event.event, event.version))
        })
    }
}

/// A12.
#[derive(Debug, Default)]
pub(super) struct OsoAgreed;

impl Rule for OsoAgreed {
    const ID: &'static str = "a12-oso-agreed";
    const REQUIREMENT: &'static str = "OSO_SNAPSHOT comes only after enable_out_of_order_snapshots";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_OSO_SNAPSHOT]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if seen.produced().is_none() || seen.header().opcode != Opcode::DCP_OSO_SNAPSHOT {
            return Ruling::Silent;
        }
        let agreed = seen.session.controls().accepted("enable_out_of_order_snapshots").is_some();
        needs(seen, agreed, "enable_out_of_order_snapshots")
    }
}

/// A13.
#[derive(Debug, Default)]
pub(super) struct CacheTransferAsked;

impl Rule for CacheTransferAsked {
    const ID: &'static str = "a13-cache-transfer-asked";
    const REQUIREMENT: &'static str = "CACHE_TRANSFER comes only on a stream that was requested with flag 0x100";
    const EXCEPTIONS: &'static str = "a producer may ignore the flag";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_CACHE_TRANSFER, Opcode::DCP_CACHE_TRANSFER_END]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let opcodes = [Opcode::DCP_CACHE_TRANSFER, Opcode::DCP_CACHE_TRANSFER_END];
        match seen.produced_live() {
            Some(before) if opcodes.contains(&seen.header().opcode) => {
                needs(seen, before.request.has(dcp::StreamReq::CACHE_TRANSFER), "STREAM_REQ with flag 0x100")
            }
            _ => Ruling::Silent,
        }
    }
}

/// A14.
#[derive(Debug, Default)]
pub(super) struct HistoryAgreed;

impl Rule for HistoryAgreed {
    const ID: &'static str = "a14-history-agreed";
    const REQUIREMENT: &'static str =
        "marker flags History and MayContainDuplicateKeys come only after the control change_streams";
    const CONCERNS: Concerns = Concerns::MARKERS;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let (Some(Message::SnapshotMarker(marker)), Some(_)) = (seen.message(), seen.produced()) else {
            return Ruling::Silent;
        };
        let history = marker.flags & (SnapshotMarker::HISTORY | SnapshotMarker::MAY_CONTAIN_DUPLICATE_KEYS) != 0;
        let agreed = seen.session.controls().is_true("change_streams");
        match (history, agreed) {
            (false, false) => Ruling::Silent,
            _ => needs(seen, agreed, "change_streams with such flags"),
        }
    }
}

/// A15. A setting of the server (`dcp_noop_mandatory_for_v5_features`) turns the rule off, which the wire does not show:
/// so a breach is only a warning.
#[derive(Debug, Default)]
pub(super) struct NoopBeforeStream;

impl Rule for NoopBeforeStream {
    const ID: &'static str = "a15-noop-before-stream";
    const REQUIREMENT: &'static str =
        "STREAM_REQ is refused with NotSupported while xattrs or collections are on and no-ops are not";
    const EXCEPTIONS: &'static str =
        "servers with dcp_noop_mandatory_for_v5_features=false, which the wire does not show";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::responses(&[Opcode::DCP_STREAM_REQ]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let header = seen.header();
        if seen.sender != Role::Producer || !header.is_response() || header.opcode != Opcode::DCP_STREAM_REQ {
            return Ruling::Silent;
        }
        let xattrs = seen.session.open().is_some_and(|open| open.has(dcp::Open::INCLUDE_XATTRS));
        let needed = xattrs || seen.session.features().has(Feature::COLLECTIONS);
        if !needed || seen.session.controls().is_true("enable_noop") {
            return Ruling::Silent;
        }
        match header.status() {
            Some(Status::NOT_SUPPORTED) => Ruling::Kept,
            Some(Status::SUCCESS) => {
                Ruling::broken("NotSupported: enable_noop was not agreed on".to_owned(), "Success".to_owned())
            }
            _ => Ruling::Silent,
        }
    }
}

/// A16.
#[derive(Debug, Default)]
pub(super) struct ControlsFirst;

impl Rule for ControlsFirst {
    const ID: &'static str = "a16-controls-first";
    const REQUIREMENT: &'static str = "controls precede the first STREAM_REQ; connection_buffer_size may come any time";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_CONTROL]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        match seen.message() {
            Some(Message::Control(control))
                if seen.sender == Role::Consumer && control.key != "connection_buffer_size" =>
            {
                Ruling::of(seen.session.streams().is_empty(), || {
                    ("controls before the first STREAM_REQ".to_owned(), format!("{} after it", control.key))
                })
            }
            _ => Ruling::Silent,
        }
    }
}

#[cfg(test)]
mod tests;
