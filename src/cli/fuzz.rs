use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::judging::Judging;
use super::login::Producer;
use super::{output, values};
use crate::net;
use crate::net::{SearchRun, Shutdown};
use crate::report::Report;
use crate::scenario::Scenario;
use crate::scenario::judge::not_enough;
use crate::search::{Found, Search};
use crate::units;
use crate::verdict::{ExitStatus, Judge};

/// Searches a producer for bugs: random schedules of what a consumer may do, judged, and shrunk where one fails
///
/// Each schedule has a connection of its own. The same seed draws the same schedules. One that fails is made as small as it
/// can be and written to a scenario file, which `dcproxy proxy --scenario FILE` and `dcproxy fuzz --scenario FILE` repeat.
/// Exit code: 0 nothing was found, 1 something was, 2 the producer cannot be reached or logged in to, 3 no schedule could be
/// judged.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    producer: Producer,

    /// What schedules are drawn from: a number, or random; any if not given. It is printed
    #[arg(long, value_name = "N|random", env = "DCPROXY_SEED", value_parser = values::seed_or_random)]
    seed: Option<values::Seed>,

    /// How many schedules are tried at the most
    #[arg(long, value_name = "N", env = "DCPROXY_SCHEDULES", default_value_t = 100,
        value_parser = clap::value_parser!(u64).range(1..))]
    schedules: u64,

    /// Vbuckets to stream, such as 0-3,17; the four with the most items if not given
    #[arg(long, value_name = "LIST", env = "DCPROXY_VBUCKETS", value_parser = values::vbuckets)]
    vbuckets: Option<values::Vbuckets>,

    /// Try these scenarios again in the place of drawn schedules; repeatable
    #[arg(long, value_name = "NAME|FILE", env = "DCPROXY_SCENARIO", value_parser = values::scenario)]
    scenario: Vec<Scenario>,

    /// Take vbuckets over too: each that is tried is LOST, as the producer gives it away and nobody has it then. Only for a
    /// bucket that may be thrown away, and is not written to meanwhile. Taken are active vbuckets of 1 to 500 seqnos that are not among --vbuckets
    #[arg(long, env = "DCPROXY_DESTRUCTIVE")]
    destructive: bool,

    /// How many schedules run at once
    #[arg(long, value_name = "N", env = "DCPROXY_JOBS", default_value_t = 16,
        value_parser = clap::value_parser!(u16).range(1..=512))]
    jobs: u16,

    /// Judge by the rules of this era: auto (found by asking), 6.0, 2019-07, 6.5, 6.6, 7.0 or master
    #[arg(long, value_name = "ERA", env = "DCPROXY_ERA", default_value_t = values::EraChoice(None))]
    era: values::EraChoice,

    /// Where the minimal scenario is written [default: dcproxy-fuzz-SEED-NUMBER.toml]
    #[arg(long, value_name = "FILE.toml", env = "DCPROXY_OUT", value_parser = values::new_file)]
    out: Option<PathBuf>,

    /// Write a report of the connection that failed: .json, .xml (JUnit) or .txt, - for text on stdout; repeatable
    #[arg(long, value_name = "FILE", env = "DCPROXY_REPORT", value_parser = values::report)]
    report: Vec<crate::report::Target>,

    /// End after this time, with what is known till then
    #[arg(long, value_name = "DUR", env = "DCPROXY_TIMEOUT", value_parser = units::duration)]
    timeout: Option<Duration>,
}

