use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::time::Duration;

use super::input;
use super::judging::Judging;
use super::runs::Asked;
use super::runs::Runs;
use super::runs::Told;
use crate::capture::Identity;
use crate::capture::Recorded;
use crate::capture::Remark;
use crate::capture::What;
use crate::engine::Observer;
use crate::net::Run;
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

    /// Threads that judge, each a share of the connections; as many as there are cores if not given
    #[arg(long, value_name = "N", env = "DCPROXY_JOBS")]
    jobs: Option<usize>,

    #[command(flatten)]
    judging: Judging,
}

/// How long after an orphaned response a close of the producer is put down to it, although it had shown a sign of life.
const SETTLE: Duration = Duration::from_secs(2);
/// More threads than this would spend their time on reading the same files.
const MAX_JOBS: usize = 8;

pub(super) fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let messages = args.judging.by.messages.as_ref().map_or_else(|| MESSAGES.to_vec(), |messages| messages.0.clone());
    let terms = Terms {
        era: args.judging.by.era.0,
        messages: messages.iter().copied().collect(),
        settle: SETTLE,
        judge: args.judging.by.judge(&[]),
        source: Source::Recording,
        expected: Vec::new(),
    };
    let asked = Asked {
        era: args.judging.by.era.0,
        messages: args.judging.by.messages.as_ref().map(|_| terms.messages.clone()),
        judge: args.judging.by.judge,
    };
    let jobs = args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let (judgements, errors) = judged(&args.files, &terms, &asked, jobs);
    let mut checked = Checked::new(terms);
    judgements.into_iter().for_each(|judgement| checked.take(judgement));
    let mut status = ExitStatus::Pass;
    for error in errors {
        super::complain(&error);
        checked.report.errors.push(error);
        status = ExitStatus::Error;
    }
    let report = checked.finish();
    args.judging.deliver_or_print(&report)?;
    Ok(status.worst(report.verdict.into()))
}

/// Judges the connections of captures, in the order of their numbers, and tells what of the captures could not be read.
///
/// Each of `jobs` threads reads all and judges its share of the connections: reading is a small part of the work, and nothing is
/// handed from thread to thread. What can be read only once has one reader.
fn judged(paths: &[PathBuf], terms: &Terms, asked: &Asked, jobs: usize) -> (Vec<Judged>, Vec<String>) {
    let jobs = if paths.iter().all(|path| path.is_file()) { jobs.clamp(1, MAX_JOBS) } else { 1 };
    if jobs == 1 {
        return judged_share(paths, terms, asked, (0, 1));
    }
    let mut shares = std::thread::scope(|scope| {
        let start = |number| scope.spawn(move || judged_share(paths, terms, asked, (number, jobs)));
        let threads: Vec<_> = (0..jobs).map(start).collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined.collect::<Vec<_>>()
    });
    // All have read the same files and met the same errors.
    let errors = shares.iter_mut().map(|(_, errors)| std::mem::take(errors)).next().unwrap_or_default();
    let mut judgements: Vec<_> = shares.into_iter().flat_map(|(judgements, _)| judgements).collect();
    judgements.sort_by_key(|judged| judged.conn);
    (judgements, errors)
}

