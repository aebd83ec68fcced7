use std::time::Duration;

use super::super::After;
use super::super::Per;
use super::super::Step;
use super::DIALLED;
use super::trigger::Trigger;
use crate::Timestamp;
use crate::engine::Action;
use crate::engine::Actions;
use crate::fault::CloseAt;
use crate::fault::FaultSpec;
use crate::fault::Spec;
use crate::journal::Act;
use crate::journal::Side;

/// The steps of a plan: of those in order, one is next; those that have fired and may fire again, and those that wait from
/// the start, are armed beside it.
#[derive(Debug)]
pub(super) struct Steps {
    steps: Vec<Armed>,
    next: usize,
    /// Since when the next one may be armed: the one before has fired, or was gone by.
    since: Option<Timestamp>,
    patience: Patience,
}

/// How steps wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Patience {
    /// So long at the most, where they do not say how long themselves; with those from the start counted from the first frame.
    Limited(Duration),
    /// As long as they are armed, where they do not say how long. Those that are done to a stream act one after another.
    Endless,
    /// So too; and beside all else that goes on, once DCP is open, where they leave streams alone.
    Beside,
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
    fn wants_stream(&self) -> bool {
        self.step.faults.iter().any(Spec::wants_stream)
    }

    fn is_from_start(&self) -> bool {
        self.step.when.after == Some(After::Start)
    }

    /// Whether it is one from the start that has yet to fire.
    fn waits_from_start(&self) -> bool {
        self.is_from_start() && !self.over && self.fired_at.is_none()
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
    /// Steps on the connection of that number; `side` is whose frames count where they do not say.
    pub(super) fn of<'a>(
        steps: impl IntoIterator<Item = &'a Step>,
        seed: u64,
        connection: u64,
        side: Option<Side>,
        patience: Patience,
    ) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut dice = fastrand::Rng::with_seed(dice.u64(..).wrapping_add(connection));
        let steps = steps.into_iter().map(|step| Armed {
            trigger: Trigger::new(step.when.clone(), fastrand::Rng::with_seed(dice.u64(..))).on(side),
            step: step.clone(),
            fired_at: None,
            over: false,
        });
        let mut steps = Self { steps: steps.collect(), next: 0, since: None, patience };
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

    /// The steps whose triggers are asked now; the next one among them where `in_order`, and those that go beside all else
    /// where DCP is `open`.
    pub(super) fn armed(&self, in_order: bool, open: bool, now: Timestamp) -> impl Iterator<Item = usize> {
        let next = self.next;
        let due = self.armed_at().is_some_and(|at| at <= now);
        let armed = self.steps.iter().enumerate().filter(move |&(index, armed)| {
            let again = index < next && armed.fired_at.is_some() && !is_cut(&armed.step);
            let one_by_one = self.patience.is_endless() && armed.wants_stream();
            let beside = self.patience == Patience::Beside && open && !armed.wants_stream();
            let asked = (index == next && due && (in_order || beside))
                || ((armed.is_from_start() || again) && (in_order || !one_by_one));
            !armed.over && !armed.trigger.is_spent() && asked
        });
        armed.map(|(index, _)| index)
    }

    /// Whether a step from the start has yet to fire.
    fn awaits_early(&self) -> bool {
        self.steps.iter().any(Armed::waits_from_start)
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

    /// Steps from the start that have waited long enough are gone by; the connection has `started` then.
    pub(super) fn expire(&mut self, started: Timestamp, now: Timestamp, actions: &mut Actions) {
        let (patience, since) = (self.patience, self.waits_since(started, now));
        for armed in self.steps.iter_mut().filter(|armed| armed.waits_from_start()) {
            if patience.of(&armed.step).is_some_and(|within| now.since(since) > within) {
                armed.over = true;
                actions.push(never_fired(&armed.step));
            }
        }
    }

    /// When the first of these steps has waited long enough: till then, and at that time, [`Self::expire`] does nothing.
    pub(super) fn expires_at(&self, started: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let waiting = self.steps.iter().filter(|armed| armed.waits_from_start());
        let within = waiting.filter_map(|armed| self.patience.of(&armed.step)).min()?;
        Some(self.waits_since(started, now) + within)
    }

    /// Since when steps from the start have waited.
    fn waits_since(&self, started: Timestamp, now: Timestamp) -> Timestamp {
        if self.patience.is_endless() { self.since.unwrap_or(now) } else { started }
    }

    /// When the next one has waited long enough for its trigger, since it was armed, or else since `idle_since`: for a place
    /// in a transfer, since something came last.
    pub(super) fn bored_at(&self, idle_since: Option<Timestamp>) -> Option<Timestamp> {
        let step = self.next()?;
        let armed = self.armed_at();
        let patience = self.patience.of(step)?;
        if step.when.within.is_none() && step.when.is_plain() && step.is_mid_transfer() {
            return idle_since.map(|since| since.max(armed.unwrap_or(since)) + patience);
        }
        // A step that waits for another is waited for as long as that.
        let since = armed.or(idle_since)?;
        Some(since + patience)
    }

    /// Whether no step is waited for.
    pub(super) fn is_done(&self) -> bool {
        self.next().is_none() && !self.awaits_early()
    }

    /// As [`Self::skip_all`], and those that have fired fire no more.
    pub(super) fn end(&mut self, now: Timestamp, actions: &mut Actions) {
        self.skip_all(now, actions);
        for armed in &mut self.steps {
            armed.over = true;
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

impl Patience {
    const fn is_endless(self) -> bool {
        matches!(self, Self::Endless | Self::Beside)
    }

    /// How long that step is waited for.
    fn of(self, step: &Step) -> Option<Duration> {
        let limit = match self {
            Self::Limited(limit) => Some(limit),
            Self::Endless | Self::Beside => None,
        };
        step.when.within.map(|within| within.0).or(limit)
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
