//! How a run comes to its end, over loopback: what is told decides when the end is wanted, and no time does.

use std::fmt;

use tokio::net::TcpListener;

use super::*;
use crate::net::{Target, dial, serve_node};
use crate::node::Config;
use crate::node::Node;
use crate::probe::Answer;
use crate::probe::Options;
use crate::probe::PROBED;
use crate::probe::Sign;
use crate::verdict::Verdict;
use crate::wire::FrameBuilder;
use crate::wire::Opcode;
use crate::wire::Status;

const PREFIX: &str = "dcproxy-probe-test";
/// The producer closes at once, so that the case is soon over.
const CLOSES: &str = "orphan/mutation/Einval";
/// The producer bears it, so that the case lasts as long as it is watched.
const STAYS: &str = "orphan/mutation/NotMyVbucket";
const AN_HOUR: Duration = Duration::from_secs(3600);

/// A run against a node, and what is done as it tells its news.
struct Trial {
    select: &'static [&'static str],
    jobs: usize,
    settle: Duration,
    timeout: Option<Duration>,
    workload: bool,
}

struct Ran {
    result: Result<(Report, Vec<Outcome>), String>,
    told: Vec<String>,
    /// How many of the keys of the workload's first round are there.
    keys_left: usize,
}

impl fmt::Debug for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.result.as_ref().map(|(report, outcomes)| (&report.errors, &report.findings, outcomes));
        write!(f, "{report:#?} {:?} {}", self.told, self.keys_left)
    }
}

impl Ran {
    fn report(&self) -> &Report {
        &self.result.as_ref().expect("a report").0
    }

    fn signs(&self) -> Vec<(String, Sign)> {
        let outcomes = &self.result.as_ref().expect("a report").1;
        let mut signs: Vec<_> = outcomes.iter().map(|it| (it.case.to_string(), it.sign)).collect();
        signs.sort_by(|a, b| a.0.cmp(&b.0));
        signs
    }

    fn errors(&self) -> String {
        self.report().errors.join("\n")
    }

    fn found(&self) -> String {
        self.report().findings.iter().map(|finding| finding.actual.as_str()).collect::<Vec<_>>().join("\n")
    }
}

impl Trial {
    /// `on_news` may stop the run by the first, and the node by the second.
    fn run(self, mut on_news: impl FnMut(&News, &Shutdown, &Shutdown) + Send) -> Ran {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
            let target: Target = listener.local_addr().expect("bound").to_string().parse().expect("an address");
            let node = Node::new(Config { items: 200, ..Config::default() });
            let (served, outside) = (Shutdown::new(), Shutdown::new());
            let serving = {
                let (node, served) = (node.clone(), served.clone());
                tokio::spawn(async move { serve_node([listener], node, &served).await })
            };
            let access = Access {
                login: Some(("Administrator".to_owned(), "password".to_owned()).into()),
                bucket: "default".to_owned(),
            };
            let probe = Probe::new(self.options(access.clone())).expect("cases");
            let run = ProbeRun {
                target: target.clone().into(),
                access: access.clone(),
                jobs: self.jobs,
                connect_timeout: Duration::from_secs(10),
                timeout: self.timeout,
                workload: self.workload.then(|| PREFIX.to_owned()),
                salt: 7,
            };
            let mut told = Vec::new();
            let mut progress = |news: News| {
                on_news(&news, &outside, &served);
                if let News::Told(line) = news {
                    told.push(line);
                }
            };
            let run = super::probe(&run, probe, &outside, &mut progress);
            let result =
                tokio::time::timeout(Duration::from_secs(120), run).await.expect("it ends, long before an hour");
            let keys_left = if self.workload { keys_left(&target, access).await } else { 0 };
            served.stop(Stop::Now);
            serving.await.expect("it ends");
            Ran { result, told, keys_left }
        })
    }

    fn options(&self, access: Access) -> Options {
        Options {
            access,
            era: None,
            messages: PROBED.to_vec(),
            statuses: crate::probe::STATUSES.to_vec(),
            scenarios: Vec::new(),
            select: self.select.iter().map(|&case| case.to_owned()).collect(),
            vbuckets: None,
            settle: self.settle,
            seed: 1,
            judge: None,
            workload: self.workload,
            salt: 7,
        }
    }
}

/// Looks for each key of the first round.
struct Look {
    keys: Vec<(u16, String)>,
    found: usize,
}

