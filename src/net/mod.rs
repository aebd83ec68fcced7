//! Sockets, tasks and clocks: the only place for them (with `api`). Everything here drives a core that has none.
//!
//! A [`Link`] is one connection: one task, two sockets, one core. [`proxy::serve`] accepts, dials and starts links;
//! what a connection's core is, and what becomes of it, is for a [`proxy::Served`] to say.

mod bridge;
mod client;
mod clock;
mod cluster;
mod core;
mod dial;
mod doors;
mod end;
mod hint;
mod judged;
mod leg;
mod link;
mod listen;
mod management;
mod node_server;
mod peer;
mod probe;
pub mod proxy;
mod record;
mod rehearsal;
mod reload;
mod replay;
mod run;
mod runtime;
mod search;
mod shutdown;
mod stage;
mod tapped;
pub mod tls;
mod unsent;

pub use bridge::{BridgeRun, bridge};
pub use client::{consume, consume_for};
pub use clock::Clock;
pub use cluster::{ClusterDoors, ClusterOptions};
pub use core::{Core, Progress};
pub use dial::{DialError, NoTarget, Target, Upstream, dial};
pub use doors::{Change, Door, Doors, Route};
pub use judged::Judged;
pub use leg::Leg;
pub use link::{Ending, Limits, Link};
pub use listen::listen;
pub use management::{NodeListeners, serve_cluster};
pub use node_server::{Entrance, serve_node};
pub use probe::{News, ProbeRun, probe};
pub use record::{RecordError, Recorder, RecorderLimits, RecorderOptions, SecretsTape};
pub use rehearsal::{Rehearsal, Rehearsed, rehearse};
pub use reload::Reload;
pub use replay::{Rounds, replay_against, replay_to};
pub use run::Run;
pub use runtime::block_on;
pub use search::{SearchRun, search};
pub use shutdown::{Shutdown, Stop};
pub use tapped::{Eyes, Tapped};
