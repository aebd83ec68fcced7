//! The command line of dcproxy; all of it is in [`dcproxy::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    dcproxy::cli::main(std::env::args_os())
}
