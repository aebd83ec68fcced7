use super::End;
use super::Moment;
use super::Outcome;
use super::Watch;
use super::expectation;
use crate::dcp;
use crate::dcp::Message;
use crate::journal::Role;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

expectation! {
    /// The vbucket's stream is requested again, accepted, and brings messages. Of the consumer it is expected that it asks,
    /// and not for less than what it lacks; of the producer that it brings what comes next.
    Resumes of Producer {}
}

impl Resumes {
    pub(super) fn demand(&self) -> String {
        match self.common().of {
            Role::Producer => "the stream, requested again, goes on from there".to_owned(),
            Role::Consumer => "the consumer requests the stream again, from where it was or before".to_owned(),
        }
    }

    pub(super) fn watch(&self) -> Watcher {
        Watcher { of: self.common().of, asked: None, answer: None, came: None, wrong: None, reached: None }
    }
}

#[derive(Debug)]
pub(super) struct Watcher {
    of: Role,
    /// The opaque of the request, and the seqno that it asks to go on from.
    asked: Option<(Opaque, u64)>,
    answer: Option<Status>,
    came: Option<u64>,
    wrong: Option<String>,
    /// The last seqno that was delivered to the consumer.
    reached: Option<u64>,
}

impl Watch for Watcher {
    fn observe(&mut self, moment: &Moment<'_>) {
        let Some((key, _, seqno)) = moment.fired.stream else { return };
        let Some(head) = moment.said().or_else(|| moment.told()) else { return };
        let header = &head.header;
        if header.opcode == Opcode::DCP_STREAM_REQ {
            if header.is_request() && header.vbucket() == Some(key.vbucket) {
                let Ok(Message::StreamReq(request)) = &head.message else { return };
                let delivered = moment.session.stream(key).map_or(0, |stream| stream.last_seqno);
                let reached = self.reached.unwrap_or(seqno).max(seqno).max(delivered);
                if self.of == Role::Consumer && self.asked.is_none() && request.start_seqno > reached {
                    let asked = request.start_seqno;
                    self.wrong =
                        Some(format!("it asked to go on from {asked}, and has got {reached}: seqnos are skipped"));
                }
                self.asked = Some((header.opaque, request.start_seqno));
            } else if let Some((opaque, _)) = self.asked
                && opaque == header.opaque
            {
                self.answer = header.status();
            }
            return;
        }
        let Some(by_seqno) = head.message.as_ref().ok().and_then(Message::by_seqno) else { return };
        if !header.is_request() || !dcp::is_stream_message(header.opcode) || header.vbucket() != Some(key.vbucket) {
            return;
        }
        match self.asked {
            Some((opaque, start)) if opaque == header.opaque => {
                if by_seqno <= start && self.of == Role::Producer {
                    self.wrong = Some(format!("{} with seqno {by_seqno} after a start at {start}", header.opcode));
                }
                self.came.get_or_insert(by_seqno);
            }
            _ => self.reached = Some(by_seqno.max(self.reached.unwrap_or_default())),
        }
    }

    fn outcome(&self, end: &End) -> Outcome {
        if let Some(wrong) = &self.wrong {
            return Outcome::No(wrong.clone());
        }
        match (self.asked, self.answer, self.came) {
            (Some((_, start)), ..) if self.of == Role::Consumer => {
                Outcome::Yes(format!("it was requested from seqno {start}"))
            }
            (Some((_, start)), _, Some(seqno)) => {
                Outcome::Yes(format!("requested from seqno {start}, it went on with {seqno}"))
            }
            (None, ..) if self.of == Role::Producer => {
                Outcome::Unknown("the consumer did not request the stream again".to_owned())
            }
            (None, ..) => end.unseen("the stream was not requested again"),
            (Some(_), Some(Status::SUCCESS), None) => end.unseen("it was accepted and brought nothing"),
            (Some(_), Some(status), None) => end.unseen(&format!("it was answered with {status}")),
            (Some(_), None, None) => end.unseen("the request was not answered"),
        }
    }
}
