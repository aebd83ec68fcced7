use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::time::Duration;

use super::Case;
use super::Consumer;
use super::Ending;
use super::Errand;
use super::NoSuchCase;
use super::Outcome;
use super::Sign;
use super::Survey;
use super::case;
use super::errand::Access;
use super::reference;
use super::reference::Difference;
use super::reference::Later;
use super::reference::Range;
use super::reference::Reference;
use super::settings;
use crate::Timestamp;
use crate::engine::Engine;
use crate::engine::Interceptor;
use crate::era;
use crate::era::Era;
use crate::journal::Side;
use crate::node::consumer::Client;
use crate::node::consumer::ClientConfig;
use crate::node::consumer::Phase;
use crate::node::consumer::Pulled;
use crate::report;
use crate::report::Report;
use crate::scenario;
use crate::scenario::ConsumerSettings;
use crate::scenario::Plan;
use crate::scenario::Runner;
use crate::scenario::Scenario;
use crate::scenario::judge::Judge;
use crate::scenario::judge::Terms;
use crate::scenario::judge::not_enough;
use crate::stage::Stage;
use crate::verdict;
use crate::verdict::Finding;
use crate::verdict::Verdict;
use crate::wire::Opcode;
use crate::wire::Status;

/// What a producer is to be put through.
#[derive(Clone, Debug)]
pub struct Options {
    /// How to get in.
    pub access: Access,
    /// The era to judge by; `None` to find it out.
    pub era: Option<Era>,
    /// The messages whose orphaned responses are tried.
    pub messages: Vec<Opcode>,
    /// The statuses that they are answered with.
    pub statuses: Vec<Status>,
    /// The scenarios that are run.
    pub scenarios: Vec<Scenario>,
    /// Patterns of the ids of those cases that are wanted; all where there are none.
    pub select: Vec<String>,
    /// The vbuckets that are streamed; `None` for the four that have the most.
    pub vbuckets: Option<Vec<u16>>,
    /// How long the producer is watched after the last orphaned response.
    pub settle: Duration,
    /// Chooses where streams are closed.
    pub seed: u64,
    /// Whose faults decide, where a scenario is not to say.
    pub judge: Option<verdict::Judge>,
    /// Whether traffic is made, so that messages which have not come yet may still come.
    pub workload: bool,
    /// Makes the names and nonces of this run other than those of every other.
    pub salt: u64,
}

/// The vbuckets that are streamed where nobody says which.
const VBUCKETS: usize = 4;
/// What a case may take besides settling, before it is given up.
const CASE_LIMIT: Duration = Duration::from_secs(30);
/// What the reference stream may take.
const REFERENCE_LIMIT: Duration = Duration::from_secs(60);

/// What is known of a case whose connection is over.
#[derive(Debug)]
struct Done {
    case: Option<Case>,
    connection: report::Connection,
    /// How what came differs from the reference; outer `None` where it is not compared.
    differences: Option<Option<Vec<Difference>>>,
    /// What came behind the range.
    later: Later,
}

/// A run of `probe`: what is to be done on each connection, and what came of it.
#[derive(Debug)]
pub struct Probe {
    options: Options,
    left: VecDeque<Case>,
    era: Era,
    reason: String,
    version: Option<String>,
    range: Range,
    /// The range of the last reference.
    last: Option<Range>,
    reference: Option<Reference>,
    again: Option<Reference>,
    /// Messages that were in the range, and those that the producer can send at all.
    came: BTreeSet<Opcode>,
    applicable: BTreeSet<Opcode>,
    done: Vec<Done>,
    outcomes: Vec<Outcome>,
    never_came: BTreeSet<Opcode>,
    errors: Vec<String>,
    connections: u64,
}

impl Probe {
    /// A run with these options.
    ///
    /// # Errors
    /// A pattern that selects nothing.
    pub fn new(options: Options) -> Result<Self, NoSuchCase> {
        let all = Case::all(&options.messages, &options.statuses, options.scenarios.clone());
        let mut left = case::select(all, &options.select)?;
        // What costs the producer something comes after what it would be missed in.
        left.sort_by_key(Case::is_destructive);
        Ok(Self {
            options,
            left: left.into(),
            era: Era::V2019_07,
            reason: String::new(),
            version: None,
            range: Range::default(),
            last: None,
            reference: None,
            again: None,
            came: BTreeSet::new(),
            applicable: BTreeSet::new(),
            done: Vec::new(),
            outcomes: Vec::new(),
            never_came: BTreeSet::new(),
            errors: Vec::new(),
            connections: 0,
        })
    }

