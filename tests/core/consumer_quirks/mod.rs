//! Every quirk of a consumer, provoked between a script and the embedded consumer with the engine and the judge in the
//! middle: with it the finding that it names fails, without it nothing does.
#![allow(clippy::unwrap_used)]

mod clients;
mod nodes;

use std::collections::BTreeSet;
use std::time::Duration;

use dcproxy::engine::Engine;
use dcproxy::engine::Observer;
use dcproxy::era::Era;
use dcproxy::journal::Entry;
use dcproxy::journal::Side;
use dcproxy::node::Quirk;
use dcproxy::node::Role;
use dcproxy::node::consumer::check_client;
use dcproxy::node::consumer::check_node;
use dcproxy::report::Finding;
use dcproxy::scenario::judge::Judge;
use dcproxy::scenario::judge::Source;
use dcproxy::scenario::judge::Terms;
use dcproxy::session::Context;
use dcproxy::session::Session;
use dcproxy::verdict;
use dcproxy::verdict::Verdict;

/// The judge as the only one who looks on.
#[derive(Debug)]
struct Eyes(Judge);

impl Observer for Eyes {
    fn observe(&mut self, entry: &Entry, context: &Context, session: &Session) {
        self.0.observe(entry, context, session);
    }
}

fn engine(era: Era) -> Engine<Eyes> {
    let terms = Terms {
        era: Some(era),
        messages: BTreeSet::new(),
        settle: Duration::from_secs(2),
        judge: verdict::Judge::Consumer,
        source: Source::Watching,
        expected: Vec::new(),
    };
    Engine::new(None, Eyes(Judge::new(terms, 1, "dialler", "upstream")), 0)
}

/// All that was found, notes too, and the verdict.
fn judged(engine: &mut Engine<Eyes>) -> (Verdict, Vec<Finding>) {
    let (eyes, sessions) = engine.observed();
    let connection = eyes.0.judgement(sessions.at(Side::Upstream)).connection;
    (connection.verdict, [connection.findings, connection.notes].concat())
}

/// Runs it without the quirk and with it; tells what is not as it should be.
fn catches(quirk: Quirk, run: impl Fn(&[Quirk]) -> (Verdict, Vec<Finding>)) -> Option<String> {
    let id = quirk.about().finding;
    // What is customary only decides nothing.
    let is_note = ["g5-ack-of-something", "a16-controls-first"].contains(&id);
    let told = |(verdict, found): &(Verdict, Vec<Finding>)| {
        (*verdict, found.iter().filter(|finding| finding.id == id).map(|finding| finding.verdict).max())
    };
    let expected = [
        (Verdict::Pass, Some(Verdict::Pass)),
        (if is_note { Verdict::Pass } else { Verdict::Fail }, Some(Verdict::Fail)),
    ];
    let runs = [run(&[]), run(&[quirk])];
    if [told(&runs[0]), told(&runs[1])] == expected {
        return None;
    }
    let said = runs.map(|(_, found)| {
        found.iter().map(|f| format!("{} {}: {} / {}", f.verdict, f.id, f.expected, f.actual)).collect::<Vec<_>>()
    });
    Some(format!("{quirk}, {id}, without it and with it: {said:#?}"))
}

#[test]
fn every_quirk_of_a_consumer_is_caught_where_it_can_be_had() {
    let (mut clients, mut nodes) = (clients::provocations(), nodes::provocations());
    let mut wrong = Vec::new();
    for quirk in Quirk::ALL.into_iter().filter(|quirk| quirk.about().role == Role::Consumer) {
        let (client, node) = (clients.remove(&quirk), nodes.remove(&quirk));
        assert_eq!(client.is_some(), check_client(quirk).is_ok(), "{quirk}");
        assert_eq!(node.is_some(), check_node(quirk).is_ok(), "{quirk}");
        wrong.extend(client.into_iter().chain(node).filter_map(|run| catches(quirk, run)));
    }
    assert!(clients.is_empty() && nodes.is_empty());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
