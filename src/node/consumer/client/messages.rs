//! The producer's requests: the messages of streams, and no-ops.

use super::Client;
use super::stream::State;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::MarkerVersion;
use crate::dcp::Message;
use crate::dcp::SeqnoAck;
use crate::dcp::SnapshotMarker;
use crate::dcp::StreamReq;
use crate::era::Era;
use crate::node::consumer::ledger::Item;
use crate::node::consumer::ledger::Snapshot;
use crate::node::consumer::ledger::frame_hash;
use crate::node::consumer::ledger::key_hash;
use crate::node::consumer::prepares::Pending;
use crate::node::consumer::quirks::noop_answers;
use crate::wire::Frame;
use crate::wire::Header;
use crate::wire::Opcode;
use crate::wire::Status;

impl Client {
    /// Returns whether it was taken in; else it was one to refuse.
    pub(super) fn request(&mut self, frame: &Frame<'_>, now: Timestamp) -> bool {
        let header = *frame.header();
        let negotiated = self.negotiated();
        let repaired = dcp::felen0_repaired(frame, &negotiated);
        let repaired = repaired.as_deref().and_then(|bytes| Frame::new(bytes).ok());
        let frame = repaired.as_ref().unwrap_or(frame);
        let message = match dcp::decode(frame, &negotiated) {
            Ok(message) => message,
            Err(malformed) => {
                let what = format!("expected a sound {}, found: {malformed}", header.opcode);
                self.violation(now, header.vbucket(), what);
                return false;
            }
        };
        match header.opcode {
            Opcode::DCP_NOOP => {
                self.noops = self.noops.saturating_add(1);
                if self.accepted("enable_noop") != Some(true) {
                    self.violation(now, None, "expected no no-op that was not asked for, found one".to_owned());
                }
                for _ in 0..noop_answers(&self.config.quirks) {
                    self.respond(header.opcode, Status::SUCCESS, header.opaque);
                }
            }
            Opcode::NOOP => self.respond(header.opcode, Status::SUCCESS, header.opaque),
            opcode if dcp::is_stream_message(opcode) => return self.stream_message(frame, &message, now),
            opcode => {
                let what = format!("expected no such request of a producer, found {opcode}");
                self.violation(now, None, what);
                self.respond(opcode, Status::UNKNOWN_COMMAND, header.opaque);
                return false;
            }
        }
        true
    }

    #[allow(clippy::wildcard_enum_match_arm)] // of the stream messages, the others have a seqno
    fn stream_message(&mut self, frame: &Frame<'_>, message: &Message, now: Timestamp) -> bool {
        let header = *frame.header();
        let vbucket = header.vbucket_or_status;
        if let Some(what) = self.stray(frame, &header).or_else(|| self.not_agreed(message, &header)) {
            self.violation(now, Some(vbucket), what);
            return false;
        }
        if let Some(stream) = self.streams.get_mut(&vbucket) {
            stream.tries = 0;
        }
        match message {
            Message::SnapshotMarker(marker) => self.marker(vbucket, marker, now),
            Message::StreamEnd(end) => self.stream_end(vbucket, *end, now),
            Message::OsoSnapshot(_) => self.ledger.entry(vbucket).message(header.opcode),
            Message::SetVbucketState(_) => {
                self.ledger.entry(vbucket).message(header.opcode);
                self.respond(header.opcode, Status::SUCCESS, header.opaque);
            }
            _ => self.seqno(frame, message, now),
        }
        true
    }

    /// Why a stream message belongs to no running stream, if it does not.
    fn stray(&self, frame: &Frame<'_>, header: &Header) -> Option<String> {
        let (opcode, opaque) = (header.opcode, header.opaque);
        let Some(stream) = self.streams.get(&header.vbucket_or_status) else {
            return Some(format!("expected streams that were asked for, found {opcode} {opaque}"));
        };
        if stream.ended.contains(&opaque) {
            return Some(format!("expected nothing after a stream's end, found {opcode} {opaque}"));
        }
        if stream.opaque != opaque {
            return Some(format!("expected the opaque {}, found {opcode} {opaque}", stream.opaque));
        }
        if !stream.is_running() {
            let state = stream.state;
            return Some(format!("expected nothing while the stream is {state:?}, found {opcode} {opaque}"));
        }
        let expected = self.stream_id(header.vbucket_or_status).filter(|_| carries_stream_id(opcode));
        let found = frame.frame_infos().stream_id();
        (found != expected).then(|| format!("expected the stream id {expected:?}, found {found:?}"))
    }