/// As [`judged`], of every `of`th connection from number `share` on.
fn judged_share(
    paths: &[PathBuf],
    terms: &Terms,
    asked: &Asked,
    (share, of): (usize, usize),
) -> (Vec<Judged>, Vec<String>) {
    let mut runs = Runs::default();
    let mut recorded = Recorded::new(0);
    let mut judges: BTreeMap<u32, Judge> = BTreeMap::new();
    let mut judgements = Vec::new();
    let mut joined = BTreeSet::new();
    let read = input::captures(paths).read(&mut |_, event| {
        if event.conn as usize % of != share {
            return ControlFlow::Continue(());
        }
        match event.what {
            What::Opened { dialler, upstream } => {
                let id = u64::from(event.conn);
                judges.insert(event.conn, Judge::new(terms.clone(), id, dialler.to_string(), upstream.to_string()));
            }
            What::Ended => {
                if let (Some(mut judge), Some(session)) = (judges.remove(&event.conn), recorded.session(event.conn)) {
                    let (judgement, run) = (judge.judgement(session), runs.take(event.conn));
                    let joined = joined.contains(&event.conn);
                    judgements.push(Judged { conn: event.conn, judgement, run, joined });
                }
                runs.take(event.conn);
            }
            What::Comment { text, .. } => match runs.comment(event.conn, text) {
                None if matches!(text.parse(), Ok(Remark::Joined(_))) => {
                    joined.insert(event.conn);
                }
                Some(Told::NoProducer) => {
                    judges.remove(&event.conn);
                }
                Some(Told::Judged(Identity { id, dialler, upstream, .. }, terms)) => {
                    let terms = asked.instead(terms);
                    judges.insert(event.conn, Judge::new(terms, id, dialler.to_string(), upstream.to_string()));
                }
                None => {}
            },
            What::Data { .. } | What::Gap { .. } | What::Closed { .. } => {}
        }
        if let Some(judge) = judges.get_mut(&event.conn) {
            recorded.event(&event, &mut |happened| judge.observe(happened.entry, happened.context, happened.session));
        } else {
            recorded.event(&event, &mut |_| {});
        }
        ControlFlow::Continue(())
    });
    judgements.sort_by_key(|judged: &Judged| judged.conn);
    (judgements, read.errors.into_iter().map(|error| format!("{:#}", input::complaint(error))).collect())
}

/// What a connection came to.
struct Judged {
    conn: u32,
    judgement: Judgement,
    /// The run of the proxy that it is of, where it is.
    run: Option<Run>,
    /// Whether the recording begins in the middle of it.
    joined: bool,
}

/// What the connections came to.
struct Checked {
    terms: Terms,
    report: Report,
    /// What the producers sent.
    seen: BTreeSet<Opcode>,
    /// What orphaned responses answer.
    answered: BTreeSet<String>,
    producers: u64,
    orphans: bool,
    /// Whether there is a connection of a run of the proxy, and one of none.
    live: bool,
    plain: bool,
    /// Whether steps were to be taken in such a run, and whether there was a producer to take them on.
    acting: bool,
    acted_on: bool,
    /// Whether of some connection the beginning is missing, so that nothing is known of its producer.
    joined: bool,
    /// Whether a producer was judged.
    watched: bool,
}

impl Checked {
    fn new(terms: Terms) -> Self {
        Self {
            report: Report::new(terms.judge),
            terms,
            seen: BTreeSet::new(),
            answered: BTreeSet::new(),
            producers: 0,
            orphans: false,
            live: false,
            plain: false,
            acting: false,
            acted_on: false,
            joined: false,
            watched: false,
        }
    }

    fn take(&mut self, Judged { judgement, run, joined, .. }: Judged) {
        self.joined |= joined && !judgement.has_producer;
        self.watched |= judgement.has_producer;
        if let Some(run) = run {
            return self.take_live(judgement, run);
        }
        self.plain = true;
        if !judgement.has_producer && judgement.connection.notes.is_empty() {
            return;
        }
        self.producers += u64::from(judgement.has_producer);
        self.orphans |= judgement.has_orphans;
        self.seen.extend(judgement.seen);
        self.answered.extend(judgement.connection.matrix.iter().map(|row| row.message.clone()));
        self.report.add_connection(judgement.connection);
    }

    /// A connection of a run of the proxy: all that was said of it live is said again.
    fn take_live(&mut self, judgement: Judgement, run: Run) {
        self.live = true;
        if matches!(run.terms.source, Source::Acting { .. }) {
            self.acting = true;
            self.acted_on |= judgement.has_producer;
        }
        self.report.seed.get_or_insert(run.seed);
        for name in run.scenarios {
            if !self.report.scenarios.contains(&name) {
                self.report.scenarios.push(name);
            }
        }
        self.report.add_connection(judgement.connection);
    }

    /// The report, with what no connection of the recording holds.
    fn finish(mut self) -> Report {
        if self.acting && !self.acted_on {
            let found = "no DCP_OPEN with the producer flag was accepted";
            self.report.add_finding(&not_enough("a DCP connection whose producer was dialled", found));
        }
        if self.live && !self.plain {
            // What was expected of a run is in what is said of its connections; of one whose beginning is missing nothing is.
            if self.joined && !self.watched {
                let found = "the recording begins in the middle of each";
                self.report.add_finding(&not_enough("a connection that is recorded from its beginning", found));
            }
            return self.report;
        }
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