    /// How many cases are still to be run.
    pub fn left(&self) -> usize {
        self.left.len()
    }

    /// The first connection: it asks what the producer is, and what it has.
    pub fn survey(&mut self, now: Timestamp) -> Errand<Survey> {
        let nonce = self.nonce();
        Errand::new(self.options.access.clone(), nonce, Survey::default(), now)
    }

    /// The vbuckets to be streamed, of those that the survey found.
    ///
    /// # Errors
    /// There are none, or one that is asked for is not there.
    pub fn choose(&self, survey: &Survey) -> Result<Vec<u16>, String> {
        if let Some(status) = survey.refused {
            return Err(format!("expected the seqnos of the active vbuckets, found {status}"));
        }
        match &self.options.vbuckets {
            Some(wanted) => {
                let missing = wanted.iter().find(|&&it| !survey.seqnos.iter().any(|entry| entry.vbucket == it));
                match missing {
                    Some(vbucket) => Err(format!(
                        "expected vbucket {vbucket} to be active at this node, found {} others that are",
                        survey.seqnos.len()
                    )),
                    None => Ok(wanted.clone()),
                }
            }
            None if survey.seqnos.is_empty() => Err("expected active vbuckets at this node, found none".to_owned()),
            None => {
                let mut most = survey.seqnos.clone();
                most.sort_by_key(|entry| (std::cmp::Reverse(entry.seqno), entry.vbucket));
                let mut chosen: Vec<u16> = most.iter().take(VBUCKETS).map(|entry| entry.vbucket).collect();
                chosen.sort_unstable();
                Ok(chosen)
            }
        }
    }

    /// Takes in what the last survey found: the last reference goes up to the seqnos of now, and leaves out vbuckets that a case has cost
    /// the producer.
    pub fn extend(&mut self, survey: &Survey) {
        let high = |vbucket: u16| survey.seqnos.iter().find(|entry| entry.vbucket == vbucket).map(|it| it.seqno);
        self.last = Some(self.range.extended_to(high));
    }

    /// Takes in what a survey found: what is up to the highest seqnos of now is compared. `start` is the lowest seqno that is
    /// of interest, by vbucket, where that is not the first.
    ///
    /// # Errors
    /// As those of [`Self::choose`].
    pub fn take_survey(&mut self, survey: &Survey, start: &BTreeMap<u16, u64>) -> Result<(), String> {
        let vbuckets = self.choose(survey)?;
        let high = |vbucket: u16| survey.seqnos.iter().find(|entry| entry.vbucket == vbucket).map_or(0, |it| it.seqno);
        let highs = vbuckets.into_iter().map(|vbucket| (vbucket, high(vbucket))).collect();
        self.version.clone_from(&survey.version);
        self.range = Range::up_to(&highs).not_before(start);
        Ok(())
    }

    /// The second connection, if the era is to be found: a consumer that asks for everything that tells releases apart.
    pub fn era_client(&mut self, now: Timestamp) -> Option<Pulled> {
        if let Some(era) = self.options.era {
            self.era = era;
            "asked for with --era".clone_into(&mut self.reason);
            return None;
        }
        let mut config = ClientConfig { deleted_user_xattrs: false, v7: true, ..self.config(Era::V7_0) };
        config.vbuckets.clear();
        config.more_controls.push(("enable_synchronous_replication".to_owned(), "true".to_owned()));
        config.more_controls.push(("include_deleted_user_xattrs".to_owned(), "true".to_owned()));
        Some(Pulled::new(Client::new(config, now)))
    }

    /// Takes in what the producer agreed to.
    ///
    /// # Errors
    /// The connection could not be set up.
    pub fn take_era(&mut self, client: &Client) -> Result<(), String> {
        if client.phase() != Phase::Done {
            return Err(why_not(client));
        }
        let mut evidence = era::Evidence::default();
        evidence.version.clone_from(&self.version);
        for key in TELLING {
            if let Some(accepted) = client.accepted(key) {
                evidence.control(key, "true", accepted);
            }
        }
        (self.era, self.reason) = era::detect(&evidence);
        Ok(())
    }

    /// The era that is judged by, and how it was found.
    pub fn era(&self) -> (Era, &str) {
        (self.era, &self.reason)
    }

