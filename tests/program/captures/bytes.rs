//! The same bytes in other pieces, and the same capture twice, come to the same journal and the same judgement.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::time::Duration;

use dcproxy::capture::Event;
use dcproxy::capture::Recorded;
use dcproxy::capture::What;
use dcproxy::engine::Observer;
use dcproxy::journal::Entry;
use dcproxy::report::Connection;
use dcproxy::scenario::MESSAGES;
use dcproxy::scenario::judge::Judge;
use dcproxy::scenario::judge::Source;
use dcproxy::scenario::judge::Terms;

use super::capture;
use super::captures;
use super::check;

#[test]
fn one_byte_at_a_time() {
    for name in captures() {
        let whole = Told::of(&name, |_| usize::MAX);
        assert!(whole.journal.len() > 10, "{name}");
        // Many connections alike, as in the truth tables, have pieces of many sizes.
        let many = whole.connections.len() > 20;
        let split = Told::of(&name, |conn| if many { 1 + conn as usize % 23 } else { 1 });
        assert_eq!(whole.journal.len(), split.journal.len(), "{name}");
        for (whole, split) in whole.journal.iter().zip(&split.journal) {
            assert_eq!(whole, split, "{name}");
        }
        assert_eq!(whole.connections, split.connections, "{name}");
    }
}

#[test]
fn twice_the_same_report() {
    let name = "bridged-failover.2019-07-before.pcap";
    let json = || serde_json::to_string(&check("auto", &[capture(name)]).report).expect("JSON");
    assert_eq!(json(), json());
}

/// What a capture comes to.
#[derive(Default)]
struct Told {
    journal: Vec<(u32, Entry)>,
    connections: Vec<Connection>,
}

impl Told {
    /// Reads a capture, the data of each connection in pieces of so many bytes.
    fn of(name: &str, piece: impl Fn(u32) -> usize) -> Self {
        let bytes = fs::read(capture(name)).expect("a capture");
        let mut told = Self::default();
        let mut recorded = Recorded::new(1);
        let mut judges = BTreeMap::new();
        dcproxy::capture::read(Cursor::new(bytes), &mut |event| match event.what {
            What::Data { from, bytes } => {
                for bytes in bytes.chunks(piece(event.conn)) {
                    let event = Event { what: What::Data { from, bytes }, ..event };
                    told.event(&event, &mut recorded, &mut judges);
                }
            }
            What::Opened { .. } | What::Comment { .. } | What::Gap { .. } | What::Closed { .. } | What::Ended => {
                told.event(&event, &mut recorded, &mut judges);
            }
        })
        .unwrap_or_else(|error| panic!("{name}: {error}"));
        told
    }

    fn event(&mut self, event: &Event<'_>, recorded: &mut Recorded, judges: &mut BTreeMap<u32, Judge>) {
        let judge = judges.entry(event.conn).or_insert_with(|| Judge::new(terms(), u64::from(event.conn), "a", "b"));
        if event.what == What::Ended
            && let Some(session) = recorded.session(event.conn)
        {
            self.connections.push(judge.judgement(session).connection);
        }
        recorded.event(event, &mut |happened| {
            judge.observe(happened.entry, happened.context, happened.session);
            self.journal.push((happened.conn, happened.entry.clone()));
        });
    }
}

fn terms() -> Terms {
    Terms {
        expected: Vec::new(),
        era: None,
        messages: BTreeSet::from(MESSAGES),
        settle: Duration::from_secs(2),
        judge: dcproxy::verdict::Judge::Producer,
        source: Source::Recording,
    }
}
