//! Recorded connections told frame by frame: what survival and a disconnect rest on.

use super::super::Judge;
use super::super::Source;
use super::super::Terms;
use super::MAX_ASKED;
use crate::Timestamp;
use crate::engine::Observer;
use crate::era::Era;
use crate::journal::Direction;
use crate::journal::Entry;
use crate::journal::How;
use crate::journal::What;
use crate::report::Outcome;
use crate::scenario::MESSAGES;
use crate::session::Session;
use crate::session::script::Script;
use crate::session::script::mutation;
use crate::session::script::op;
use crate::session::script::plain;
use crate::session::script::request;
use crate::verdict::Verdict;
use crate::wire::Opcode;
use crate::wire::Status;
use std::time::Duration;

use crate::dcp::Message;
use crate::journal::Side;

const FAIL: Option<Verdict> = Some(Verdict::Fail);
const PASS: Option<Verdict> = Some(Verdict::Pass);
const INCONCLUSIVE: Option<Verdict> = Some(Verdict::Inconclusive);

/// A stream is open; the tests' own words go on from here.
struct Told(Script);

impl Told {
    fn new() -> Self {
        let mut script = Script::opened();
        script.stream(1, 10, 0);
        Self(script)
    }

    /// An orphaned response, 1 ms after what was before.
    fn orphan(mut self, message: Opcode, status: Status) -> Self {
        let context = self.0.c(plain(message, status, 10));
        assert!(context.orphan.is_some());
        self
    }

    fn mutation(self, status: Status) -> Self {
        self.orphan(Opcode::DCP_MUTATION, status)
    }

    fn commit(self, status: Status) -> Self {
        self.orphan(Opcode::DCP_COMMIT, status)
    }

    /// So many milliseconds pass before the next word, which takes one itself.
    fn wait(mut self, ms: u64) -> Self {
        self.0.wait_ms(ms - 1);
        self
    }

    fn asks(mut self, opaque: u32) -> Self {
        self.0.c(request(Opcode::NOOP, 0, opaque, Message::Noop(crate::dcp::Noop)));
        self
    }

    fn answers(mut self, opaque: u32) -> Self {
        self.0.p(plain(Opcode::NOOP, Status::SUCCESS, opaque));
        self
    }

    /// A frame of the producer that nobody asked for.
    fn speaks(mut self) -> Self {
        self.0.p(mutation(1, 10, 1));
        self
    }

    fn closes(mut self, direction: Direction) -> Self {
        self.0.say(direction, What::Closed { how: How::Reset, partial: 0 });
        self
    }

    fn gap(mut self, direction: Direction) -> Self {
        self.0.say(direction, What::Gap(Some(100)));
        self
    }

    fn judged(&self, era: Era) -> Judged {
        let terms = Terms {
            expected: Vec::new(),
            era: Some(era),
            messages: MESSAGES.into(),
            settle: Duration::from_secs(2),
            judge: crate::verdict::Judge::Producer,
            source: Source::Recording,
        };
        let mut judge = Judge::new(terms, 1, "c", "p");
        let mut session = Session::new(Side::Upstream);
        for entry in self.0.log() {
            let context = *session.observe(entry);
            judge.observe(entry, &context, &session);
        }
        let connection = judge.judgement(&session).connection;
        let of = |id: &str| connection.findings.iter().find(|finding| finding.id == id);
        Judged {
            kept: of(super::KEPT).map(|finding| finding.verdict),
            demanded: of(super::DEMANDED).map(|finding| finding.verdict),
            actual: of(super::KEPT).map_or(String::new(), |finding| finding.actual.clone()),
            outcomes: connection.matrix.iter().map(|row| (row.outcome, row.verdict)).collect(),
        }
    }

    fn kept(&self, era: Era) -> Option<Verdict> {
        self.judged(era).kept
    }
}

#[derive(Debug)]
struct Judged {
    kept: Option<Verdict>,
    demanded: Option<Verdict>,
    actual: String,
    outcomes: Vec<(Outcome, Verdict)>,
}

