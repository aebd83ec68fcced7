use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use super::Books;
use super::Common;
use super::End;
use super::Expect;
use super::Fired;
use super::Moment;
use super::Outcome;
use super::Watch;
use super::name_of;
use crate::Timestamp;
use crate::engine::Sessions;
use crate::journal::Act;
use crate::journal::Direction;
use crate::journal::Entry;
use crate::journal::Origin;
use crate::journal::Role;
use crate::journal::Side;
use crate::journal::What;
use crate::scenario::Scenario;
use crate::session::Context;
use crate::session::Session;
use crate::session::StreamKey;
use crate::verdict::About;
use crate::verdict::Finding;
use crate::verdict::Verdict;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// What is expected after a step, and what its finding is called.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
pub struct Expected {
    /// The step.
    pub step: String,
    /// The finding's id: `scenario/step/expectation`, with a number where a step has several of a kind.
    pub id: String,
    /// What.
    pub expect: Expect,
}

impl Expected {
    /// All that scenarios expect, in their order.
    pub fn of<'a>(scenarios: impl IntoIterator<Item = &'a Scenario>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for scenario in scenarios {
            for step in &scenario.steps {
                for expect in &step.expect {
                    let id = format!("{}/{}/{}", scenario.name, step.name, expect.name());
                    let alike =
                        all.iter().filter(|other| other.id == id || other.id.starts_with(&format!("{id}-"))).count();
                    let id = if alike == 0 { id } else { format!("{id}-{}", alike + 1) };
                    all.push(Self { step: step.name.clone(), id, expect: expect.clone() });
                }
            }
        }
        all
    }

    /// How long is waited after the step has fired.
    pub fn within(&self, settle: Duration) -> Duration {
        self.expect.common().within.map_or(settle, |within| within.0)
    }
}

/// Firings of one step that are watched; of those beyond, nothing is expected.
const MOST_FIRINGS: usize = 16;
/// Requests of the tool's after one firing that an answer is awaited to.
pub(super) const MOST_REQUESTS: usize = 1024;

/// All that is expected on a connection, and what has come of it.
#[derive(Debug)]
pub(in crate::scenario) struct Cases {
    all: Vec<Case>,
    /// The last request that an end said: a step fires at it. Whose edge it is delivered at is the side.
    last: Option<(Side, Opcode, Opaque)>,
    now: Timestamp,
    /// How flow control stands at the producer's edge, and at the consumer's.
    books: [Books; 2],
}

const fn index(role: Role) -> usize {
    match role {
        Role::Producer => 0,
        Role::Consumer => 1,
    }
}

#[derive(Debug)]
struct Case {
    expected: Expected,
    common: Common,
    within: Duration,
    running: Vec<Running>,
}

/// One firing that is watched.
#[derive(Debug)]
struct Running {
    fired: Fired,
    watch: Box<dyn Watch>,
    /// How flow control stood when it fired, and how it stands within the time.
    before: Books,
    after: Books,
    /// When the end that it is about closed, within the time.
    closed: bool,
    /// When an end closed, so that nothing more is to be learnt.
    over_at: Option<Timestamp>,
}

impl Cases {
    pub(in crate::scenario) fn new(expected: &[Expected], settle: Duration) -> Self {
        let all = expected.iter().map(|expected| Case::new(expected, settle));
        Self { all: all.collect(), last: None, now: Timestamp::default(), books: [Books::default(); 2] }
    }

    /// Whether nothing was watched for any more when the latest entry came: of all that comes at another time only the latest
    /// is remembered.
    pub(in crate::scenario) fn is_at_rest(&self) -> bool {
        self.all.iter().all(|case| case.running.iter().all(|running| is_over(running, case.within, self.now)))
    }

    /// More is expected, in the middle of the connection. What was expected already goes on to be, with what came of it; what
    /// has its name and is another is expected instead.
    pub(in crate::scenario) fn expect(&mut self, expected: &[Expected], settle: Duration, sessions: &Sessions) {
        if self.all.is_empty() {
            for session in [Side::Dialler, Side::Upstream].map(|edge| sessions.at(edge)) {
                if let Some(role) = session.role(session.edge()) {
                    self.books[index(role)] = Books::of(session);
                }
            }
        }
        for expected in expected {
            match self.all.iter_mut().find(|case| case.expected.id == expected.id) {
                Some(case) if case.expected == *expected => {}
                Some(case) => *case = Case::new(expected, settle),
                None => self.all.push(Case::new(expected, settle)),
            }
        }
    }

    /// Whether a close of that end is what is waited for.
    pub(in crate::scenario) fn expects_close(&self) -> bool {
        self.all.iter().any(|case| {
            matches!(case.expected.expect, Expect::Disconnect(_)) && !case.common.not && !case.running.is_empty()
        })
    }

