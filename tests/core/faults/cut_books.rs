//! The books of `cut`, with peers that keep them: windows come out even to the byte, no message is lost or doubled for
//! the consumer, and each burst of orphaned responses has its proof of life.

use dcproxy::era::Era;
use dcproxy::journal::How;
use dcproxy::report::{Format, Report};
use dcproxy::scenario::Plan;
use dcproxy::verdict::Verdict;
use dcproxy::wire::Opcode;

use super::peers::*;
use super::stage::*;

const ALL: [(&str, &str); 3] = [
    ("enable_expiry_opcode", "true"),
    ("enable_sync_writes", "true"),
    ("send_stream_end_on_client_close_stream", "true"),
];

#[derive(Debug)]
struct Case {
    era: Era,
    seed: u64,
    vbuckets: u16,
    habits: Habits,
    comes_back: bool,
    acks_at: u32,
    leaves: Option<(usize, How)>,
}

fn play(case: &Case) -> (Stage, Consumer, Producer) {
    play_in_chunks(case, 0)
}

fn play_in_chunks(case: &Case, chunk: usize) -> (Stage, Consumer, Producer) {
    let window = case.habits.window.to_string();
    let mut controls = ALL[..if case.habits.ends_on_close { 3 } else { 2 }].to_vec();
    if case.habits.window > 0 {
        controls.push(("connection_buffer_size", &window));
    }
    let plan = Plan { seed: case.seed, ..plan("orphaned-responses", Some(case.era)) };
    let mut stage = Stage::opened(plan, &controls);
    stage.chunk = chunk;
    let mut producer = Producer::new(case.habits.clone());
    let mut consumer =
        Consumer { acks_at: case.acks_at, comes_back: case.comes_back, leaves: case.leaves, ..Consumer::default() };
    for vbucket in 0..case.vbuckets {
        let request = consumer.request(vbucket);
        stage.c(request);
    }
    talk(&mut stage, &mut consumer, &mut producer, 120_000);
    (stage, consumer, producer)
}

fn cases() -> impl Iterator<Item = Case> {
    let eras = Era::ALL.into_iter().cycle();
    let windows = [20_000_u32, 700, 0, 4000, 100_000].into_iter().cycle();
    (0..120_u64).zip(eras).zip(windows).map(|((seed, era), window)| Case {
        era,
        seed,
        vbuckets: 1 + (seed % 3) as u16,
        habits: Habits {
            items: 150 + seed * 7 % 90,
            snapshot: [40, 13, 100][seed as usize / 3 % 3],
            batch: [1, 7, 30][seed as usize / 2 % 3],
            ends_on_close: seed % 4 != 3,
            window,
        },
        comes_back: seed % 5 != 4,
        acks_at: if window == 0 { 0 } else { [1, window / 5, window / 2][seed as usize % 3] },
        leaves: None,
    })
}

#[test]
fn windows_come_out_even_and_nothing_is_lost_or_doubled() {
    let (mut narrowed, mut bursts_seen) = (0, 0);
    for case in cases() {
        let (mut stage, consumer, producer) = play(&case);
        let what = format!("seed {} era {} {:?} at {} ms", case.seed, case.era, case.habits, stage.ms());
        assert!(stage.engine.is_settled(), "{what}");
        assert!(!producer.closed.is_empty(), "something was cut: {what}");

        assert_eq!((producer.outstanding, producer.over_acked), (0, 0), "the window comes out even: {what}");
        assert_eq!(producer.window, case.habits.window, "the window has its size again: {what}");
        narrowed += usize::from(producer.narrowest < case.habits.window);

        for vbucket in 0..case.vbuckets {
            let ends = consumer.ends.get(&vbucket).map_or(0, Vec::len);
            let cuts = producer.closed.iter().filter(|closed| **closed == vbucket).count();
            assert_eq!(ends * 2, cuts, "each cut is told once, and its replay is closed too: vb {vbucket}, {what}");
            let seqnos = &consumer.seqnos[&vbucket];
            let all: Vec<u64> = (1..=case.habits.items).collect();
            if case.comes_back || ends == 0 {
                assert!(*seqnos == all, "vb {vbucket} got {seqnos:?}: {what}");
            } else {
                assert!(*seqnos == all[..seqnos.len()], "vb {vbucket} got {seqnos:?}: {what}");
            }
        }

        let bursts = producer.bursts();
        bursts_seen += bursts.len();
        for burst in &bursts {
            assert!(burst.3, "{burst:?} was followed by no NOOP 150 ms later: {bursts:?} {what}");
        }
        assert!(stage.acts().iter().any(|act| matches!(act, dcproxy::journal::Act::Settled)));
        let report = stage.report();
        let text = text(&report, Format::Text);
        assert_ne!(report.verdict, Verdict::Fail, "a producer without fault: {what}\n{text}");
    }
    assert!(narrowed > 20 && bursts_seen > 300, "{narrowed} windows narrowed, {bursts_seen} bursts");
}

