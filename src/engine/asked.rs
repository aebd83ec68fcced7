use std::collections::VecDeque;
use std::time::Duration;

use crate::Timestamp;
use crate::dcp;
use crate::journal::Origin;
use crate::journal::Side;
use crate::session::Session;
use crate::wire::Frame;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// The requests that the tool has injected and that are not answered yet: their answers are for nobody else (law L3).
#[derive(Debug, Default)]
pub(super) struct Asked {
    open: VecDeque<(Side, Opcode, Opaque)>,
    /// Those that are answered only when they are refused, each with the time up to which that is waited for.
    quiet: VecDeque<((Side, Opcode, Opaque), Timestamp)>,
}

/// The refusal of a message of a stream is waited for no longer: the next with the same opaque may be of another.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);

impl Asked {
    /// More than this are never open at once; the oldest is given up, as its peer does not answer.
    const MOST: usize = 4096;
    /// A refusal is not waited for longer than for this many requests that came after.
    const MOST_QUIET: usize = 256;

    /// A request was sent; a `copy` of one that the end across had sent has its opaque.
    pub(super) fn sent(&mut self, to: Side, frame: &Frame<'_>, copy: bool, now: Timestamp) {
        let header = frame.header();
        // What an end says to a forged STREAM_END is an orphaned response, and meant for the producer.
        if !header.is_request() || (header.opcode == Opcode::DCP_STREAM_END && !copy) {
            return;
        }
        let asked = (to, header.opcode, header.opaque);
        if dcp::expects_answer(header.opcode) {
            if self.open.len() >= Self::MOST {
                self.open.pop_front();
            }
            return self.open.push_back(asked);
        }
        if self.quiet.len() >= Self::MOST_QUIET {
            self.quiet.pop_front();
        }
        let until = if dcp::is_stream_message(header.opcode) { now + REFUSED_WITHIN } else { Timestamp(u64::MAX) };
        self.quiet.push_back((asked, until));
    }

    /// Nobody asks any more: of refusals that may come at any time none is waited for long.
    pub(super) fn over(&mut self, now: Timestamp) {
        for (_, until) in &mut self.quiet {
            *until = (*until).min(now + REFUSED_WITHIN);
        }
    }

    /// Up to when an answer of `from` is waited for; `None` where none is.
    pub(super) fn awaits(&self, from: Side, now: Timestamp) -> Option<Timestamp> {
        let open = self.open.iter().any(|(side, ..)| *side == from).then_some(Timestamp(u64::MAX));
        let quiet = self.quiet.iter().filter(|((side, ..), until)| *side == from && *until >= now);
        open.into_iter().chain(quiet.map(|(_, until)| *until)).max()
    }

    /// Whether a frame from `from` answers a request of the tool's, which is then answered. `session` is that at the
    /// edge of `from`, which has not taken the frame in yet.
    pub(super) fn is_answer(&mut self, from: Side, frame: &Frame<'_>, session: &Session, now: Timestamp) -> bool {
        let header = frame.header();
        if (self.open.is_empty() && self.quiet.is_empty()) || !header.is_response() {
            return false;
        }
        // Where an end has asked the same with the same opaque, and before the tool, this is its answer.
        let first = session.outstanding().find(from.other(), header.opcode, header.opaque);
        if first.is_some_and(|first| first.origin == Origin::Peer) {
            return false;
        }
        let answered = (from, header.opcode, header.opaque);
        self.quiet.retain(|(_, until)| now <= *until);
        if let Some(at) = self.open.iter().position(|asked| *asked == answered) {
            return self.open.remove(at).is_some();
        }
        let at = self.quiet.iter().position(|(asked, _)| *asked == answered);
        at.is_some_and(|at| self.quiet.remove(at).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::FrameBuilder;
    use crate::wire::Status;

    fn request(opcode: Opcode, n: u32) -> bytes::Bytes {
        FrameBuilder::request(opcode).opaque(Opaque(n.to_be_bytes())).build()
    }

    fn answers(asked: &mut Asked, from: Side, opcode: Opcode, n: u32) -> bool {
        let frame = FrameBuilder::response(opcode, Status::EINVAL).opaque(Opaque(n.to_be_bytes())).build();
        asked.is_answer(from, &Frame::new(&frame).unwrap(), &Session::new(from), Timestamp(0))
    }

    fn sent(asked: &mut Asked, opcode: Opcode, n: u32) {
        asked.sent(Side::Upstream, &Frame::new(&request(opcode, n)).unwrap(), false, Timestamp(0));
    }

    #[test]
    fn an_answer_comes_from_whom_was_asked_what_was_asked_once() {
        let mut asked = Asked::default();
        sent(&mut asked, Opcode::NOOP, 1);
        assert!(!answers(&mut asked, Side::Dialler, Opcode::NOOP, 1));
        assert!(!answers(&mut asked, Side::Upstream, Opcode::VERSION, 1));
        assert!(!answers(&mut asked, Side::Upstream, Opcode::NOOP, 2));
        assert!(answers(&mut asked, Side::Upstream, Opcode::NOOP, 1));
        assert!(!answers(&mut asked, Side::Upstream, Opcode::NOOP, 1));
    }

    #[test]
    fn what_is_said_to_a_forged_stream_end_goes_on() {
        let mut asked = Asked::default();
        sent(&mut asked, Opcode::DCP_STREAM_END, 1);
        assert!(!answers(&mut asked, Side::Upstream, Opcode::DCP_STREAM_END, 1));
    }

    #[test]
    fn of_a_copy_every_refusal_is_withheld_but_not_for_ever() {
        let (up, end) = (Side::Upstream, Opcode::DCP_STREAM_END);
        let mut asked = Asked::default();
        let frame = request(end, 1);
        let refusal = FrameBuilder::response(end, Status::KEY_ENOENT).opaque(Opaque([0, 0, 0, 1])).build();
        for (late, withheld) in [(Duration::ZERO, true), (REFUSED_WITHIN, true), (REFUSED_WITHIN * 2, false)] {
            asked.sent(up, &Frame::new(&frame).unwrap(), true, Timestamp(0));
            let at = Timestamp(0) + late;
            assert_eq!(asked.is_answer(up, &Frame::new(&refusal).unwrap(), &Session::new(up), at), withheld);
        }
    }

    #[test]
    fn neither_a_peer_that_never_answers_nor_one_that_never_has_to_costs_memory() {
        let mut asked = Asked::default();
        for n in 0..20_000 {
            sent(&mut asked, Opcode::NOOP, n);
            sent(&mut asked, Opcode::DCP_BUFFER_ACK, n);
        }
        assert_eq!((asked.open.len(), asked.quiet.len()), (Asked::MOST, Asked::MOST_QUIET));
        assert!(!answers(&mut asked, Side::Upstream, Opcode::NOOP, 0), "the oldest is given up");
        assert!(answers(&mut asked, Side::Upstream, Opcode::NOOP, 19_999));
        assert!(answers(&mut asked, Side::Upstream, Opcode::DCP_BUFFER_ACK, 19_999));
    }
}
