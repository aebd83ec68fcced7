use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use super::input;
use super::judging::Judging;
use crate::capture::Recorded;
use crate::capture::What;
use crate::engine::Observer;
use crate::report::Report;
use crate::scenario::MESSAGES;
use crate::scenario::judge::Judge;
use crate::scenario::judge::Judgement;
use crate::scenario::judge::Source;
use crate::scenario::judge::Terms;
use crate::scenario::judge::never_came;
use crate::scenario::judge::not_enough;
use crate::verdict::ExitStatus;
use crate::wire::Opcode;

/// Judges the connections recorded in captures: invariants and orphaned responses
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Captures: pcap or pcapng, also gzip or zstd, rotated ones in any order; - is stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    #[command(flatten)]
    judging: Judging,
}

/// How long after an orphaned response a close of the producer is put down to it, although it had shown a sign of life.
const SETTLE: Duration = Duration::from_secs(2);

pub(super) fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let messages = args.judging.messages.as_ref().map_or_else(|| MESSAGES.to_vec(), |messages| messages.0.clone());
    let terms = Terms {
        era: args.judging.era.0,
        messages: messages.iter().copied().collect(),
        settle: SETTLE,
        judge: args.judging.judge,
        source: Source::Recording,
    };
    let mut checked = Checked::new(terms);
    let mut status = ExitStatus::Pass;
    for error in checked.files(&args.files) {
        super::complain(&format!("{error:#}"));
        checked.report.errors.push(format!("{error:#}"));
        status = ExitStatus::Error;
    }
    let report = checked.finish();
    args.judging.deliver_or_print(&report)?;
    Ok(status.worst(report.verdict.into()))
}

/// The judges of the connections that are open, and what the others came to.
struct Checked {
    terms: Terms,
    judges: BTreeMap<u32, Judge>,
    report: Report,
    /// What the producers sent.
    seen: BTreeSet<Opcode>,
    /// What orphaned responses answer.
    answered: BTreeSet<String>,
    producers: u64,
    orphans: bool,
}

impl Checked {
    fn new(terms: Terms) -> Self {
        Self {
            report: Report::new(terms.judge),
            terms,
            judges: BTreeMap::new(),
            seen: BTreeSet::new(),
            answered: BTreeSet::new(),
            producers: 0,
            orphans: false,
        }
    }

    fn files(&mut self, paths: &[PathBuf]) -> Vec<anyhow::Error> {
        let mut recorded = Recorded::new(0);
        let read = input::captures(paths).read(&mut |_, event| {
            match event.what {
                What::Opened { dialler, upstream } => {
                    let id = u64::from(event.conn);
                    let judge = Judge::new(self.terms.clone(), id, dialler.to_string(), upstream.to_string());
                    self.judges.insert(event.conn, judge);
                }
                What::Ended => {
                    if let (Some(judge), Some(session)) =
                        (self.judges.remove(&event.conn), recorded.session(event.conn))
                    {
                        let mut judge = judge;
                        let judgement = judge.judgement(session);
                        self.take(judgement);
                    }
                }
                What::Data { .. } | What::Gap { .. } | What::Closed { .. } => {}
            }
            recorded.event(&event, &mut |happened| {
                if let Some(judge) = self.judges.get_mut(&happened.conn) {
                    judge.observe(happened.entry, happened.context, happened.session);
                }
            });
            ControlFlow::Continue(())
        });
        read.errors.into_iter().map(input::complaint).collect()
    }

    fn take(&mut self, judgement: Judgement) {
        if !judgement.has_producer && judgement.connection.notes.is_empty() {
            return;
        }
        self.producers += u64::from(judgement.has_producer);
        self.orphans |= judgement.has_orphans;
        self.seen.extend(judgement.seen);
        self.answered.extend(judgement.connection.matrix.iter().map(|row| row.message.clone()));
        self.report.add_connection(judgement.connection);
    }

    /// The report, with what no connection of the recording holds.
    fn finish(mut self) -> Report {
        self.report.connections.sort_by_key(|connection| connection.id);
        if self.producers == 0 {
            let finding = not_enough(
                "a connection whose producer was dialled",
                "no DCP_OPEN with the producer flag was accepted",
            );
            self.report.add_finding(&finding);
        } else if !self.orphans {
            self.report.add_finding(&not_enough("an orphaned response", "the recording holds none"));
        } else {
            // What a real consumer leaves without an answer is its own affair; what never came could not be answered.
            let never: Vec<String> = self
                .terms
                .messages
                .iter()
                .filter(|message| !self.seen.contains(message) && !self.answered.contains(&message.to_string()))
                .map(Opcode::to_string)
                .collect();
            if !never.is_empty() {
                let names: Vec<&str> = never.iter().map(String::as_str).collect();
                self.report.add_finding(&never_came(&names));
            }
        }
        self.report
    }
}
