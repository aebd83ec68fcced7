use super::Concerns;
use super::Invariant;
use crate::Timestamp;
use crate::dcp::FrameHead;
use crate::dcp::Message;
use crate::dcp::Stretch;
use crate::journal::Act;
use crate::journal::Direction;
use crate::journal::Entry;
use crate::journal::Origin;
use crate::journal::Role;
use crate::journal::Side;
use crate::journal::What;
use crate::session::Before;
use crate::session::Context;
use crate::session::Owner;
use crate::session::Session;
use crate::session::StreamContext;
use crate::verdict::About;
use crate::verdict::Finding;
use crate::verdict::Severity;
use crate::wire::FramingError;
use crate::wire::Header;
use crate::wire::Magic;
use crate::wire::Opcode;

/// What a rule is shown of an entry.
#[derive(Clone, Copy, Debug)]
pub enum Occasion<'a> {
    /// A frame.
    Frame(Seen<'a>),
    /// The framing of what an end sends is lost.
    Lost {
        /// When.
        at: Timestamp,
        /// Whose.
        sender: Role,
        /// How.
        error: FramingError,
    },
    /// An end has closed its direction.
    Closed {
        /// When.
        at: Timestamp,
        /// Which.
        by: Role,
    },
    /// The tool holds up what an end says, or has begun to act on the connection (`lasting`): what did not happen in time
    /// is nobody's fault then.
    Disturbed {
        /// Whether it lasts.
        lasting: bool,
    },
}

/// Lets pass what the ends of an open connection say, as long as nothing was missed.
#[derive(Debug, Default)]
pub(super) struct Gate {
    open: bool,
    unreliable: bool,
    /// A bit for each end from which reading is held up.
    paused: u8,
}

impl Gate {
    /// Whether the tool disturbs the connection with this entry, or does while it happens.
    #[inline]
    pub(super) fn disturbed<'a>(&mut self, entry: &Entry) -> Option<Occasion<'a>> {
        let lasting = match entry.what {
            What::Frame(_) => return (self.paused > 0).then_some(Occasion::Disturbed { lasting: false }),
            What::Paused(paused) => {
                let end = if entry.edge == Side::Upstream { 1 } else { 2 };
                self.paused = if paused { self.paused | end } else { self.paused & !end };
                false
            }
            What::Acted(Act::Fired { .. } | Act::Resuming { .. } | Act::Narrowed(_)) => true,
            What::FramingLost(_) | What::Gap(_) | What::Acted(_) | What::Closed { .. } => return None,
        };
        Some(Occasion::Disturbed { lasting })
    }

    /// What rules are to be shown of an entry that `session` has just observed.
    #[inline]
    pub(super) fn pass<'a>(&mut self, entry: &'a Entry, session: &'a Session) -> Option<Occasion<'a>> {
        // What the tool forged towards an end is nobody's fault; what an end answered the tool is that end's.
        if entry.edge != session.edge() || (entry.origin == Origin::Tool && entry.direction == Direction::To) {
            return None;
        }
        let sender = session.role(entry.sender())?;
        self.open = true;
        if self.unreliable {
            return None;
        }
        match &entry.what {
            What::FramingLost(error) => {
                self.unreliable = true;
                Some(Occasion::Lost { at: entry.at, sender, error: *error })
            }
            _ if !session.is_reliable() => {
                self.unreliable = true;
                None
            }
            What::Frame(head) => Some(Occasion::Frame(Seen::new(entry.at, head, session, sender))),
            What::Closed { .. } => Some(Occasion::Closed { at: entry.at, by: sender }),
            What::Gap(_) | What::Paused(_) | What::Acted(_) => None,
        }
    }

    /// Whether frames pass as they come, and none is held up.
    pub(super) const fn bears_stretch(&self) -> bool {
        self.is_whole() && self.paused == 0
    }

    /// Whether all of an open connection was seen.
    pub(super) const fn is_whole(&self) -> bool {
        self.open && !self.unreliable
    }
}

