use super::*;
use crate::report::OrphanOrigin;
use crate::report::Outcome;

/// What is missing, where the verdict is inconclusive for that.
fn missing(stage: &mut Stage) -> String {
    let connection = stage.judgement().connection;
    assert_eq!(connection.verdict, Inconclusive, "{:#?}", connection.findings);
    let evidence = connection.findings.iter().filter(|finding| finding.id == EVIDENCE);
    evidence.map(|finding| format!("{}: {}", finding.expected, finding.actual)).collect::<Vec<_>>().join("; ")
}

fn wanting(messages: &[Opcode]) -> Terms {
    Terms { messages: messages.iter().copied().collect(), ..acting() }
}

#[test]
fn a_connection_on_which_all_was_seen_passes() {
    let judgement = Stage::handled(acting()).judgement();
    let connection = judgement.connection;
    assert_eq!(connection.verdict, Pass, "{:#?}", connection.findings);
    assert!(judgement.has_producer && judgement.has_orphans);
    let ids: BTreeSet<_> = connection.findings.iter().map(|finding| finding.id.as_ref()).collect();
    for id in [KEPT, UNDISTURBED, CLOSED, RESUMES] {
        assert!(ids.contains(id), "{id}: {ids:?}");
    }
    assert!(!ids.contains(EVIDENCE));
}

#[test]
fn where_nothing_fired_there_is_no_verdict() {
    let mut stage = Stage::flowing(acting());
    stage.acted(Act::NeverFired { step: "cut".into() });
    stage.settle();
    assert!(missing(&mut stage).contains("no message of a wanted type came"));
    for makes_orphans in [true, false] {
        let mut stage =
            Stage::flowing(Terms { source: Source::Acting { makes_orphans, fatal_too: false }, ..acting() });
        stage.settle();
        assert!(missing(&mut stage).contains("in the middle of a transfer"));
    }
}

#[test]
fn a_step_that_never_fired_beside_one_that_did_is_named() {
    let mut stage = Stage::handled(acting());
    stage.acted(Act::NeverFired { step: "the second".into() });
    assert!(missing(&mut stage).contains("never fired: the second"));
}

#[test]
fn a_type_that_never_came_is_named() {
    let mut stage = Stage::handled(wanting(&[Opcode::DCP_MUTATION, Opcode::DCP_PREPARE]));
    assert!(missing(&mut stage).ends_with("never came: DCP_PREPARE"));
    let row = stage.judgement().connection.matrix.into_iter().find(|row| row.message == "DCP_PREPARE").unwrap();
    assert_eq!((row.outcome, row.answered, row.status), (Outcome::NotExercised, 0, None));
}

#[test]
fn steps_that_led_to_no_orphaned_response_prove_nothing() {
    let mut stage = Stage::flowing(acting());
    stage.fire(true);
    stage.close(0x9001);
    stage.said(stream_end(1, OPAQUE, 1));
    stage.settle();
    assert!(missing(&mut stage).contains("an orphaned response: none was delivered"));
}

#[test]
fn lost_framing_and_gaps_are_named() {
    for direction in [Direction::From, Direction::To] {
        let mut stage = Stage::handled(acting());
        let lost = What::FramingLost(crate::wire::FramingError::TooLong(1 << 40));
        stage.happens(direction, Origin::Peer, lost);
        let (verdict, actual) = stage.found(EVIDENCE).unwrap();
        assert_eq!((verdict, actual.as_str()), (Inconclusive, "framing was lost"));
        assert_ne!(stage.judgement().connection.verdict, Pass);
    }
    let mut stage = Stage::handled(acting());
    stage.happens(Direction::From, Origin::Peer, What::Gap(Some(7)));
    assert!(missing(&mut stage).contains("bytes are missing"));
}

#[test]
fn a_connection_that_is_over_before_all_has_settled_is_named() {
    let mut stage = Stage::cut(acting());
    assert!(missing(&mut stage).contains("it was over before"));
    stage.closes(Direction::To, How::Fin);
    stage.closes(Direction::From, How::Fin);
    assert!(missing(&mut stage).contains("it was over before"));
}

#[test]
fn while_the_producer_is_not_read_from_nothing_is_known() {
    let mut stage = Stage::flowing(acting());
    stage.fire(true);
    stage.orphan(Opcode::DCP_MUTATION, Status::KEY_ENOENT);
    stage.wait_ms(150);
    stage.ask();
    stage.happens(Direction::From, Origin::Tool, What::Paused(true));
    stage.wait_ms(60_000);
    stage.acted(Act::Settled);
    assert!(missing(&mut stage).contains("nothing is known") || stage.verdict(KEPT) == Some(Inconclusive));
}