/// design.md §6, "Survival in a recording".
#[test]
fn any_frame_150_ms_later_is_a_proof() {
    for era in Era::ALL {
        let speaks = |ms| Told::new().mutation(Status::KEY_ENOENT).wait(ms).speaks();
        assert_eq!(speaks(150).kept(era), PASS, "{era}");
        assert_eq!(speaks(149).kept(era), INCONCLUSIVE, "{era}");
        assert_eq!(speaks(150).mutation(Status::KEY_ENOENT).kept(era), INCONCLUSIVE, "{era}: the last one counts");
    }
}

#[test]
fn up_to_6_5_an_answered_noop_is_a_proof() {
    for (era, expected) in [
        (Era::V6_0, PASS),
        (Era::V2019_07, PASS),
        (Era::V6_5, PASS),
        (Era::V6_6, INCONCLUSIVE),
        (Era::V7_0, INCONCLUSIVE),
        (Era::Master, INCONCLUSIVE),
    ] {
        assert_eq!(Told::new().mutation(Status::NOT_MY_VBUCKET).asks(7).answers(7).kept(era), expected, "{era}");
        let before = Told::new().asks(7).mutation(Status::NOT_MY_VBUCKET).answers(7);
        assert_eq!(before.kept(era), INCONCLUSIVE, "{era}: asked before the orphaned response");
        let other = Told::new().mutation(Status::NOT_MY_VBUCKET).asks(7).answers(8);
        assert_eq!(other.kept(era), INCONCLUSIVE, "{era}: an answer to nothing");
    }
}

/// What is asked and not answered is told apart from what was not asked.
#[test]
fn without_a_proof_nothing_is_said() {
    let silent = Told::new().mutation(Status::KEY_ENOENT).judged(Era::V2019_07);
    assert_eq!(silent.outcomes, [(Outcome::NotExercised, Verdict::Inconclusive)]);
    let mute = Told::new().mutation(Status::KEY_ENOENT).asks(7).judged(Era::V2019_07);
    assert_eq!((mute.kept, mute.outcomes), (INCONCLUSIVE, vec![(Outcome::Stalled, Verdict::Inconclusive)]));
}

/// design.md §6, "One burst, one blame".
#[test]
fn a_disconnect_is_put_down_to_what_came_since_the_last_proof() {
    let told = Told::new().mutation(Status::KEY_ENOENT).wait(200).speaks();
    let told = told.commit(Status::KEY_ENOENT).commit(Status::KEY_EEXISTS).wait(990).closes(Direction::From);
    let judged = told.judged(Era::V2019_07);
    assert_eq!(judged.kept, FAIL);
    assert_eq!(judged.actual, "RST 990 ms after DCP_COMMIT/KeyEnoent (1), DCP_COMMIT/KeyEexists (1)");
    let failed = (Outcome::Disconnected, Verdict::Fail);
    assert_eq!(judged.outcomes, [(Outcome::Handled, Verdict::Pass), failed, failed]);
}

#[test]
fn a_disconnect_after_a_proof_counts_while_it_is_watched() {
    let told =
        |ms: u64| Told::new().mutation(Status::KEY_ENOENT).asks(7).answers(7).wait(ms - 2).closes(Direction::From);
    let late = told(1_999).judged(Era::V2019_07);
    assert_eq!((late.kept, late.actual.as_str()), (FAIL, "RST 1999 ms after DCP_MUTATION/KeyEnoent (1)"));
    assert_eq!(told(2_000).kept(Era::V2019_07), PASS);
}

/// A connection that was idle for minutes, and then went down with its node.
#[test]
fn a_disconnect_long_after_silence_is_nobodys_fault() {
    let idle = |ms| Told::new().mutation(Status::KEY_ENOENT).wait(ms).closes(Direction::From);
    assert_eq!(idle(1_999).kept(Era::V2019_07), FAIL);
    let judged = idle(2_000).judged(Era::V2019_07);
    assert_eq!(judged.kept, INCONCLUSIVE);
    assert_eq!(judged.outcomes, [(Outcome::NotExercised, Verdict::Inconclusive)]);
    // It was asked, and said nothing until it closed.
    let mute = Told::new().mutation(Status::KEY_ENOENT).asks(7).wait(5_000).closes(Direction::From);
    assert_eq!(mute.kept(Era::V2019_07), FAIL);
}

