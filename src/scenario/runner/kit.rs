use std::collections::BTreeSet;

use crate::Timestamp;
use crate::engine::Actions;
use crate::engine::Sessions;
use crate::fault::Bursts;
use crate::fault::Scene;
use crate::fault::Toolbox;
use crate::journal::Side;
use crate::wire::Opcode;

/// What a runner lends to its faults.
#[derive(Debug)]
pub(super) struct Kit {
    /// Where the producer is.
    pub(super) producer: Side,
    pub(super) tools: Toolbox,
    pub(super) bursts: Bursts,
    /// The message types that have met no orphaned response yet.
    pub(super) wanted: BTreeSet<Opcode>,
}

impl Kit {
    /// The scene of an event.
    pub(super) const fn scene<'a>(
        &'a mut self,
        sessions: &'a Sessions,
        now: Timestamp,
        actions: &'a mut Actions,
    ) -> Scene<'a> {
        let Self { producer, tools, bursts, wanted } = self;
        Scene { sessions, producer: *producer, now, tools, bursts, wanted, actions }
    }
}
