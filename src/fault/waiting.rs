use bytes::Bytes;

use super::Scene;
use crate::dcp;
use crate::dcp::FrameHead;
use crate::engine::Action;
use crate::wire::Frame;

/// Requests of the consumer that wait until the tool is through with a stream: one for that stream, and all behind it that are
/// answered. A producer answers in the order of the requests, and there are clients that close a connection on which it does
/// not, such as Couchbase's DCP client for Java.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    frames: Vec<Bytes>,
    bytes: usize,
}

/// So many requests can wait, and so many bytes of them; a consumer has at the most as many under way as there are vbuckets.
const MOST: usize = 2048;
const MOST_BYTES: usize = 1 << 20;

impl Waiting {
    /// Keeps a frame of the consumer's if it has to wait: one that `begins` the waiting, or a request behind such a one.
    /// Whether it did; beyond its bounds it does not.
    pub(super) fn keeps(&mut self, frame: &Frame<'_>, head: &FrameHead, begins: bool, scene: &mut Scene<'_>) -> bool {
        let behind = !self.frames.is_empty() && head.header.is_request() && dcp::expects_answer(head.header.opcode);
        let room = self.frames.len() < MOST && self.bytes.saturating_add(frame.bytes().len()) <= MOST_BYTES;
        let keeps = (begins || behind) && room && frame.is_whole();
        if keeps {
            self.bytes = self.bytes.saturating_add(frame.bytes().len());
            self.frames.push(Bytes::copy_from_slice(frame.bytes()));
            scene.actions.push(Action::Drop);
        }
        keeps
    }

    /// They go on, in their order.
    pub(super) fn release(&mut self, scene: &mut Scene<'_>) {
        self.bytes = 0;
        let to = scene.producer;
        scene.actions.extend(std::mem::take(&mut self.frames).into_iter().map(|frame| Action::Resume { to, frame }));
    }
}
