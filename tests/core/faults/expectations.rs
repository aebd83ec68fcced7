//! What is expected after a step: what meets each expectation, what breaks it, and what is too little to say.

use dcproxy::dcp;
use dcproxy::journal::How;
use dcproxy::scenario::{Plan, Scenario};
use dcproxy::verdict::Verdict;
use dcproxy::wire::{Frame, FrameBuilder, Opcode, Status};

use super::stage::*;

const O: u32 = 17;

/// A stage on which, at seqno 3 of vbucket 0, `expect` begins to be expected.
fn stage(expect: &str) -> Stage {
    let text = format!(
        "name = \"s\"\nabout = \"\"\njudge = \"both\"\n[[steps]]\nname = \"a\"\nwhen = {{ filter = 'dcp.vbucket == 0 && dcp.seqno == 3' }}\n\
         expect = {{ {expect} }}\n"
    );
    let scenario = Scenario::parse(&text).unwrap_or_else(|error| panic!("{error}"));
    let era = Some(dcproxy::era::Era::V7_0);
    let window = ("connection_buffer_size", "1000");
    let ends = ("send_stream_end_on_client_close_stream", "true");
    let mut stage = Stage::opened(Plan { scenarios: vec![scenario], ..plan("close-at-end", era) }, &[window, ends]);
    for vbucket in [1, 0] {
        stage.stream(vbucket, O + u32::from(vbucket), 0);
        stage.p(marker(vbucket, op(O + u32::from(vbucket)), 0, 100));
        for seqno in 1..=3 {
            stage.p(mutation(vbucket, op(O + u32::from(vbucket)), seqno));
        }
    }
    stage.forget();
    stage
}

/// What the finding of the expectation says, once `ms` are over.
#[track_caller]
fn verdict(stage: &mut Stage, ms: u64) -> Verdict {
    stage.wait_ms(ms);
    let report = stage.report();
    let connection = &report.connections[0];
    let all = connection.findings.iter().chain(&connection.notes);
    all.filter(|finding| finding.id.starts_with("s/a/")).map(|finding| finding.verdict).next().expect("a finding")
}

use Verdict::{Fail, Inconclusive, Pass};

#[test]
fn stream_end_by_its_reason() {
    for (expect, said, expected) in [
        ("stream_end = {}", Some(2), Pass),
        ("stream_end = { reason = 2 }", Some(2), Pass),
        ("stream_end = { reason = 1 }", Some(2), Fail),
        ("stream_end = {}", None, Fail),
        ("stream_end = { not = true }", None, Pass),
        ("stream_end = { not = true }", Some(2), Fail),
    ] {
        let mut stage = stage(expect);
        if let Some(reason) = said {
            stage.p(stream_end(0, op(O), reason));
        }
        assert_eq!(verdict(&mut stage, 2500), expected, "{expect} {said:?}");
    }
    let mut other = stage("stream_end = {}");
    other.p(stream_end(1, op(O + 1), 2));
    assert_eq!(verdict(&mut other, 2500), Fail, "of another stream");
    assert_eq!(verdict(&mut stage("stream_end = { within = '3s' }"), 2900), Inconclusive);
    let mut late = stage("stream_end = { within = '1s' }");
    late.wait_ms(1100);
    late.p(stream_end(0, op(O), 2));
    assert_eq!(verdict(&mut late, 2000), Fail, "too late");
}

#[test]
fn disconnect_and_survives() {
    for (expect, closes, expected) in [
        ("disconnect = {}", true, Pass),
        ("disconnect = {}", false, Fail),
        ("disconnect = { not = true }", true, Fail),
        ("survives = {}", true, Fail),
        ("survives = {}", false, Pass),
    ] {
        let mut stage = stage(expect);
        stage.wait_ms(200);
        stage.p(mutation(1, op(O + 1), 4));
        if closes {
            stage.closed(PRODUCER, How::Fin);
        }
        assert_eq!(verdict(&mut stage, 2500), expected, "{expect} {closes}");
    }
    let mut mute = stage("survives = {}");
    assert_eq!(verdict(&mut mute, 2500), Inconclusive, "no sign of life is no proof of it");
    let mut consumer = stage("disconnect = {}");
    consumer.closed(CONSUMER, How::Fin);
    assert_ne!(verdict(&mut consumer, 100), Pass, "the other end's close is another matter");
}

