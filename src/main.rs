//! The command line of dcproxy.

use std::process::ExitCode;

fn main() -> ExitCode {
    dcproxy::cli::main()
}
