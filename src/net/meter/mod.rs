//! What is counted of the connections of a proxy, for whoever asks while they go on.
//!
//! A frame costs two additions: each connection has numbers of its own, which its task alone changes, with plain loads and
//! stores. Whoever asks adds up those of all connections, and what was left by those that have ended. So nothing that is
//! relayed waits for a lock, or for another connection's processor.

mod block;
mod cell;
mod eye;
mod faults;
mod histogram;
mod message;
mod reading;
mod totals;

pub use eye::{Meter, Moved};
pub use histogram::{BOUNDS_US, Distribution};
pub use message::{Kind, Message, OTHER};
pub use reading::{FrameKey, Frames, Open, OrphanKey, Reading, Way};
pub use totals::{Events, Occasion, Recorded, Totals};