/// How long a dial may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl Args {
    fn seed(&self) -> u64 {
        match self.seed {
            Some(values::Seed::Is(seed)) => seed,
            Some(values::Seed::Random) => values::any_seed(),
            None => self.scenario.iter().find_map(|it| it.seed).unwrap_or_else(values::any_seed),
        }
    }
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let seed = args.seed();
    let run = SearchRun {
        target: args.producer.upstream()?,
        access: args.producer.access()?,
        era: args.era.0.or_else(|| args.scenario.iter().find_map(|scenario| scenario.era)),
        seed,
        schedules: args.schedules,
        vbuckets: args.vbuckets.clone().map(|list| list.0),
        again: args.scenario.clone(),
        destructive: args.destructive,
        jobs: usize::from(args.jobs),
        connect_timeout: CONNECT_TIMEOUT,
        timeout: args.timeout,
        salt: net::Clock::start().now().0,
    };
    let total = if args.scenario.is_empty() { args.schedules } else { args.scenario.len() as u64 };
    let bar = Bar::new(total);
    let outcome = net::block_on(async {
        let shutdown = Shutdown::on_signals()?;
        anyhow::Ok(net::search(&run, &shutdown, &mut |line, search| bar.show(line, search)).await)
    })??;
    bar.clear();
    let (search, errors) = outcome.map_err(|error| anyhow!("{error}"))?;
    let found = search.found();
    let again = !args.scenario.is_empty();
    let file = found.as_ref().filter(|_| !again).map(|found| {
        args.out.clone().unwrap_or_else(|| PathBuf::from(format!("dcproxy-fuzz-{seed}-{}.toml", found.number)))
    });
    if let (Some(path), Some(found)) = (&file, &found) {
        fs::write(path, found.minimal.to_toml()).with_context(|| format!("writing the scenario {}", path.display()))?;
    }
    let report = report(&search, found.as_ref(), seed, errors);
    if !args.report.contains(&crate::report::Target::Stdout) {
        let mut stdout = output::stdout();
        let written = tell(seed, &search, found.as_ref(), file.as_deref(), &mut stdout).and_then(|()| stdout.flush());
        // The verdict stands even if nobody reads it.
        if let Err(error) = written.context("writing to stdout")
            && !output::nobody_reads(&error)
        {
            return Err(error);
        }
    }
    Judging::only_report(args.report).deliver(&report)?;
    match report.errors.first() {
        Some(error) => Err(anyhow!("{error}")),
        None => Ok(report.verdict.into()),
    }
}

/// What was found, as a report: the connection of the failure, or that nothing could be judged.
fn report(search: &Search, found: Option<&Found>, seed: u64, errors: Vec<String>) -> Report {
    let mut report = Report::new(Judge::Producer);
    report.seed = Some(seed);
    report.errors = errors;
    if let Some(found) = found {
        report.scenarios.push(found.minimal.name.clone());
        report.add_connection(found.connection.clone());
    } else if search.tally().passed == 0 {
        let missing = match search.tally().unknown.first_key_value() {
            Some((why, _)) => format!("none of {}: {why}", search.tally().run()),
            None => "none was brought to its end".to_owned(),
        };
        report.add_finding(&not_enough("a schedule that can be judged", &missing));
    }
    report
}

fn tell(
    seed: u64,
    search: &Search,
    found: Option<&Found>,
    file: Option<&Path>,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let tally = search.tally();
    writeln!(out, "seed {seed}, era {}", search.ground().era)?;
    let unknown: u64 = tally.unknown.values().sum();
    let (run, passed, failed) = (tally.run(), tally.passed, tally.failed);
    writeln!(out, "schedules {run}: {passed} passed, {failed} failed, {unknown} inconclusive")?;
    for (why, times) in &tally.unknown {
        writeln!(out, "  {times} x {why}")?;
    }
    if !search.taken_over().is_empty() {
        let taken: Vec<String> = search.taken_over().iter().map(u16::to_string).collect();
        writeln!(out, "taken over, and lost to the producer: vbuckets {}", taken.join(", "))?;
    }
    let Some(found) = found else { return writeln!(out, "nothing was found") };
    let failure = &found.failure;
    writeln!(out, "found {} in schedule {}", failure.id, found.number)?;
    writeln!(out, "  expected {}\n  found {}", failure.expected, failure.actual)?;
    let Some(file) = file else { return Ok(()) };
    let steps = |scenario: &Scenario| scenario.steps.len();
    let again = match found.again {
        Some(true) => "it failed so again",
        Some(false) => "run once more, it did not fail so",
        None => "it was not run again",
    };
    let cut_short = if found.is_complete { "" } else { ", cut short" };
    writeln!(
        out,
        "shrunk from {} to {} steps in {} tries{cut_short}; {again}; written to {}\n",
        steps(&found.drawn),
        steps(&found.minimal),
        found.tries,
        file.display()
    )?;
    out.write_all(found.minimal.to_toml().as_bytes())
}

/// The progress bar, on a terminal; elsewhere only what is told once.
struct Bar(Option<ProgressBar>);

impl Bar {
    fn new(schedules: u64) -> Self {
        Self(std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(schedules), ProgressDrawTarget::stderr_with_hz(10));
            if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} {elapsed} {wide_msg}") {
                bar.set_style(style);
            }
            bar
        }))
    }

    fn show(&self, line: &str, search: &Search) {
        match &self.0 {
            Some(bar) if line.is_empty() => {
                bar.set_position(search.tally().run());
                if let Some(found) = search.found() {
                    let (number, tries, steps) = (found.number, found.tries, found.minimal.steps.len());
                    bar.set_message(format!(
                        "schedule {number}: {}; shrinking: {steps} steps after {tries} tries",
                        found.failure.id
                    ));
                }
            }
            Some(bar) => bar.suspend(|| output::remark(line)),
            None if !line.is_empty() => output::remark(line),
            None => {}
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
