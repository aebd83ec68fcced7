use std::num::NonZeroU64;
use std::time::Duration;

use super::Draw;
use crate::era::Cell;
use crate::fault::CloseAt;
use crate::fault::CloseStreamSpec;
use crate::fault::FaultSpec;
use crate::fault::OrphanResponseSpec;
use crate::journal::Role;
use crate::scenario::After;
use crate::scenario::Expect;
use crate::scenario::Per;
use crate::scenario::Step;
use crate::scenario::StreamEnd;
use crate::scenario::Survives;
use crate::scenario::When;
use crate::search::law;
use crate::units::Span;
use crate::wire::Opcode;

/// Draws what a step does, when, and what is expected of it; `None` where the settings leave nothing of the kind to do.
type Kind = fn(&mut Draw<'_>) -> Option<(When, FaultSpec, Vec<Expect>)>;

/// What consumers do, and how often beside the others: to add one is to write its function and its line.
const KINDS: [(u32, Kind); 5] =
    [(4, close_at_producer), (2, cut), (3, cut_with_status), (6, orphan_response), (2, several_responses)];

/// How many throws a kind has that finds nothing to do, before the first of all is taken.
const THROWS: usize = 8;
/// How long a close may take to be followed by STREAM_END, and the connection to live on.
const WITHIN: Duration = Duration::from_secs(5);

/// Draws the next step of `wanted`; whether the producer is to close the connection at it.
pub(super) fn draw(draw: &mut Draw<'_>, wanted: usize) -> (Step, bool) {
    let number = draw.steps.len() + 1;
    let step = |(when, fault, expect)| Step { name: format!("step-{number}"), when, faults: vec![fault], expect };
    if number == wanted
        && draw.once_in(4)
        && let Some(drawn) = fatal_response(draw)
    {
        return (step(drawn), true);
    }
    for _ in 0..THROWS {
        let mut throw = draw.dice.u32(..KINDS.iter().map(|(weight, _)| weight).sum::<u32>());
        for (weight, kind) in KINDS {
            if throw < weight {
                if let Some(drawn) = kind(draw) {
                    return (step(drawn), false);
                }
                break;
            }
            throw -= weight;
        }
    }
    (step((When::default(), FaultSpec::CloseStream(CloseStreamSpec::default()), Vec::new())), false)
}

/// A stream is closed where the producer is. Its end must follow where that was agreed on.
fn close_at_producer(draw: &mut Draw<'_>) -> Option<(When, FaultSpec, Vec<Expect>)> {
    let when = place(draw)?;
    let close = CloseStreamSpec { at: CloseAt::Producer, ..CloseStreamSpec::default() };
    let within = Some(Span(WITHIN));
    let mut expect = vec![Expect::Survives(Survives { within, not: false, of: None, because: None })];
    if draw.consumer.stream_end_on_close != Some(false) {
        expect.push(Expect::StreamEnd(StreamEnd { reason: None, within, not: false, of: None, because: None }));
    }
    Some((when, FaultSpec::CloseStream(close), expect))
}

/// The consumer's stream is gone: what was in flight is answered as its era does.
fn cut(draw: &mut Draw<'_>) -> Option<(When, FaultSpec, Vec<Expect>)> {
    let when = place(draw)?;
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
    Some((when, FaultSpec::CloseStream(close), Vec::new()))
}

/// The same, and messages of one kind are answered with a status that the producer has to bear.
fn cut_with_status(draw: &mut Draw<'_>) -> Option<(When, FaultSpec, Vec<Expect>)> {
    let when = place(draw)?;
    let mut coming = draw.coming();
    coming.retain(|&message| message != Opcode::DCP_SNAPSHOT_MARKER);
    let message = draw.pick(&coming)?;
    let status = draw.pick(&statuses(draw, message, Cell::Keep))?;
    let close = CloseStreamSpec { at: CloseAt::Cut, messages: vec![message], status: Some(status) };
    Some((when, FaultSpec::CloseStream(close), Vec::new()))
}

/// A message is refused that the producer has just sent.
fn orphan_response(draw: &mut Draw<'_>) -> Option<(When, FaultSpec, Vec<Expect>)> {
    response(draw, Cell::Keep, 1)
}

/// Several messages of a stream are refused at once.
fn several_responses(draw: &mut Draw<'_>) -> Option<(When, FaultSpec, Vec<Expect>)> {
    let count = draw.dice.u32(2..=8);
    response(draw, Cell::Keep, count)
}

/// A message is refused in such a way that the producer has to close the connection.
fn fatal_response(draw: &mut Draw<'_>) -> Option<(When, FaultSpec, Vec<Expect>)> {
    response(draw, Cell::MustClose, 1)
}

fn response(draw: &mut Draw<'_>, cell: Cell, count: u32) -> Option<(When, FaultSpec, Vec<Expect>)> {
    let mut coming = draw.coming();
    if !draw.steps.iter().any(ends_a_stream) {
        coming.retain(|&message| message != Opcode::DCP_STREAM_END);
    }
    coming.retain(|&message| !statuses(draw, message, cell).is_empty() && u64::from(count) <= most_of(message));
    let message = draw.pick(&coming)?;
    let status = draw.pick(&statuses(draw, message, cell))?;
    let vbucket = if draw.once_in(3) { draw.pick(&draw.ground.vbuckets.clone()) } else { None };
    let nth = NonZeroU64::new(draw.dice.u64(u64::from(count)..=most_of(message)));
    let when = When {
        filter: law::at_message(message, vbucket),
        from: Some(Role::Producer),
        nth: nth.filter(|nth| nth.get() > 1),
        per: if count > 1 { Per::Stream } else { Per::Connection },
        after: since(draw),
        ..When::default()
    };
    Some((
        when,
        FaultSpec::OrphanResponse(OrphanResponseSpec { message, status, count, body: None, body_size: None }),
        Vec::new(),
    ))
}

fn statuses(draw: &Draw<'_>, message: Opcode, wanted: Cell) -> Vec<crate::wire::Status> {
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

/// Where a stream is closed: where the seed says, or at a message of a kind.
fn place(draw: &mut Draw<'_>) -> Option<When> {
    let mut when = When { after: since(draw), ..When::default() };
    if draw.once_in(2) {
        return Some(when);
    }
    let mut coming = draw.coming();
    coming.retain(|&message| message != Opcode::DCP_STREAM_END);
    let message = draw.pick(&coming)?;
    let vbucket = if draw.once_in(3) { draw.pick(&draw.ground.vbuckets.clone()) } else { None };
    when.filter = law::at_message(message, vbucket);
    when.from = Some(Role::Producer);
    when.nth = NonZeroU64::new(draw.dice.u64(1..=most_of(message))).filter(|nth| nth.get() > 1);
    when.mid_transfer = (message != Opcode::DCP_SNAPSHOT_MARKER && draw.once_in(2)).then_some(true);
    Some(when)
}

/// Now and then a while after the step before.
fn since(draw: &mut Draw<'_>) -> Option<After> {
    let millis = [1, 10, 50, 200, 1000, 3000];
    if draw.once_in(4) { draw.pick(&millis).map(|it| After::Span(Span(Duration::from_millis(it)))) } else { None }
}
