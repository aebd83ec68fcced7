//! What becomes of requests: the messages of streams, no-ops, and the manager's commands.

use super::PassiveStreams;
use super::Taken;
use super::kept;
use super::vbucket::StreamState;
use super::vbucket::VbucketState;
use crate::dcp;
use crate::dcp::Malformed;
use crate::dcp::Message;
use crate::dcp::SeqnoAck;
use crate::dcp::SetVbucketState;
use crate::dcp::SnapshotMarker;
use crate::era;
use crate::era::Situation;
use crate::node::Quirk;
use crate::node::consumer::ledger::Item;
use crate::node::consumer::ledger::frame_hash;
use crate::node::consumer::ledger::key_hash;
use crate::node::consumer::quirks::noop_answers;
use crate::wire::Frame;
use crate::wire::Opcode;
use crate::wire::Status;

impl PassiveStreams {
    /// A request with a DCP opcode. Returns whether it was taken in; else it was answered with an error.
    pub(super) fn request(&mut self, frame: &Frame<'_>) -> bool {
        let header = *frame.header();
        let message = dcp::decode(frame, &self.negotiated());
        if let Some(status) = self.unfit(frame, &message) {
            self.respond(header.opcode, status, header.opaque);
            return false;
        }
        match (header.opcode, message) {
            (Opcode::DCP_ADD_STREAM, Ok(Message::AddStream(message))) => self.add_stream(frame, message.flags),
            (Opcode::DCP_CLOSE_STREAM, _) => self.close_stream(frame),
            (Opcode::DCP_NOOP, _) => {
                for _ in 0..noop_answers(&self.config.quirks) {
                    self.respond(header.opcode, Status::SUCCESS, header.opaque);
                }
            }
            (opcode, Ok(message)) if dcp::is_stream_message(opcode) => {
                if let Err(status) = self.stream_message(frame, &message) {
                    self.respond(opcode, status, header.opaque);
                    return false;
                }
            }
            (Opcode::DCP_OPEN, _) => self.respond(header.opcode, Status::EINVAL, header.opaque),
            // What only a producer is asked (STREAM_REQ, CONTROL, BUFFER_ACK ...): a consumer has no handler for it.
            _ => self.disconnect(),
        }
        true
    }

    /// The checks that come before any stream is looked up, so that they win over "no stream" (orphaned-responses.md
    /// §2).
    fn unfit(&self, frame: &Frame<'_>, message: &Result<Message, Malformed>) -> Option<Status> {
        let (header, message) = (frame.header(), message.as_ref().ok());
        if self.full && message.is_some_and(|message| message.by_seqno().is_some()) {
            return Some(Status::ENOMEM);
        }
        let no_handler = era::consumer_answer(self.config.era, self.v7(), Situation::OtherOpaque, header.opcode);
        if no_handler == Some(Status::UNKNOWN_COMMAND) {
            return no_handler;
        }
        let version = if self.config.collections || self.config.delete_times { 2 } else { 1 };
        let fit = match message {
            None => false,
            Some(Message::Deletion(deletion)) => deletion.version == version && deletion.by_seqno != 0,
            Some(Message::SnapshotMarker(marker)) => marker.start_seqno <= marker.end_seqno,
            Some(message) => message.by_seqno() != Some(0),
        };
        (!fit).then_some(Status::EINVAL)
    }

    /// A message of a stream: stream by vbucket, then opaque, then whether the stream is dead.
    ///
    /// # Errors
    /// The status to answer with; data messages are answered only on failure.
    #[allow(clippy::wildcard_enum_match_arm)] // of the stream messages, the others are items
    fn stream_message(&mut self, frame: &Frame<'_>, message: &Message) -> Result<(), Status> {
        let header = *frame.header();
        let vbucket = header.vbucket_or_status;
        let stream = self.vbuckets.get(&vbucket).and_then(|held| held.stream);
        let situation = match stream {
            None => Some(Situation::NoStream),
            Some(stream) if stream.opaque != header.opaque && self.is_taken_for_gone(header.opcode) => {
                Some(Situation::NoStream)
            }
            Some(stream) if stream.opaque != header.opaque => Some(Situation::OtherOpaque),
            Some(stream) if stream.state == StreamState::Dead => Some(Situation::DeadStream),
            Some(_) => None,
        };
        if header.opcode == Opcode::DCP_STREAM_END
            && matches!(situation, None | Some(Situation::DeadStream))
            && let Some(held) = self.vbuckets.get_mut(&vbucket)
        {
            held.stream = None;
            self.acks.ended(vbucket);
        }
        if let Some(situation) = situation {
            return match era::consumer_answer(self.config.era, self.v7(), situation, header.opcode) {
                Some(status) => Err(status),
                None => Ok(()),
            };
        }
        match message {
            Message::SetVbucketState(change) => self.take_over(frame, *change),
            Message::SnapshotMarker(marker) => self.marker(frame, marker)?,
            Message::StreamEnd(_) => self.ledger.entry(vbucket).message(header.opcode),
            Message::CacheTransfer(_) | Message::CacheTransferEnd(_) => {
                self.ledger.entry(vbucket).message(header.opcode);
            }
            _ => self.item(frame, message)?,
        }
        Ok(())
    }

