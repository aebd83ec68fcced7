use std::collections::BTreeMap;
use std::io::Write;

use super::output;
use super::values;
use crate::net;
use crate::net::Rehearsal;
use crate::node::Config;
use crate::node::Quirk;
use crate::report::Report;
use crate::report::Row;
use crate::scenario::Scenario;
use crate::verdict::ExitStatus;
use crate::verdict::Verdict;

/// Runs everything embedded: a producer that handles orphaned responses and one that does not, side by side
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Chooses the data, and where streams are closed
    #[arg(long, value_name = "N", env = "DCPROXY_SEED", default_value_t = 1, value_parser = values::seed)]
    seed: u64,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let scenario = Scenario::named("orphaned-responses")?;
    let rehearsal = |quirk: Option<Quirk>| {
        let node = Config { seed: args.seed, quirks: quirk.into_iter().collect(), ..Config::default() };
        Rehearsal::new(node, scenario.clone())
    };
    let both = net::block_on(net::rehearse([rehearsal(None), rehearsal(Some(Quirk::Mb35287))]))??;
    let reports: Vec<Report> = both.into_iter().map(|rehearsed| rehearsed.report).collect();
    let mut stdout = output::stdout();
    print(&reports, &mut stdout)?;
    stdout.flush()?;
    let verdicts: Vec<Verdict> = reports.iter().map(|report| report.verdict).collect();
    Ok(if verdicts == [Verdict::Pass, Verdict::Fail] { ExitStatus::Pass } else { ExitStatus::Fail })
}

/// Two reports side by side, message by message.
fn print(reports: &[Report], to: &mut impl Write) -> std::io::Result<()> {
    writeln!(
        to,
        "An embedded producer, the proxy and a consumer, twice. In the middle of a transfer the proxy closes streams;"
    )?;
    writeln!(to, "what was in flight is answered as a consumer does whose stream is gone (MB-35287).\n")?;
    writeln!(
        to,
        "{:<22}{:<38}{:<38}",
        "orphaned responses to", "a producer that handles them", "the same with quirk mb-35287"
    )?;
    let mut lines: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (column, report) in reports.iter().enumerate() {
        for row in &report.matrix {
            let cells = lines.entry(&row.message).or_insert_with(|| vec![String::new(); reports.len()]);
            if let Some(cell) = cells.get_mut(column) {
                *cell = told(row);
            }
        }
    }
    for (message, cells) in lines {
        let line = cells.iter().fold(format!("{message:<22}"), |line, cell| format!("{line}{cell:<38}"));
        writeln!(to, "{}", line.trim_end())?;
    }
    let verdicts = reports.iter().fold(format!("\n{:<22}", "verdict"), |line, report| {
        format!("{line}{:<38}", report.verdict.as_str().to_uppercase())
    });
    writeln!(to, "{}", verdicts.trim_end())?;
    for (report, name) in reports.iter().zip(["the producer that handles them", "quirk mb-35287"]) {
        writeln!(to, "\n{name}: era {}, {}", report.era.as_deref().unwrap_or("unknown"), report.reason)?;
        for finding in report.connections.iter().flat_map(|connection| &connection.findings) {
            let decides = !finding.id.contains(char::is_numeric) || finding.verdict != Verdict::Pass;
            if decides {
                writeln!(to, "  {:<13}{:<21}{}", finding.verdict.as_str(), finding.id, finding.actual)?;
            }
        }
    }
    Ok(())
}

/// `handled   KeyEnoent (12)`.
fn told(row: &Row) -> String {
    let status = row.status.as_deref().unwrap_or_default();
    match row.answered {
        0 => row.outcome.words().to_owned(),
        answered => format!("{:<13}{status} ({answered})", row.outcome.words()),
    }
}
