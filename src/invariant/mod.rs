//! Rules that always hold on a DCP connection, one file a family, judged from the journal and the session alone.
//!
//! A rule says nothing where it cannot know: before DCP_OPEN, after framing was lost or bytes were missing, about what
//! the tool forged. It passes only where it was put to the test at least once (law L7). Ids, severities and exceptions are
//! those of `protocol/invariants.md`.
//!
//! Every rule of its sections A to I is a type here, or in [`LEFT_OUT`] with the reason; some are two: what the protocol
//! demands, and what is only customary. A5, A6, B1, B2, E9 and F7 rest on what decoding found. G2 is judged on its own as far
//! as acknowledgements show it, and through G1 and G3, which use its charge. Section J is about those who look on:
//! `invariant::tests` hold that the session keeps to it. `docs/INVARIANTS.md` lists all.
//!
//! What a rule remembers of keys and streams is bounded; where there is no more room it says nothing of that stream.

mod acknowledgements;
mod cache_transfer;
mod charge;
mod collections;
mod concerns;
mod durability;
mod flow;
mod framing;
mod key_set;
mod keys;
mod liveness;
mod manifest;
mod markers;
mod negotiation;
mod per_stream;
mod prepares;
mod replayed;
mod rule;
mod seqnos;
mod sizes;
mod stream_close;
mod streams;
mod takeover;

use std::fmt;
use std::sync::OnceLock;

use crate::Timestamp;
use crate::dcp::Stretch;
use crate::journal::Entries;
use crate::journal::Entry;
use crate::journal::Role;
use crate::journal::Side;
use crate::session::Session;
use crate::verdict::About;
use crate::verdict::Finding;
use crate::verdict::Severity;
use crate::wire::Header;

pub use concerns::Concerns;
use concerns::Dispatch;
use rule::Gate;
pub use rule::Occasion;
pub use rule::Seen;

/// A rule that always holds, and what was seen of it on one connection.
pub trait Invariant: fmt::Debug + Send {
    /// Its stable id: the letter and number of invariants.md, and a name.
    fn id(&self) -> &'static str;

    /// The rule, as a user reads it.
    fn requirement(&self) -> &'static str;

    /// Where the rule does not hold, or says nothing, as a user reads it; empty where there is no such case.
    fn exceptions(&self) -> &'static str;

    /// How much it weighs: only those of [`Severity::Error`] decide.
    fn severity(&self) -> Severity;

    /// The frames that it is to be shown. It is shown every other occasion.
    fn concerns(&self) -> Concerns;

