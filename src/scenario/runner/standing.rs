//! Steps that come and go while the connection lives.

use std::time::Duration;

use super::DIALLED;
use super::Phase;
use super::Runner;
use super::lane::Lane;
use super::steps::Patience;
use super::steps::Steps;
use crate::Timestamp;
use crate::engine::Action;
use crate::engine::Actions;
use crate::engine::Sessions;
use crate::fault::Spec;
use crate::journal::Act;
use crate::journal::Side;
use crate::scenario::Course;

/// How long what is armed anew waits for whoever has told all to settle to read what came of it.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// What is wanted of a runner from outside.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// The courses that are to be armed, where that has changed.
    news: Option<Vec<Course>>,
    /// Whether a course was ever armed.
    pub(super) ever: bool,
    /// Whether all has settled since the runner was told to, and until when the verdict on that is waited for.
    unread: Option<Timestamp>,
    /// Whether an end has closed: nothing more is begun.
    pub(super) closed: bool,
    next_id: u64,
}

impl Wanted {
    /// When something is to be looked at again.
    pub(super) const fn wakeup(&self) -> Option<Timestamp> {
        match &self.news {
            Some(_) => self.unread,
            None => None,
        }
    }

    /// Whether there is news.
    pub(super) const fn has_news(&self) -> bool {
        self.news.is_some()
    }
}

impl Runner {
    /// What is to be armed on the connection from the next event on, besides the steps of the plan: all of it. A course that
    /// is not there any more is called off: what it had begun is brought to an end that both ends can live on. One that is
    /// new is begun, and waits for as long as it takes; while all is told to settle, and until the verdict was read
    /// ([`Self::read`]), it waits to begin.
    pub fn wanted(&mut self, courses: Vec<Course>) {
        self.wanted.news = Some(courses);
        self.rest = None;
    }

    /// The verdict on what has settled was read. Whether something waits for that.
    pub const fn read(&mut self) -> bool {
        let settled = matches!(self.phase, Phase::Settled);
        if settled {
            self.wanted.unread = None;
        }
        settled && self.wanted.news.is_some()
    }

    /// Whether nothing is armed, nor ever was: it then looks at nothing.
    pub(super) fn is_dormant(&self) -> bool {
        !self.plan.is_armed() && !self.wanted.ever && !self.wanted.has_news()
    }

    /// Whether something is armed that waits until it is told that no more is wanted of it.
    pub(super) fn stands(&self) -> bool {
        self.lanes.iter().any(|lane| lane.course.is_some() && !lane.over)
    }

    /// It was told to settle, and has.
    pub(super) fn told_settled(&mut self, now: Timestamp) {
        if self.wanted.ever {
            self.wanted.unread = Some(now + READ_WITHIN);
        }
    }

    /// Takes up what is armed anew, and calls off what is armed no more.
    pub(super) fn heed(&mut self, sessions: &Sessions, now: Timestamp, actions: &mut Actions) {
        let Some(wanted) = self.wanted.news.take() else { return };
        let is = |lane: &Lane, course: &Course| {
            lane.course.as_ref().is_some_and(|(name, number)| *name == course.name && *number == course.number)
        };
        let gone = |lane: &Lane| lane.course.is_some() && !wanted.iter().any(|course| is(lane, course));
        let (off, on) = std::mem::take(&mut self.lanes).into_iter().partition(gone);
        self.lanes = on;
        for lane in off {
            self.call_off(lane, sessions, now, actions);
        }
        let new = |course: &&Course| !self.lanes.iter().any(|lane| is(lane, course));
        let new: Vec<Course> = wanted.iter().filter(new).cloned().collect();
        if new.is_empty() {
            return;
        }
        let is_settling = matches!(self.phase, Phase::Settling { .. }) || self.ending && !self.is_over();
        if is_settling || self.wanted.unread.is_some_and(|until| now < until) {
            self.wanted.news = Some(wanted);
            return;
        }
        for course in new {
            self.arm(course, sessions, now, actions);
        }
    }

    const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Settled)
    }

    fn arm(&mut self, course: Course, sessions: &Sessions, now: Timestamp, actions: &mut Actions) {
        if !std::mem::replace(&mut self.wanted.ever, true) && !self.plan.is_armed() {
            self.arrive(sessions);
        }
        let orphans = course.steps.iter().flat_map(|step| &step.faults).any(Spec::makes_orphans);
        let messages = course.messages.iter().copied().collect();
        let act = Act::Armed { course: course.name.clone(), orphans, fatal_too: self.plan.fatal_too, messages };
        actions.push(Action::Note { edge: DIALLED, act });
        if let Some(settle) = course.settle.filter(|settle| *settle > self.plan.settle) {
            self.plan.settle = settle;
            self.kit.tools.settle = settle;
        }
        self.kit.wanted.extend(&course.messages);
        let known = &self.expected;
        let new: Vec<_> = course.expected.into_iter().filter(|expected| !known.contains(expected)).collect();
        self.expected.extend(new);
        let patience = if course.beside { Patience::Beside } else { Patience::Endless };
        let seed = course.seed.unwrap_or_else(|| seed_of(self.plan.seed, &course.name, course.beside));
        let mut steps = Steps::of(&course.steps, seed, self.connection, course.side, patience);
        steps.begin(now);
        self.wanted.next_id += 1;
        let id = self.wanted.next_id;
        let mut lane = Lane { id, course: Some((course.name, course.number)), steps, over: false };
        if self.wanted.closed {
            lane.steps.end(now, actions);
            lane.over = true;
        } else if self.is_over() {
            self.ending = false;
            self.wanted.unread = None;
            let is_open = sessions.at(DIALLED).open().is_some_and(|open| open.accepted);
            self.phase = if is_open && self.has_era { Phase::Armed } else { Phase::Opening };
        }
        self.lanes.push(lane);
    }

    /// It comes to a connection that has been open for long: what it says must not be taken for what others say.
    fn arrive(&mut self, sessions: &Sessions) {
        let ends = [Side::Dialler, Side::Upstream];
        let asked = ends.iter().flat_map(|&edge| ends.map(|by| sessions.at(edge).outstanding().of(by))).flatten();
        let streams = ends.iter().flat_map(|&edge| sessions.at(edge).streams().iter());
        let gone = ends.iter().flat_map(|&edge| sessions.at(edge).streams().gone());
        let used = asked.map(|asked| asked.opaque).chain(streams.map(|stream| stream.opaque));
        self.kit.tools.avoid_all(used.chain(gone.map(|gone| gone.opaque)));
    }

    fn call_off(&mut self, mut lane: Lane, sessions: &Sessions, now: Timestamp, actions: &mut Actions) {
        if !lane.over {
            lane.steps.end(now, actions);
        }
        let mut scene = self.kit.scene(sessions, now, actions);
        let under_way: &mut Vec<_> = match &mut self.phase {
            Phase::Acting(faults) => faults,
            Phase::Opening | Phase::Asking(..) | Phase::Armed | Phase::Settling { .. } | Phase::Settled => {
                &mut Vec::new()
            }
        };
        for begun in under_way.iter_mut().chain(&mut self.lingering).filter(|begun| begun.lane == lane.id) {
            begun.fault.call_off(&mut scene);
        }
        under_way.retain(|begun| !begun.fault.is_done());
        self.lingering.retain(|begun| !begun.fault.is_done());
    }
}

/// Each toxic has chance of its own; a scenario that is armed draws as it does from the start.
fn seed_of(seed: u64, name: &str, beside: bool) -> u64 {
    let fold = |seed: u64, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    if beside { name.bytes().fold(seed, fold) } else { seed }
}
