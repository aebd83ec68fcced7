//! On every capture of real servers no rule that decides may blame the producer, save where the server really is wrong.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;

use dcproxy::capture;
use dcproxy::capture::Recorded;
use dcproxy::invariant::Suite;
use dcproxy::journal::Role;
use dcproxy::verdict::About;
use dcproxy::verdict::Finding;
use dcproxy::verdict::Severity;
use dcproxy::verdict::Verdict;

/// The findings of every connection of a capture.
fn findings(capture: &Path) -> Vec<(u32, Finding)> {
    findings_of(capture, Suite::new)
}

fn findings_of(capture: &Path, suite: fn() -> Suite) -> Vec<(u32, Finding)> {
    let mut recorded = Recorded::new(7);
    let mut suites: BTreeMap<u32, Suite> = BTreeMap::new();
    capture::read(File::open(capture).unwrap(), &mut |event| {
        recorded.event(&event, &mut |happened| {
            suites.entry(happened.conn).or_insert_with(suite).observe(happened.entry, happened.session);
        });
    })
    .unwrap();
    let all = suites.iter_mut().flat_map(|(conn, suite)| suite.finish().into_iter().map(|finding| (*conn, finding)));
    all.collect()
}

fn captures() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let mut captures: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    captures.retain(|path| path.to_string_lossy().contains(".pcap"));
    captures.sort();
    captures
}

/// What really is wrong in the captures: capture, end, rule.
const WRONG: [(&str, Role, &str); 8] = [
    // The client tries a STREAM_REQ value that the server refuses.
    ("formats.6.5.0.pcap", Role::Consumer, "a3-well-formed"),
    // The client acknowledges seqno 99999, to see what the server does.
    ("everything.2019-07-after.pcap.gz", Role::Consumer, "e7-ack-of-what-was-sent"),
    ("everything.6.5.0.pcap.gz", Role::Consumer, "e7-ack-of-what-was-sent"),
    ("everything.7.0.5.pcap.gz", Role::Consumer, "e7-ack-of-what-was-sent"),
    // The client answers a DCP_NOOP that nobody has sent, with each status.
    ("truth-table.2019-07-after.pcap.gz", Role::Consumer, "h3-noop-answer"),
    ("truth-table.2019-07-before.pcap.gz", Role::Consumer, "h3-noop-answer"),
    ("truth-table.6.5.0.pcap.gz", Role::Consumer, "h3-noop-answer"),
    ("truth-table.7.0.5.pcap.gz", Role::Consumer, "h3-noop-answer"),
];

/// What the bridges of the captures did to the frames on purpose: found, as a note, since it is the bridge that sends them.
const MADE_BY_BRIDGES: [(&str, &str); 7] = [
    ("bridged-every-frame-twice.6.5.0.pcap", "e5-one-prepare-at-a-time"),
    ("bridged-every-frame-twice.6.5.0.pcap", "e1-commit-of-prepare"),
    ("bridged-prepares-withheld.2019-07-after.pcap", "e1-commit-of-prepare"),
    ("bridged-prepares-withheld.2019-07-after.pcap", "e2-abort-of-prepare"),
    ("bridged-system-events-withheld.2019-07-after.pcap", "f1-items-after-begin"),
    ("bridged-system-events-withheld.6.5.0.pcap", "f1-items-after-begin"),
    ("bridged-markers-withheld.2019-07-after.pcap", "d1-marker-first"),
];

/// Rules about the producer that the captures put to the test, as far as real servers of these releases can.
const EXERCISED: [&str; 59] = [
    "a1-framing",
    "a2-frame-size",
    "a3-well-formed",
    "a4-datatype-enabled",
    "a5-snappy-inflates",
    "a6-xattr-section",
    "a7-stream-id-frames",
    "a8-durability-agreed",
    "a9-expiration-agreed",
    "a10-marker-version-agreed",
    "a11-collections-agreed",
    "a11-system-event-version",
    "a12-oso-agreed",
    "b1-plain-keys",
    "b2-collection-keys",
    "c1-messages-of-a-stream",
    "c2-one-answer",
    "c2-nothing-before-answer",
    "c3-failover-log",
    "c4-rollback",
    "c5-duplicate-refused",
    "c7-nothing-after-stream-end",
    "c8-one-stream-end",
    "c9-close-then-end",
    "c11-end-reasons",
    "c12-end-at-end-seqno",
    "c14-answers-match",
    "d1-marker-first",
    "d2-seqno-increases",
    "d3-seqno-in-snapshot",
    "d4-marker-bounds",
    "d5-first-marker",
    "d6-markers-ascend",
    "d7-marker-end",
    "d10-ack-in-takeover",
    "d13-marker-seqnos",
    "d14-disk-has-hcs",
    "d16-keys-once",
    "d18-oso-paired",
    "d19-oso-keys-once",
    "d20-seqno-advanced",
    "d2-oso-seqnos-distinct",
    "e1-commit-of-prepare",
    "e2-abort-of-prepare",
    "e3-prepared-seqno",
    "e4-prepared-below-own",
    "e5-one-prepare-at-a-time",
    "e9-prepare-form",
    "f1-items-after-begin",
    "f2-no-item-after-end",
    "f3-only-filtered",
    "f7-event-value-length",
    "g1-window-respected",
    "g6-not-blocked-by-window",
    "h1-one-noop",
    "h4-noop-opaques",
    "i1-vbucket-states",
    "i2-markers-acked",
    "i3-takeover-ends",
];

#[test]
fn real_producers_keep_every_rule_that_decides() {
    let captures = captures();
    assert!(captures.len() >= 69, "found {}", captures.len());
    let mut wrong = BTreeSet::new();
    let mut exercised = BTreeSet::new();
    let mut bridged = BTreeSet::new();
    let mut alarms = Vec::new();
    for capture in captures {
        let name = capture.file_name().unwrap().to_string_lossy().into_owned();
        for (conn, finding) in findings(&capture) {
            let About::Role(role) = finding.about else { panic!("{finding:?}") };
            // What is said of a producer that dialled is a note.
            let decides = finding.severity == Severity::Error;
            if role == Role::Producer && finding.verdict == Verdict::Pass && decides {
                exercised.insert(finding.id.to_string());
            }
            if finding.verdict == Verdict::Fail {
                bridged.extend(MADE_BY_BRIDGES.iter().position(|&(c, id)| c == name && id == finding.id));
            }
            if finding.verdict != Verdict::Fail || !decides {
                continue;
            }
            match WRONG.iter().position(|&(c, r, id)| c == name && r == role && id == finding.id) {
                Some(at) => drop(wrong.insert(at)),
                None => alarms.push(format!("{name} #{conn}: {finding:?}")),
            }
        }
    }
    assert!(alarms.is_empty(), "{alarms:#?}");
    assert_eq!(wrong.len(), WRONG.len(), "what is wrong goes unseen: {wrong:?}");
    assert_eq!(bridged.len(), MADE_BY_BRIDGES.len(), "what the bridges did goes unseen: {bridged:?}");
    let missing: Vec<_> = EXERCISED.iter().filter(|id| !exercised.contains(**id)).collect();
    assert!(missing.is_empty(), "not exercised: {missing:?}");
}

#[test]
fn a_rule_misses_nothing_by_being_shown_only_what_concerns_it() {
    for capture in captures() {
        let all = findings_of(&capture, Suite::showing_all);
        assert_eq!(findings(&capture), all, "{}", capture.display());
    }
}
