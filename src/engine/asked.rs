use std::collections::VecDeque;

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
    /// Those that are answered only when they are refused.
    quiet: VecDeque<(Side, Opcode, Opaque)>,
}

impl Asked {
    /// More than this are never open at once; the oldest is given up, as its peer does not answer.
    const MOST: usize = 4096;
    /// A refusal is not waited for longer than for this many requests that came after.
    const MOST_QUIET: usize = 256;

    pub(super) fn sent(&mut self, to: Side, frame: &Frame<'_>) {
        let header = frame.header();
        // What an end says to a forged STREAM_END is an orphaned response, and meant for the producer.
        if !header.is_request() || header.opcode == Opcode::DCP_STREAM_END {
            return;
        }
        let (asked, most) = if dcp::expects_answer(header.opcode) {
            (&mut self.open, Self::MOST)
        } else {
            (&mut self.quiet, Self::MOST_QUIET)
        };
        if asked.len() >= most {
            asked.pop_front();
        }
        asked.push_back((to, header.opcode, header.opaque));
    }

    /// Whether a frame from `from` answers a request of the tool's, which is then answered. `session` is that at the
    /// edge of `from`, which has not taken the frame in yet.
    pub(super) fn is_answer(&mut self, from: Side, frame: &Frame<'_>, session: &Session) -> bool {
        let header = frame.header();
        if (self.open.is_empty() && self.quiet.is_empty()) || !header.is_response() {
            return false;
        }
        // Where an end has asked the same with the same opaque, and before the tool, this is its answer.
        let first = session.outstanding().find(from.other(), header.opcode, header.opaque);
        if first.is_some_and(|first| first.origin == Origin::Peer) {
            return false;
        }
        [&mut self.open, &mut self.quiet].into_iter().any(|asked| {
            let at = asked.iter().position(|&asked| asked == (from, header.opcode, header.opaque));
            at.is_some_and(|at| asked.remove(at).is_some())
        })
    }
}