    /// Why a message's kind was not agreed on, if it was not.
    #[allow(clippy::wildcard_enum_match_arm)] // mutations and stream ends need no agreement
    fn not_agreed(&self, message: &Message, header: &Header) -> Option<String> {
        let accepted = |control| self.accepted(control) == Some(true);
        let replication = self.sync_writes() && accepted("consumer_name");
        let (agreed, by) = match message {
            Message::Expiration(_) => {
                (accepted("enable_expiry_opcode") && self.config.delete_times, "enable_expiry_opcode")
            }
            Message::Prepare(_) | Message::Commit(_) | Message::Abort(_) => (self.sync_writes(), "sync writes"),
            Message::SystemEvent(_) | Message::SeqnoAdvanced(_) => (self.negotiated().collections, "collections"),
            Message::OsoSnapshot(_) => (accepted("enable_out_of_order_snapshots"), "enable_out_of_order_snapshots"),
            Message::SnapshotMarker(marker) => match marker.version {
                MarkerVersion::V1 => (!replication || self.config.era < Era::V6_5, "consumer_name to be absent"),
                MarkerVersion::V2_0 => (replication || accepted("max_marker_version"), "consumer_name"),
                MarkerVersion::V2_1 => (false, "nothing"),
                MarkerVersion::V2_2 => (accepted("max_marker_version"), "max_marker_version"),
            },
            Message::Deletion(deletion) => ((deletion.version == 2) == self.config.delete_times, "its version"),
            Message::CacheTransfer(_) | Message::CacheTransferEnd(_) => (false, "a flag of the stream request"),
            Message::SetVbucketState(_) => (self.config.stream_flags & StreamReq::TAKEOVER != 0, "a takeover"),
            _ => (true, ""),
        };
        (!agreed).then(|| format!("expected {} only as agreed on by {by}, found one", header.opcode))
    }

    fn marker(&mut self, vbucket: u16, marker: &SnapshotMarker, now: Timestamp) {
        let (start, end) = (marker.start_seqno, marker.end_seqno);
        let ledger = self.ledger.entry(vbucket);
        let last = ledger.last_seqno();
        let Some(stream) = self.streams.get_mut(&vbucket) else { return };
        let wrong = match stream.snapshot {
            _ if start > end => Some(format!("expected a snapshot that starts before its end, found {start} to {end}")),
            None if start > stream.asked_from => {
                Some(format!("expected the first snapshot from {} or before, found {start}", stream.asked_from))
            }
            _ if end < last || (end == last && stream.snapshot.is_some()) => {
                Some(format!("expected a snapshot that ends after {last}, found {start} to {end}"))
            }
            Some(open) if start <= open.end => {
                Some(format!("expected a snapshot after {}, found one from {start}", open.end))
            }
            Some(open) if last < open.end => {
                Some(format!("expected the snapshot to {} to be completed, found a marker at {last}", open.end))
            }
            _ => None,
        };
        stream.snapshot = Some(Snapshot { start, end, flags: marker.flags });
        ledger.marker(marker);
        if let Some(what) = wrong {
            self.violation(now, Some(vbucket), what);
        }
    }

