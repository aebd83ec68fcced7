use crate::journal::Side;
use crate::wire::Frame;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// The requests that the tool has injected and that are not answered yet: their answers are for nobody else (law L3).
#[derive(Debug, Default)]
pub(super) struct Asked {
    open: Vec<(Side, Opcode, Opaque)>,
}

impl Asked {
    /// More than this are never open at once; the oldest is given up, as its peer does not answer.
    const MOST: usize = 4096;

    pub(super) fn sent(&mut self, to: Side, frame: &Frame<'_>) {
        let header = frame.header();
        if !header.is_request() || header.opcode == Opcode::DCP_BUFFER_ACK || header.opcode == Opcode::DCP_STREAM_END {
            return;
        }
        if self.open.len() >= Self::MOST {
            self.open.remove(0);
        }
        self.open.push((to, header.opcode, header.opaque));
    }

    pub(super) fn is_answer(&mut self, from: Side, frame: &Frame<'_>) -> bool {
        let header = frame.header();
        if self.open.is_empty() || !header.is_response() {
            return false;
        }
        let Some(at) = self.open.iter().position(|&asked| asked == (from, header.opcode, header.opaque)) else {
            return false;
        };
        self.open.remove(at);
        true
    }
}