/// A frame of an open DCP connection, with all that a rule may look at.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    pub(super) at: Timestamp,
    pub(super) head: &'a FrameHead,
    pub(super) session: &'a Session,
    pub(super) context: &'a Context,
    pub(super) sender: Role,
    produced: Option<&'a StreamContext>,
    live: Option<&'a Before>,
    item: Option<(u64, &'a Before)>,
}

impl<'a> Seen<'a> {
    #[inline]
    pub(super) fn new(at: Timestamp, head: &'a FrameHead, session: &'a Session, sender: Role) -> Self {
        let context = session.context();
        let mut seen = Self { at, head, session, context, sender, produced: None, live: None, item: None };
        if sender == Role::Producer && head.header.is_request() && !seen.hides_stream_id() {
            let is_of_stream = crate::dcp::is_stream_message(head.header.opcode);
            seen.produced = context.stream.as_ref().filter(|_| is_of_stream);
        }
        if let Some(StreamContext { owner: Owner::Current(state), before: Some(before), .. }) = seen.produced
            && state.is_live()
        {
            seen.live = Some(before);
            let seqno = seen.message().and_then(Message::by_seqno);
            seen.item = seqno.map(|seqno| (seqno, before));
        }
        seen
    }

    pub(super) const fn header(&self) -> &'a Header {
        &self.head.header
    }

    /// What it says, where it decodes.
    pub(super) fn message(&self) -> Option<&'a Message> {
        self.head.message.as_ref().ok()
    }

    /// The stream context of a message that the producer sends on a stream. Frames with the encoding bug of 6.5.0, which
    /// hides their stream id, are left out (dcp-protocol.md §3).
    pub(super) const fn produced(&self) -> Option<&'a StreamContext> {
        self.produced
    }

    /// As [`Self::produced`], of a stream that is live: how it stood before.
    pub(super) const fn produced_live(&self) -> Option<&'a Before> {
        self.live
    }

    /// The seqno of a message that the producer sends on a live stream, and how the stream stood before.
    pub(super) const fn item(&self) -> Option<(u64, &'a Before)> {
        self.item
    }

    /// The frame as evidence.
    #[cold]
    fn breach(&self, expected: String, actual: String) -> Breach {
        let stream = self.context.stream.map(|stream| stream.key.vbucket);
        Breach {
            expected,
            actual,
            at: Some(self.at),
            vbucket: stream,
            seqno: self.message().and_then(Message::by_seqno),
        }
    }

    /// The encoding bug of 6.5.0: a flex deletion or expiration that claims to have no framing extras.
    pub(super) fn hides_stream_id(&self) -> bool {
        let header = self.header();
        header.magic == Magic::FLEX_REQUEST
            && header.framing_extras_len == 0
            && matches!(header.opcode, Opcode::DCP_DELETION | Opcode::DCP_EXPIRATION)
    }
}

/// What a rule says of a frame.
#[derive(Debug)]
pub(super) enum Ruling {
    /// The frame is none of its business.
    Silent,
    /// The frame keeps it.
    Kept,
    /// The frame breaks it. In a box, as rulings are many, and hardly any is this.
    Broken(Box<Discrepancy>),
}

/// What was expected, and what was seen.
#[derive(Debug)]
pub(super) struct Discrepancy {
    expected: String,
    actual: String,
}

impl Ruling {
    const fn last(&self) -> Last {
        match self {
            Self::Silent => Last::Silent,
            Self::Kept => Last::Kept,
            Self::Broken(..) => Last::Broken,
        }
    }

    /// Kept where `ok`, else broken as `how` tells (expected, seen).
    pub(super) fn of(ok: bool, how: impl FnOnce() -> (String, String)) -> Self {
        if ok {
            return Self::Kept;
        }
        let (expected, actual) = how();
        Self::broken(expected, actual)
    }

    /// The frame breaks it: what was expected, and what was seen.
    #[cold]
    pub(super) fn broken(expected: String, actual: String) -> Self {
        Self::Broken(Box::new(Discrepancy { expected, actual }))
    }
}

