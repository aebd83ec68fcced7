use std::collections::VecDeque;

use super::Ground;
use crate::scenario::ConsumerSettings;
use crate::scenario::Scenario;

/// The vbuckets that a search may cost the producer. A takeover cannot be tried twice on the same one: each trial is given
/// the next, in place of the one that its scenario names.
#[derive(Debug)]
pub(super) struct Spares {
    left: VecDeque<u16>,
    given: Vec<u16>,
    /// So many are kept from what is drawn, for it to be shrunk.
    kept: usize,
    /// What scenarios name that are not being tried.
    placeholder: Option<u16>,
}

impl Spares {
    /// Half of them are for what is drawn.
    pub(super) fn new(ground: &Ground) -> Self {
        let left: VecDeque<u16> = ground.spare.iter().copied().collect();
        Self { kept: left.len() / 2, placeholder: left.front().copied(), left, given: Vec::new() }
    }

    /// Whether there are some for what is drawn.
    pub(super) fn are_for_drawing(&self) -> bool {
        self.left.len() > self.kept
    }

    /// Those that were given, in their order.
    pub(super) fn given(&self) -> &[u16] {
        &self.given
    }

    /// The scenario as it is to be tried: a takeover with a vbucket of its own. `None` where no more than `reserved` are left for it.
    pub(super) fn place(&mut self, scenario: &Scenario, reserved: usize) -> Option<Scenario> {
        if !scenario.consumer.takes_over() {
            return Some(scenario.clone());
        }
        let vbucket = if self.left.len() > reserved { self.left.pop_front() } else { None }?;
        self.given.push(vbucket);
        Some(at(scenario, Some(vbucket)))
    }

    /// A scenario that was tried, as it was before it was given a vbucket.
    pub(super) fn displaced(&self, scenario: &Scenario) -> Scenario {
        at(scenario, self.placeholder)
    }
}

/// A takeover of that vbucket; any other scenario as it is.
pub(super) fn at(scenario: &Scenario, vbucket: Option<u16>) -> Scenario {
    let mut scenario = scenario.clone();
    if scenario.consumer.takes_over() {
        let vbuckets = vbucket.map(|vbucket| vec![vbucket]);
        scenario.consumer = ConsumerSettings { vbuckets, ..scenario.consumer };
    }
    scenario
}

/// The vbucket that is taken over, if one is.
pub(super) fn taken(scenario: &Scenario) -> Option<u16> {
    let vbuckets = scenario.consumer.vbuckets.as_deref().filter(|_| scenario.consumer.takes_over());
    vbuckets.and_then(|vbuckets| vbuckets.first().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::era::Era;
    use crate::search::schedule;

    #[test]
    fn no_vbucket_is_taken_over_twice() {
        let ground = Ground::new(Era::V7_0, vec![0], 240).with_spare(vec![4, 5, 9]);
        let takeover = (1..).map(|n| schedule(1, n, &ground)).find(|it| it.consumer.takes_over()).unwrap();
        let mut spares = Spares::new(&ground);
        assert!(spares.are_for_drawing());
        let first = spares.place(&takeover, 0).unwrap();
        assert_eq!((taken(&first), spares.displaced(&first)), (Some(4), takeover.clone()));
        assert!(spares.place(&takeover, 0).as_ref().and_then(taken) == Some(5) && !spares.are_for_drawing());
        assert_eq!(spares.place(&takeover, 1), None, "the last one is for the last trial");
        assert_eq!(spares.place(&takeover, 0).as_ref().and_then(taken), Some(9));
        assert_eq!((spares.place(&takeover, 0), spares.given()), (None, &[4, 5, 9][..]));
        let other = (1..).map(|n| schedule(1, n, &ground)).find(|it| !it.consumer.takes_over()).unwrap();
        assert_eq!((spares.place(&other, 1), taken(&other)), (Some(other.clone()), None));
    }
}
