//! Puts what was measured into docs/PERFORMANCE.md, between two marks, with what it was measured on.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use super::relay::Relay;

const BEGIN: &str = "<!-- benches/peers/run writes from here -->";
const END: &str = "<!-- to here -->";

pub(crate) fn write(path: &Path, relays: &[Relay], tables: &str, failures: &str) -> io::Result<()> {
    let text = fs::read_to_string(path)?;
    let marks = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) =
        marks.ok_or_else(|| io::Error::other(format!("{}: expected the marks {BEGIN} and {END}", path.display())))?;
    let failures = if failures.is_empty() { String::new() } else { format!("\n### Failures\n\n{failures}") };
    fs::write(path, format!("{before}{BEGIN}\n\n{}{tables}{failures}\n{END}{after}", machine(relays)))
}

/// When, where, by which command, and who.
fn machine(relays: &[Relay]) -> String {
    let first = |program: &str, arg: &str| {
        let output = Command::new(program).arg(arg).output().map(|output| [output.stdout, output.stderr].concat());
        String::from_utf8(output.unwrap_or_default()).unwrap_or_default()
    };
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("", |(_, name)| name);
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let command = command();
    let mut versions: Vec<String> = relays
        .iter()
        .filter_map(|relay| {
            let [program, arg] = relay.kind.version()?;
            let said = first(program, arg);
            let line = said.lines().find(|line| line.contains("version"))?;
            let words: Vec<&str> = line.split_whitespace().take_while(|word| *word != "on").collect();
            Some(words.join(" ").trim_start_matches("nginx version: ").replace(" - https://haproxy.org/", ""))
        })
        .collect();
    versions.dedup();
    format!(
        "{}, {cores} cores of a shared machine ({model}), Linux {}. `benches/peers/run{command}`. {}.\n",
        first("date", "+%-d %B %Y").trim(),
        first("uname", "-r").trim(),
        versions.join("; ")
    )
}

/// What was asked for; not where things lie on this machine.
fn command() -> String {
    let mut args = std::env::args().skip(1);
    let mut command = String::new();
    while let Some(arg) = args.next() {
        if ["--dcproxy", "--write-docs"].contains(&arg.as_str()) {
            args.next();
        } else if !arg.starts_with("--dcproxy=") && !arg.starts_with("--write-docs=") {
            command += &format!(" {arg}");
        }
    }
    command
}
