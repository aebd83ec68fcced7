//! Both ends, the tool between them, and time itself in memory: whole connections, thousands of them, none of which waits.

mod bridge;
mod catalogue_consumers;
mod probe;
mod replay;
mod search;
mod simulation;
