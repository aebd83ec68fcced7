use super::Fault;
use super::Scene;
use crate::Timestamp;
use crate::engine::Event;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// Says to the producer, out of nothing, that a message was refused: one orphaned response, or several that are alike.
#[derive(Clone, Copy, Debug)]
pub struct OrphanResponse {
    message: Opcode,
    status: Status,
    stream: Opaque,
    count: u64,
    done: bool,
}

impl OrphanResponse {
    /// `count` responses to `message` with `status` and the opaque of a stream.
    pub const fn new(message: Opcode, status: Status, stream: Opaque, count: u64) -> Self {
        Self { message, status, stream, count, done: false }
    }
}

impl Fault for OrphanResponse {
    fn on_event(&mut self, _event: &Event<'_>, scene: &mut Scene<'_>) {
        if !self.done {
            self.done = true;
            for _ in 0..self.count {
                scene.bursts.add(self.message, self.status, self.stream, scene.now);
            }
            scene.wanted.remove(&self.message);
        }
    }

    fn wakeup(&self) -> Option<Timestamp> {
        None
    }

    fn is_done(&self) -> bool {
        self.done
    }
}