/// How a rule takes in mutations that are alike to one that it has just judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Alike {
    /// One by one: it must be shown each.
    Shown,
    /// It says of each what it said of the one before them, and what it remembers is what the latest frame makes it.
    Same,
    /// [`Rule::stretch`] judges them.
    Judged,
}

/// The judgement of a rule; [`Held`] does the book-keeping.
pub(super) trait Rule: Default + std::fmt::Debug + Send + 'static {
    const ID: &'static str;
    const REQUIREMENT: &'static str;
    /// Where it does not hold, or says nothing; empty where there is no such case.
    const EXCEPTIONS: &'static str = "";
    const SEVERITY: Severity = Severity::Error;
    /// Whose fault a breach is; `None` for the sender's.
    const BLAME: Option<Role> = None;
    /// The frames that it is shown: all on which it says something, or changes its state.
    const CONCERNS: Concerns = Concerns::ALL;

    /// How it takes in mutations alike to one before them; of interest where mutations concern it.
    const ALIKE: Alike = Alike::Shown;

    /// Judges a frame.
    fn judge(&mut self, seen: &Seen<'_>) -> Ruling;

    /// Whether, as things stand, [`Self::ALIKE`] holds.
    fn bears_stretch(&self) -> bool {
        true
    }

    /// Takes in mutations that are alike to the one judged last; where they are [`Alike::Judged`] it gives its rulings, each
    /// with the seqno that it is about.
    fn stretch(&mut self, _stretch: &Stretch<'_>, _session: &Session, _rule: &mut impl FnMut(u64, Ruling)) {}

    /// Judges the loss of a direction's framing.
    fn framing_lost(&mut self, _error: FramingError) -> Ruling {
        Ruling::Silent
    }

    /// Judges that an end has closed its direction.
    fn closed(&mut self, _at: Timestamp, _by: Role) -> Ruling {
        Ruling::Silent
    }

    /// The tool holds up what an end says, or has begun to act on the connection (`lasting`). A rule that judges by time
    /// forgets since when it waits.
    fn disturbed(&mut self, _lasting: bool) {}

    /// Judges the connection as a whole; only where all of it was seen.
    fn end(&self) -> Ruling {
        Ruling::Silent
    }
}

/// The first breach of a rule.
#[derive(Clone, Debug)]
struct Breach {
    expected: String,
    actual: String,
    at: Option<Timestamp>,
    vbucket: Option<u16>,
    seqno: Option<u64>,
}

impl Breach {
    fn of_no_frame(at: Option<Timestamp>) -> impl FnOnce(String, String) -> Self {
        move |expected, actual| Self { expected, actual, at, vbucket: None, seqno: None }
    }
}

/// What was seen of a rule at one end.
#[derive(Clone, Debug, Default)]
struct Tally {
    kept: u64,
    broken: u64,
    /// Seldom there, and large; there are many rules.
    first: Option<Box<Breach>>,
}

/// A rule and what was seen of it.
#[derive(Debug, Default)]
pub(super) struct Held<R> {
    rule: R,
    producer: Tally,
    consumer: Tally,
    last: Last,
}

/// What was said of the frame that was judged last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Last {
    #[default]
    Silent,
    Kept,
    Broken,
}

/// A rule, with nothing seen of it.
pub(super) fn held<R: Rule>() -> Box<dyn Invariant> {
    Box::new(Held::<R>::default())
}

impl<R: Rule> Held<R> {
    fn note(&mut self, role: Role, ruling: Ruling, evidence: impl FnOnce(String, String) -> Breach) {
        match R::BLAME.unwrap_or(role) {
            Role::Producer => self.producer.note(ruling, evidence),
            Role::Consumer => self.consumer.note(ruling, evidence),
        }
    }
}

impl Tally {
    #[inline]
    fn note(&mut self, ruling: Ruling, evidence: impl FnOnce(String, String) -> Breach) {
        match ruling {
            Ruling::Silent => {}
            Ruling::Kept => self.kept = self.kept.wrapping_add(1),
            Ruling::Broken(told) => {
                let Discrepancy { expected, actual } = *told;
                self.broken(|| evidence(expected, actual));
            }
        }
    }

