//! When, do, expect: what is done to a connection, and how it is judged afterwards.

mod catalogue;
mod course;
mod definition;
mod expect;
pub mod judge;
mod plan;
mod runner;

pub use course::Course;
pub use definition::After;
pub use definition::ConsumerSettings;
pub use definition::Per;
pub use definition::Probability;
pub use definition::Scenario;
pub use definition::ScenarioError;
pub use definition::Step;
pub use definition::When;
pub use expect::AnsweredOnce;
pub use expect::Disconnect;
pub use expect::Expect;
pub use expect::Expected;
pub use expect::Progress;
pub use expect::Response;
pub use expect::Resumes;
pub use expect::Says;
pub use expect::Silence;
pub use expect::StreamEnd;
pub use expect::Survives;
pub use expect::Which;
pub use expect::WindowRestored;
pub use plan::Plan;
pub use runner::Runner;

use std::time::Duration;

use crate::dcp;
use crate::era;
use crate::era::Era;
use crate::session::Control;
use crate::session::Session;
use crate::session::State;
use crate::session::Stream;
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

/// The era of the producer at whose edge `session` is, and how it was found.
pub fn era_of(session: &Session) -> (Era, String) {
    let mut evidence = era::Evidence::default();
    evidence.version = session.version().map(str::to_owned);
    let open = session.open().filter(|open| open.accepted && open.has(dcp::Open::INCLUDE_DELETED_USER_XATTRS));
    evidence.deleted_user_xattrs = open.map(|_| true);
    for (key, control) in session.controls().iter() {
        match control {
            Control::Accepted(value) => evidence.control(key, value, true),
            Control::Refused { value, .. } => evidence.control(key, value, false),
            Control::Pending => {}
        }
    }
    era::detect(&evidence)
}

/// How long a stream that is due may be silent before it is watched for longer.
const SUSPICIOUS: Duration = Duration::from_secs(1);

/// Whether the producer owes more of a stream: it is inside a snapshot which is sure to be completed, as every seqno of it
/// is visible (invariants.md D12).
fn is_due(session: &Session, stream: &Stream) -> bool {
    let sync_writes = ["enable_sync_writes", "enable_synchronous_replication"];
    let all_visible = session.negotiated().collections || sync_writes.iter().any(|key| session.controls().is_true(key));
    stream.state == State::Open && stream.mid_snapshot() && !stream.request.filtered && all_visible
}

/// Whether messages of that type can come at all on the connection (invariants.md A8, A9, A11; dcp-protocol.md §3.4).
pub fn can_come(session: &Session, message: Opcode) -> bool {
    let on = |key| session.controls().is_true(key);
    match message {
        Opcode::DCP_PREPARE | Opcode::DCP_COMMIT | Opcode::DCP_ABORT => {
            on("enable_sync_writes") || on("enable_synchronous_replication")
        }
        Opcode::DCP_EXPIRATION => on("enable_expiry_opcode"),
        Opcode::DCP_SYSTEM_EVENT => session.negotiated().collections,
        Opcode::DCP_STREAM_END => on("send_stream_end_on_client_close_stream"),
        _ => true,
    }
}