#[test]
fn who_closes_second_did_not_disconnect() {
    let told = Told::new().mutation(Status::KEY_ENOENT).asks(7).answers(7);
    assert_eq!(told.closes(Direction::To).closes(Direction::From).kept(Era::V2019_07), PASS);
    let unproven = Told::new().mutation(Status::KEY_ENOENT).closes(Direction::To).closes(Direction::From);
    assert_eq!(unproven.kept(Era::V2019_07), INCONCLUSIVE);
}

/// A producer closes by itself after a bad SEQNO_ACK, and has every right to.
#[test]
fn a_disconnect_without_orphaned_responses_is_no_matter() {
    let judged = Told::new().speaks().closes(Direction::From).judged(Era::V7_0);
    assert_eq!((judged.kept, judged.demanded, judged.outcomes), (None, None, Vec::new()));
}

/// 7.0 without v7 codes must close at COMMIT/KeyEnoent; of the rest of the burst nothing is known.
#[test]
fn a_cause_that_the_era_allows_explains_the_disconnect() {
    let told = Told::new().mutation(Status::KEY_ENOENT).commit(Status::KEY_ENOENT).wait(500).closes(Direction::From);
    let judged = told.judged(Era::V7_0);
    assert_eq!((judged.kept, judged.demanded), (PASS, PASS));
    assert_eq!(
        judged.outcomes,
        [(Outcome::NotExercised, Verdict::Inconclusive), (Outcome::Disconnected, Verdict::Pass)]
    );
    assert_eq!(told.kept(Era::V2019_07), FAIL, "the requirement allows it at neither");
}

#[test]
fn staying_where_the_era_demands_a_close_is_the_failure() {
    let told = |status| Told::new().commit(status).wait(200).speaks();
    let stayed = told(Status::EINVAL).judged(Era::V7_0);
    assert_eq!((stayed.kept, stayed.demanded), (PASS, FAIL));
    assert_eq!(stayed.outcomes, [(Outcome::Handled, Verdict::Fail)]);
    // A later close at another status does not make up for it.
    let later = told(Status::EINVAL).wait(5_000).commit(Status::KEY_ENOENT).wait(300).closes(Direction::From);
    assert_eq!(later.judged(Era::V7_0).demanded, FAIL);
    assert_eq!(told(Status::EINVAL).judged(Era::V2019_07).demanded, None);
    let unknown = Told::new().commit(Status::EINVAL).judged(Era::V7_0);
    assert_eq!((unknown.kept, unknown.demanded), (INCONCLUSIVE, INCONCLUSIVE));
}

/// Law L7: something else may have been the cause.
#[test]
fn a_disconnect_after_a_gap_is_put_down_to_nothing() {
    let told = |to, ms| Told::new().mutation(Status::KEY_ENOENT).gap(to).wait(ms).closes(Direction::From);
    let judged = told(Direction::To, 500).judged(Era::V2019_07);
    assert_eq!(judged.kept, INCONCLUSIVE);
    assert_eq!(judged.actual, "RST 501 ms after DCP_MUTATION/KeyEnoent (1), and something that went unseen");
    assert_eq!(judged.outcomes, [(Outcome::Disconnected, Verdict::Inconclusive)]);
    assert_eq!(told(Direction::From, 500).kept(Era::V2019_07), FAIL, "what it said is not what it was told");
    let long_ago = Told::new().gap(Direction::To).wait(2_000).mutation(Status::KEY_ENOENT).closes(Direction::From);
    assert_eq!(long_ago.kept(Era::V2019_07), FAIL);
}

#[test]
fn unanswered_noops_cost_no_memory() {
    let mut judge = super::Kept::new(true, None, Duration::from_secs(2));
    let story = super::super::Story::default();
    let session = Session::new(Side::Upstream);
    let context = *session.context();
    for opaque in 0..2 * MAX_ASKED as u32 {
        let mut head = request(Opcode::NOOP, 0, 0, Message::Noop(crate::dcp::Noop));
        head.header.opaque = op(opaque);
        let entry = Entry {
            at: Timestamp(1),
            edge: Side::Upstream,
            direction: Direction::To,
            origin: crate::journal::Origin::Peer,
            what: What::Frame(head),
        };
        judge.observe(&super::Seen {
            entry: &entry,
            context: &context,
            session: &session,
            story: &story,
            before: None,
        });
    }
    assert_eq!(judge.asked.len(), MAX_ASKED);
}