    #[cold]
    fn broken(&mut self, evidence: impl FnOnce() -> Breach) {
        self.broken = self.broken.saturating_add(1);
        self.first.get_or_insert_with(|| Box::new(evidence()));
    }

    /// What is found of the rule with this id and requirement. No part of it is generic, as there are a hundred rules.
    fn finding(&self, id: &'static str, requirement: &'static str) -> Option<Finding> {
        Some(match &self.first {
            None if self.kept == 0 => return None,
            None => Finding::pass(id, requirement).actual(format!("kept {} times", self.kept)),
            Some(breach) => {
                let more = match self.broken {
                    0 | 1 => String::new(),
                    broken => format!(" (the first of {broken} times)"),
                };
                let mut finding = Finding::fail(id, requirement)
                    .expected(breach.expected.as_str())
                    .actual(format!("{}{more}", breach.actual));
                finding.at = breach.at;
                finding.vbucket = breach.vbucket;
                finding.seqno = breach.seqno;
                finding
            }
        })
    }
}

/// What is found of the rule at both ends.
fn findings(
    id: &'static str,
    requirement: &'static str,
    severity: Severity,
    (producer, consumer): (&Tally, &Tally),
) -> Vec<Finding> {
    [(producer, Role::Producer), (consumer, Role::Consumer)]
        .into_iter()
        .filter_map(|(tally, role)| Some(tally.finding(id, requirement)?.severity(severity).about(About::Role(role))))
        .collect()
}

impl<R: Rule> Invariant for Held<R> {
    fn id(&self) -> &'static str {
        R::ID
    }

    fn requirement(&self) -> &'static str {
        R::REQUIREMENT
    }

    fn exceptions(&self) -> &'static str {
        R::EXCEPTIONS
    }

    fn severity(&self) -> Severity {
        R::SEVERITY
    }

    fn concerns(&self) -> Concerns {
        R::CONCERNS
    }

    fn observe(&mut self, occasion: &Occasion<'_>) {
        match occasion {
            Occasion::Frame(seen) => {
                let ruling = self.rule.judge(seen);
                self.last = ruling.last();
                self.note(seen.sender, ruling, |expected, actual| seen.breach(expected, actual));
            }
            Occasion::Lost { at, sender, error } => {
                let ruling = self.rule.framing_lost(*error);
                self.note(*sender, ruling, Breach::of_no_frame(Some(*at)));
            }
            Occasion::Closed { at, by } => {
                let ruling = self.rule.closed(*at, *by);
                self.note(*by, ruling, Breach::of_no_frame(Some(*at)));
            }
            Occasion::Disturbed { lasting } => self.rule.disturbed(*lasting),
        }
    }

    fn bears_stretch(&self) -> bool {
        R::ALIKE != Alike::Shown && self.last != Last::Broken && self.rule.bears_stretch()
    }

    fn observe_stretch(&mut self, at: Timestamp, stretch: &Stretch<'_>, session: &Session) {
        let Self { rule, producer, consumer, last } = self;
        let tally = match R::BLAME.unwrap_or(Role::Producer) {
            Role::Producer => producer,
            Role::Consumer => consumer,
        };
        if R::ALIKE == Alike::Same && *last == Last::Kept {
            tally.kept = tally.kept.wrapping_add(stretch.frames());
        }
        let vbucket = stretch.header().vbucket();
        rule.stretch(stretch, session, &mut |seqno, ruling| {
            tally.note(ruling, |expected, actual| Breach {
                expected,
                actual,
                at: Some(at),
                vbucket,
                seqno: Some(seqno),
            });
        });
    }

    fn finish(&mut self, whole: bool) -> Vec<Finding> {
        let (mut producer, mut consumer) = (self.producer.clone(), self.consumer.clone());
        if whole {
            let tally = if R::BLAME == Some(Role::Consumer) { &mut consumer } else { &mut producer };
            tally.note(self.rule.end(), Breach::of_no_frame(None));
        }
        findings(R::ID, R::REQUIREMENT, R::SEVERITY, (&producer, &consumer))
    }
}

