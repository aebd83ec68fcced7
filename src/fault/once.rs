//! Faults that are done at the event at which they fire, and then are over.

use super::Fault;
use super::Scene;
use crate::Timestamp;
use crate::engine::Event;

/// What is done at one event.
struct Once<F>(Option<F>);

/// A fault that does `deed` at the event at which it fires.
pub(super) fn once<F: FnOnce(&Event<'_>, &mut Scene<'_>) + Send + 'static>(deed: F) -> Box<dyn Fault> {
    Box::new(Once(Some(deed)))
}

impl<F> std::fmt::Debug for Once<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Once").field("is_done", &self.0.is_none()).finish()
    }
}

impl<F: FnOnce(&Event<'_>, &mut Scene<'_>) + Send> Fault for Once<F> {
    fn on_event(&mut self, event: &Event<'_>, scene: &mut Scene<'_>) {
        if let Some(deed) = self.0.take() {
            deed(event, scene);
        }
    }

    fn wakeup(&self) -> Option<Timestamp> {
        None
    }

    fn is_done(&self) -> bool {
        self.0.is_none()
    }
}