    /// Takes in what happened on an open connection of which nothing was missed so far.
    fn observe(&mut self, occasion: &Occasion<'_>);

    /// Whether mutations that are alike to the one observed last, which concerned it, may be shown to it all at once.
    fn bears_stretch(&self) -> bool;

    /// Takes in such mutations, as if each was observed by itself.
    fn observe_stretch(&mut self, at: Timestamp, stretch: &Stretch<'_>, session: &Session);

    /// What is to be said of the connection so far, `whole` where nothing of it was missed: for each end that was put to
    /// the test one finding, a failure with the first evidence, else a pass. Nothing where the rule was not exercised.
    fn finish(&mut self, whole: bool) -> Vec<Finding>;
}

/// Every rule, in the order of invariants.md.
pub fn all() -> Vec<Box<dyn Invariant>> {
    let mut all = Vec::new();
    framing::add(&mut all);
    negotiation::add(&mut all);
    sizes::add(&mut all);
    replayed::add_meta(&mut all);
    streams::add(&mut all);
    stream_close::add(&mut all);
    seqnos::add(&mut all);
    markers::add(&mut all);
    keys::add(&mut all);
    replayed::add_content(&mut all);
    cache_transfer::add(&mut all);
    durability::add(&mut all);
    acknowledgements::add(&mut all);
    collections::add(&mut all);
    manifest::add(&mut all);
    flow::add(&mut all);
    charge::add(&mut all);
    liveness::add(&mut all);
    takeover::add(&mut all);
    all.shrink_to_fit();
    all
}

/// What of invariants.md, A1 to J4, is no type here: its id and the reason.
pub const LEFT_OUT: [(&str, &str); 6] = [
    ("D17", "forbids nothing: gaps in seqnos are normal"),
    ("G8", "forbids nothing: a producer that is stuck for long may disconnect"),
    ("J1", "is about who looks on: the session keeps the opaques of the two directions apart"),
    ("J2", "is about who looks on: the session takes a manager's requests in between"),
    (
        "J3",
        "is about who answers for a consumer: the tool invents no status, it answers what a consumer of the era does",
    ),
    ("J4", "is about who looks on: nothing is judged on a connection whose beginning was missed"),
];

/// All rules of one connection at one edge.
///
/// Whoever is judged is judged at their own edge (law L5), and the producer is the end that was dialled: one that dialled
/// is no server but whoever joins two nodes, so what is said of it is a note.
#[derive(Debug)]
pub struct Suite {
    rules: Vec<Box<dyn Invariant>>,
    dispatch: Shown,
    gate: Gate,
    producer: Option<Side>,
}

/// Which rules a frame is shown to.
#[derive(Debug)]
enum Shown {
    /// Those of all the rules there are that it concerns.
    Concerned(&'static Dispatch),
    /// Those of a few rules that it concerns.
    #[cfg_attr(not(test), expect(dead_code, reason = "rules are tested one by one"))]
    Few(Dispatch),
    /// Every one.
    All,
}

impl Shown {
    /// Who is shown what, unless every rule is shown everything.
    const fn some(&self) -> Option<&Dispatch> {
        match self {
            Self::Concerned(dispatch) => Some(dispatch),
            Self::Few(dispatch) => Some(dispatch),
            Self::All => None,
        }
    }
}

impl Suite {
    /// Every rule, with nothing seen yet.
    pub fn new() -> Self {
        static DISPATCH: OnceLock<Dispatch> = OnceLock::new();
        let rules = all();
        let dispatch = DISPATCH.get_or_init(|| dispatch(&rules));
        Self { rules, dispatch: Shown::Concerned(dispatch), gate: Gate::default(), producer: None }
    }

    /// As [`Self::new`], with every frame shown to every rule, whatever it says it is concerned with: to test that.
    pub fn showing_all() -> Self {
        Self { dispatch: Shown::All, ..Self::new() }
    }

    /// Only these rules.
    #[cfg(test)]
    fn of(rules: Vec<Box<dyn Invariant>>) -> Self {
        let dispatch = Shown::Few(dispatch(&rules));
        Self { rules, dispatch, gate: Gate::default(), producer: None }
    }

    /// Takes in an entry that `session` has just observed.
    pub fn observe(&mut self, entry: &Entry, session: &Session) {
        self.producer = session.producer();
        if let Some(disturbed) = self.gate.disturbed(entry) {
            self.rules.iter_mut().for_each(|rule| rule.observe(&disturbed));
        }
        let Some(occasion) = self.gate.pass(entry, session) else { return };
        let dispatch = match (&occasion, &self.dispatch) {
            (Occasion::Lost { .. } | Occasion::Closed { .. } | Occasion::Disturbed { .. }, _) | (_, Shown::All) => {
                return self.rules.iter_mut().for_each(|rule| rule.observe(&occasion));
            }
            (_, Shown::Concerned(dispatch)) => dispatch,
            (_, Shown::Few(dispatch)) => dispatch,
        };
        let Occasion::Frame(seen) = &occasion else { return };
        for &number in dispatch.of(seen.header()) {
            if let Some(rule) = self.rules.get_mut(usize::from(number)) {
                rule.observe(&occasion);
            }
        }
    }

    /// Whether mutations alike to the one observed last, with this header, may be taken in all at once.
    pub fn bears_stretch(&self, header: &Header) -> bool {
        let Some(dispatch) = self.dispatch.some() else { return false };
        let mut concerned = dispatch.of(header).iter().filter_map(|&number| self.rules.get(usize::from(number)));
        self.gate.bears_stretch() && concerned.all(|rule| rule.bears_stretch())
    }

    /// Takes in mutations that are alike to the one observed last, which `session` has taken in.
    pub fn observe_stretch(&mut self, entries: &Entries<'_>, session: &Session) {
        let Some(dispatch) = self.dispatch.some() else { return };
        for &number in dispatch.of(entries.stretch.header()) {
            if let Some(rule) = self.rules.get_mut(usize::from(number)) {
                rule.observe_stretch(entries.at, entries.stretch, session);
            }
        }
    }

    /// The findings of all rules.
    pub fn finish(&mut self) -> Vec<Finding> {
        let bridged = self.producer == Some(Side::Dialler);
        let note = |finding: Finding| match finding.about {
            About::Role(Role::Producer) if bridged => finding.severity(Severity::Warning),
            About::Role(_) | About::Side(_) | About::Run => finding,
        };
        let whole = self.gate.is_whole();
        self.rules.iter_mut().flat_map(|rule| rule.finish(whole)).map(note).collect()
    }
}

fn dispatch(rules: &[Box<dyn Invariant>]) -> Dispatch {
    let concerns: Vec<Concerns> = rules.iter().map(|rule| rule.concerns()).collect();
    Dispatch::new(&concerns)
}

impl Default for Suite {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
