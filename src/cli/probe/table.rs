use std::io;
use std::io::Write;

use crate::probe::{Case, Outcome, PROBED, Sign, short};
use crate::report::Report;
use crate::verdict::Verdict;
use crate::wire::{Opcode, Status};

/// Failed and inconclusive findings that are listed.
const LISTED: usize = 40;

/// Writes the matrix of messages and statuses, the scenarios, and what did not pass.
pub(super) fn write(report: &Report, outcomes: &[Outcome], statuses: &[Status], to: &mut impl Write) -> io::Result<()> {
    matrix(outcomes, statuses, to)?;
    scenarios(outcomes, to)?;
    why(report, outcomes, to)?;
    write!(to, "\nverdict: {}", report.verdict.as_str().to_ascii_uppercase())?;
    let count = |of: &[Sign]| outcomes.iter().filter(|it| of.contains(&it.sign)).count();
    let passed = count(&[Sign::Kept, Sign::Closed, Sign::Passed]);
    let (failed, unknown, none) = (count(&[Sign::Failed]), count(&[Sign::Unknown]), count(&[Sign::NotApplicable]));
    write!(to, ": {passed} cases passed, {failed} failed, {unknown} inconclusive")?;
    if none > 0 {
        write!(to, ", {none} do not apply")?;
    }
    if let Some(era) = &report.era {
        write!(to, "; era {era}")?;
    }
    writeln!(to, ", seed {}", report.seed.unwrap_or_default())
}

fn matrix(outcomes: &[Outcome], statuses: &[Status], to: &mut impl Write) -> io::Result<()> {
    let sign = |message: Opcode, status: Status| {
        let wanted = Case::Orphan { message, status };
        outcomes.iter().find(|it| it.case == wanted).map(|it| it.sign)
    };
    let rows: Vec<Opcode> =
        PROBED.into_iter().filter(|&message| statuses.iter().any(|&status| sign(message, status).is_some())).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let tried = |&status: &Status| PROBED.into_iter().any(|message| sign(message, status).is_some());
    let statuses: Vec<Status> = statuses.iter().copied().filter(tried).collect();
    write!(to, "{:<16}", "answered with")?;
    for status in &statuses {
        write!(to, " {:>4}", format!("{:#04x}", status.0))?;
    }
    writeln!(to)?;
    let mut seen = Vec::new();
    for message in rows {
        write!(to, "{:<16}", short(message))?;
        for &status in &statuses {
            let sign = sign(message, status);
            seen.extend(sign);
            write!(to, " {:>4}", sign.map_or("", letter))?;
        }
        writeln!(to)?;
    }
    let all = [Sign::Kept, Sign::Closed, Sign::Failed, Sign::Unknown, Sign::NotApplicable];
    let legend: Vec<String> = all
        .iter()
        .filter(|sign| seen.contains(sign))
        .map(|&sign| format!("{} {}", letter(sign), meaning(sign)))
        .collect();
    writeln!(to, "{}", legend.join(", "))?;
    let names: Vec<String> = statuses
        .iter()
        .filter(|status| status.name().is_some())
        .map(|status| format!("{:#04x} {status}", status.0))
        .collect();
    for line in names.chunks(6) {
        writeln!(to, "  {}", line.join(", "))?;
    }
    Ok(())
}

const fn letter(sign: Sign) -> &'static str {
    match sign {
        Sign::Kept => "K",
        Sign::Closed => "C",
        Sign::Passed => "ok",
        Sign::Failed => "FAIL",
        Sign::Unknown => "?",
        Sign::NotApplicable => "-",
    }
}

const fn meaning(sign: Sign) -> &'static str {
    match sign {
        Sign::Kept => "kept the connection",
        Sign::Closed => "closed it, as the era demands or allows",
        Sign::Passed => "passed",
        Sign::Failed => "not as the era demands, see below",
        Sign::Unknown => "inconclusive",
        Sign::NotApplicable => "the producer has no such messages",
    }
}

fn scenarios(outcomes: &[Outcome], to: &mut impl Write) -> io::Result<()> {
    let mut first = true;
    for outcome in outcomes {
        if let Case::Scenario(scenario) = &outcome.case {
            if std::mem::take(&mut first) {
                writeln!(to)?;
            }
            let verdict = match outcome.sign {
                Sign::Failed => "FAIL",
                Sign::Unknown => "inconclusive",
                Sign::NotApplicable => "-",
                Sign::Kept | Sign::Closed | Sign::Passed => "ok",
            };
            writeln!(to, "{:<13}{}", verdict, scenario.name)?;
        }
    }
    Ok(())
}

fn why(report: &Report, outcomes: &[Outcome], to: &mut impl Write) -> io::Result<()> {
    let mut lines = Vec::new();
    for (sign, word) in [(Sign::Failed, "FAIL"), (Sign::Unknown, "inconclusive")] {
        for outcome in outcomes.iter().filter(|it| it.sign == sign) {
            lines.extend(outcome.why.iter().map(|(id, actual)| format!("{word} {}: {id}: {actual}", outcome.case)));
        }
    }
    let of_run = report.findings.iter().filter(|finding| finding.verdict != Verdict::Pass);
    lines.extend(of_run.map(|finding| format!("{} {}: {}", finding.verdict, finding.id, finding.actual)));
    if let Some(reference) = report.connections.iter().find(|it| it.case.as_deref() == Some("reference")) {
        let failed = reference.findings.iter().filter(|finding| finding.verdict != Verdict::Pass);
        lines.extend(failed.map(|finding| {
            format!("{} on an untouched connection: {}: {}", finding.verdict, finding.id, finding.actual)
        }));
    }
    if !lines.is_empty() {
        writeln!(to)?;
    }
    for line in lines.iter().take(LISTED) {
        writeln!(to, "{line}")?;
    }
    match lines.len().saturating_sub(LISTED) {
        0 => Ok(()),
        more => writeln!(to, "... and {more} more"),
    }
}