#[test]
fn a_consumer_that_leaves_at_any_time_is_stood_in_for_to_the_byte() {
    let mut tried = 0;
    for (n, mut case) in cases().enumerate() {
        let how = if n % 2 == 0 { How::Fin } else { How::Reset };
        case.leaves = Some((1 + n * 5 % 130, how));
        let (mut stage, consumer, producer) = play(&case);
        let what = format!("{case:?} at {} ms, {consumer:?}", stage.ms());
        assert!(stage.engine.is_settled(), "{what}");
        assert_eq!(stage.closes(), if consumer.has_left { vec![(PRODUCER, how)] } else { vec![] }, "{what}");
        if !producer.bursts().is_empty() {
            tried += usize::from(consumer.has_left);
            let books = (producer.outstanding, producer.over_acked, producer.window);
            assert_eq!(books, (0, 0, case.habits.window), "{what}");
        }
        let report = stage.report();
        assert_ne!(report.verdict, Verdict::Fail, "{what}\n{}", text(&report, Format::Text));
    }
    assert!(tried > 40, "{tried} left in the middle");
}

#[test]
fn every_type_meets_an_orphaned_response_where_that_can_be() {
    let mut case = cases().next().unwrap();
    (case.era, case.habits.items) = (Era::V7_0, 600);
    let (_, _, producer) = play(&case);
    let met: std::collections::BTreeSet<Opcode> = producer.bursts().iter().map(|burst| burst.0).collect();
    for message in dcproxy::scenario::MESSAGES {
        assert!(met.contains(&message), "{message} met none: {met:?}");
    }
}

#[test]
fn no_report_shows_a_key_or_a_document() {
    let (mut stage, ..) = play(&cases().next().unwrap());
    let report = stage.report();
    for format in [Format::Text, Format::Json, Format::Junit] {
        let text = text(&report, format);
        assert!(text.len() > 500);
        for secret in ["k3", "\\u0000k", "{\"a\":1}", "\\\"a\\\"", "&quot;a&quot;"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}

fn text(report: &Report, format: Format) -> String {
    let mut text = Vec::new();
    dcproxy::report::write(format, report, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn in_single_bytes_it_plays_the_same_way() {
    for case in cases().skip(6).take(9) {
        let mut journals = [0, 1, 7].map(|chunk| play_in_chunks(&case, chunk).0);
        let [whole, single, seven] = journals.each_mut().map(|stage| stage.journal());
        assert!(whole.len() > 100 && whole == single && whole == seven, "seed {}", case.seed);
    }
}

#[test]
fn the_same_seed_plays_the_same_way() {
    for case in cases().take(6) {
        let journal = |case: &Case| play(case).0.journal().iter().map(|entry| format!("{entry:?}")).collect::<Vec<_>>();
        let (first, second) = (journal(&case), journal(&case));
        assert!(first.len() > 100 && first == second, "seed {}", case.seed);
    }
}
