//! The tool as the consumer: it puts a producer through every orphaned response and the scenarios of the catalogue, each on
//! a connection of its own, and compares what came with what an untouched connection gets.
//!
//! Sans-IO: a [`Probe`] says what each connection is to do ([`Errand`], or a [`Consumer`] on a [`crate::stage::Stage`]) and
//! takes in what came of it; `net` has the sockets.
//!
//! ```text
//!   survey (version, seqnos) -> era (controls) -> reference -> cases, many at once -> reference again, if one differs
//! ```

mod case;
mod consumer;
mod errand;
mod outcome;
mod reference;
mod run;
mod settings;
mod survey;
mod workload;

pub use case::Case;
pub use case::NoSuchCase;
pub use case::PROBED;
pub use case::STATUSES;
pub use case::select;
pub use case::short;
pub use case::suits;
pub use consumer::Consumer;
pub use consumer::Ending;
pub use errand::Access;
pub use errand::Answer;
pub use errand::Errand;
pub use errand::Failure;
pub use errand::Script;
pub use outcome::Outcome;
pub use outcome::Sign;
pub use reference::Difference;
pub(crate) use reference::Later;
pub use reference::REFERENCE_STREAM;
pub use reference::Range;
pub use reference::Reference;
pub(crate) use reference::finding;
pub use run::Options;
pub use run::Probe;
pub use settings::apply;
pub(crate) use settings::keeps_items;
pub use survey::Survey;
pub use workload::Batch;
pub use workload::Workload;
