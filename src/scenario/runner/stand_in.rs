use crate::Timestamp;
use crate::dcp;
use crate::dcp::BufferAck;
use crate::engine::Action;
use crate::engine::Actions;
use crate::engine::Event;
use crate::fault::Toolbox;
use crate::journal::How;
use crate::journal::Side;
use crate::session::Session;
use crate::wire::FrameBuilder;
use crate::wire::Opcode;
use crate::wire::Status;

/// Takes the place of a consumer that has closed while its producer is still being tried: acknowledges what comes for
/// it and answers no-ops, so that what was begun can be judged. The close itself waits until then.
#[derive(Debug, Default)]
pub(super) struct StandIn {
    closed: Option<How>,
    owed: u64,
    since: Timestamp,
}

impl StandIn {
    /// The consumer closed. `owed` is what it has got and not acknowledged.
    pub(super) fn begin(&mut self, how: How, owed: u64, now: Timestamp) {
        // A FIN is followed by a RST where a consumer is sent more than it wants.
        if self.closed.is_none() {
            self.owed = owed;
            self.since = now;
        }
        self.closed = Some(how);
    }

    /// Whether it is in the consumer's place.
    pub(super) const fn is_on(&self) -> bool {
        self.closed.is_some()
    }

    /// How the consumer closed, once: the close is then due.
    pub(super) const fn end(&mut self) -> Option<How> {
        self.closed.take()
    }

    /// Takes part in an event behind the fault that is under way.
    pub(super) fn on_event(
        &mut self,
        event: &Event<'_>,
        producer: Side,
        session: &Session,
        tools: &mut Toolbox,
        actions: &mut Actions,
    ) {
        let Some(how) = self.closed else { return };
        if let Event::Frame { from, head, .. } = event
            && *from == producer
            && !actions.contains(&Action::Drop)
        {
            self.owed += u64::from(dcp::charge(&head.header));
            if how == How::Reset {
                actions.push(Action::Drop);
            }
            if head.header.is_request() && head.header.opcode == Opcode::DCP_NOOP {
                let answer = FrameBuilder::response(Opcode::DCP_NOOP, Status::SUCCESS).opaque(head.header.opaque);
                actions.push(Action::Inject { to: producer, frame: answer.build() });
            }
        }
        let flow = session.flow();
        if !flow.is_on() {
            self.owed = 0;
        }
        let lump = (flow.window().unwrap_or_default() / 8).clamp(1, 64 * 1024);
        if self.owed >= lump || (self.owed > 0 && matches!(event, Event::Wakeup)) {
            let bytes_to_ack = u32::try_from(self.owed).unwrap_or(u32::MAX);
            self.owed -= u64::from(bytes_to_ack);
            let frame = BufferAck { bytes_to_ack }.request(tools.opaque()).build();
            actions.push(Action::Inject { to: producer, frame });
        }
    }

    /// When it wants to be woken.
    pub(super) fn wakeup(&self) -> Option<Timestamp> {
        (self.closed.is_some() && self.owed > 0).then(|| self.since + std::time::Duration::from_millis(20))
    }
}
