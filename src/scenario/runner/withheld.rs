//! What is kept from the consumer, and what is kept out of its acknowledgements: the producer's window comes out even.

use crate::dcp;
use crate::engine::Action;
use crate::engine::Actions;
use crate::engine::Event;
use crate::engine::Sessions;
use crate::fault::Toolbox;
use crate::journal::Side;
use crate::session::Owner;
use crate::session::StreamKey;

/// Forged frames are acknowledged too: the producer gets back only what it has sent.
pub(super) fn acknowledged(event: &Event<'_>, producer: Side, tools: &mut Toolbox, actions: &mut Actions) {
    let Event::Frame { from, head, .. } = event else { return };
    let Ok(dcp::Message::BufferAck(ack)) = &head.message else { return };
    // What a fault keeps back, or changes, it has sorted out itself.
    if *from == producer || actions.iter().any(Action::is_fate) {
        return;
    }
    let taken = tools.take_surplus(ack.bytes_to_ack);
    if taken > 0 {
        actions.push(Action::Drop);
        give_back(ack.bytes_to_ack - taken, producer, tools, actions);
    }
}

/// What comes of a cut stream, or of one of the tool's own, after their fault is done is for nobody.
pub(super) fn keep_from_consumer(
    event: &Event<'_>,
    sessions: &Sessions,
    producer: Side,
    tools: &mut Toolbox,
    actions: &mut Actions,
) {
    let Event::Frame { from, head, .. } = event else { return };
    let header = &head.header;
    if *from != producer
        || !header.is_request()
        || !dcp::is_stream_message(header.opcode)
        || !tools.is_kept_from_consumer(header.opaque)
        || actions.contains(&Action::Drop)
    {
        return;
    }
    let key = StreamKey { vbucket: header.vbucket_or_status, stream_id: head.stream_id };
    let is_its_own = match sessions.at(producer.other()).streams().owner(key, header.opaque) {
        Owner::Current(state) => state.is_live(),
        Owner::Requested => true,
        Owner::Gone(_) | Owner::OtherOpaque(_) | Owner::Unknown => false,
    };
    if !is_its_own {
        actions.retain(|action| !action.is_fate());
        actions.push(Action::Drop);
        if sessions.at(producer).flow().is_on() {
            give_back(dcp::charge(header), producer, tools, actions);
        }
    }
}

fn give_back(bytes_to_ack: u32, producer: Side, tools: &mut Toolbox, actions: &mut Actions) {
    if bytes_to_ack > 0 {
        let frame = dcp::BufferAck { bytes_to_ack }.request(tools.opaque()).build();
        actions.push(Action::Inject { to: producer, frame });
    }
}
