use std::collections::BTreeSet;

use super::CONSUMER;
use super::PRODUCER;
use crate::dcp;
use crate::engine::Event;
use crate::engine::Sessions;
use crate::era;
use crate::era::Cell;
use crate::fault::Toolbox;
use crate::session::Session;
use crate::session::State;
use crate::session::StreamKey;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// Finds the places where steps fire.
#[derive(Debug)]
pub(super) struct Trigger {
    /// Messages that are let pass before the first step.
    skip: u64,
}

/// The stream on which a step fires.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) key: StreamKey,
    pub(super) opaque: Opaque,
    /// The last seqno that the consumer has got of it.
    pub(super) seqno: u64,
}

impl Trigger {
    pub(super) const fn new(seed: u64) -> Self {
        Self { skip: 1 + seed % 16 }
    }

    /// The stream of an event that is the place for the next step: a message of an open stream, inside a snapshot with
    /// more to come, of one of these types, behind some that the consumer has got.
    pub(super) fn target(
        &mut self,
        event: &Event<'_>,
        sessions: &Sessions,
        messages: &BTreeSet<Opcode>,
        tools: &Toolbox,
    ) -> Option<Target> {
        let Event::Frame { from: PRODUCER, head, context, .. } = event else { return None };
        let seqno = head.message.as_ref().ok()?.by_seqno()?;
        let key = context.stream.as_ref()?.key;
        let session = sessions.at(PRODUCER);
        let stream = session.stream(key)?;
        if stream.opaque != head.header.opaque
            || stream.state != State::Open
            || stream.request.has(dcp::StreamReq::TAKEOVER)
            || !stream.mid_snapshot()
            || stream.last_seqno != seqno
        {
            return None;
        }
        let delivered = sessions.at(CONSUMER).stream(key)?;
        if delivered.opaque != stream.opaque || delivered.counts.items == 0 {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let wanted = attainable(messages, session, tools);
        let only_end = wanted.iter().all(|&message| message == Opcode::DCP_STREAM_END);
        (only_end || wanted.contains(&head.header.opcode)).then_some(Target {
            key,
            opaque: stream.opaque,
            seqno: delivered.last_seqno,
        })
    }
}

/// Those of the types that can meet an orphaned response that the producer must bear.
pub(super) fn attainable(messages: &BTreeSet<Opcode>, session: &Session, tools: &Toolbox) -> BTreeSet<Opcode> {
    messages
        .iter()
        .copied()
        .filter(|&message| can_come(session, message))
        .filter(|&message| tools.fatal_too || era::cut_status(tools.era, session.v7(), message).cell == Cell::Keep)
        .collect()
}

/// Whether the event is a message of a stream.
pub(super) fn is_data(event: &Event<'_>) -> bool {
    matches!(event, Event::Frame { from: PRODUCER, head, .. }
        if head.header.is_request() && dcp::is_stream_message(head.header.opcode))
}

/// Whether messages of that type can come at all on the connection (invariants.md A8, A9, A11; dcp-protocol.md §3.4).
fn can_come(session: &Session, message: Opcode) -> bool {
    let on = |key| session.controls().is_true(key);
    match message {
        Opcode::DCP_PREPARE | Opcode::DCP_COMMIT | Opcode::DCP_ABORT => {
            on("enable_sync_writes") || on("enable_synchronous_replication")
        }
        Opcode::DCP_EXPIRATION => on("enable_expiry_opcode"),
        Opcode::DCP_SYSTEM_EVENT => session.negotiated().collections,
        Opcode::DCP_STREAM_END => on("send_stream_end_on_client_close_stream"),
        _ => true,
    }
}
