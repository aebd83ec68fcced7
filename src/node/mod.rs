//! The embedded DCP node, sans-IO.

pub mod consumer;
