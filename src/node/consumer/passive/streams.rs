//! How streams are made and ended: ADD_STREAM, STREAM_REQ and its answers, CLOSE_STREAM, and the other responses.

use super::PassiveStreams;
use super::Taken;
use super::vbucket::Stream;
use super::vbucket::StreamState;
use super::vbucket::VbucketState;
use crate::dcp;
use crate::dcp::AddStreamResponse;
use crate::dcp::Message;
use crate::dcp::StreamReq;
use crate::dcp::StreamReqResponse;
use crate::era;
use crate::era::Era;
use crate::era::Situation;
use crate::node::Quirk;
use crate::wire::Frame;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

impl PassiveStreams {
    /// ADD_STREAM: asks the producer for a stream; the answer to the manager comes with the producer's.
    pub(super) fn add_stream(&mut self, frame: &Frame<'_>, flags: u32) {
        let header = *frame.header();
        let vbucket = header.vbucket_or_status;
        let refused = match self.vbuckets.get(&vbucket) {
            None => Some(Status::NOT_MY_VBUCKET),
            Some(held) if !matches!(held.state, VbucketState::Replica | VbucketState::Pending) => {
                Some(Status::NOT_MY_VBUCKET)
            }
            Some(held) => held.stream.filter(|stream| stream.state != StreamState::Dead).map(|_| Status::KEY_EEXISTS),
        };
        if let Some(status) = refused {
            self.respond(Opcode::DCP_ADD_STREAM, status, header.opaque);
            return;
        }
        let opaque = self.opaque();
        if let Some(held) = self.vbuckets.get_mut(&vbucket) {
            held.stream = Some(Stream {
                opaque,
                state: StreamState::Asked,
                add_opaque: header.opaque,
                flags,
                last_seqno: 0,
                snapshot: None,
            });
        }
        self.ask(vbucket, 0);
    }

    /// CLOSE_STREAM; its opaque is not looked at.
    pub(super) fn close_stream(&mut self, frame: &Frame<'_>) {
        let header = *frame.header();
        let era = self.config.era;
        let keeps = era::keeps_closed_streams(era) && !self.has(Quirk::Mb34850);
        let forgets = self.has(Quirk::LateStreamAnswer);
        self.acks.closed(header.vbucket_or_status);
        let situation = match self.vbuckets.get_mut(&header.vbucket_or_status) {
            Some(held) if held.stream.is_some() => {
                let dead = held.stream.is_some_and(|stream| stream.state == StreamState::Dead);
                match &mut held.stream {
                    Some(stream) if keeps && !(forgets && stream.state == StreamState::Asked) => {
                        stream.state = StreamState::Dead;
                    }
                    stream => *stream = None,
                }
                if dead { Situation::DeadStream } else { Situation::OtherOpaque }
            }
            Some(_) | None => Situation::NoStream,
        };
        // A live stream is closed as one with another opaque is: with success.
        let status = era::consumer_answer(era, self.v7(), situation, header.opcode).unwrap_or(Status::SUCCESS);
        self.respond(header.opcode, status, header.opaque);
    }

    /// What a consumer does with responses (orphaned-responses.md §3).
    pub(super) fn response(&mut self, frame: &Frame<'_>) {
        let header = *frame.header();
        let era = self.config.era;
        match header.opcode {
            Opcode::DCP_STREAM_REQ => self.stream_req_response(frame),
            // Looked up among the streams, where it is not.
            Opcode::DCP_CONTROL if self.has(Quirk::Mb22241) && self.stream_of(header.opaque).is_none() => {
                self.disconnect();
            }
            Opcode::DCP_CONTROL => match (self.controls.remove(&header.opaque), header.status()) {
                (Some(key), Some(Status::SUCCESS)) => {
                    self.accepted.insert(key);
                    self.negotiate();
                }
                (Some("connection_buffer_size"), _) if era == Era::Master => self.disconnect(),
                (None, _) if era == Era::Master && !self.controls.is_empty() => self.disconnect(),
                (Some(_), _) => self.negotiate(),
                (None, _) => {}
            },
            Opcode::DCP_SEQNO_ACK if self.has(Quirk::Mb42256) => self.disconnect(),
            Opcode::DCP_BUFFER_ACK | Opcode::NOOP => {}
            Opcode::GET_ERROR_MAP if era < Era::Master => {}
            Opcode::DCP_SEQNO_ACK if era >= Era::V6_6 => {}
            _ => self.disconnect(),
        }
    }

