use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

use super::Ground;
use super::Trial;
use super::draw::answered;
use super::law;
use crate::fault::CloseStreamSpec;
use crate::fault::DelaySpec;
use crate::fault::FaultSpec;
use crate::fault::OrphanResponseSpec;
use crate::fault::WithholdAckSpec;
use crate::filter::Filter;
use crate::probe::PROBED;
use crate::scenario::ConsumerSettings;
use crate::scenario::Per;
use crate::scenario::Scenario;
use crate::scenario::Step;
use crate::scenario::When;
use crate::units::Size;
use crate::units::Span;
use crate::wire::Opcode;

/// Makes a failing scenario smaller, as long as it still fails with the same finding: fewer steps first, then fewer settings,
/// simpler triggers, faults and expectations. It only ever proposes what is legal, and nothing twice.
#[derive(Debug)]
pub struct Shrinker {
    ground: Ground,
    finding: String,
    best: Scenario,
    left: VecDeque<Scenario>,
    known: BTreeSet<String>,
    tries: usize,
}

/// Candidates that are tried at the most.
const MAX_TRIES: usize = 400;

impl Shrinker {
    /// Begins with a scenario that failed with the finding of that id.
    pub fn new(scenario: Scenario, finding: String, ground: Ground) -> Self {
        let mut this = Self {
            ground,
            finding,
            left: VecDeque::new(),
            known: BTreeSet::from([scenario.to_toml()]),
            best: scenario,
            tries: 0,
        };
        this.propose();
        this
    }

    /// The next candidate; `None` where nothing smaller is left to be tried.
    pub fn next_candidate(&mut self) -> Option<Scenario> {
        if self.tries >= MAX_TRIES {
            return None;
        }
        self.tries += 1;
        self.left.pop_front()
    }

    /// Takes in what came of a candidate.
    pub fn tried(&mut self, candidate: Scenario, trial: &Trial) {
        if matches!(trial, Trial::Failed(failure) if failure.id == self.finding) {
            self.best = candidate;
            self.propose();
        }
    }

    /// The smallest that failed so far.
    pub const fn best(&self) -> &Scenario {
        &self.best
    }

    /// How many candidates were proposed.
    pub const fn tries(&self) -> usize {
        self.tries
    }

    fn propose(&mut self) {
        self.left.clear();
        for mut candidate in simpler(&self.best, &self.ground) {
            candidate.messages = answered(&candidate.steps);
            candidate.destructive = candidate.consumer.takes_over();
            if law::check(&candidate, &self.ground).is_ok() && self.known.insert(candidate.to_toml()) {
                self.left.push_back(candidate);
            }
        }
    }
}

/// Scenarios that are a little simpler, the greatest gain first.
fn simpler(scenario: &Scenario, ground: &Ground) -> Vec<Scenario> {
    let mut all = Vec::new();
    let count = scenario.steps.len();
    let mut size = count / 2;
    while size > 0 {
        for start in (0..count).step_by(size) {
            let mut fewer = scenario.clone();
            fewer.steps.drain(start..(start + size).min(count));
            all.push(fewer);
        }
        size /= 2;
    }
    for consumer in simpler_settings(&scenario.consumer) {
        all.push(Scenario { consumer, ..scenario.clone() });
    }
    let shortest = if scenario.consumer.takes_over() { SHORT_IN_TAKEOVER } else { SHORT };
    for (index, step) in scenario.steps.iter().enumerate() {
        for simpler in simpler_steps(step, ground, shortest) {
            let mut with = scenario.clone();
            if let Some(place) = with.steps.get_mut(index) {
                *place = simpler;
            }
            all.push(with);
        }
    }
    if scenario.seed != Some(0) {
        all.push(Scenario { seed: Some(0), ..scenario.clone() });
    }
    all
}

