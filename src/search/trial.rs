use std::time::Duration;

use super::Ground;
use crate::Timestamp;
use crate::engine::Engine;
use crate::engine::Interceptor;
use crate::journal::Side;
use crate::node::consumer::Client;
use crate::node::consumer::ClientConfig;
use crate::probe;
use crate::probe::Consumer;
use crate::probe::Range;
use crate::report::Connection;
use crate::scenario::MESSAGES;
use crate::scenario::Plan;
use crate::scenario::Runner;
use crate::scenario::Scenario;
use crate::scenario::judge::Judge;
use crate::stage::Stage;
use crate::verdict;
use crate::verdict::Verdict;

/// What came of a schedule.
#[derive(Clone, PartialEq, Debug)]
pub enum Trial {
    /// All that was done was borne.
    Passed,
    /// A rule was broken.
    Failed(Failure),
    /// There is too little evidence: why.
    Unknown(String),
}

/// The rule that a producer broke: the first of the report's findings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The finding's id.
    pub id: String,
    /// What it demands in this case.
    pub expected: String,
    /// What was seen.
    pub actual: String,
}

/// The longest that a schedule may take besides settling.
const LIMIT: Duration = Duration::from_secs(120);
/// How long the producer is watched, where a schedule does not say.
pub(super) const SETTLE: Duration = Duration::from_secs(2);

/// A scenario on a connection that was just made between these two addresses: the tool's own consumer, with `config` changed
/// by the scenario's settings (which name a vbucket where it is taken over), the engine that takes the steps, and the judge.
/// What comes of `range` is to be compared, where the settings leave its items as they are. A scenario without steps leaves
/// the connection untouched.
pub(super) fn stage(
    scenario: &Scenario,
    (ground, range): (&Ground, &Range),
    mut config: ClientConfig,
    (from, to): (&str, &str),
    now: Timestamp,
) -> Stage<Consumer> {
    let taken = scenario.consumer.vbuckets.clone().filter(|_| scenario.consumer.takes_over());
    probe::apply(&scenario.consumer, Some(taken.unwrap_or_else(|| ground.vbuckets.clone())), &mut config);
    let settle = scenario.settle.map_or(SETTLE, |settle| settle.0);
    let messages =
        if scenario.messages.is_empty() { MESSAGES.into() } else { scenario.messages.iter().copied().collect() };
    let acts = !scenario.steps.is_empty();
    let plan = Plan {
        scenarios: if acts { vec![scenario.clone()] } else { Vec::new() },
        messages,
        era: Some(ground.era),
        settle,
        fatal_too: false,
        seed: scenario.seed.unwrap_or_default(),
    };
    let judge = Judge::new(plan.terms(scenario.judge.unwrap_or(verdict::Judge::Producer)), 1, from, to);
    let seed = plan.seed;
    let runner = acts.then(|| Box::new(Runner::new(plan, 1)) as Box<dyn Interceptor>);
    let range = if probe::keeps_items(&scenario.consumer) { range.clone() } else { Range::default() };
    let client = Client::resume(config, range.start(), now);
    let consumer = Consumer::new(client, range, acts, settle + LIMIT, now);
    Stage::new(consumer, Side::Dialler, Engine::new(runner, judge, seed), settle, now)
}

/// What a connection came to.
pub(super) fn judge(stage: &mut Stage<Consumer>) -> Connection {
    let (judge, sessions) = stage.engine().observed();
    judge.judgement(sessions.at(Side::Upstream)).connection
}

impl Trial {
    /// What a connection says of its schedule.
    pub fn of(connection: &Connection) -> Self {
        let mut failed = connection.findings.iter().filter(|finding| finding.verdict == Verdict::Fail);
        if let Some(finding) = failed.next() {
            return Self::Failed(Failure {
                id: finding.id.to_string(),
                expected: finding.expected.clone(),
                actual: finding.actual.clone(),
            });
        }
        let missing = connection.findings.iter().find(|finding| finding.verdict == Verdict::Inconclusive);
        missing.map_or(Self::Passed, |finding| Self::Unknown(format!("{}: {}", finding.id, finding.actual)))
    }
}
