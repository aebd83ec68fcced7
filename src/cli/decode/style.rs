//! Colours, where a terminal shows them. They repeat what the text says and hide nothing.

use std::env;
use std::io;
use std::io::IsTerminal;

/// How a part of a line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    /// Of little interest.
    Faint,
    /// What is said.
    Strong,
    /// Of the producer.
    Producer,
    /// Of the consumer.
    Consumer,
    /// Worth a second look.
    Notable,
    /// Wrong.
    Wrong,
}

impl Look {
    const fn code(self) -> &'static [u8] {
        match self {
            Self::Faint => b"\x1b[2m",
            Self::Strong => b"\x1b[1m",
            Self::Producer => b"\x1b[36m",
            Self::Consumer => b"\x1b[35m",
            Self::Notable => b"\x1b[33m",
            Self::Wrong => b"\x1b[1;31m",
        }
    }
}

/// Writes parts of lines, in colour or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Style {
    coloured: bool,
}

impl Style {
    /// As the user and the terminal want it: `NO_COLOR` turns colours off, `CLICOLOR_FORCE` on, else a terminal decides.
    pub(super) fn of_stdout() -> Self {
        let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is = |name: &str, value: &str| env::var_os(name).is_some_and(|found| found == value);
        let forced = set("CLICOLOR_FORCE") && !is("CLICOLOR_FORCE", "0");
        let can = io::stdout().is_terminal() && !is("TERM", "dumb") && !is("CLICOLOR", "0");
        Self { coloured: !set("NO_COLOR") && (forced || can) }
    }

    #[cfg(test)]
    pub(super) const fn new(coloured: bool) -> Self {
        Self { coloured }
    }

    /// Writes a part with a look, if it has one.
    pub(super) fn part(self, look: Option<Look>, to: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        match look.filter(|_| self.coloured) {
            Some(look) => {
                to.extend_from_slice(look.code());
                write(to);
                to.extend_from_slice(b"\x1b[0m");
            }
            None => write(to),
        }
    }
}
