//! What must be found: every quirk that a consumer can provoke with what schedules do, each within its bound, and the table of docs/SEARCH.md.

use std::fmt::Write;
use std::sync::LazyLock;

use dcproxy::era::Era;
use dcproxy::node::Quirk;
use dcproxy::node::Role;
use dcproxy::search::Found;

use super::world::destructive;
use super::world::search;
use super::world::with_spare;

/// The seed of the table.
const SEED: u64 = 1;
/// And shrunk to so many steps.
const STEPS: usize = 3;

/// The quirks that are found, in which era they are looked for, and within how many schedules of the seed.
const FOUND: &[(&str, Era, u64)] = &[
    ("mb-35287", Era::V7_0, 20),
    ("mb-32724", Era::V7_0, 20),
    ("mb-37009", Era::V7_0, 20),
    ("mb-40934", Era::V7_0, 20),
    ("mb-18625", Era::V7_0, 20),
    ("stall-after-orphan", Era::V7_0, 20),
    ("repeat-after-orphan", Era::V7_0, 20),
    ("skip-after-orphan", Era::V7_0, 40),
    ("leak-window", Era::V7_0, 20),
    ("late-disconnect", Era::V7_0, 20),
    ("orphan-after-end", Era::V7_0, 20),
    ("large-orphan", Era::V7_0, 40),
    ("skip-after-close", Era::V7_0, 20),
    ("rollback-storm", Era::V7_0, 40),
    ("refuse-readd", Era::V7_0, 20),
    ("mb-36794", Era::V6_5, 40),
    ("mb-36971", Era::V6_5, 20),
    ("mb-35378", Era::V7_0, 40),
    ("mb-35226", Era::V7_0, 20),
    ("mb-35314", Era::V7_0, 20),
    ("mb-26363", Era::V7_0, 40),
    ("mb-25820", Era::V7_0, 20),
    ("mb-38356", Era::V7_0, 20),
    ("mb-31481", Era::V7_0, 40),
    ("mb-17230", Era::V7_0, 20),
    ("mb-72330", Era::Master, 40),
    ("mb-50543", Era::V7_0, 20),
    ("mb-51105", Era::V7_0, 20),
    ("mb-62847", Era::V7_0, 20),
    ("mb-66612", Era::V7_0, 20),
    ("mb-46634", Era::V7_0, 20),
    ("mb-40277", Era::V7_0, 80),
    ("mb-42506", Era::V7_0, 400),
];

/// Those that only a takeover brings about, which `--destructive` allows.
const FOUND_BY_TAKEOVERS: &[(&str, Era, u64)] = &[("stray-marker-ack", Era::V7_0, 40), ("mb-45523", Era::V7_0, 80)];

/// The producer's other quirks: what schedules do not do yet.
const OUT_OF_REACH: &[(&str, &str)] = &[("mb-27489", "a vbucket that goes away, which no consumer brings about")];

/// A quirk, where and within how many schedules it is looked for, and what was found.
type Row = (Quirk, Era, u64, Option<Found>);

static ALL: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let looked_for = FOUND.iter().chain(FOUND_BY_TAKEOVERS).map(|&(name, era, within)| {
        let quirk = name.parse().expect("a quirk");
        let search = if is_by_takeover(quirk) { destructive } else { search };
        let found = search(SEED, within, era, Some(quirk)).1;
        (quirk, era, within, found)
    });
    looked_for.collect()
});

fn is_by_takeover(quirk: Quirk) -> bool {
    FOUND_BY_TAKEOVERS.iter().any(|(name, ..)| *name == quirk.name())
}

#[test]
fn each_quirk_within_reach_is_found_and_shrunk() {
    for (quirk, era, within, found) in &*ALL {
        let Some(found) = found else { panic!("seed {SEED}, {era}, {quirk}: not found in {within} schedules") };
        let text = found.minimal.to_toml();
        assert!(found.minimal.steps.len() <= STEPS, "seed {SEED}, {era}, {quirk}: {text}");
        assert_eq!((found.is_complete, found.again), (true, Some(true)), "seed {SEED}, {era}, {quirk}: {text}");
        assert_eq!(found.minimal.destructive, is_by_takeover(*quirk), "seed {SEED}, {era}, {quirk}: {text}");
        let about = &found.minimal.about;
        let told = [format!("--seed {SEED}"), format!("schedule {}", found.number), format!("era {era}")];
        assert!(told.iter().all(|it| about.contains(it)) && about.contains(&found.failure.id), "{about}");
    }
}

/// Half of the vbuckets that may be lost, and the last of all, are kept for what they are for.
#[test]
fn without_vbuckets_to_spare_the_shrinking_is_cut_short() {
    let quirk = "stray-marker-ack".parse().expect("a quirk");
    for spare in [1, 2, 4] {
        let (search, found) = with_spare(spare, SEED, 40, Era::V7_0, quirk);
        let found = found.expect("it is found by the first takeover that has it");
        let again = (spare > 1).then_some(true);
        assert_eq!((found.is_complete, found.again), (false, again), "{spare}: {}", found.minimal.to_toml());
        assert_eq!(search.taken_over().len(), usize::from(spare), "{:?}", search.tally());
        assert_eq!(search.taken_over().last(), found.minimal.consumer.vbuckets.iter().flatten().last());
    }
}

#[test]
fn every_quirk_of_the_producer_is_in_one_of_the_lists() {
    for quirk in Quirk::ALL.into_iter().filter(|quirk| quirk.about().role == Role::Producer) {
        let found = FOUND.iter().chain(FOUND_BY_TAKEOVERS).filter(|(name, ..)| *name == quirk.name()).count();
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
        "\n| quirk | era | seed | within | schedules needed | steps, drawn | steps, shrunk | asks for | does | finding |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (quirk, era, within, found) in &*ALL {
        let Some(found) = found else { continue };
        let steps = [&found.drawn, &found.minimal].map(|scenario| scenario.steps.len());
        let faults = found.minimal.steps.iter().flat_map(|step| &step.faults);
        let mut does: Vec<String> = faults.map(|fault| format!("`{}`", says(fault))).collect();
        if does.is_empty() {
            does.push("looks on".to_owned());
        }
        let asks = toml::to_string(&found.minimal.consumer).unwrap_or_default();
        let asks: Vec<String> = asks.lines().map(|line| format!("`{line}`")).collect();
        let mark = if is_by_takeover(*quirk) { " (`--destructive`)" } else { "" };
        let id = found.failure.id.rsplit('/').next().unwrap_or_default();
        let _ = writeln!(
            text,
            "| `{quirk}`{mark} | {era} | {SEED} | {within} | {} | {} | {} | {} | {} | `{id}` |",
            found.number,
            steps[0],
            steps[1],
            asks.join(", "),
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
        FaultSpec::OrphanResponse(orphan) => {
            let body = orphan.body_size.map_or_else(String::new, |size| format!(" with {} bytes", size.0));
            format!("{} x {} {}{body}", orphan.count, orphan.message, orphan.status)
        }
        FaultSpec::Send(send) => {
            let vbucket = send.vbucket.map_or_else(String::new, |vbucket| format!(" for vbucket {vbucket}"));
            let value =
                send.value.as_ref().filter(|_| send.key.is_some()).map_or_else(String::new, |it| format!(" {it}"));
            format!("send {}{vbucket}{value}", send.message)
        }
        FaultSpec::WithholdAck(_) => "withhold_ack".to_owned(),
        FaultSpec::Delay(_) => "delay".to_owned(),
        other => format!("{other:?}"),
    }
}
