use std::time::Duration;

use super::super::After;
use super::super::Per;
use super::super::Plan;
use super::super::Step;
use super::DIALLED;
use super::trigger::Trigger;
use crate::Timestamp;
use crate::engine::Action;
use crate::engine::Actions;
use crate::fault::CloseAt;
use crate::fault::FaultSpec;
use crate::journal::Act;

/// The steps of a plan: of those in order, one is next; those that have fired and may fire again, and those that wait from
/// the start, are armed beside it.
#[derive(Debug)]
pub(super) struct Steps {
    steps: Vec<Armed>,
    next: usize,
    /// Since when the next one may be armed: the one before has fired, or was gone by.
    since: Option<Timestamp>,
}

/// A step, and what has become of it.
#[derive(Debug)]
pub(super) struct Armed {
    pub(super) step: Step,
    pub(super) trigger: Trigger,
    pub(super) fired_at: Option<Timestamp>,
    /// Whether it waits no more.
    over: bool,
}

impl Armed {
    fn is_from_start(&self) -> bool {
        self.step.when.after == Some(After::Start)
    }

    /// Whether it is to fire so often, and the next step waits for that.
    fn is_counted(&self) -> bool {
        self.step.when.times.is_some() && self.step.when.per == Per::Connection
    }

    /// Whether it fires at whatever comes, once its time is there.
    pub(super) fn is_bare(&self) -> bool {
        self.step.when.is_plain() && !self.step.is_mid_transfer()
    }
}

impl Steps {
    pub(super) fn of(plan: &Plan, connection: u64) -> Self {
        let mut dice = fastrand::Rng::with_seed(plan.seed);
        let mut dice = fastrand::Rng::with_seed(dice.u64(..).wrapping_add(connection));
        let steps = plan.scenarios.iter().flat_map(|scenario| &scenario.steps);
        let steps = steps.map(|step| Armed {
            trigger: Trigger::new(step.when.clone(), fastrand::Rng::with_seed(dice.u64(..))),
            step: step.clone(),
            fired_at: None,
            over: false,
        });
        let mut steps = Self { steps: steps.collect(), next: 0, since: None };
        steps.pass_by();
        steps
    }

    /// Steps that wait from the start are not waited for in order.
    fn pass_by(&mut self) {
        while self.steps.get(self.next).is_some_and(Armed::is_from_start) {
            self.next += 1;
        }
    }

    /// From now on the first may be armed.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.since.get_or_insert(now);
    }

    pub(super) fn next(&self) -> Option<&Step> {
        self.steps.get(self.next).map(|armed| &armed.step)
    }

    pub(super) fn get(&self, index: usize) -> Option<&Armed> {
        self.steps.get(index)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Armed> {
        self.steps.get_mut(index)
    }

    /// Whether the next one is a cut: it is repeated, on whatever stream brings what is wanted; all else is done as often
    /// as its trigger says.
    pub(super) fn cuts(&self) -> bool {
        self.next().is_some_and(is_cut)
    }

    /// When the next one's time has come; `None` where another step has to fire before.
    pub(super) fn armed_at(&self) -> Option<Timestamp> {
        let since = self.since?;
        match &self.next()?.when.after {
            None | Some(After::Start) => Some(since),
            Some(After::Span(span)) => Some(since + span.0),
            Some(After::Step(name)) => {
                let fired = self.steps.iter().find(|armed| armed.step.name == *name)?.fired_at?;
                Some(fired.max(since))
            }
        }
    }

    /// The steps whose triggers are asked now; the next one among them where `in_order`.
    pub(super) fn armed(&self, in_order: bool, now: Timestamp) -> Vec<usize> {
        let next = self.next;
        let due = in_order && self.armed_at().is_some_and(|at| at <= now);
        let armed = self.steps.iter().enumerate().filter(|&(index, armed)| {
            let again = index < next && armed.fired_at.is_some() && !is_cut(&armed.step);
            !armed.over && !armed.trigger.is_spent() && ((index == next && due) || armed.is_from_start() || again)
        });
        armed.map(|(index, _)| index).collect()
    }

    /// Whether a step from the start has yet to fire.
    pub(super) fn awaits_early(&self) -> bool {
        self.steps.iter().any(|armed| armed.is_from_start() && !armed.over && armed.fired_at.is_none())
    }

    /// A step has fired; one of those in order that is done is then gone by.
    pub(super) fn fired(&mut self, index: usize, now: Timestamp, actions: &mut Actions) {
        if let Some(armed) = self.steps.get_mut(index) {
            armed.fired_at.get_or_insert(now);
        }
        let goes_on =
            self.cuts() || self.get(index).is_some_and(|armed| armed.is_counted() && !armed.trigger.is_spent());
        if index == self.next && !goes_on {
            self.skip(now, actions);
        }
    }

    /// The next one is gone by; that it found no place to fire is told.
    pub(super) fn skip(&mut self, now: Timestamp, actions: &mut Actions) {
        if let Some(armed) = self.steps.get_mut(self.next)
            && armed.fired_at.is_none()
        {
            armed.over = true;
            actions.push(never_fired(&armed.step));
        }
        self.next += 1;
        self.since = Some(now);
        self.pass_by();
    }

    /// Steps from the start that have waited long enough are gone by.
    pub(super) fn expire(&mut self, started: Timestamp, patience: Duration, now: Timestamp, actions: &mut Actions) {
        for armed in &mut self.steps {
            let within = armed.step.when.within.map_or(patience, |within| within.0);
            if armed.is_from_start() && !armed.over && armed.fired_at.is_none() && now.since(started) > within {
                armed.over = true;
                actions.push(never_fired(&armed.step));
            }
        }
    }

    /// No step is waited for any more.
    pub(super) fn skip_all(&mut self, now: Timestamp, actions: &mut Actions) {
        while self.next().is_some() {
            self.skip(now, actions);
        }
        for armed in &mut self.steps {
            if armed.fired_at.is_none() && !std::mem::replace(&mut armed.over, true) {
                actions.push(never_fired(&armed.step));
            }
        }
    }
}

fn never_fired(step: &Step) -> Action {
    Action::Note { edge: DIALLED, act: Act::NeverFired { step: step.name.clone() } }
}

/// Whether a step closes streams at `cut` until each wanted type has been met.
pub(super) fn is_cut(step: &Step) -> bool {
    let alone = matches!(&step.faults[..], [FaultSpec::CloseStream(spec)] if spec.at == CloseAt::Cut);
    alone && step.when.is_plain() && step.when.times.is_none() && step.when.probability.is_none()
}