    fn seqno(&mut self, frame: &Frame<'_>, message: &Message, now: Timestamp) {
        let header = *frame.header();
        let vbucket = header.vbucket_or_status;
        let Some(seqno) = message.by_seqno() else { return };
        let last = self.ledger.entry(vbucket).last_seqno();
        let Some(stream) = self.streams.get_mut(&vbucket) else { return };
        let wrong = match stream.snapshot {
            None => Some(format!("expected a marker first, found {} with seqno {seqno}", header.opcode)),
            Some(_) if seqno <= last => Some(format!("expected a seqno above {last}, found {seqno}")),
            Some(Snapshot { start, end, .. }) if !(start..=end).contains(&seqno) => {
                Some(format!("expected a seqno of the snapshot {start} to {end}, found {seqno}"))
            }
            Some(_) => None,
        };
        if let Some(what) = wrong {
            self.violation(now, Some(vbucket), what);
            if seqno <= last {
                return;
            }
        }
        if let Message::SeqnoAdvanced(_) = message {
            let ledger = self.ledger.entry(vbucket);
            ledger.advance(seqno);
            ledger.message(header.opcode);
        } else {
            let Some(hash) = frame_hash(frame, seqno) else {
                self.violation(now, Some(vbucket), "expected a value that inflates, found another".to_owned());
                return;
            };
            // Of one collection or scope are the events that tell of it: its ids stand behind the manifest's uid.
            let named = match header.opcode {
                Opcode::DCP_SYSTEM_EVENT => frame.value().and_then(|value| value.get(8..value.len().min(16))),
                _ => Some(frame.key()),
            };
            let item = Item { seqno, hash, key: key_hash(named.unwrap_or_default()), opcode: header.opcode };
            self.ledger.entry(vbucket).item(item);
            self.durability(frame, message, now);
        }
        self.snapshot_end(&header, seqno);
    }

    /// A commit or abort must speak of the prepare that is pending (invariants.md E1-E3).
    #[allow(clippy::wildcard_enum_match_arm)] // every other item completes a prepare of its key
    fn durability(&mut self, frame: &Frame<'_>, message: &Message, now: Timestamp) {
        let vbucket = frame.header().vbucket_or_status;
        let Some(stream) = self.streams.get_mut(&vbucket) else { return };
        let from_disk = stream.snapshot.is_some_and(|snapshot| snapshot.flags & SnapshotMarker::DISK != 0);
        let pending = stream.prepares.look(frame.key());
        let prepared = match message {
            Message::Prepare(prepare) => {
                stream.prepares.prepare(frame.key(), prepare.by_seqno);
                if let Pending::Prepared(seqno) = pending
                    && !from_disk
                {
                    let what = format!("expected prepare {seqno} to be completed, found one of the same key");
                    self.violation(now, Some(vbucket), what);
                }
                return;
            }
            Message::Commit(commit) => commit.prepared_seqno,
            Message::Abort(abort) => abort.prepared_seqno,
            _ => {
                // From disk a commit is a mutation or deletion.
                stream.prepares.complete(frame.key());
                return;
            }
        };
        stream.prepares.complete(frame.key());
        let opcode = frame.header().opcode;
        let what = match pending {
            Pending::Prepared(seqno) if seqno != prepared && !from_disk => {
                format!("expected {opcode} of prepare {seqno}, found one of {prepared}")
            }
            Pending::Missing if !from_disk && stream.from_zero => {
                format!("expected {opcode} of a prepare that came, found one of {prepared}")
            }
            Pending::Prepared(_) | Pending::Missing | Pending::Unsure => return,
        };
        self.violation(now, Some(vbucket), what);
    }

    /// At the end of a snapshot prepares are acknowledged, if that was agreed on.
    fn snapshot_end(&mut self, header: &Header, seqno: u64) {
        let replication = self.sync_writes() && self.accepted("consumer_name") == Some(true);
        let Some(stream) = self.streams.get_mut(&header.vbucket_or_status) else { return };
        let Some(snapshot) = stream.snapshot.filter(|snapshot| snapshot.end == seqno) else { return };
        let prepared = stream.prepares.high();
        let unacked = replication && prepared > stream.acked_prepare && stream.state == State::Open;
        if unacked {
            stream.acked_prepare = prepared;
        }
        if snapshot.flags & SnapshotMarker::ACK != 0 {
            self.respond(Opcode::DCP_SNAPSHOT_MARKER, Status::SUCCESS, header.opaque);
        }
        if unacked {
            let ack = SeqnoAck { prepared_seqno: prepared };
            self.write(&ack.request(header.vbucket_or_status, header.opaque));
        }
    }
}

/// Whether messages of a kind repeat the stream's id (dcp-protocol.md §3).
const fn carries_stream_id(opcode: Opcode) -> bool {
    !matches!(opcode, Opcode::DCP_PREPARE | Opcode::DCP_COMMIT | Opcode::DCP_ABORT | Opcode::DCP_SET_VBUCKET_STATE)
}