#[test]
fn what_the_era_forbids_to_try_is_left_out_and_not_held_against_it() {
    let terms = Terms { era: Some(Era::V6_0), ..wanting(&[Opcode::DCP_MUTATION, Opcode::DCP_PREPARE]) };
    let mut stage = Stage::handled(terms);
    stage.acted(Act::LeftOut { message: Opcode::DCP_PREPARE, status: Status::KEY_ENOENT });
    let connection = stage.judgement().connection;
    assert_eq!(connection.verdict, Pass, "{:#?}", connection.findings);
    let row = connection.matrix.into_iter().find(|row| row.message == "DCP_PREPARE").unwrap();
    assert_eq!((row.outcome, row.status.as_deref(), row.verdict), (Outcome::LeftOut, Some("KeyEnoent"), Pass));
}

#[test]
fn nothing_is_left_out_where_all_was_asked_for() {
    let source = Source::Acting { makes_orphans: true, fatal_too: true };
    let terms = Terms { era: Some(Era::V6_0), source, ..wanting(&[Opcode::DCP_MUTATION, Opcode::DCP_PREPARE]) };
    let mut stage = Stage::handled(terms);
    assert!(missing(&mut stage).contains("never came: DCP_PREPARE"));
}

#[test]
fn all_left_out_is_nothing_tried() {
    let terms = Terms { era: Some(Era::V6_0), ..wanting(&[Opcode::DCP_PREPARE]) };
    let mut stage = Stage::flowing(terms);
    stage.fire(true);
    stage.acted(Act::LeftOut { message: Opcode::DCP_PREPARE, status: Status::KEY_ENOENT });
    stage.settle();
    assert!(missing(&mut stage).contains("none was delivered"));
}

#[test]
fn entries_of_the_other_edge_change_nothing() {
    let mut stage = Stage::handled(acting());
    let before = stage.judgement();
    let other = |direction, origin, what| Entry { at: Timestamp(1), edge: Side::Dialler, direction, origin, what };
    let frame = |head| What::Frame(head);
    for entry in [
        other(Direction::From, Origin::Peer, frame(plain(Opcode::DCP_PREPARE, Status::EINVAL, OPAQUE))),
        other(Direction::To, Origin::Tool, frame(mutation(1, OPAQUE, 1))),
        other(Direction::To, Origin::Peer, frame(mutation(2, 20, 1))),
        other(Direction::From, Origin::Peer, What::Closed { how: How::Reset, partial: 3 }),
        other(Direction::To, Origin::Tool, What::Acted(Act::NeverFired { step: "x".into() })),
        other(Direction::From, Origin::Tool, What::Paused(true)),
        other(Direction::From, Origin::Peer, What::Gap(None)),
    ] {
        let context = *stage.session.observe(&entry);
        stage.judge.observe(&entry, &context, &stage.session);
    }
    let after = stage.judgement();
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
}

#[test]
fn orphans_are_listed_with_whose_they_are() {
    let mut stage = Stage::cut(acting());
    stage.told(plain(Opcode::DCP_PREPARE, Status::KEY_ENOENT, OPAQUE));
    stage.told(plain(Opcode::DCP_CONTROL, Status::SUCCESS, 99));
    let connection = stage.judgement().connection;
    let all: Vec<_> = connection.orphans.iter().map(|o| (o.message.as_str(), o.vbucket, o.origin)).collect();
    assert_eq!(
        all,
        [
            ("DCP_MUTATION", Some(1), OrphanOrigin::Injected),
            ("DCP_PREPARE", Some(1), OrphanOrigin::Consumer),
            ("DCP_CONTROL", None, OrphanOrigin::Consumer),
        ]
    );
    assert_eq!(connection.orphans_total, 3);
}

#[test]
fn an_injected_one_tells_the_seqno_that_it_answers_the_first_included() {
    let mut stage = Stage::flowing(acting());
    stage.fire(true);
    stage.said(mutation(1, OPAQUE, 3));
    stage.orphan(Opcode::DCP_MUTATION, Status::KEY_ENOENT);
    stage.orphan(Opcode::DCP_MUTATION, Status::KEY_ENOENT);
    let seqnos: Vec<_> = stage.judgement().connection.orphans.iter().map(|orphan| orphan.seqno).collect();
    assert_eq!(seqnos, [Some(2), Some(3)]);
}

