//! The program and its sockets: what a user starts, over loopback.

mod api_v1;
mod bridge;
mod bridge_cli;
mod captures;
mod cli;
mod cluster;
mod decode;
mod metrics;
mod node_bridge;
mod node_client;
mod node_cluster;
mod pairs;
mod probe_cli;
#[path = "../support/program.rs"]
mod program;
mod proxy;
mod proxy_cli;
mod recording;
mod recording_cli;
mod replay_cli;
mod scenario_files;
mod scenario_live;
mod service;
mod soak;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod tls_cli;