#[test]
fn silence_and_says() {
    for (expect, says, expected) in [
        ("silence = {}", true, Fail),
        ("silence = {}", false, Pass),
        ("silence = { from = '500ms' }", true, Pass),
        ("silence = { filter = 'dcp.opcode == deletion' }", true, Pass),
        ("says = { filter = 'dcp.opcode == mutation' }", true, Pass),
        ("says = { filter = 'dcp.opcode == mutation', at_least = 2 }", true, Fail),
        ("says = { filter = 'dcp.opcode == mutation', at_most = 0, at_least = 0 }", true, Fail),
        ("says = { filter = 'dcp.opcode == mutation' }", false, Fail),
    ] {
        let mut stage = stage(expect);
        if says {
            stage.p(mutation(0, op(O), 4));
        }
        assert_eq!(verdict(&mut stage, 2500), expected, "{expect} {says}");
    }
}

#[test]
fn progress_of_others_and_of_the_same() {
    for (expect, vbucket, expected) in [
        ("progress = {}", 1, Pass),
        ("progress = {}", 0, Fail),
        ("progress = { on = 'same' }", 0, Pass),
        ("progress = { on = 'same' }", 1, Fail),
        ("progress = { on = 'any' }", 0, Pass),
        ("progress = { messages = 2 }", 1, Fail),
    ] {
        let mut stage = stage(expect);
        stage.wait_ms(10);
        stage.p(mutation(vbucket, op(O + u32::from(vbucket)), 4));
        assert_eq!(verdict(&mut stage, 2500), expected, "{expect} {vbucket}");
    }
}

#[test]
fn response_to_the_request_that_the_step_fired_at() {
    let at_request = |expect: &str| {
        let text = format!(
            "name = \"s\"\nabout = \"\"\n[[steps]]\nname = \"a\"\nwhen = {{ filter = 'dcp.opcode == stream_req', from = 'consumer' }}\n\
             expect = {{ {expect} }}\n"
        );
        let scenario = Scenario::parse(&text).unwrap_or_else(|error| panic!("{error}"));
        let era = Some(dcproxy::era::Era::V7_0);
        let mut stage = Stage::opened(Plan { scenarios: vec![scenario], ..plan("close-at-end", era) }, &[]);
        stage.c(stream_req(3, 99, 0));
        stage
    };
    let refused = |status| FrameBuilder::response(Opcode::DCP_STREAM_REQ, status).opaque(op(99));
    for (expect, answers, expected) in [
        ("response = {}", 1, Pass),
        ("response = { status = ['NotMyVbucket', 'KeyEexists'] }", 1, Pass),
        ("response = { status = ['Success'] }", 1, Fail),
        ("response = { message = 'close_stream' }", 1, Fail),
        ("response = {}", 0, Fail),
        ("answered_once = {}", 1, Pass),
        ("answered_once = {}", 2, Fail),
        ("answered_once = {}", 0, Fail),
    ] {
        let mut stage = at_request(expect);
        for _ in 0..answers {
            stage.p(refused(Status::NOT_MY_VBUCKET));
        }
        stage.wait_ms(1);
        assert_eq!(verdict(&mut stage, 2500), expected, "{expect} {answers}");
    }
}

