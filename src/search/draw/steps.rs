use std::time::Duration;

use super::Draw;
use super::requests;
use crate::era::Cell;
use crate::fault::CloseAt;
use crate::fault::CloseStreamSpec;
use crate::fault::DelaySpec;
use crate::fault::FaultSpec;
use crate::fault::OrphanResponseSpec;
use crate::fault::WithholdAckSpec;
use crate::journal::Role;
use crate::scenario::After;
use crate::scenario::Per;
use crate::scenario::Step;
use crate::scenario::When;
use crate::search::law;
use crate::units::Size;
use crate::units::Span;
use crate::wire::Opcode;
use crate::wire::Status;

/// Draws when a step is taken and what it does; `None` where the settings leave nothing of the kind to do. What is expected of
/// it is the law's to say.
pub(super) type Kind = fn(&mut Draw<'_>) -> Option<(When, Vec<FaultSpec>)>;

/// What consumers do, and how often beside the others: to add one is to write its function and its line.
const KINDS: [(u32, Kind); 14] = [
    (4, close_at_producer),
    (4, cut),
    (3, cut_with_status),
    (5, orphan_response),
    (2, several_responses),
    (2, response_with_map),
    (2, withhold_acks),
    (1, delay),
    (12, requests::watch_the_end),
    (2, requests::absent),
    (3, requests::twice),
    (5, requests::again),
    (10, requests::acknowledge),
    (2, requests::window),
];

/// What they do where streams have nothing to bring but their end.
const OF_ENDS: [(u32, Kind); 4] = [(4, withhold_acks), (1, delay), (2, orphan_response), (1, requests::absent)];

/// What they do in a takeover.
const OF_TAKEOVERS: [(u32, Kind); 6] = [
    (3, requests::watch_the_end),
    (3, stray_response),
    (3, orphan_response),
    (6, withhold_acks),
    (2, delay),
    (2, close_at_producer),
];

/// How many throws a kind has that finds nothing to do, before the first of all is taken.
const THROWS: usize = 12;

/// Draws the next step; whether the producer is to close the connection at it.
pub(super) fn draw(draw: &mut Draw<'_>) -> (Step, bool) {
    // A step that only looks on has nothing left once nothing is waited for.
    if draw.steps.len() + 1 == draw.wanted
        && draw.steps.iter().all(|step| !step.faults.is_empty())
        && draw.once_in(4)
        && let Some(drawn) = fatal_response(draw)
    {
        return (step(draw, drawn), true);
    }
    let kinds: &[(u32, Kind)] = match () {
        () if draw.takes_over() => &OF_TAKEOVERS,
        () if draw.only_ends() => &OF_ENDS,
        () => &KINDS,
    };
    for _ in 0..THROWS {
        let mut throw = draw.dice.u32(..kinds.iter().map(|(weight, _)| weight).sum::<u32>());
        for &(weight, kind) in kinds {
            if throw < weight {
                if let Some(drawn) = kind(draw) {
                    let step = step(draw, drawn);
                    let is_over = draw.takes_over() && ends_a_stream(&step);
                    return (step, is_over);
                }
                break;
            }
            throw -= weight;
        }
    }
    let last_resort = if is_bound(draw) {
        let withheld = WithholdAckSpec { lasts: Some(millis(20)), ..WithholdAckSpec::default() };
        FaultSpec::WithholdAck(withheld)
    } else {
        FaultSpec::CloseStream(CloseStreamSpec { at: CloseAt::Producer, ..CloseStreamSpec::default() })
    };
    (step(draw, (When::default(), vec![last_resort])), false)
}

/// Whether there is no middle of a transfer to wait for, but messages alone.
fn is_bound(draw: &Draw<'_>) -> bool {
    draw.takes_over() || draw.only_ends()
}

/// A step with all that is owed after it.
fn step(draw: &Draw<'_>, (when, faults): (When, Vec<FaultSpec>)) -> Step {
    let mut step = Step { name: format!("step-{}", draw.steps.len() + 1), when, faults, expect: Vec::new() };
    step.expect = law::owed(&step, &draw.steps, &draw.consumer, draw.ground).unwrap_or_default();
    step
}

/// A stream is closed where the producer is.
fn close_at_producer(draw: &mut Draw<'_>) -> Option<(When, Vec<FaultSpec>)> {
    // Of a takeover that is closed no end can be looked on.
    if draw.takes_over() && draw.steps.iter().any(|step| step.faults.is_empty()) {
        return None;
    }
    let close = CloseStreamSpec { at: CloseAt::Producer, ..CloseStreamSpec::default() };
    Some((place(draw)?, vec![FaultSpec::CloseStream(close)]))
}

/// The consumer's stream is gone: what was in flight is answered as its era does.
fn cut(draw: &mut Draw<'_>) -> Option<(When, Vec<FaultSpec>)> {
    let when = place_of_cut(draw)?;
    let mut close = CloseStreamSpec::default();
    let mut coming = draw.coming();
    coming.retain(|&message| message != Opcode::DCP_SNAPSHOT_MARKER);
    draw.dice.shuffle(&mut coming);
    // All types at once take many streams: more often it is a few.
    if !draw.once_in(3) {
        coming.truncate(draw.dice.usize(1..=3));
        coming.sort_unstable();
        close.messages = coming;
    }
    Some((when, vec![FaultSpec::CloseStream(close)]))
}

/// The same, and messages of one kind are answered with a status that the producer has to bear.
fn cut_with_status(draw: &mut Draw<'_>) -> Option<(When, Vec<FaultSpec>)> {
    let when = place_of_cut(draw)?;
    let mut coming = draw.coming();
    coming.retain(|&message| message != Opcode::DCP_SNAPSHOT_MARKER);
    let message = draw.pick(&coming)?;
    let status = draw.pick(&statuses(draw, message, Cell::Keep))?;
    let close = CloseStreamSpec { at: CloseAt::Cut, messages: vec![message], status: Some(status) };
    Some((when, vec![FaultSpec::CloseStream(close)]))
}

/// A message is refused that the producer has just sent.
fn orphan_response(draw: &mut Draw<'_>) -> Option<(When, Vec<FaultSpec>)> {
    response(draw, Cell::Keep, 1)
}

/// A response too many to a marker, while the producer waits for that to a state.
fn stray_response(_: &mut Draw<'_>) -> Option<(When, Vec<FaultSpec>)> {
    Some((at_state_pending(), vec![law::stray()]))
}

/// While the producer waits for the answer to the state pending.
fn at_state_pending() -> When {
    When { filter: law::at_state_pending(), from: Some(Role::Producer), ..When::default() }
}

/// Several messages of a stream are refused at once.
fn several_responses(draw: &mut Draw<'_>) -> Option<(When, Vec<FaultSpec>)> {
    let count = draw.dice.u32(2..=8);
    response(draw, Cell::Keep, count)
}

/// A message is refused as one of a vbucket that is elsewhere: with the cluster map.
fn response_with_map(draw: &mut Draw<'_>) -> Option<(When, Vec<FaultSpec>)> {
    let (when, mut faults) = response(draw, Cell::Keep, 1)?;
    let size = draw.dice.u64(1 << 10..=law::MOST_BODY);
    for fault in &mut faults {
        let FaultSpec::OrphanResponse(orphan) = fault else { return None };
        let answers = law::answers(draw.ground.era, draw.is_v7(), orphan.message);
        if !answers.contains(&(Status::NOT_MY_VBUCKET, Cell::Keep)) {
            return None;
        }
        (orphan.status, orphan.body_size) = (Status::NOT_MY_VBUCKET, Some(Size(size)));
    }
    Some((when, faults))
}

/// The consumer gives nothing back for a while.
fn withhold_acks(draw: &mut Draw<'_>) -> Option<(When, Vec<FaultSpec>)> {
    let lasts = Some(millis(draw.dice.u64(20..=500)));
    let withheld = WithholdAckSpec { lasts, ..WithholdAckSpec::default() };
    Some((place(draw)?, vec![FaultSpec::WithholdAck(withheld)]))
}

/// The consumer is slow to say anything for a while.
fn delay(draw: &mut Draw<'_>) -> Option<(When, Vec<FaultSpec>)> {
    let jitter = if draw.once_in(2) { Some(millis(draw.dice.u64(1..=50))) } else { None };
    let by = millis(draw.dice.u64(1..=100));
    let lasts = Some(millis(draw.dice.u64(50..=1000)));
    Some((place(draw)?, vec![FaultSpec::Delay(DelaySpec { by, jitter, from: Some(Role::Consumer), lasts })]))
}

const fn millis(millis: u64) -> Span {
    Span(Duration::from_millis(millis))
}

/// A message is refused in such a way that the producer has to close the connection.
fn fatal_response(draw: &mut Draw<'_>) -> Option<(When, Vec<FaultSpec>)> {
    response(draw, Cell::MustClose, 1)
}

fn response(draw: &mut Draw<'_>, cell: Cell, count: u32) -> Option<(When, Vec<FaultSpec>)> {
    let mut coming = draw.coming();
    if !draw.only_ends() && !draw.steps.iter().any(ends_a_stream) {
        coming.retain(|&message| message != Opcode::DCP_STREAM_END);
    }
    coming.retain(|&message| !statuses(draw, message, cell).is_empty() && u64::from(count) <= most_of(message));
    let message = draw.pick(&coming)?;
    let status = draw.pick(&statuses(draw, message, cell))?;
    let vbucket = if draw.once_in(3) { draw.vbucket() } else { None };
    let nth = draw.nth(count.into(), most_of(message));
    let when = When {
        filter: law::at_message(message, vbucket),
        from: Some(Role::Producer),
        nth,
        per: if count > 1 { Per::Stream } else { Per::Connection },
        after: since(draw),
        ..When::default()
    };
    let orphan = OrphanResponseSpec { message, status, count, body: None, body_size: None };
    Some((when, vec![FaultSpec::OrphanResponse(orphan)]))
}

fn statuses(draw: &Draw<'_>, message: Opcode, wanted: Cell) -> Vec<Status> {
    let answers = law::answers(draw.ground.era, draw.is_v7(), message);
    answers.into_iter().filter(|&(_, cell)| cell == wanted).map(|(status, _)| status).collect()
}

/// Whether a step leads to a STREAM_END of the producer's that reaches the consumer.
fn ends_a_stream(step: &Step) -> bool {
    step.faults.iter().any(|fault| matches!(fault, FaultSpec::CloseStream(close) if close.at == CloseAt::Producer))
}

/// So many messages of a kind are waited for at the most.
const fn most_of(message: Opcode) -> u64 {
    match message {
        Opcode::DCP_STREAM_END => 1,
        Opcode::DCP_SYSTEM_EVENT | Opcode::DCP_ABORT => 4,
        Opcode::DCP_SNAPSHOT_MARKER | Opcode::DCP_EXPIRATION => 8,
        _ => 24,
    }
}

/// Where a stream is cut: where the seed says only in the last step, as one that cuts so is repeated until all that the steps
/// answer has come.
fn place_of_cut(draw: &mut Draw<'_>) -> Option<When> {
    if draw.consumer.end_seqno.is_some() || !requests::asked_again(draw).is_empty() {
        return None;
    }
    if draw.steps.len() + 1 < draw.wanted { at_some_message(draw) } else { place(draw) }
}

/// Where a stream is closed: where the seed says, or at a message of a kind.
pub(super) fn place(draw: &mut Draw<'_>) -> Option<When> {
    if draw.takes_over() && draw.once_in(2) {
        return Some(at_state_pending());
    }
    if !is_bound(draw) && draw.once_in(2) {
        Some(When { after: since(draw), ..When::default() })
    } else {
        at_some_message(draw)
    }
}

fn at_some_message(draw: &mut Draw<'_>) -> Option<When> {
    let mut when = When { after: since(draw), ..When::default() };
    let mut coming = draw.coming();
    coming.retain(|&message| draw.only_ends() || message != Opcode::DCP_STREAM_END);
    let message = draw.pick(&coming)?;
    let vbucket = if draw.once_in(3) { draw.vbucket() } else { None };
    when.filter = law::at_message(message, vbucket);
    when.from = Some(Role::Producer);
    when.nth = draw.nth(1, most_of(message));
    when.mid_transfer = (message != Opcode::DCP_SNAPSHOT_MARKER && !is_bound(draw) && draw.once_in(2)).then_some(true);
    Some(when)
}

/// Now and then a while after the step before.
pub(super) fn since(draw: &mut Draw<'_>) -> Option<After> {
    let millis = [1, 10, 50, 200, 1000, 3000];
    if draw.once_in(4) { draw.pick(&millis).map(|it| After::Span(Span(Duration::from_millis(it)))) } else { None }
}