    /// mb-34951: the end of a stream that was closed, and whose vbucket was added again.
    fn is_taken_for_gone(&self, opcode: Opcode) -> bool {
        opcode == Opcode::DCP_STREAM_END && self.has(Quirk::Mb34951)
    }

    /// SET_VBUCKET_STATE, always answered. The stream stays until STREAM_END, also when the vbucket becomes active.
    fn take_over(&mut self, frame: &Frame<'_>, change: SetVbucketState) {
        let header = *frame.header();
        let state = VbucketState::of(change.state).unwrap_or(VbucketState::Dead);
        if let Some(held) = self.vbuckets.get_mut(&header.vbucket_or_status) {
            held.state = state;
        }
        self.keep.note(header.vbucket_or_status, || Some(Taken::State(state)));
        self.ledger.entry(header.vbucket_or_status).message(header.opcode);
        self.respond(header.opcode, Status::SUCCESS, header.opaque);
    }

    fn marker(&mut self, frame: &Frame<'_>, marker: &SnapshotMarker) -> Result<(), Status> {
        let vbucket = frame.header().vbucket_or_status;
        if let Some(held) = self.vbuckets.get_mut(&vbucket) {
            held.marker(marker)?;
            self.ledger.entry(vbucket).marker(marker);
            self.keep.note(vbucket, || Some(Taken::Marker(*marker)));
        }
        Ok(())
    }

    fn item(&mut self, frame: &Frame<'_>, message: &Message) -> Result<(), Status> {
        let header = *frame.header();
        let vbucket = header.vbucket_or_status;
        let (Some(held), Some(seqno)) = (self.vbuckets.get_mut(&vbucket), message.by_seqno()) else {
            return Err(Status::EINVAL);
        };
        let collection = dcp::document_key(frame, self.config.collections).and_then(|key| key.collection_id);
        held.item(message, header.opcode, frame.key(), collection)?;
        let hash = frame_hash(frame, seqno).ok_or(Status::EINVAL)?;
        let item = Item { seqno, hash, key: key_hash(frame.key()), opcode: header.opcode };
        self.ledger.entry(vbucket).item(item);
        let collections = self.config.collections;
        self.keep.note(vbucket, || kept::item(frame, message, collections).map(|item| Taken::Item(Box::new(item))));
        self.snapshot_end(frame, seqno);
        // Under memory pressure the prepare is tried again.
        if header.opcode == Opcode::DCP_PREPARE && self.has(Quirk::Mb41024) {
            if let Some(held) = self.vbuckets.get_mut(&vbucket) {
                held.acked_prepare = held.acked_prepare.min(seqno.saturating_sub(1));
            }
            self.snapshot_end(frame, seqno);
        }
        Ok(())
    }

    /// At the end of a snapshot its marker is answered, if it asked for that, and prepares are acknowledged.
    fn snapshot_end(&mut self, frame: &Frame<'_>, seqno: u64) {
        let header = *frame.header();
        let sync_replication = self.sync_replication();
        let Some(held) = self.vbuckets.get_mut(&header.vbucket_or_status) else { return };
        let Some(snapshot) = held.stream.and_then(|stream| stream.snapshot) else { return };
        if seqno != snapshot.end_seqno {
            return;
        }
        let prepared = held.prepares.high();
        let unacked = sync_replication && prepared > held.acked_prepare;
        if unacked {
            held.acked_prepare = prepared;
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
