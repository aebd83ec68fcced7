use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Write;

use anyhow::Context;

use super::output;
use super::values;
use super::values::EraChoice;
use super::values::Messages;
use crate::report;
use crate::report::Format;
use crate::report::Report;
use crate::report::Target;
use crate::scenario::Scenario;
use crate::verdict::Judge;

/// The flags of every command that gives a verdict.
#[derive(clap::Args, Debug)]
pub(super) struct Judging {
    #[command(flatten)]
    pub(super) by: By,

    /// Write a report: .json, .xml (JUnit) or .txt, - for text on stdout; repeatable
    #[arg(long, value_name = "FILE", env = "DCPROXY_REPORT", value_parser = values::report)]
    pub(super) report: Vec<Target>,
}

/// What a verdict is given by.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct By {
    /// Judge by the rules of this era: auto (found from what was negotiated), 6.0, 2019-07, 6.5, 6.6, 7.0 or master
    #[arg(long, value_name = "ERA", env = "DCPROXY_ERA", default_value_t = EraChoice(None))]
    pub(super) era: EraChoice,

    /// Stream messages that must each meet an orphaned response, such as prepare,commit; all eight types if not given
    #[arg(long, value_name = "LIST", env = "DCPROXY_MESSAGES")]
    pub(super) messages: Option<Messages>,

    /// Whose faults decide the verdict: producer (the default), consumer or both
    #[arg(long, value_name = "END", env = "DCPROXY_JUDGE")]
    pub(super) judge: Option<Judge>,
}

impl Judging {
    /// The flags of a command that has its own for all but the reports.
    pub(super) const fn only_report(report: Vec<Target>) -> Self {
        Self { by: By { era: EraChoice(None), messages: None, judge: None }, report }
    }

    /// Writes the report wherever `--report` says, and the annotations where GitHub Actions reads them. One that cannot be
    /// written does not keep the others from it; the first error is returned.
    pub(super) fn deliver(&self, report: &Report) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        for target in &self.report {
            outcome = outcome.and(write(target, report));
        }
        if std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
            // Logs that nobody reads are no reason to fail.
            let _ = report::github::annotate(report, &mut io::stderr().lock());
        }
        outcome
    }

    /// As [`Self::deliver`]; prints the report as text where no `--report` says where it is to go.
    pub(super) fn deliver_or_print(&self, report: &Report) -> anyhow::Result<()> {
        if self.report.is_empty() {
            print(report)?;
        }
        self.deliver(report)
    }
}

impl By {
    /// Whose faults decide: as asked for, or as the scenarios say, both where they differ; the producer's where nobody says.
    pub(super) fn judge(&self, scenarios: &[Scenario]) -> Judge {
        let mut said = scenarios.iter().map(|scenario| scenario.judge.unwrap_or(Judge::Producer));
        let first = said.next().unwrap_or(Judge::Producer);
        self.judge.unwrap_or_else(|| if said.all(|judge| judge == first) { first } else { Judge::Both })
    }
}

fn write(target: &Target, report: &Report) -> anyhow::Result<()> {
    match target {
        Target::Stdout => print(report),
        Target::File { path, format } => {
            let to = |file| {
                let mut file = BufWriter::new(file);
                report::write(*format, report, &mut file)?;
                file.flush()
            };
            File::create(path).and_then(to).with_context(|| format!("writing the report {}", path.display()))
        }
    }
}

/// Prints the report as text. The verdict stands even if nobody reads it.
fn print(report: &Report) -> anyhow::Result<()> {
    let mut stdout = output::stdout();
    let written = report::write(Format::Text, report, &mut stdout).and_then(|()| stdout.flush());
    match written.context("writing the report to stdout") {
        Err(error) if output::nobody_reads(&error) => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_report_is_written_though_one_fails() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = |name: &str, format| Target::File { path: dir.path().join(name), format };
        let judging = Judging::only_report(vec![
            file("missing/r.json", Format::Json),
            file("r.xml", Format::Junit),
            file("r.json", Format::Json),
            file("r.txt", Format::Text),
        ]);
        let error = judging.deliver(&Report::new(Judge::Producer)).expect_err("a directory is missing");
        assert!(format!("{error:#}").starts_with("writing the report "), "{error:#}");
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("written");
        assert!(read("r.xml").starts_with("<?xml"));
        assert!(read("r.json").starts_with("{\n  \"schema\": 1,\n  \"tool\": \"dcproxy\","));
        assert!(read("r.txt").starts_with("verdict: PASS"));
    }
}
