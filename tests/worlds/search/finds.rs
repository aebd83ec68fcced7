//! What must be found: every quirk that a consumer can provoke with what schedules do, and the table of docs/SEARCH.md.

use std::fmt::Write;
use std::sync::LazyLock;

use dcproxy::era::Era;
use dcproxy::node::Quirk;
use dcproxy::node::Role;
use dcproxy::search::Found;

use super::world::search;

/// The seed of the table.
const SEED: u64 = 1;
/// Within so many schedules each quirk is found.
const SCHEDULES: u64 = 60;
/// And shrunk to so many steps.
const STEPS: usize = 3;

/// The quirks that are found, and in which era they are looked for.
const FOUND: &[(&str, Era)] = &[
    ("mb-35287", Era::V7_0),
    ("mb-32724", Era::V7_0),
    ("mb-37009", Era::V7_0),
    ("mb-40934", Era::V7_0),
    ("mb-18625", Era::V7_0),
    ("stall-after-orphan", Era::V7_0),
    ("repeat-after-orphan", Era::V7_0),
    ("leak-window", Era::V7_0),
    ("late-disconnect", Era::V7_0),
    ("orphan-after-end", Era::V7_0),
    ("mb-35378", Era::V7_0),
    ("mb-36794", Era::V6_5),
    ("mb-36971", Era::V6_5),
    ("mb-26363", Era::V7_0),
    ("mb-35314", Era::V7_0),
    ("mb-50543", Era::V7_0),
    ("mb-51105", Era::V7_0),
    ("mb-66612", Era::V7_0),
];

/// The producer's other quirks: what schedules do not do yet.
const OUT_OF_REACH: &[(&str, &str)] = &[
    ("skip-after-orphan", "a comparison with a reference stream, as `probe` makes it"),
    ("large-orphan", "responses with a body"),
    ("refuse-readd", "a request for a stream before its end has come"),
    ("skip-after-close", "a comparison with a reference stream, as `probe` makes it"),
    ("rollback-storm", "the expectation that a stream which is requested again goes on"),
    ("mb-40277", "stream ids, a small window and v7 codes at once, more often than they are drawn"),
    ("mb-42506", "stream ids, a small window and v7 codes at once, and many streams that end"),
    ("stray-marker-ack", "a takeover: it costs the producer the vbucket, so that no search may do it"),
    ("mb-45523", "a takeover"),
    ("mb-27489", "a vbucket that goes away, which no consumer brings about"),
    ("mb-35226", "a request from a lower seqno, and acknowledgements of prepares that were acknowledged before"),
    ("mb-25820", "a request for a vbucket that is not there"),
    ("mb-17230", "a request for a vbucket that is not there"),
    ("mb-38356", "a second request for an open stream"),
    ("mb-31481", "a stream with an end seqno, and the expectation that its end comes"),
    ("mb-62847", "a stream with an end seqno, and the expectation that its end comes"),
    ("mb-72330", "a window of 4 GiB or more"),
    ("mb-46634", "acknowledgements that are withheld until the window is full"),
];

static ALL: LazyLock<Vec<(Quirk, Era, Option<Found>)>> = LazyLock::new(|| {
    let looked_for = FOUND.iter().map(|&(name, era)| {
        let quirk = name.parse().expect("a quirk");
        (quirk, era, search(SEED, SCHEDULES, era, Some(quirk)).1)
    });
    looked_for.collect()
});

#[test]
fn each_quirk_within_reach_is_found_and_shrunk() {
    for (quirk, era, found) in &*ALL {
        let Some(found) = found else { panic!("seed {SEED}, {era}, {quirk}: not found in {SCHEDULES} schedules") };
        let text = found.minimal.to_toml();
        assert!(found.minimal.steps.len() <= STEPS, "seed {SEED}, {era}, {quirk}: {text}");
        assert_eq!((found.is_complete, found.again), (true, Some(true)), "seed {SEED}, {era}, {quirk}: {text}");
        let about = &found.minimal.about;
        let told = [format!("--seed {SEED}"), format!("schedule {}", found.number), format!("era {era}")];
        assert!(told.iter().all(|it| about.contains(it)) && about.contains(&found.failure.id), "{about}");
    }
}

#[test]
fn every_quirk_of_the_producer_is_in_one_of_the_lists() {
    for quirk in Quirk::ALL.into_iter().filter(|quirk| quirk.about().role == Role::Producer) {
        let found = FOUND.iter().filter(|(name, _)| *name == quirk.name()).count();
        let other = OUT_OF_REACH.iter().filter(|(name, _)| *name == quirk.name()).count();
        assert_eq!(found + other, 1, "{quirk}: expected it in one list of tests/worlds/search/finds.rs");
    }
}

/// `DCPROXY_WRITE_DOCS=1` writes it.
#[test]
fn the_table_is_what_the_search_finds() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/SEARCH.md");
    let text = std::fs::read_to_string(path).expect("docs/SEARCH.md");
    let (head, _) = text.split_once(MARK).expect("the mark before the table");
    let expected = format!("{head}{MARK}{}", tables());
    if std::env::var_os("DCPROXY_WRITE_DOCS").is_some() {
        std::fs::write(path, expected).expect("docs/SEARCH.md");
    } else {
        assert_eq!(text, expected, "DCPROXY_WRITE_DOCS=1 writes it anew");
    }
}

const MARK: &str = "<!-- the rest is written by tests/worlds/search/finds.rs -->\n";

fn tables() -> String {
    let mut text = String::from(
        "\n| quirk | era | seed | schedules needed | steps, drawn | steps, shrunk | does | finding |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for (quirk, era, found) in &*ALL {
        let Some(found) = found else { continue };
        let steps = [&found.drawn, &found.minimal].map(|scenario| scenario.steps.len());
        let faults = found.minimal.steps.iter().flat_map(|step| &step.faults);
        let does: Vec<String> = faults.map(|fault| format!("`{}`", says(fault))).collect();
        let id = found.failure.id.rsplit('/').next().unwrap_or_default();
        let _ = writeln!(
            text,
            "| `{quirk}` | {era} | {SEED} | {} | {} | {} | {} | `{id}` |",
            found.number,
            steps[0],
            steps[1],
            does.join(", ")
        );
    }
    text.push_str("\nOut of reach, as schedules do not do what it takes:\n\n| quirk | it takes |\n|---|---|\n");
    for (quirk, why) in OUT_OF_REACH {
        let _ = writeln!(text, "| `{quirk}` | {why} |");
    }
    text
}

/// A fault in a few words.
#[allow(clippy::wildcard_enum_match_arm, reason = "whatever is drawn one day")]
fn says(fault: &dcproxy::fault::FaultSpec) -> String {
    use dcproxy::fault::FaultSpec;
    match fault {
        FaultSpec::CloseStream(close) => format!("close_stream at {}", close.at),
        FaultSpec::OrphanResponse(orphan) => format!("{} x {} {}", orphan.count, orphan.message, orphan.status),
        other => format!("{other:?}"),
    }
}