/// What the rule says of a connection told by a script: of the producer, and of the consumer.
#[cfg(test)]
pub(super) fn verdicts<R: Rule>(
    script: &crate::session::script::Script,
) -> (Option<crate::verdict::Verdict>, Option<crate::verdict::Verdict>) {
    let mut suite = super::Suite::of(vec![held::<R>()]);
    let mut session = Session::new(Side::Upstream);
    for entry in script.log() {
        session.observe(entry);
        suite.observe(entry, &session);
    }
    let findings = suite.finish();
    let of = |role| findings.iter().find(|finding| finding.about == About::Role(role)).map(|finding| finding.verdict);
    (of(Role::Producer), of(Role::Consumer))
}

#[cfg(test)]
mod tests {
    use super::super::Suite;
    use super::*;
    use crate::session::script::*;
    use crate::verdict::Verdict;

    /// A rule that every mutation with an even seqno breaks.
    #[derive(Debug, Default)]
    struct Odd;

    impl Rule for Odd {
        const ID: &'static str = "x1-odd";
        const REQUIREMENT: &'static str = "seqnos are odd";

        fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
            match seen.item() {
                Some((seqno, _)) => Ruling::of(seqno % 2 == 1, || ("odd".to_owned(), format!("{seqno}"))),
                None => Ruling::Silent,
            }
        }
    }

    fn told(seqnos: &[u64]) -> Script {
        let mut script = Script::opened();
        script.stream(1, 10, 0);
        for &seqno in seqnos {
            script.p(mutation(1, 10, seqno));
        }
        script
    }

    #[test]
    fn a_rule_that_was_not_exercised_says_nothing() {
        assert_eq!(verdicts::<Odd>(&told(&[])), (None, None));
        assert_eq!(verdicts::<Odd>(&told(&[1])), (Some(Verdict::Pass), None));
    }

    #[test]
    fn the_first_breach_is_the_evidence() {
        let script = told(&[1, 2, 3, 4]);
        let mut session = Session::new(Side::Upstream);
        let mut suite = Suite::of(vec![held::<Odd>()]);
        for entry in script.log() {
            session.observe(entry);
            suite.observe(entry, &session);
        }
        let [finding] = <[Finding; 1]>::try_from(suite.finish()).unwrap();
        assert_eq!(suite.finish().first(), Some(&finding), "it may be asked while the connection goes on");
        assert_eq!((finding.vbucket, finding.seqno), (Some(1), Some(2)));
        assert_eq!(finding.actual, "2 (the first of 2 times)");
        assert!(finding.at.is_some());
    }

    #[test]
    fn it_is_silent_once_something_was_missed() {
        for what in [What::Gap(None), What::FramingLost(FramingError::TooLong(1 << 40))] {
            let mut script = told(&[1]);
            script.say(Direction::To, what);
            script.p(mutation(1, 10, 2));
            assert_eq!(verdicts::<Odd>(&script), (Some(Verdict::Pass), None));
        }
    }

    #[test]
    fn what_the_tool_forged_is_nobodys_fault_and_what_it_was_answered_is() {
        let mut script = told(&[1]);
        script.origin = Origin::Tool;
        script.p(mutation(1, 10, 2));
        assert_eq!(verdicts::<Odd>(&script).0, Some(Verdict::Fail), "the producer said it");
        let mut script = Script::blank();
        script.c(open(1, 0, None));
        script.p(plain(Opcode::DCP_OPEN, crate::wire::Status::SUCCESS, 1));
        script.p(stream_req(1, 10, 0));
        script.c(stream_ok(10));
        script.origin = Origin::Tool;
        script.c(mutation(1, 10, 2));
        assert_eq!(verdicts::<Odd>(&script), (None, None), "the tool said it to the consumer");
    }

    #[test]
    fn before_dcp_open_nothing_is_judged() {
        let mut script = Script::blank();
        script.p(mutation(1, 10, 2));
        assert_eq!(verdicts::<Odd>(&script), (None, None));
    }
}