#[test]
fn of_very_many_requests_no_answer_is_one_too_many_that_was_asked_for() {
    let asks = |send: &str| {
        let text = format!(
            "name = \"s\"\nabout = \"\"\n[[steps]]\nname = \"a\"\nwhen = {{ filter = 'dcp.opcode == stream_req' }}\n\
             do = {{ send = {{ message = 'DCP_GET_FAILOVER_LOG', times = 1100{send} }} }}\nexpect = {{ answered_once = {{}} }}\n"
        );
        let scenario = Scenario::parse(&text).unwrap_or_else(|error| panic!("{error}"));
        let era = Some(dcproxy::era::Era::V7_0);
        let mut stage = Stage::opened(Plan { scenarios: vec![scenario], ..plan("close-at-end", era) }, &[]);
        stage.c(stream_req(3, 99, 0));
        let asked = stage.frames_at(PRODUCER);
        assert_eq!(asked.len(), 1101);
        for request in asked {
            let request = Frame::new(&request).unwrap();
            stage.p(FrameBuilder::response(request.header().opcode, Status::SUCCESS).opaque(request.header().opaque));
        }
        stage
    };
    assert_eq!(verdict(&mut asks(""), 2500), Pass);
    assert_eq!(verdict(&mut asks(", opaque = '0x00000007'"), 2500), Inconclusive, "not all were kept track of");
}

#[test]
fn resumes_at_either_end() {
    let again = |start, comes: Option<u64>| {
        move |stage: &mut Stage| {
            stage.p(stream_end(0, op(O), 2));
            stage.c(stream_req(0, 55, start));
            stage.p(stream_ok(55));
            if let Some(seqno) = comes {
                stage.p(marker(0, op(55), start + 1, 200));
                stage.p(mutation(0, op(55), seqno));
            }
        }
    };
    for (expect, does, expected) in [
        ("resumes = {}", again(3, Some(4)), Pass),
        ("resumes = {}", again(3, Some(3)), Fail),
        ("resumes = {}", again(3, None), Fail),
        ("resumes = { of = 'consumer' }", again(3, None), Pass),
        ("resumes = { of = 'consumer' }", again(1, None), Pass),
        ("resumes = { of = 'consumer' }", again(9, Some(10)), Fail),
    ] {
        let mut stage = stage(expect);
        does(&mut stage);
        assert_eq!(verdict(&mut stage, 2500), expected, "{expect}");
    }
    let mut stage = stage("resumes = { of = 'consumer' }");
    stage.p(stream_end(0, op(O), 2));
    assert_eq!(verdict(&mut stage, 2500), Fail, "it never asked");
}

#[test]
fn window_restored_of_the_consumer() {
    let frames: u32 = (1..=3).map(|seqno| charge(&mutation(0, op(O), seqno))).sum();
    let all = 2 * (frames + charge(&marker(0, op(O), 0, 100)));
    for (acked, expected) in [(all, Pass), (all - 150, Pass), (0, Fail), (all + 40, Fail)] {
        let mut stage = stage("window_restored = {}");
        stage.wait_ms(1);
        if acked > 0 {
            stage.c(buffer_ack(acked));
        }
        assert_eq!(verdict(&mut stage, 2500), expected, "{acked} of {all}");
    }
}

#[test]
fn a_firing_that_nothing_is_known_of_is_no_pass_because_of_another() {
    let text = "name = \"s\"\nabout = \"\"\n[[steps]]\nname = \"a\"\n\
        when = { filter = 'dcp.opcode == mutation', times = 2 }\nexpect = { survives = { within = '1s' } }\n";
    let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{error}"));
    let era = Some(dcproxy::era::Era::V7_0);
    let mut stage = Stage::opened(Plan { scenarios: vec![scenario], ..plan("close-at-end", era) }, &[]);
    stage.stream(0, O, 0);
    stage.p(marker(0, op(O), 0, 100));
    stage.p(mutation(0, op(O), 1));
    stage.wait_ms(500);
    stage.p(deletion(0, op(O), 2));
    stage.wait_ms(1000);
    // The first firing is proven; the second is followed by silence.
    stage.p(mutation(0, op(O), 3));
    assert_eq!(verdict(&mut stage, 2500), Inconclusive);
}

#[test]
fn the_consumer_is_judged_at_its_own_edge() {
    let mut stage = stage("says = { of = 'consumer', filter = 'dcp.opcode == noop && dcp.response' }");
    stage.p(FrameBuilder::request(Opcode::DCP_NOOP).opaque(op(9)));
    stage.c(ok(Opcode::DCP_NOOP, 9));
    assert_eq!(verdict(&mut stage, 2500), Pass);
    let _ = dcp::StreamReq::default();
}