    /// The connection that nothing is done to, between these two addresses.
    pub fn reference(&mut self, from: &str, to: &str, now: Timestamp) -> Stage<Consumer> {
        let terms = self.plan().terms(self.judge());
        let range = self.last.as_ref().unwrap_or(&self.range).clone();
        let config = ClientConfig { vbuckets: range.vbuckets().collect(), ..self.config(self.era) };
        self.stage(None, terms, (config, range), (from, to), REFERENCE_LIMIT, now)
    }

    /// Takes in what came on the untouched connection.
    ///
    /// # Errors
    /// It did not bring all of the range.
    pub fn take_reference(&mut self, mut stage: Stage<Consumer>) -> Result<(), String> {
        let (_, sessions) = stage.engine().observed();
        let session = sessions.at(Side::Upstream);
        self.applicable = case::PROBED.into_iter().filter(|&message| scenario::can_come(session, message)).collect();
        let done = self.judged(None, &mut stage);
        let consumer = stage.into_player();
        let client = consumer.client();
        let reference = Reference::of(client.ledger(), self.last.as_ref().unwrap_or(&self.range));
        match (consumer.ending(), reference) {
            (Some(Ending::Complete), Some(reference)) => {
                self.came = case::PROBED.into_iter().filter(|&it| client.ledger().count(it) > 0).collect();
                if !reference.is_empty() {
                    self.came.extend([Opcode::DCP_STREAM_END, Opcode::DCP_SNAPSHOT_MARKER]);
                }
                if self.reference.is_none() {
                    self.reference = Some(reference);
                } else {
                    self.again = Some(reference);
                }
                self.done.push(done);
                Ok(())
            }
            (Some(Ending::Closed) | None, _) => Err(why_not(client)),
            (Some(_), _) => Err(format!(
                "expected the streams of an untouched connection to come to the seqnos of the start, found them stopped \
                 before: {}",
                told(client.ledger())
            )),
        }
    }

    /// The next case that needs a connection. What cannot be tried is taken note of on the way.
    pub fn next_case(&mut self) -> Option<Case> {
        while let Some(case) = self.left.pop_front() {
            let message = match &case {
                Case::Orphan { message, .. } => *message,
                Case::Scenario(scenario) if scenario.is_for(self.era) => return Some(case),
                Case::Scenario(_) => {
                    self.outcomes.push(Outcome::without_connection(case, Sign::NotApplicable, ""));
                    continue;
                }
            };
            if !self.applicable.contains(&message) {
                self.outcomes.push(Outcome::without_connection(case, Sign::NotApplicable, ""));
            } else if !self.came.contains(&message) && !self.options.workload {
                self.never_came.insert(message);
                let what = format!("never came: {message}");
                self.outcomes.push(Outcome::without_connection(case, Sign::Unknown, &what));
            } else {
                return Some(case);
            }
        }
        None
    }

    /// A case that was not begun after all: it is the next again.
    pub fn put_back(&mut self, case: Case) {
        self.left.push_front(case);
    }

    /// Begins a case on a connection that was just made between these two addresses.
    pub fn begin(&mut self, case: &Case, from: &str, to: &str, now: Timestamp) -> Stage<Consumer> {
        let scenario = case.scenario();
        let (messages, fatal_too) = match case {
            Case::Orphan { message, .. } => (BTreeSet::from([*message]), true),
            Case::Scenario(_) => {
                (self.options.messages.iter().copied().filter(|it| scenario::MESSAGES.contains(it)).collect(), false)
            }
        };
        let messages = match (case, scenario.messages.is_empty()) {
            (Case::Scenario(_), false) => scenario.messages.iter().copied().collect(),
            _ => messages,
        };
        let settings = scenario.consumer.clone();
        let judge = self.options.judge.or(scenario.judge).unwrap_or_default();
        let plan = Plan {
            messages,
            era: self.options.era.or(scenario.era).or(Some(self.era)),
            settle: scenario.settle.map_or(self.options.settle, |span| span.0),
            fatal_too,
            scenarios: vec![scenario],
            ..self.plan()
        };
        let (terms, limit) = (plan.terms(judge), plan.settle + CASE_LIMIT);
        let mut config = self.config(self.era);
        let range = self.settle_on(&settings, &mut config);
        let runner = Box::new(Runner::new(plan, self.connections)) as Box<dyn Interceptor>;
        self.stage(Some(runner), terms, (config, range), (from, to), limit, now)
    }

