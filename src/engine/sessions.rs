use super::filters::Filters;
use crate::dcp::FrameHead;
use crate::journal::Side;
use crate::session::Session;
use crate::session::StreamKey;
use crate::wire::Frame;
use crate::wire::Opcode;

/// The session at each edge.
#[derive(Debug)]
pub struct Sessions {
    dialler: Session,
    upstream: Session,
    filters: Filters,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self {
            dialler: Session::new(Side::Dialler),
            upstream: Session::new(Side::Upstream),
            filters: Filters::default(),
        }
    }

    /// The session at the edge of `side`.
    pub const fn at(&self, side: Side) -> &Session {
        match side {
            Side::Dialler => &self.dialler,
            Side::Upstream => &self.upstream,
        }
    }

    /// The value that a stream was requested with by its consumer; empty where it had none.
    pub fn filter(&self, key: StreamKey) -> Vec<u8> {
        self.filters.of(key)
    }

    /// Takes note of what a frame of an end says besides its head.
    pub(super) fn remember(&mut self, frame: &Frame<'_>, head: &FrameHead) {
        if head.header.opcode == Opcode::DCP_STREAM_REQ && head.header.is_request() {
            self.filters.remember(frame, head);
        }
    }

    pub(super) const fn at_mut(&mut self, side: Side) -> &mut Session {
        match side {
            Side::Dialler => &mut self.dialler,
            Side::Upstream => &mut self.upstream,
        }
    }
}
