use super::End;
use super::Moment;
use super::Outcome;
use super::Watch;
use super::expectation;
use crate::dcp::Message;
use crate::dcp::StreamEnd as Said;
use crate::wire::Opcode;

expectation! {
    /// The producer says STREAM_END for the stream that the step fired at.
    StreamEnd of Producer {
        /// With this reason: its number, as in dcp-protocol.md §4.6 (0 ok, 1 closed, 2 state changed).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<u32>,
    }
}

impl StreamEnd {
    pub(super) fn demand(&self) -> String {
        match self.reason {
            Some(reason) => format!("DCP_STREAM_END with reason {reason} for the stream"),
            None => "DCP_STREAM_END for the stream".to_owned(),
        }
    }

    pub(super) const fn watch(&self) -> Watcher {
        Watcher { reason: self.reason, seen: None, other: None }
    }
}

#[derive(Debug)]
pub(super) struct Watcher {
    reason: Option<u32>,
    seen: Option<String>,
    other: Option<u32>,
}

impl Watch for Watcher {
    fn observe(&mut self, moment: &Moment<'_>) {
        let Some(head) = moment.said() else { return };
        if head.header.opcode != Opcode::DCP_STREAM_END || !head.header.is_request() || !moment.is_of_stream(head) {
            return;
        }
        let Ok(Message::StreamEnd(Said { end_reason })) = &head.message else { return };
        if self.reason.is_none_or(|reason| reason == *end_reason) {
            self.seen
                .get_or_insert_with(|| format!("DCP_STREAM_END with reason {end_reason} after {} ms", moment.ms()));
        } else {
            self.other = Some(*end_reason);
        }
    }

    fn outcome(&self, end: &End) -> Outcome {
        match (&self.seen, self.other) {
            (Some(seen), _) => Outcome::Yes(seen.clone()),
            (None, Some(reason)) => Outcome::No(format!("DCP_STREAM_END with reason {reason}")),
            (None, None) => end.unseen("no DCP_STREAM_END"),
        }
    }
}