    /// Takes in a case whose connection is over.
    pub fn finished(&mut self, case: Case, mut stage: Stage<Consumer>) {
        let done = self.judged(Some(case), &mut stage);
        let consumer = stage.into_player();
        let stuck = consumer.ending() == Some(Ending::Stuck);
        let reference = self.reference.as_ref().filter(|_| consumer.compares());
        let differences = reference.map(|reference| reference.differences(consumer.client().ledger(), stuck));
        let later = if consumer.compares() { self.range.behind(consumer.client().ledger()) } else { Later::default() };
        self.done.push(Done { differences, later, ..done });
    }

    /// A case for which no connection could be had, or whose task crashed.
    pub fn failed(&mut self, case: Case, error: &str) {
        let what = format!("it was not run: {error}");
        self.outcomes.push(Outcome::without_connection(case, Sign::Unknown, &what));
        if !self.errors.iter().any(|told| told == error) {
            self.errors.push(error.to_owned());
        }
    }

    /// What went wrong with the run as a whole.
    pub fn error(&mut self, error: String) {
        self.errors.push(error);
    }

    /// Whether a last reference is needed, as something came otherwise than in the first, or behind its range. A survey comes
    /// before it.
    pub fn needs_confirmation(&self) -> bool {
        let differs = |done: &Done| {
            let differences = done.differences.as_ref().is_some_and(|it| it.as_ref().is_some_and(|it| !it.is_empty()));
            differences || !done.later.is_empty()
        };
        self.again.is_none() && self.done.iter().any(differs)
    }

    /// What it all came to.
    pub fn finish(mut self) -> (Report, Vec<Outcome>) {
        let mut report = Report::new(self.judge());
        report.seed = Some(self.options.seed);
        for Done { case, mut connection, differences, later } in std::mem::take(&mut self.done) {
            if let (Some(differences), Some(reference)) = (differences, &self.reference) {
                let finding = reference::finding(reference, self.again.as_ref(), differences.as_deref(), &later);
                connection.add_finding(finding, self.judge(), Some(Side::Upstream), Timestamp::default());
            }
            if let Some(case) = case {
                if let Case::Scenario(scenario) = &case {
                    report.scenarios.push(scenario.name.clone());
                }
                self.outcomes.push(Outcome::of(case, &connection));
            }
            report.add_connection(connection);
        }
        report.connections.sort_by_key(|connection| connection.id);
        for finding in self.about_the_run() {
            report.add_finding(&finding);
        }
        report.errors = self.errors;
        (report, self.outcomes)
    }

    fn about_the_run(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.range.is_capped() {
            let size = self.reference.as_ref().map_or(0, Reference::len);
            findings.push(
                Finding::pass("range-compared", "the last seqnos of each vbucket are streamed and compared")
                    .actual(format!("{size} items; what is before them was not asked for")),
            );
        }
        let refused: Vec<String> = self.refused().iter().map(ToString::to_string).collect();
        if !refused.is_empty() {
            let told = format!("refused by the producer, so that they cannot come: {}", refused.join(", "));
            findings.push(Finding::pass("message-types", "messages that the producer has are tried").actual(told));
        }
        if !self.never_came.is_empty() {
            let names: Vec<String> = self.never_came.iter().map(ToString::to_string).collect();
            let hint = if self.options.workload { "" } else { " (--workload makes them)" };
            findings.push(not_enough(
                "an orphaned response to each wanted message type",
                &format!("never came: {}{hint}", names.join(", ")),
            ));
        }
        let not_run: Vec<String> = self.left.iter().map(ToString::to_string).collect();
        if let Some(first) = not_run.first() {
            let told = format!("{} were not run, from {first} on", not_run.len());
            findings.push(not_enough("all cases to be run", &told));
        }
        let tried = self.outcomes.iter().any(|it| !matches!(it.sign, Sign::NotApplicable | Sign::Unknown));
        if !tried && findings.iter().all(|finding| finding.verdict == Verdict::Pass) {
            findings.push(not_enough("a case that can be tried", "none could"));
        }
        findings
    }

    /// Messages of which cases were wanted, and that the producer cannot send.
    fn refused(&self) -> BTreeSet<Opcode> {
        let of = |outcome: &Outcome| match (&outcome.case, outcome.sign) {
            (Case::Orphan { message, .. }, Sign::NotApplicable) => Some(*message),
            _ => None,
        };
        self.outcomes.iter().filter_map(of).collect()
    }

