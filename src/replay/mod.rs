//! Replaying a recording: one end of a recorded connection, played against a live other end.
//!
//! Sans-IO: bytes and times go in, bytes and wake-ups come out, as with [`crate::node::Connection`]. A [`Recording`] is read
//! from a capture and holds a [`Script`] for each connection; a [`Player`] plays one end of one script. It follows the
//! conversation, not the clock alone: what the recorded end said is said once all that came live which the recorded end
//! had waited for. A [`Stage`] puts the engine between the player and the live end, so that the live end is judged as on
//! a connection through the proxy, and faults can be acted out.

mod consumer;
mod differences;
mod options;
mod player;
mod producer;
mod recording;
mod script;
mod stage;
mod talk;

pub use options::Options;
pub use options::Speed;
pub use player::Player;
pub use recording::Recording;
pub use recording::RecordingError;
pub use script::Script;
pub use stage::Ensemble;
pub use stage::Part;
pub use stage::Stage;
