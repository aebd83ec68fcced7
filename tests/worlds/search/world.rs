//! A schedule's stage and the embedded node, without sockets or clocks.

use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::time::Duration;

use dcproxy::Timestamp;
use dcproxy::era::Era;
use dcproxy::journal::How;
use dcproxy::node;
use dcproxy::node::Config;
use dcproxy::node::Node;
use dcproxy::node::Quirk;
use dcproxy::node::consumer::ClientConfig;
use dcproxy::probe::Consumer;
use dcproxy::probe::Range;
use dcproxy::search::Found;
use dcproxy::search::Ground;
use dcproxy::search::Job;
use dcproxy::search::Search;
use dcproxy::stage::Stage;

/// The start of every run.
const START: Timestamp = Timestamp(1_800_000_000_000_000_000);
/// Bytes that a direction holds.
const PIPE: usize = 16 * 1024;
/// What it takes to hand over some bytes, in microseconds: so slow that streams still go on when responses come.
const LATENCY: u64 = 2_000;
/// Longer than any schedule takes.
const LIMIT: Duration = Duration::from_secs(400);
const VBUCKETS: u16 = 3;
/// The items of each vbucket.
const ITEMS: u64 = 240;

/// So many, times `DCPROXY_SEEDS` where that is set.
pub(crate) fn times(usual: u64) -> u64 {
    usual * std::env::var("DCPROXY_SEEDS").map_or(1, |text| text.parse().expect("DCPROXY_SEEDS is a number"))
}

/// This one, or `DCPROXY_FIRST_SEED`.
pub(crate) fn seed(usual: u64) -> u64 {
    std::env::var("DCPROXY_FIRST_SEED").map_or(usual, |text| text.parse().expect("DCPROXY_FIRST_SEED is a number"))
}

/// So many vbuckets may be taken over, where any may.
const SPARE: u16 = 96;

/// What the schedules are played on; so many vbuckets may be taken over.
fn ground(era: Era, spare: u16) -> Ground {
    Ground::new(era, (0..VBUCKETS).collect(), ITEMS).with_spare((VBUCKETS..VBUCKETS + spare).collect())
}

/// A job of a search against a node of the era, with its quirk if it has one.
fn play(search: &Search, job: &Job, era: Era, quirk: Option<Quirk>) -> Stage<Consumer> {
    let node = Node::new(Config {
        era,
        vbuckets: VBUCKETS + if search.ground().spare.is_empty() { 0 } else { SPARE },
        items: ITEMS,
        interval: Some(Duration::from_millis(500)),
        quirks: BTreeSet::from_iter(quirk),
        ..Config::default()
    });
    let login = Some((node.config().user.clone(), node.config().password.clone()).into());
    let config = ClientConfig { login, ..ClientConfig::new(era, []) };
    let stage = search.stage(job, config, ("consumer", "producer"), START);
    let dice = fastrand::Rng::with_seed(job.scenario.seed.unwrap_or_default());
    let mut world = World {
        stage,
        node: node::Connection::new(&node, START),
        now: START,
        to_node: VecDeque::new(),
        to_stage: VecDeque::new(),
        closes: [Close::Open; 2],
        dice,
    };
    world.run();
    world.stage
}

/// A whole search against such a node.
pub(crate) fn search(seed: u64, schedules: u64, era: Era, quirk: Option<Quirk>) -> (Search, Option<Found>) {
    run(ground(era, 0), seed, schedules, quirk)
}

/// The same, and few vbuckets may be taken over.
pub(crate) fn with_spare(spare: u16, seed: u64, schedules: u64, era: Era, quirk: Quirk) -> (Search, Option<Found>) {
    run(ground(era, spare), seed, schedules, Some(quirk))
}

/// The same, and vbuckets may be taken over: none of them twice.
pub(crate) fn destructive(seed: u64, schedules: u64, era: Era, quirk: Option<Quirk>) -> (Search, Option<Found>) {
    run(ground(era, SPARE), seed, schedules, quirk)
}