/// All settings as they are where nobody says, then one after the other.
fn simpler_settings(settings: &ConsumerSettings) -> Vec<ConsumerSettings> {
    let resets: [fn(&mut ConsumerSettings); 16] = [
        |all| *all = ConsumerSettings::default(),
        |all| (all.stream_ids, all.sync_writes) = (None, None),
        |all| all.collections = None,
        |all| all.snappy = None,
        |all| all.sync_writes = None,
        |all| all.consumer_name = None,
        |all| all.expirations = None,
        |all| all.stream_end_on_close = None,
        |all| all.noop = None,
        |all| all.v7 = None,
        |all| all.flatbuffers = None,
        |all| all.window = None,
        |all| all.end_seqno = None,
        |all| all.stream_flags = None,
        |all| (all.stream_flags, all.vbuckets) = (None, None),
        |all| all.controls.clear(),
    ];
    let reset = |reset: fn(&mut ConsumerSettings)| {
        let mut simpler = settings.clone();
        reset(&mut simpler);
        simpler
    };
    let all = resets.into_iter().map(reset);
    let lower = settings.end_seqno.filter(|end| *end > 1).map(|end| end / 2);
    let lower = lower.map(|end| ConsumerSettings { end_seqno: Some(end), ..settings.clone() });
    all.chain(lower).filter(|simpler| simpler != settings).collect()
}

fn simpler_steps(step: &Step, ground: &Ground, shortest: Duration) -> Vec<Step> {
    let mut all = Vec::new();
    for index in 0..step.faults.len() {
        if step.faults.len() > 1 {
            let mut fewer = step.clone();
            fewer.faults.remove(index);
            all.push(fewer);
        }
    }
    if !step.expect.is_empty() {
        all.push(Step { expect: Vec::new(), ..step.clone() });
        for index in 0..step.expect.len() {
            let mut fewer = step.clone();
            fewer.expect.remove(index);
            all.push(fewer);
        }
    }
    for when in simpler_triggers(&step.when, ground) {
        all.push(Step { when, ..step.clone() });
    }
    for (index, fault) in step.faults.iter().enumerate() {
        for simpler in simpler_faults(fault, shortest) {
            let mut with = step.clone();
            if let Some(place) = with.faults.get_mut(index) {
                *place = simpler;
            }
            // Fewer responses need no count of each stream.
            if let FaultSpec::OrphanResponse(OrphanResponseSpec { count: 1, .. }) = with.faults[index] {
                with.when.per = Per::Connection;
            }
            all.push(with);
        }
    }
    all
}

fn simpler_triggers(when: &When, ground: &Ground) -> Vec<When> {
    let mut all = vec![
        When::default(),
        When { after: None, ..when.clone() },
        When { within: None, ..when.clone() },
        When { mid_transfer: None, ..when.clone() },
        When { filter: without_vbucket(when.filter.as_ref(), ground), ..when.clone() },
        When { nth: None, ..when.clone() },
    ];
    if let Some(nth) = when.nth {
        let fewer = [nth.get() / 2, nth.get() - 1].into_iter().filter_map(NonZeroU64::new);
        all.extend(fewer.map(|nth| When { nth: Some(nth), ..when.clone() }));
    }
    all.retain(|simpler| simpler != when);
    all
}