    pub(in crate::scenario) fn observe(&mut self, entry: &Entry, context: &Context, session: &Session) {
        if self.all.is_empty() {
            return;
        }
        self.now = entry.at;
        match &entry.what {
            What::Acted(Act::Fired { step, vbucket, stream_id, opaque, seqno, .. }) => {
                let stream = (StreamKey { vbucket: *vbucket, stream_id: *stream_id }, *opaque, *seqno);
                self.fired(step, Some(stream), entry.at);
            }
            What::Acted(Act::Triggered { step, stream }) => {
                let stream =
                    stream.map(|(vbucket, stream_id, opaque, seqno)| (StreamKey { vbucket, stream_id }, opaque, seqno));
                self.fired(step, stream, entry.at);
            }
            What::Frame(head) if head.header.is_request() => {
                let request = (entry.edge, head.header.opcode, head.header.opaque);
                match (entry.direction, entry.origin) {
                    (Direction::To, Origin::Tool) => self.asked(request),
                    (Direction::From, _) => {
                        self.last = Some((entry.edge.other(), head.header.opcode, head.header.opaque));
                    }
                    (Direction::To, Origin::Peer) => {}
                }
            }
            What::Frame(_) | What::FramingLost(_) | What::Gap(_) | What::Paused(_) | What::Acted(_) => {}
            What::Closed { .. } => {}
        }
        let role = session.role(entry.edge);
        if let Some(role) = role {
            self.books[index(role)] = Books::of(session);
        }
        for case in &mut self.all {
            if role != Some(case.common.of) {
                continue;
            }
            for running in &mut case.running {
                if is_over(running, case.within, entry.at) {
                    continue;
                }
                running.after = Books::of(session);
                let moment = Moment { entry, context, session, fired: &running.fired };
                running.watch.observe(&moment);
                running.closed |= moment.closes();
            }
        }
        if matches!(entry.what, What::Closed { .. })
            && entry.direction == Direction::From
            && entry.origin == Origin::Peer
        {
            for running in self.all.iter_mut().flat_map(|case| &mut case.running) {
                running.over_at.get_or_insert(entry.at);
            }
        }
    }

    fn fired(&mut self, step: &str, stream: Option<(StreamKey, Opaque, u64)>, at: Timestamp) {
        let requests: Vec<_> = self.last.into_iter().collect();
        for case in self.all.iter_mut().filter(|case| case.expected.step == step) {
            let before = self.books[index(case.common.of)];
            if case.running.len() < MOST_FIRINGS {
                let fired = Fired { at, stream, requests: requests.clone() };
                let watch = case.expected.expect.watch();
                case.running.push(Running { fired, watch, before, after: before, closed: false, over_at: None });
            }
        }
    }

    fn asked(&mut self, request: (Side, Opcode, Opaque)) {
        for running in self.all.iter_mut().flat_map(|case| &mut case.running) {
            if running.fired.requests.len() < MOST_REQUESTS {
                running.fired.requests.push(request);
            }
        }
    }

    /// What came of each, `settled` where the run went on until its end.
    pub(in crate::scenario) fn findings(&self) -> impl Iterator<Item = Finding> {
        self.all.iter().map(|case| case.finding(self.now))
    }
}

/// Whether nothing that comes at that time says anything of it.
fn is_over(running: &Running, within: Duration, at: Timestamp) -> bool {
    running.closed || at.since(running.fired.at) > within
}

impl Case {
    fn new(expected: &Expected, settle: Duration) -> Self {
        Self {
            common: expected.expect.common(),
            within: expected.within(settle),
            expected: expected.clone(),
            running: Vec::new(),
        }
    }

    fn finding(&self, now: Timestamp) -> Finding {
        let demand = self.expected.expect.demand();
        let not = if self.common.not { "not: " } else { "" };
        let requirement = self.common.because.clone().unwrap_or_else(|| format!("{not}{demand}"));
        let about = match self.common.of {
            Role::Producer => About::PRODUCER,
            Role::Consumer => About::CONSUMER,
        };
        let finding = |verdict, actual: String, fired: Option<&Fired>| {
            let finding = Finding::new(self.expected.id.clone(), requirement.clone(), verdict)
                .about(about)
                .expected(format!("{not}{demand}, within {} ms", self.within.as_millis()))
                .actual(actual);
            let Some(fired) = fired else { return finding };
            let finding = finding.at(fired.at);
            match fired.stream {
                Some((key, _, seqno)) => finding.vbucket(key.vbucket).seqno(seqno),
                None => finding,
            }
        };
        let mut worst: Option<(u8, Verdict, String, &Fired)> = None;
        for running in &self.running {
            let until = running.over_at.map_or(now, |over| over.min(now));
            let end = End {
                complete: until.since(running.fired.at) >= self.within,
                closed: running.closed,
                within: self.within,
                before: running.before,
                now: running.after,
            };
            let (verdict, actual) = match (running.watch.outcome(&end), self.common.not) {
                (Outcome::Yes(actual), false) | (Outcome::No(actual), true) => (Verdict::Pass, actual),
                (Outcome::No(actual), false) | (Outcome::Yes(actual), true) => (Verdict::Fail, actual),
                (Outcome::Unknown(actual), _) => (Verdict::Inconclusive, actual),
            };
            // A later firing that was not watched to its end says nothing where another was; what was watched to its end, and
            // is unknown all the same, is no pass (law L7).
            let weight = match verdict {
                Verdict::Inconclusive if !end.complete && !end.closed => 0,
                Verdict::Pass => 1,
                Verdict::Inconclusive => 2,
                Verdict::Fail => 3,
            };
            if worst.as_ref().is_none_or(|(before, ..)| *before < weight) {
                worst = Some((weight, verdict, actual, &running.fired));
            }
        }
        match worst {
            Some((_, verdict, actual, fired)) => finding(verdict, actual, Some(fired)),
            None => {
                let who = name_of(self.common.of);
                finding(Verdict::Inconclusive, format!("the step never fired; nothing was expected of {who}"), None)
            }
        }
    }
}
