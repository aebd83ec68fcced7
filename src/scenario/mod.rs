//! When, do, expect: what is done to a connection, and how it is judged afterwards.

mod definition;
pub mod judge;
mod runner;

pub use definition::Do;
pub use definition::Scenario;
pub use definition::ScenarioError;
pub use definition::Step;
pub use runner::Plan;
pub use runner::Runner;
pub use runner::era_of;

use crate::wire::Opcode;

/// The message types that are to meet an orphaned response (design.md §1). Markers of the closed stream are answered and
/// judged too, but need not come.
pub const MESSAGES: [Opcode; 8] = [
    Opcode::DCP_MUTATION,
    Opcode::DCP_DELETION,
    Opcode::DCP_EXPIRATION,
    Opcode::DCP_PREPARE,
    Opcode::DCP_COMMIT,
    Opcode::DCP_ABORT,
    Opcode::DCP_SYSTEM_EVENT,
    Opcode::DCP_STREAM_END,
];
