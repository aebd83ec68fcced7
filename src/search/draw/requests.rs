//! What the tool asks of the producer in the consumer's name.

use super::Draw;
use super::steps::place;
use super::steps::since;
use crate::era::Era;
use crate::fault::FaultSpec;
use crate::journal::Role;
use crate::scenario::When;
use crate::search::law;
use crate::search::law::Asked;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// Streams that come to an end are looked at from one of their messages on.
pub(super) fn watch_the_end(draw: &mut Draw<'_>) -> Option<(When, Vec<FaultSpec>)> {
    let takes_over = draw.takes_over();
    let watches = draw.steps.iter().any(|step| step.faults.is_empty());
    let ends = draw.consumer.end_seqno.is_some() && draw.consumer.stream_end_on_close != Some(false);
    if !takes_over && (watches || !ends) {
        return None;
    }
    let message = draw.pick(&[Opcode::DCP_SNAPSHOT_MARKER, Opcode::DCP_MUTATION])?;
    let vbucket = if takes_over { None } else { draw.vbucket().filter(|_| draw.once_in(2)) };
    let filter = law::at_message(message, vbucket);
    Some((When { filter, from: Some(Role::Producer), ..When::default() }, Vec::new()))
}

/// The stream of a vbucket that the producer does not have.
pub(super) fn absent(draw: &mut Draw<'_>) -> Option<(When, Vec<FaultSpec>)> {
    let mut when = place(draw)?;
    if when.filter.is_none() {
        when.mid_transfer = Some(true);
    }
    asked(draw, when, Asked::Absent)
}

/// A stream that is open already.
pub(super) fn twice(draw: &mut Draw<'_>) -> Option<(When, Vec<FaultSpec>)> {
    let when = mid_transfer(draw);
    asked(draw, when, Asked::Twice)
}

/// A stream is closed, and asked for again before it has ended.
pub(super) fn again(draw: &mut Draw<'_>) -> Option<(When, Vec<FaultSpec>)> {
    let when = mid_transfer(draw);
    let number = u8::try_from(draw.steps.len()).ok()?;
    let asked_again = Asked::Again { opaque: Opaque([0xdd, 0xdd, 0, number + 1]), acknowledged: !draw.once_in(3) };
    asked(draw, when, asked_again)
}

/// The streams that were asked for again.
pub(super) fn asked_again(draw: &Draw<'_>) -> Vec<Opaque> {
    let ids = draw.consumer.stream_ids == Some(true);
    let asked = draw.steps.iter().filter_map(|step| Asked::of(&step.faults, ids, draw.ground));
    asked.filter_map(|asked| if let Asked::Again { opaque, .. } = asked { Some(opaque) } else { None }).collect()
}

/// A stream that was asked for again is acknowledged, at what it has brought.
pub(super) fn acknowledge(draw: &mut Draw<'_>) -> Option<(When, Vec<FaultSpec>)> {
    let opaques = asked_again(draw);
    let opaque = draw.pick(&opaques)?;
    let most = if draw.once_in(2) { law::MOST_ACKNOWLEDGED } else { 8 };
    let seqno = draw.dice.u64(1..=most.min(draw.ground.reach.max(1)));
    let when = When {
        filter: law::at_seqno(opaque, seqno),
        from: Some(Role::Producer),
        after: since(draw),
        ..When::default()
    };
    asked(draw, when, Asked::Acknowledged { opaque, seqno })
}

/// A larger window.
pub(super) fn window(draw: &mut Draw<'_>) -> Option<(When, Vec<FaultSpec>)> {
    let mut sizes = vec![1 << 20, 16 << 20, u64::from(u32::MAX)];
    if draw.ground.era == Era::Master {
        sizes.extend([1 << 32, 1 << 40, 1 << 32, 1 << 40]);
    }
    let bytes = draw.pick(&sizes)?;
    let when = mid_transfer(draw);
    asked(draw, when, Asked::Window(bytes))
}

fn asked(draw: &Draw<'_>, when: When, asked: Asked) -> Option<(When, Vec<FaultSpec>)> {
    asked.check(&draw.consumer, draw.ground.era).ok()?;
    Some((when, asked.faults(draw.consumer.stream_ids == Some(true), draw.ground)))
}

/// In the middle of the transfer of an open stream.
fn mid_transfer(draw: &mut Draw<'_>) -> When {
    let nth = draw.nth(1, 40);
    When { mid_transfer: Some(true), nth, after: since(draw), ..When::default() }
}
