//! How the values of flags are read. Errors name what was expected and what was found.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;

use crate::dcp;
use crate::era::Era;
use crate::net;
use crate::report;
use crate::scenario::Scenario;
use crate::wire::Opcode;

/// The era to judge by (`--era`): given, or found from what the connection shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EraChoice(pub(crate) Option<Era>);

impl FromStr for EraChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self(None));
        }
        let era = text
            .to_ascii_lowercase()
            .parse()
            .map_err(|_| format!("expected auto, {}, found '{text}'", Era::ALL.map(Era::name).join(", ")))?;
        Ok(Self(Some(era)))
    }
}

impl fmt::Display for EraChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.map_or("auto", Era::name))
    }
}

/// A list of stream messages (`--messages`): without doubles, in the order given, never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Messages(pub(crate) Vec<Opcode>);

impl FromStr for Messages {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut messages = Vec::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let message = name.parse::<Opcode>().ok().filter(|opcode| dcp::is_stream_message(*opcode));
            let message = message.ok_or_else(|| format!("expected stream messages ({}), found '{name}'", known()))?;
            if !messages.contains(&message) {
                messages.push(message);
            }
        }
        if messages.is_empty() {
            return Err(format!("expected at least one stream message, found '{text}'"));
        }
        Ok(Self(messages))
    }
}

impl fmt::Display for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().copied().map(short).collect::<Vec<_>>().join(","))
    }
}

/// All that there are, in the order of their opcodes.
fn known() -> String {
    let all = Opcode::ALL.iter().copied().filter(|opcode| dcp::is_stream_message(*opcode));
    all.map(short).collect::<Vec<_>>().join(", ")
}

fn short(opcode: Opcode) -> String {
    opcode.short_name().unwrap_or_default().to_ascii_lowercase()
}

/// More vbuckets than this are not streamed: each connection remembers what it has of each.
const MAX_VBUCKETS: usize = 16;
/// A bucket has no more than this.
const MAX_OF_BUCKET: usize = 1024;

/// A list of vbuckets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Vbuckets(pub(crate) Vec<u16>);

pub(crate) fn vbuckets(text: &str) -> Result<Vbuckets, String> {
    list(text, MAX_VBUCKETS)
}

/// As [`vbuckets`], of which there may be as many as a bucket has.
pub(crate) fn all_vbuckets(text: &str) -> Result<Vbuckets, String> {
    list(text, MAX_OF_BUCKET)
}

fn list(text: &str, most: usize) -> Result<Vbuckets, String> {
    let wrong = || format!("expected 1 to {most} vbuckets, such as 0-3,17, found '{text}'");
    let mut all = BTreeSet::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<u16>().map_err(|_| wrong());
        let (first, last) = (number(first)?, number(last)?);
        if first > last || usize::from(last - first) >= most {
            return Err(wrong());
        }
        all.extend(first..=last);
    }
    if all.is_empty() || all.len() > most { Err(wrong()) } else { Ok(Vbuckets(all.into_iter().collect())) }
}

/// Reads a seed, decimal or with `0x`; use it as `value_parser = values::seed`.
pub(crate) fn seed(text: &str) -> Result<u64, String> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    }
    .ok_or_else(|| format!("expected a seed from 0 to 2^64-1, decimal or 0x with hex digits, found '{text}'"))
}

/// A seed as it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seed {
    /// This one.
    Is(u64),
    /// Any, another at each run.
    Random,
}

/// Reads a seed, or `random`; use it as `value_parser = values::seed_or_random`.
pub(crate) fn seed_or_random(text: &str) -> Result<Seed, String> {
    if text == "random" {
        return Ok(Seed::Random);
    }
    seed(text).map(Seed::Is).map_err(|error| error.replacen("expected ", "expected random or ", 1))
}

/// Another at each run, short enough to be typed.
pub(crate) fn any_seed() -> u64 {
    net::Clock::start().now().0 / 1000 % 1_000_000
}

/// Reads a scenario: a built-in one's name, or a file. Use it as `value_parser = values::scenario`.
pub(crate) fn scenario(text: &str) -> Result<Scenario, String> {
    let path = Path::new(text);
    let is_file = path.is_file() || text.contains(['/', '\\']) || path.extension().is_some();
    if !is_file {
        return Scenario::named(text).map_err(|error| error.to_string());
    }
    let file = fs::read_to_string(path).map_err(|error| format!("cannot read the scenario {text}: {error}"))?;
    Scenario::parse(&file).map_err(|error| format!("{text}: {error}"))
}