    /// Sends STREAM_REQ for the vbucket's stream, from where its data ends. `older` is how many entries of the failover
    /// log were found to be on another branch.
    fn ask(&mut self, vbucket: u16, older: usize) {
        let Some(held) = self.vbuckets.get_mut(&vbucket) else { return };
        let Some(stream) = &mut held.stream else { return };
        let ledger = self.ledger.entry(vbucket);
        let point = ledger.resume_point();
        stream.last_seqno = point.start_seqno;
        stream.snapshot = None;
        let request = StreamReq {
            flags: stream.flags,
            reserved: 0,
            start_seqno: point.start_seqno,
            end_seqno: u64::MAX,
            vb_uuid: ledger.failover_log().get(older).map_or(0, |entry| entry.vb_uuid),
            snap_start_seqno: point.snap_start_seqno,
            snap_end_seqno: point.snap_end_seqno,
            value: None,
        };
        let opaque = stream.opaque;
        self.write(&request.request(vbucket, opaque));
    }

    fn stream_req_response(&mut self, frame: &Frame<'_>) {
        let header = *frame.header();
        let Some((vbucket, stream)) = self.stream_of(header.opaque) else {
            // The stream went while the answer was under way: the whole connection goes.
            self.disconnect();
            return;
        };
        if stream.state != StreamState::Asked {
            return;
        }
        match (header.status(), dcp::decode(frame, &self.negotiated())) {
            (
                Some(Status::ROLLBACK),
                Ok(Message::StreamReqResponse(StreamReqResponse::Rollback { rollback_seqno })),
            ) => {
                self.roll_back(vbucket, rollback_seqno);
            }
            (Some(Status::SUCCESS), Ok(Message::StreamReqResponse(StreamReqResponse::FailoverLog(log))))
                if !log.is_empty() =>
            {
                self.keep.note(vbucket, || Some(Taken::Log(log.clone())));
                self.ledger.entry(vbucket).set_failover_log(log);
                self.set_stream_state(vbucket, StreamState::Live);
                self.added(&stream, Status::SUCCESS);
            }
            (Some(Status::SUCCESS | Status::ROLLBACK) | None, _) => self.disconnect(),
            (Some(status), _) => {
                self.set_stream_state(vbucket, StreamState::Dead);
                self.added(&stream, status);
            }
        }
    }

    /// Rollback: the request is made again with the same opaque. Master first tries the branch before, where the newest
    /// one begins just where it asked from (dcp-protocol.md §3.1).
    fn roll_back(&mut self, vbucket: u16, seqno: u64) {
        let ledger = self.ledger.entry(vbucket);
        let log = ledger.failover_log();
        if self.config.era == Era::Master
            && seqno == 0
            && log.len() > 1
            && log.first().is_some_and(|newest| newest.seqno == ledger.last_seqno())
        {
            let older = log.get(1..).unwrap_or_default().to_vec();
            ledger.set_failover_log(older);
        } else if seqno > ledger.last_seqno() {
            self.disconnect();
            return;
        } else {
            ledger.roll_back(seqno);
            self.keep.note(vbucket, || Some(Taken::RolledBack(seqno)));
            if let Some(held) = self.vbuckets.get_mut(&vbucket) {
                held.roll_back(seqno);
            }
        }
        self.ask(vbucket, 0);
    }

    /// The answer to ADD_STREAM: the stream's opaque in network order, so that its bytes are the reverse of those in
    /// the headers (dcp-protocol.md §1).
    fn added(&mut self, stream: &Stream, status: Status) {
        let response = AddStreamResponse::of(stream.opaque);
        self.write(&response.response(status, stream.add_opaque));
    }

    fn stream_of(&self, opaque: Opaque) -> Option<(u16, Stream)> {
        self.vbuckets
            .iter()
            .filter_map(|(&vbucket, held)| Some((vbucket, held.stream?)))
            .find(|(_, stream)| stream.opaque == opaque)
    }

    fn set_stream_state(&mut self, vbucket: u16, state: StreamState) {
        if let Some(stream) = self.vbuckets.get_mut(&vbucket).and_then(|held| held.stream.as_mut()) {
            stream.state = state;
        }
    }
}
