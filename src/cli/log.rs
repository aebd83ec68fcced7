use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(super) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line: timestamp, level, target, message, and the fields beside them
    Json,
}

/// Logs to stderr: warnings and errors, or what `RUST_LOG` asks for. Text is in colour on a terminal, unless `NO_COLOR` is
/// set. `RUST_LOG` is a level, or a list of `TARGET=LEVEL`; what cannot be read as such is told of.
pub(super) fn init(format: LogFormat) {
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    let default = || Targets::new().with_default(LevelFilter::WARN);
    let (filter, error) = match wanted.as_str() {
        "" => (default(), None),
        wanted => match wanted.parse() {
            Ok(filter) => (filter, None),
            Err(error) => (default(), Some(error)),
        },
    };
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    // An error: somebody who uses the library logs already.
    let _ = match format {
        LogFormat::Text => registry.with(lines.with_ansi(colour)).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_span_list(false)).try_init(),
    };
    if let Some(error) = error {
        tracing::warn!("expected a level or TARGET=LEVEL,... in RUST_LOG, found '{wanted}': {error}");
    }
}