impl Script for Look {
    fn next(&mut self, answers: &[Answer], collections: bool) -> Vec<FrameBuilder> {
        self.found += answers.iter().filter(|answer| answer.status == Status::SUCCESS).count();
        let get = |(vbucket, key): (u16, String)| {
            let key = collections.then_some(0).into_iter().chain(key.into_bytes()).collect::<Vec<u8>>();
            FrameBuilder::request(Opcode::GET).vbucket(vbucket).key(key)
        };
        std::mem::take(&mut self.keys).into_iter().map(get).collect()
    }
}

async fn keys_left(target: &Target, access: Access) -> usize {
    let clock = Clock::start();
    let mut workload = Workload::new(PREFIX.to_owned(), vec![0, 1, 2, 3], Some(4), false);
    workload.round(clock.now()).expect("the first");
    let look = Look { keys: workload.keys().to_vec(), found: 0 };
    let stream = dial(target, Duration::from_secs(10)).await.expect("it listens");
    let errand = Errand::new(access, "nonce".to_owned(), look, clock.now());
    let (look, outcome) = Peer::new(errand, stream, clock).run(Shutdown::new().listen()).await.into_outcome();
    outcome.expect("answers");
    look.found
}

/// Runs two cases at once, of which one is soon over.
fn two_at_once() -> Trial {
    Trial { select: &[CLOSES, STAYS], jobs: 2, settle: AN_HOUR, timeout: None, workload: false }
}

#[test]
fn the_first_interrupt_begins_no_more_cases_and_removes_the_keys() {
    let settle = Duration::from_millis(300);
    let select = &[STAYS, "orphan/deletion/NotMyVbucket", "orphan/prepare/NotMyVbucket"];
    let trial = || Trial { select, jobs: 1, settle, timeout: None, workload: true };
    let ran = trial().run(|news, outside, _| {
        if matches!(news, News::Over(_)) {
            outside.stop(Stop::Settle);
        }
    });
    assert_eq!(ran.signs(), [(STAYS.to_owned(), Sign::Kept)], "{ran:#?}");
    assert_eq!((ran.report().verdict, ran.keys_left), (Verdict::Inconclusive, 0), "{ran:#?}");
    assert!(ran.errors().is_empty() && ran.found().contains("2 were not run, from orphan/"), "{ran:#?}");
    assert!(ran.told.iter().any(|line| line.starts_with("interrupted: ")), "{ran:#?}");
    // Before the first case: nothing is begun, and what was written is removed all the same.
    let ran = trial().run(|news, outside, _| {
        if matches!(news, News::Cases(_)) {
            outside.stop(Stop::Settle);
        }
    });
    assert_eq!((ran.signs().len(), ran.keys_left), (0, 0), "{ran:#?}");
    assert!(ran.errors().is_empty() && ran.found().contains("3 were not run"), "{ran:#?}");
}

#[test]
fn the_second_interrupt_ends_at_once_and_tells_which_keys_are_left() {
    let ran = Trial { workload: true, ..two_at_once() }.run(|news, outside, _| {
        if matches!(news, News::Over(case) if case == CLOSES) {
            outside.stop(Stop::Settle);
            outside.stop(Stop::Now);
        }
    });
    assert_eq!(ran.signs(), [(CLOSES.to_owned(), Sign::Closed), (STAYS.to_owned(), Sign::Unknown)], "{ran:#?}");
    let told = format!("keys that begin with {PREFIX} may be left: they were not removed");
    assert!(ran.errors().contains(&told) && ran.keys_left > 0, "{ran:#?}");
}

#[test]
fn an_end_that_is_wanted_before_the_first_case_is_told_as_such() {
    let ran = Trial { timeout: Some(Duration::ZERO), ..two_at_once() }.run(|_, _, _| ());
    assert_eq!(ran.result.expect_err("no report"), "the time was over before the first case");
}

#[test]
fn a_producer_that_goes_away_is_an_error_beside_what_is_known() {
    let ran = two_at_once().run(|news, _, served| {
        if matches!(news, News::Over(case) if case == CLOSES) {
            served.stop(Stop::Now);
        }
    });
    assert_eq!(ran.signs()[0], (CLOSES.to_owned(), Sign::Closed), "{ran:#?}");
    assert!(ran.errors().starts_with("the producer went away, "), "{ran:#?}");
    assert_eq!(ran.report().errors.len(), 1, "{ran:#?}");
}

#[test]
fn when_the_time_is_over_all_ends_with_what_is_known() {
    let ran = Trial { timeout: Some(Duration::from_secs(8)), ..two_at_once() }.run(|_, _, _| ());
    assert_eq!(ran.signs()[1], (STAYS.to_owned(), Sign::Unknown), "{ran:#?}");
    assert!(ran.errors().is_empty() && ran.report().verdict == Verdict::Inconclusive, "{ran:#?}");
}
