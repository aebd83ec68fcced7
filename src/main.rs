//! The command line of dcproxy.

fn main() {}
