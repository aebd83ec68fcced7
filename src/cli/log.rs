use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Logs to stderr: warnings and errors, or what `RUST_LOG` asks for; in colour on a terminal, unless `NO_COLOR` is set.
pub(super) fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let started =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour).try_init();
    if started.is_err() {
        // Somebody who uses the library logs already.
    }
}