    /// What the judge says of a connection that is over.
    fn judged(&self, case: Option<Case>, stage: &mut Stage<Consumer>) -> Done {
        let ending = stage.player().ending();
        let violation = stage.player().client().violations().last().map(|violation| violation.what.clone());
        let (judge, sessions) = stage.engine().observed();
        let judgement = judge.judgement(sessions.at(Side::Upstream));
        let mut connection = judgement.connection;
        connection.case = Some(case.as_ref().map_or_else(|| "reference".to_owned(), ToString::to_string));
        if connection.era.is_some() {
            connection.reason.clone_from(&self.reason);
        }
        let missing = match ending {
            _ if !judgement.has_producer => Some(violation.unwrap_or_else(|| "it was over before".to_owned())),
            Some(Ending::TimedOut) => Some("it did not settle in time".to_owned()),
            None => Some("the run was stopped".to_owned()),
            Some(Ending::Complete | Ending::Closed | Ending::Stuck) => None,
        };
        if let Some(missing) = missing {
            let finding = not_enough("a DCP connection on which the case is brought to its end", &missing);
            connection.add_finding(finding, self.judge(), None, Timestamp::default());
        }
        Done { case, connection, differences: None, later: Later::default() }
    }

    /// A connection on which nothing is done.
    fn plan(&self) -> Plan {
        Plan {
            scenarios: Vec::new(),
            messages: BTreeSet::new(),
            era: Some(self.era),
            settle: self.options.settle,
            fatal_too: false,
            seed: self.options.seed,
        }
    }

    fn judge(&self) -> verdict::Judge {
        self.options.judge.unwrap_or_default()
    }

    /// Makes a consumer ask for what a scenario needs. The range that is to come then: that of the reference, or none where
    /// other items are to be expected.
    fn settle_on(&self, settings: &ConsumerSettings, config: &mut ClientConfig) -> Range {
        let chosen: Vec<u16> = self.range.vbuckets().collect();
        // Numbers in a scenario are places: of a bucket spread over nodes any vbuckets may be here.
        let place = |vbucket: u16| chosen.get(usize::from(vbucket)).copied().unwrap_or(vbucket);
        let wanted = settings.vbuckets.as_ref().map(|wanted| wanted.iter().map(|&it| place(it)).collect());
        settings::apply(settings, wanted, config);
        if settings::keeps_items(settings) { self.range.clone() } else { Range::default() }
    }

    fn stage(
        &self,
        runner: Option<Box<dyn Interceptor>>,
        terms: Terms,
        (config, range): (ClientConfig, Range),
        (from, to): (&str, &str),
        limit: Duration,
        now: Timestamp,
    ) -> Stage<Consumer> {
        let acts = runner.is_some();
        let settle = terms.settle;
        let judge = Judge::new(terms, self.connections, from, to);
        let engine = Engine::new(runner, judge, self.options.seed);
        let client = Client::resume(config, range.start(), now);
        let consumer = Consumer::new(client, range, acts, limit, now);
        Stage::new(consumer, Side::Dialler, engine, settle, now)
    }

    /// A consumer of an era, for the next connection. A second connection of one name would end the first.
    fn config(&mut self, era: Era) -> ClientConfig {
        let nonce = self.nonce();
        let name = format!("dcproxy-probe-{:08x}-{}", self.options.salt & 0xffff_ffff, self.connections);
        ClientConfig {
            login: self.options.access.login.clone(),
            nonce: Some(nonce),
            bucket: self.options.access.bucket.clone(),
            consumer_name: Some(name.clone()),
            name,
            ..ClientConfig::new(era, self.range.vbuckets())
        }
    }

    fn nonce(&mut self) -> String {
        self.connections += 1;
        format!("dcproxy{:016x}{:08x}", self.options.salt, self.connections)
    }
}

/// Controls whose answers tell releases apart (era::Evidence).
const TELLING: [&str; 4] =
    ["enable_synchronous_replication", "enable_sync_writes", "include_deleted_user_xattrs", "v7_dcp_status_codes"];

/// Why a client could not be set up, or was left alone.
fn why_not(client: &Client) -> String {
    let what = client.violations().last().map_or("it was stopped", |violation| violation.what.as_str());
    match client.phase() {
        Phase::SettingUp | Phase::Failed => format!("the DCP connection came to nothing: {what}"),
        Phase::Streaming | Phase::Done => format!("the streams of an untouched connection came to nothing: {what}"),
    }
}

fn told(ledger: &crate::node::consumer::Ledger) -> String {
    ledger
        .iter()
        .map(|(vbucket, it)| format!("vbucket {vbucket} at {}", it.last_seqno()))
        .collect::<Vec<_>>()
        .join(", ")
}
