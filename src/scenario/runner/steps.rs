use super::super::Do;
use super::super::Plan;
use super::super::Step;
use super::PRODUCER;
use crate::engine::Action;
use crate::engine::Actions;
use crate::fault::CloseAt;
use crate::journal::Act;

/// The steps of a plan, of which one is next.
#[derive(Debug)]
pub(super) struct Steps {
    steps: Vec<Step>,
    next: usize,
    /// Whether the next one has fired.
    has_fired: bool,
}

impl Steps {
    pub(super) fn of(plan: &Plan) -> Self {
        let steps = plan.scenarios.iter().flat_map(|scenario| &scenario.steps).cloned().collect();
        Self { steps, next: 0, has_fired: false }
    }

    pub(super) fn next(&self) -> Option<&Step> {
        self.steps.get(self.next)
    }

    /// Whether the next one is a cut: it is repeated, on whatever stream brings what is wanted; all else is done once.
    pub(super) fn cuts(&self) -> bool {
        self.next().is_some_and(|step| step.action == Do::CloseStream { at: CloseAt::Cut })
    }

    /// The next one has fired; one that is done once is then gone by.
    pub(super) fn fired(&mut self, actions: &mut Actions) {
        self.has_fired = true;
        if !self.cuts() {
            self.skip(actions);
        }
    }

    /// The next one is gone by; that it found no place to fire is told.
    pub(super) fn skip(&mut self, actions: &mut Actions) {
        if !std::mem::take(&mut self.has_fired)
            && let Some(Step { name, .. }) = self.next()
        {
            actions.push(Action::Note { edge: PRODUCER, act: Act::NeverFired { step: name.clone() } });
        }
        self.next += 1;
    }

    /// All that are left are gone by.
    pub(super) fn skip_all(&mut self, actions: &mut Actions) {
        while self.next().is_some() {
            self.skip(actions);
        }
    }
}
