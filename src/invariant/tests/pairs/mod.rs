//! For each rule a sequence of frames that keeps it and one that breaks it.

mod delivery;
mod framing;
mod items;
mod liveness;
mod snapshots;
mod streams;

use std::collections::BTreeSet;

use super::super::Suite;
use super::super::all;
use crate::dcp;
use crate::dcp::Feature;
use crate::dcp::FrameHead;
use crate::dcp::Message;
use crate::dcp::StreamReq;
use crate::journal::Side;
use crate::session::Session;
use crate::session::script::*;
use crate::verdict::Finding;
use crate::verdict::Severity;
use crate::verdict::Verdict;

/// A rule, and two connections.
struct Pair {
    id: &'static str,
    keeps: Script,
    breaks: Script,
}

const fn pair(id: &'static str, keeps: Script, breaks: Script) -> Pair {
    Pair { id, keeps, breaks }
}

/// A producer's connection with collections and these controls.
fn with(controls: &[(&str, &str)]) -> Script {
    Script::with(&[Feature::COLLECTIONS], dcp::Open::PRODUCER, controls)
}

/// The same for replication with acknowledgements.
fn replication() -> Script {
    with(&[("enable_sync_writes", "true"), ("consumer_name", "replica")])
}

/// Stream (1, 10) from seqno 0 on is open, asked for as `change` makes it.
fn asking(mut script: Script, change: impl FnOnce(&mut StreamReq)) -> Script {
    let mut head = stream_req(1, 10, 0);
    if let Ok(Message::StreamReq(request)) = &mut head.message {
        change(request);
    }
    script.c(head);
    script.p(stream_ok(10));
    script
}

/// The producer says these.
fn p(mut script: Script, heads: &[FrameHead]) -> Script {
    for head in heads {
        script.p(head.clone());
    }
    script
}

/// Stream (1, 10) from seqno 0 on is open, and the producer says these.
fn on(script: Script, heads: &[FrameHead]) -> Script {
    p(asking(script, |_| {}), heads)
}

/// As [`on`], of a connection with nothing agreed on.
fn plainly(heads: &[FrameHead]) -> Script {
    on(Script::opened(), heads)
}

/// A frame that does not decode.
fn malformed(head: FrameHead, reason: &str) -> FrameHead {
    FrameHead { message: Err(dcp::Malformed(reason.to_owned())), ..head }
}

fn findings(script: &Script) -> Vec<Finding> {
    let (mut suite, mut session) = (Suite::new(), Session::new(Side::Upstream));
    for entry in script.log() {
        session.observe(entry);
        suite.observe(entry, &session);
    }
    suite.finish()
}

fn pairs() -> Vec<Pair> {
    [framing::pairs(), items::pairs(), streams::pairs(), snapshots::pairs(), delivery::pairs(), liveness::pairs()]
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn every_rule_has_a_sequence_that_keeps_it_and_one_that_breaks_it() {
    let pairs = pairs();
    let ids: BTreeSet<_> = pairs.iter().map(|pair| pair.id).collect();
    let rules: BTreeSet<_> = all().iter().map(|rule| rule.id()).collect();
    assert_eq!(ids.difference(&rules).collect::<Vec<_>>(), [&""; 0], "no such rule");
    assert_eq!(rules.difference(&ids).collect::<Vec<_>>(), [&""; 0], "without a pair");
    for Pair { id, keeps, breaks } in pairs {
        let kept = findings(&keeps);
        let said: Vec<_> = kept.iter().filter(|finding| finding.id == id).map(|finding| finding.verdict).collect();
        assert!(said.contains(&Verdict::Pass) && !said.contains(&Verdict::Fail), "{id}: {said:?}");
        let wrong = kept.iter().find(|f| f.verdict == Verdict::Fail && f.severity == Severity::Error);
        assert!(wrong.is_none(), "{id} is kept, but {wrong:#?}");
        let broken = findings(&breaks);
        let evidence = broken.iter().find(|finding| finding.id == id && finding.verdict == Verdict::Fail);
        assert!(evidence.is_some_and(|f| !f.expected.is_empty() && !f.actual.is_empty()), "{id}: {broken:#?}");
    }
}