fn run(ground: Ground, seed: u64, schedules: u64, quirk: Option<Quirk>) -> (Search, Option<Found>) {
    let era = ground.era;
    let mut taken = BTreeSet::new();
    let range = Range::up_to(&(0..VBUCKETS).map(|vbucket| (vbucket, ITEMS)).collect());
    let mut search = Search::new(seed, ground, range, schedules);
    while let Some(job) = search.next_job() {
        for vbucket in job.scenario.consumer.vbuckets.iter().flatten() {
            assert!(
                *vbucket >= VBUCKETS && taken.insert(*vbucket),
                "seed {seed}: vbucket {vbucket} is taken over again"
            );
        }
        let stage = play(&search, &job, era, quirk);
        search.finished(job, stage);
    }
    assert!(search.is_over());
    assert_eq!(search.errors(), [""; 0]);
    let found = search.found();
    (search, found)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Close {
    Open,
    Said(How),
    Told,
}

struct World {
    stage: Stage<Consumer>,
    node: node::Connection,
    now: Timestamp,
    to_node: VecDeque<u8>,
    to_stage: VecDeque<u8>,
    /// What the stage and the node have said of their directions.
    closes: [Close; 2],
    dice: fastrand::Rng,
}

impl World {
    fn run(&mut self) {
        while self.now < START + LIMIT {
            self.listen();
            let stage_first = self.dice.bool();
            let moved = (stage_first && self.hand_stage()) || self.hand_node() || (!stage_first && self.hand_stage());
            if moved {
                self.now = self.now + Duration::from_micros(self.dice.u64(..LATENCY));
                continue;
            }
            if self.closes == [Close::Told; 2] {
                return;
            }
            let next = [self.stage.next_wakeup(), self.node.next_wakeup(self.now)].into_iter().flatten().min();
            let Some(next) = next else { return };
            self.now = self.now.max(next);
            if self.stage.next_wakeup().is_some_and(|at| at <= self.now) {
                self.stage.wakeup(self.now);
            }
            if self.node.next_wakeup(self.now).is_some_and(|at| at <= self.now) {
                self.node.wakeup(self.now);
            }
        }
    }

    /// Takes what the two ends say, as far as there is room.
    fn listen(&mut self) {
        let mut bytes = Vec::new();
        if self.to_node.len() < PIPE {
            self.stage.pull(&mut bytes, PIPE - self.to_node.len(), self.now);
            self.to_node.extend(bytes.drain(..));
        }
        if self.to_stage.len() < PIPE && self.closes[1] == Close::Open {
            self.node.pull(&mut bytes, PIPE - self.to_stage.len(), self.now);
            self.to_stage.extend(bytes.drain(..));
        }
        if self.closes[0] == Close::Open
            && let Some(how) = self.stage.closing()
        {
            self.closes[0] = Close::Said(how);
        }
        if self.closes[1] == Close::Open
            && let Some(how) = self.node.closing()
        {
            self.closes[1] = Close::Said(match how {
                node::How::Fin => How::Fin,
                node::How::Reset => How::Reset,
            });
        }
    }

    fn hand_stage(&mut self) -> bool {
        let taken = self.dice.usize(1..=4096).min(self.to_stage.len());
        if taken > 0 && self.stage.wants_input() {
            let bytes: Vec<u8> = self.to_stage.drain(..taken).collect();
            self.stage.feed(&bytes, self.now);
            return true;
        }
        let Close::Said(how) = self.closes[1] else { return false };
        if !self.to_stage.is_empty() {
            return false;
        }
        self.closes[1] = Close::Told;
        self.stage.closed(how, self.now);
        true
    }

    fn hand_node(&mut self) -> bool {
        let taken = self.dice.usize(1..=1024).min(self.to_node.len());
        if taken > 0 && self.node.wants_input() {
            let bytes: Vec<u8> = self.to_node.drain(..taken).collect();
            self.node.feed(&bytes, self.now);
            return true;
        }
        let Close::Said(how) = self.closes[0] else { return false };
        if !self.to_node.is_empty() {
            return false;
        }
        self.closes[0] = Close::Told;
        let how = match how {
            How::Fin => node::How::Fin,
            How::Reset => node::How::Reset,
        };
        self.node.closed(how, self.now);
        true
    }
}