/// Reads the name of a file that is to be written, and refuses at once a directory, or one in a directory that is not there.
pub(crate) fn new_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    writable(&path, text)?;
    Ok(path)
}

fn writable(path: &Path, text: &str) -> Result<(), String> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if !parent.is_dir() {
        return Err(format!("expected a file in a directory that exists, found '{text}'"));
    }
    if path.is_dir() {
        return Err(format!("expected a file, found the directory '{text}'"));
    }
    Ok(())
}

/// Reads where a report goes, and refuses at once what could only fail at the end: an extension that is no format, a
/// directory that is not there. Use it as `value_parser = values::report`.
pub(crate) fn report(text: &str) -> Result<report::Target, String> {
    let target = text.parse::<report::Target>().map_err(|error| error.to_string())?;
    if let report::Target::File { path, .. } = &target {
        writable(path, text)?;
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_vbuckets_are_read() {
        assert_eq!(vbuckets("0-3, 17,2"), Ok(Vbuckets(vec![0, 1, 2, 3, 17])));
        for text in ["", "3-1", "0-16", "a", "0-3,", "65536", "0-9,20-29"] {
            let error = vbuckets(text).unwrap_err();
            assert_eq!(error, format!("expected 1 to 16 vbuckets, such as 0-3,17, found '{text}'"));
        }
    }

    #[test]
    fn an_era_is_given_or_found() {
        assert_eq!("auto".parse(), Ok(EraChoice(None)));
        for era in Era::ALL {
            assert_eq!(era.name().parse(), Ok(EraChoice(Some(era))));
            assert_eq!(EraChoice(Some(era)).to_string(), era.name());
        }
        assert_eq!(
            "5.5".parse::<EraChoice>(),
            Err("expected auto, 6.0, 2019-07, 6.5, 6.6, 7.0, master, found '5.5'".to_owned())
        );
    }

    #[test]
    fn messages_ignore_case_prefix_and_doubles() {
        let messages = "DCP_PREPARE, commit,SystemEvent,dcp_prepare".parse::<Messages>();
        assert_eq!(messages, Ok(Messages(vec![Opcode::DCP_PREPARE, Opcode::DCP_COMMIT, Opcode::DCP_SYSTEM_EVENT])));
        assert_eq!(messages.map(|m| m.to_string()), Ok("prepare,commit,system_event".to_owned()));
    }

    #[test]
    fn what_is_no_stream_message_is_named() {
        for (text, found) in
            [("prepare,bogus", "'bogus'"), ("noop", "'noop'"), ("GET", "'GET'"), ("buffer_ack", "'buffer_ack'")]
        {
            let error = text.parse::<Messages>().expect_err("refused");
            assert!(error.starts_with("expected stream messages (stream_end, snapshot_marker, mutation,"), "{error}");
            assert!(error.ends_with(&format!("found {found}")), "{error}");
        }
        assert_eq!(" , ".parse::<Messages>(), Err("expected at least one stream message, found ' , '".to_owned()));
    }

    #[test]
    fn seeds_are_decimal_or_hex() {
        assert_eq!(seed("42"), Ok(42));
        assert_eq!(seed("0xFFFFFFFFFFFFFFFF"), Ok(u64::MAX));
        for text in ["", "-1", "+1", "0x", "0x+1", "0xg", "18446744073709551616", "1.0"] {
            assert!(seed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reports_that_could_only_fail_at_the_end_are_refused() {
        let there = tempfile::tempdir().expect("a directory");
        let of = |name: &str| there.path().join(name).to_string_lossy().into_owned();
        assert!(report(&of("r.json")).is_ok());
        assert_eq!(report("-"), Ok(report::Target::Stdout));
        assert!(report(&of("missing/r.json")).is_err_and(|error| error.starts_with("expected a file in a directory")));
        fs::create_dir(there.path().join("d.xml")).expect("made");
        assert!(report(&of("d.xml")).is_err_and(|error| error.starts_with("expected a file, found the directory")));
    }
}
