//! Section I: a vbucket moves to the consumer (dcp-protocol.md §3.6).

use super::Concerns;
use super::Invariant;
use super::per_stream::Entries;
use super::per_stream::PerStream;
use super::rule::Alike;
use super::rule::Rule;
use super::rule::Ruling;
use super::rule::Seen;
use super::rule::held;
use crate::dcp::Message;
use crate::dcp::SetVbucketState;
use crate::dcp::SnapshotMarker;
use crate::dcp::StreamEnd;
use crate::dcp::StreamReq;
use crate::journal::Role;
use crate::session::Before;
use crate::session::State;
use crate::wire::Opcode;

pub(super) fn add(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([held::<VbucketStates>(), held::<MarkersAcked>(), held::<TakeoverEnds>()]);
}

/// How far a takeover has come, as the producer's SET_VBUCKET_STATEs tell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
enum Phase {
    #[default]
    Sending,
    Pending,
    Active,
}

#[derive(Debug, Default)]
struct Takeover {
    phase: Phase,
    /// Whether the SET_VBUCKET_STATE that led to the phase was answered.
    answered: bool,
}

impl Entries for Takeover {}

impl PerStream<Takeover> {
    /// Takes in the answer to a SET_VBUCKET_STATE.
    fn answered(&mut self, seen: &Seen<'_>) {
        if seen.sender != Role::Consumer || !seen.header().is_response() {
            return;
        }
        let generation = seen.context.answers.and_then(|asked| asked.stream).map(|(_, generation)| generation);
        if let Some(stream) = generation.and_then(|generation| self.known(generation)) {
            stream.answered = true;
        }
    }

    /// Takes in a SET_VBUCKET_STATE. Returns how the takeover stood before, where it is known.
    fn set(&mut self, set: SetVbucketState, before: &Before, seen: &Seen<'_>) -> Option<Takeover> {
        let stream = self.at(before.generation, seen.session)?;
        let phase = if set.state == SetVbucketState::ACTIVE { Phase::Active } else { Phase::Pending };
        Some(std::mem::replace(stream, Takeover { phase, answered: false }))
    }
}

/// SET_VBUCKET_STATE on a live stream.
fn set<'a>(seen: &Seen<'a>) -> Option<(SetVbucketState, &'a Before)> {
    if seen.header().opcode != Opcode::DCP_SET_VBUCKET_STATE {
        return None;
    }
    let before = seen.produced_live()?;
    let Message::SetVbucketState(set) = seen.message()? else { return None };
    Some((*set, before))
}

/// I1.
#[derive(Debug, Default)]
pub(super) struct VbucketStates(PerStream<Takeover>);

impl Rule for VbucketStates {
    const ID: &'static str = "i1-vbucket-states";
    const REQUIREMENT: &'static str =
        "SET_VBUCKET_STATE comes only on a stream requested with TakeOver: pending, then active once that was answered";
    const EXCEPTIONS: &'static str = "a stream that is closed is never answered: nothing is expected of it";
    const CONCERNS: Concerns =
        Concerns::requests(&[Opcode::DCP_SET_VBUCKET_STATE]).and(Concerns::responses(&[Opcode::DCP_SET_VBUCKET_STATE]));

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if seen.header().opcode != Opcode::DCP_SET_VBUCKET_STATE {
            return Ruling::Silent;
        }
        self.0.answered(seen);
        let Some((set, before)) = set(seen) else { return Ruling::Silent };
        let Some(stood) = self.0.set(set, before, seen) else { return Ruling::Silent };
        let expected = match (before.request.has(StreamReq::TAKEOVER), stood.phase, stood.answered) {
            (false, ..) => "none: the stream is no takeover",
            (true, Phase::Sending, _) if set.state == SetVbucketState::PENDING => return Ruling::Kept,
            (true, Phase::Pending, true) if set.state == SetVbucketState::ACTIVE => return Ruling::Kept,
            (true, Phase::Sending, _) => "state pending (3) first",
            (true, Phase::Pending, true) => "state active (1)",
            (true, Phase::Pending, false) => "the answer to the state pending first",
            (true, Phase::Active, _) => "none after the state active",
        };
        Ruling::broken(expected.to_owned(), format!("state {}", set.state))
    }
}

/// I2. Markers of the backfill before are of the disk.
#[derive(Debug, Default)]
pub(super) struct MarkersAcked(PerStream<Takeover>);