#[test]
fn steps_are_told_with_their_first_place() {
    let mut stage = Stage::cut(acting());
    stage.acted(Act::Fired { step: "cut".into(), vbucket: 2, stream_id: None, opaque: op(20), seqno: 1, cut: true });
    let steps = stage.judgement().connection.steps;
    assert_eq!(steps.len(), 1);
    let step = &steps[0];
    assert_eq!((step.step.as_str(), step.fired, step.vbucket, step.seqno), ("cut", 2, Some(1), Some(1)));
    assert_eq!(step.opaque.as_deref(), Some("0x0000000a"));
}

#[test]
fn whose_faults_decide() {
    let verdict = |judge| {
        let mut stage = Stage::flowing(Terms { judge, ..acting() });
        stage.fire(true);
        stage.orphan(Opcode::DCP_MUTATION, Status::KEY_ENOENT);
        stage.wait_ms(300);
        stage.closes(Direction::From, How::Fin);
        let connection = stage.judgement().connection;
        let in_notes = connection.notes.iter().any(|note| note.id == KEPT && note.verdict == Fail);
        (connection.verdict, in_notes)
    };
    assert_eq!(verdict(Whose::Producer), (Fail, false));
    assert_eq!(verdict(Whose::Both), (Fail, false));
    assert_eq!(verdict(Whose::Consumer), (Pass, true));
}

#[test]
fn of_a_dialled_consumer_there_are_notes_only() {
    let mut stage = Stage::with(Terms { source: Source::Watching, ..acting() }, 0, &[]);
    // The dialler produces: its frames are delivered to the edge that is watched.
    stage.said(stream_req(1, OPAQUE, 0));
    stage.told(stream_ok(OPAQUE));
    stage.told(mutation(1, OPAQUE, 5));
    stage.told(mutation(1, OPAQUE, 5));
    stage.said(plain(Opcode::DCP_MUTATION, Status::KEY_ENOENT, OPAQUE));
    stage.closes(Direction::To, How::Fin);
    let judgement = stage.judgement();
    let connection = judgement.connection;
    assert!(!judgement.has_producer && !judgement.has_orphans);
    assert_eq!((connection.verdict, connection.findings.len()), (Pass, 0), "{:#?}", connection.findings);
    assert!(connection.notes.iter().any(|note| note.verdict == Fail), "the seqno that came twice is noted");
    assert!(connection.matrix.is_empty() && connection.orphans.is_empty() && connection.era.is_none());
    assert_eq!((connection.producer.as_str(), connection.consumer.as_str()), ("consumer", "producer"));
}

#[test]
fn of_a_connection_that_was_not_accepted_nothing_is_said() {
    let mut stage = Stage::blank(acting());
    stage.told(open(2, Open::PRODUCER, None));
    assert!(!stage.judgement().has_producer);
    stage.said(plain(Opcode::DCP_OPEN, Status::EACCESS, 2));
    let judgement = stage.judgement();
    assert!(!judgement.has_producer && judgement.connection.matrix.is_empty());
}

#[test]
fn a_recording_demands_no_steps() {
    let mut stage = Stage::flowing(Terms { source: Source::Recording, ..acting() });
    let connection = stage.judgement().connection;
    assert_eq!((connection.verdict, connection.matrix.len()), (Pass, 0), "what is missing is said of the whole run");
    assert_eq!(stage.verdict(KEPT), None);
}

/// Law L9.
#[test]
fn reports_hold_no_keys_documents_or_credentials() {
    const SECRET: &str = "hunter2";
    let mut stage = Stage::blank(acting());
    let auth = dcp::SaslAuth { mechanism: "PLAIN".to_owned() };
    stage.told(request(Opcode::SASL_AUTH, 0, 1, Message::SaslAuth(auth)));
    let mut handled = Stage::handled(acting());
    handled.told(control(8, "consumer_name", SECRET));
    handled.said(plain(Opcode::DCP_CONTROL, Status::EINVAL, 8));
    handled.told(control(8, SECRET, "x"));
    for stage in [&mut stage, &mut handled] {
        let mut report = crate::report::Report::new(Whose::Both);
        report.add_connection(stage.judgement().connection);
        for format in [crate::report::Format::Json, crate::report::Format::Text, crate::report::Format::Junit] {
            let mut text = Vec::new();
            crate::report::write(format, &report, &mut text).unwrap();
            assert!(!String::from_utf8(text).unwrap().contains(SECRET));
        }
    }
}