/// The same filter for messages of any vbucket.
fn without_vbucket(filter: Option<&Filter>, ground: &Ground) -> Option<Filter> {
    let filter = filter?;
    let of = |message: Opcode| {
        let mut vbuckets = ground.vbuckets.iter().map(move |&vbucket| law::at_message(message, Some(vbucket)));
        vbuckets.any(|known| known.as_ref() == Some(filter))
    };
    PROBED
        .into_iter()
        .find(|&message| of(message))
        .map_or_else(|| Some(filter.clone()), |message| law::at_message(message, None))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the other faults are not drawn")]
fn simpler_faults(fault: &FaultSpec, shortest: Duration) -> Vec<FaultSpec> {
    match fault {
        FaultSpec::CloseStream(close) => {
            let mut all = Vec::new();
            if close.status.is_some() || !close.messages.is_empty() {
                all.push(CloseStreamSpec { at: close.at, ..CloseStreamSpec::default() });
            }
            if close.status.is_some() {
                all.push(CloseStreamSpec { status: None, ..close.clone() });
            }
            if close.messages.len() > 1 {
                let alone = |&message: &Opcode| CloseStreamSpec { messages: vec![message], ..close.clone() };
                all.extend(close.messages.iter().map(alone));
            }
            all.into_iter().map(FaultSpec::CloseStream).collect()
        }
        FaultSpec::OrphanResponse(orphan) => {
            let mut counts = vec![1, orphan.count / 2, orphan.count.saturating_sub(1)];
            counts.retain(|&count| count > 0 && count < orphan.count);
            counts.dedup();
            let fewer = counts.into_iter().map(|count| OrphanResponseSpec { count, ..orphan.clone() });
            let half = orphan.body_size.map(|size| Size(size.0 / 2)).filter(|size| size.0 > 0);
            let shorter = [None, half].map(|body_size| OrphanResponseSpec { body_size, ..orphan.clone() });
            fewer.chain(shorter).filter(|simpler| simpler != orphan).map(FaultSpec::OrphanResponse).collect()
        }
        FaultSpec::WithholdAck(withheld) => {
            let lasts = withheld.lasts.map(|lasts| Span(lasts.0 / 2)).filter(|lasts| lasts.0 >= shortest);
            lasts
                .into_iter()
                .map(|lasts| WithholdAckSpec { lasts: Some(lasts), ..withheld.clone() })
                .map(FaultSpec::WithholdAck)
                .collect()
        }
        FaultSpec::Delay(delay) => {
            let mut all = vec![DelaySpec { jitter: None, ..delay.clone() }];
            all.extend((delay.by.0 >= shortest * 2).then(|| DelaySpec { by: Span(delay.by.0 / 2), ..delay.clone() }));
            all.into_iter().filter(|simpler| simpler != delay).map(FaultSpec::Delay).collect()
        }
        _ => Vec::new(),
    }
}

/// Shorter than this nothing is withheld or late.
const SHORT: Duration = Duration::from_millis(5);
/// The same in a takeover: no two trials have the same vbucket, so that what hangs by a few milliseconds does not fail again.
const SHORT_IN_TAKEOVER: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::era::Era;
    use crate::search::Failure;
    use crate::search::schedule;

    fn failed() -> Trial {
        let text = String::new;
        Trial::Failed(Failure { id: "x".to_owned(), expected: text(), actual: text() })
    }

    fn shrunk(scenario: Scenario, ground: &Ground, fails: impl Fn(&Scenario) -> bool) -> Scenario {
        let mut shrinker = Shrinker::new(scenario, "x".to_owned(), ground.clone());
        while let Some(candidate) = shrinker.next_candidate() {
            law::check(&candidate, ground).expect("only what is legal is proposed");
            let trial = if fails(&candidate) { failed() } else { Trial::Passed };
            shrinker.tried(candidate, &trial);
        }
        shrinker.best().clone()
    }

    fn answers_commit(scenario: &Scenario) -> bool {
        scenario.steps.iter().flat_map(|step| &step.faults).any(
            |fault| matches!(fault, FaultSpec::OrphanResponse(it) if it.message == Opcode::DCP_COMMIT && it.count >= 2),
        )
    }

    /// What matters stays, everything else goes.
    #[test]
    fn only_what_the_failure_needs_is_left() {
        let ground = Ground::new(Era::V7_0, vec![0, 1], 240);
        let all = (1..30_000).map(|number| schedule(9, number, &ground));
        let failing: Vec<_> = all
            // Some statuses are legal only without v7 codes.
            .filter(|it| it.steps.len() > 3 && it.consumer.v7.is_none() && answers_commit(it))
            .take(8)
            .collect();
        assert_eq!(failing.len(), 8);
        for scenario in failing {
            let least = shrunk(scenario.clone(), &ground, answers_commit);
            assert_eq!(least.steps.len(), 1, "{}\n{}", scenario.to_toml(), least.to_toml());
            assert_eq!(least.consumer, ConsumerSettings::default());
            assert_eq!((least.seed, &least.messages[..]), (Some(0), &[Opcode::DCP_COMMIT][..]));
            assert_eq!(least.steps[0].when.nth.map(NonZeroU64::get), Some(2));
            assert!(least.steps[0].when.after.is_none() && least.steps[0].expect.is_empty());
            assert_eq!(least.steps[0].when.filter, law::at_message(Opcode::DCP_COMMIT, None));
        }
    }

    #[test]
    fn what_fails_in_another_way_is_not_taken() {
        let ground = Ground::new(Era::V7_0, vec![0, 1], 240);
        let scenario = (1..).map(|number| schedule(9, number, &ground)).find(|it| it.steps.len() > 3).unwrap();
        let mut shrinker = Shrinker::new(scenario.clone(), "y".to_owned(), ground);
        while let Some(candidate) = shrinker.next_candidate() {
            shrinker.tried(candidate, &failed());
        }
        assert_eq!(shrinker.best(), &scenario);
        assert!(shrinker.tries() > 5);
    }
}