impl MarkersAcked {
    fn marker(&mut self, marker: &SnapshotMarker, before: &Before, seen: &Seen<'_>) -> Ruling {
        let Some(stream) = self.0.at(before.generation, seen.session) else { return Ruling::Silent };
        let backfill = marker.flags & SnapshotMarker::MEMORY == 0 || marker.flags & SnapshotMarker::DISK != 0;
        if stream.phase == Phase::Active || (stream.phase == Phase::Sending && backfill) {
            return Ruling::Silent;
        }
        Ruling::of(marker.flags & SnapshotMarker::ACK != 0, || {
            ("the flag Ack (0x08)".to_owned(), format!("a marker with flags 0x{:02x}", marker.flags))
        })
    }
}

impl Rule for MarkersAcked {
    const ID: &'static str = "i2-markers-acked";
    const REQUIREMENT: &'static str =
        "the markers of a takeover have the flag Ack, and no SET_VBUCKET_STATE is sent while one of them is unanswered";
    const EXCEPTIONS: &'static str = "markers of the disk before the state pending; streams that are closed";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_SNAPSHOT_MARKER, Opcode::DCP_SET_VBUCKET_STATE]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let opcode = seen.header().opcode;
        if !matches!(opcode, Opcode::DCP_SNAPSHOT_MARKER | Opcode::DCP_SET_VBUCKET_STATE) {
            return Ruling::Silent;
        }
        let takeover = seen.produced_live().filter(|b| b.state == State::Open && b.request.has(StreamReq::TAKEOVER));
        let Some(before) = takeover else { return Ruling::Silent };
        if let Some(Message::SnapshotMarker(marker)) = seen.message() {
            return self.marker(marker, before, seen);
        }
        let Some((state, _)) = set(seen) else { return Ruling::Silent };
        self.0.set(state, before, seen);
        let Some(producer) = seen.session.producer() else { return Ruling::Silent };
        let waiting = seen.session.outstanding().of(producer).any(|asked| {
            let of = asked.stream.is_some_and(|(_, generation)| generation == before.generation);
            asked.opcode == Opcode::DCP_SNAPSHOT_MARKER && of
        });
        Ruling::of(!waiting, || ("the answers to the markers first".to_owned(), format!("state {}", state.state)))
    }
}

/// I3. A stream that is closed, or whose vbucket changes its state, ends for that reason.
#[derive(Debug, Default)]
pub(super) struct TakeoverEnds(PerStream<Takeover>);

impl Rule for TakeoverEnds {
    const ID: &'static str = "i3-takeover-ends";
    const REQUIREMENT: &'static str = "after the state active was answered, STREAM_END (Ok) follows, and not before";
    const EXCEPTIONS: &'static str = "streams that are closed, or whose vbucket changes its state";
    const CONCERNS: Concerns = Concerns::STREAM_MESSAGES.and(Concerns::responses(&[Opcode::DCP_SET_VBUCKET_STATE]));
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if seen.header().opcode == Opcode::DCP_SET_VBUCKET_STATE {
            self.0.answered(seen);
            if let Some((set, before)) = set(seen).filter(|(_, before)| before.request.has(StreamReq::TAKEOVER)) {
                self.0.set(set, before, seen);
            }
            return Ruling::Silent;
        }
        if self.0.is_empty() {
            return Ruling::Silent;
        }
        let Some(before) = seen.produced_live().filter(|before| before.state == State::Open) else {
            return Ruling::Silent;
        };
        let Some(stream) = self.0.known(before.generation).filter(|stream| stream.phase == Phase::Active) else {
            return Ruling::Silent;
        };
        let (answered, opcode) = (stream.answered, seen.header().opcode);
        match seen.message() {
            Some(Message::StreamEnd(end)) => match end.end_reason {
                StreamEnd::CLOSED | StreamEnd::STATE_CHANGED => Ruling::Silent,
                StreamEnd::OK => Ruling::of(answered, || {
                    ("the answer to the state active first".to_owned(), "STREAM_END with reason 0 (Ok)".to_owned())
                }),
                reason => Ruling::broken(
                    "STREAM_END with reason 0 (Ok)".to_owned(),
                    format!("STREAM_END with reason {reason}"),
                ),
            },
            _ if answered => Ruling::broken("STREAM_END with reason 0 (Ok)".to_owned(), opcode.to_string()),
            _ => Ruling::Silent,
        }
    }

    fn bears_stretch(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;
