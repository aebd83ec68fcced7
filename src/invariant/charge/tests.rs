use super::super::rule::verdicts;
use super::*;
use crate::dcp;
use crate::session::script::*;
use crate::verdict::Verdict;

const PASS: Option<Verdict> = Some(Verdict::Pass);
const FAIL: Option<Verdict> = Some(Verdict::Fail);

/// What is said of a consumer that got so many PREPAREs (each charged 76) and acknowledges these bytes.
fn acked(prepares: u64, acks: &[u32]) -> Option<Verdict> {
    let mut script = Script::with(&[], dcp::Open::PRODUCER, &[("connection_buffer_size", "100000")]);
    script.stream(1, 10, 0);
    for seqno in 1..=prepares {
        script.p(prepare(1, 10, seqno, seqno));
    }
    for &bytes in acks {
        script.c(buffer_ack(bytes));
    }
    verdicts::<PrepareCharge>(&script).1
}

#[test]
fn a_prepare_is_acknowledged_in_full() {
    assert_eq!(acked(2, &[152]), PASS);
    assert_eq!(acked(2, &[76, 76]), PASS);
    assert_eq!(acked(2, &[148]), FAIL, "2 of each left");
    assert_eq!(acked(2, &[76]), None, "a whole message is left");
    assert_eq!(acked(2, &[149]), None, "3 bytes say nothing of PREPAREs");
    assert_eq!(acked(12, &[12 * 74]), None, "24 bytes may be a message");
    assert_eq!(acked(2, &[160]), None, "too much is G3's");
    assert_eq!(acked(0, &[10]), None);
}

#[test]
fn without_flow_control_nothing_is_counted() {
    let mut script = Script::opened();
    script.stream(1, 10, 0);
    script.p(prepare(1, 10, 1, 7));
    script.c(buffer_ack(74));
    assert_eq!(verdicts::<PrepareCharge>(&script).1, None);
}
