//! Cluster maps on a KV connection: rewritten wherever a node sends them, and nothing else is touched.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use dcproxy::cluster::{Directory, Identity, MAX_MAP_LEN, Place, Rewriting, Service, Trouble, rewrite};
use dcproxy::dcp::ClustermapChange;
use dcproxy::engine::{Action, Actions, Event, Interceptor, Sessions, WHOLE_LIMIT};
use dcproxy::journal::{Act, Direction, Origin, What};
use dcproxy::wire::{Datatype, Frame, FrameBuilder, Opaque, Opcode, Status};
use dcproxy::{Timestamp, journal::Side};
use serde_json::json;

use crate::laws::book::{D, Playbook, U, at, frames, noop, ok};

/// A proxy whose ports are those of the nodes and 10,000 more.
#[derive(Clone, Default)]
struct Doors(Arc<Mutex<Vec<Trouble>>>);

impl Directory for Doors {
    fn host(&self) -> &str {
        "192.0.2.77"
    }

    fn here(&self) -> Option<&Place> {
        None
    }

    fn behind(&self, offered: Service) -> Option<Service> {
        (!offered.is_tls()).then_some(offered)
    }

    fn port(&mut self, _: Service, node: &Place) -> Result<u16, String> {
        Ok(node.port + 10_000)
    }

    fn also_called(&mut self, _: Service, _: &Place) {}

    fn mapped(&mut self, _: &Identity, _: &BTreeSet<(Service, Place)>) {}

    fn told(&mut self, trouble: &Trouble) {
        self.0.lock().expect("nobody panicked with it").push(trouble.clone());
    }
}

impl Doors {
    fn told_of(&self) -> Vec<Trouble> {
        self.0.lock().expect("nobody panicked with it").clone()
    }
}

/// Another interceptor, which does the same at every map.
struct Does(Vec<Action>);

impl Interceptor for Does {
    fn on_event(&mut self, event: &Event<'_>, _: &Sessions, _: Timestamp) -> Actions {
        match event {
            Event::Frame { from: Side::Upstream, frame, .. } if frame.header().value_len() > 0 => self.0.clone(),
            Event::Frame { .. }
            | Event::Answer { .. }
            | Event::Raw { .. }
            | Event::Closed { .. }
            | Event::Paused { .. }
            | Event::Wakeup
            | Event::Settle => Vec::new(),
        }
    }

    fn wakeup(&self) -> Option<Timestamp> {
        None
    }

    fn is_settled(&self) -> bool {
        false
    }
}

fn alone() -> (Playbook, Doors) {
    let doors = Doors::default();
    (Playbook::with(Some(Box::new(Rewriting::new(None, Box::new(doors.clone()))))), doors)
}

fn with(actions: Vec<Action>) -> Playbook {
    Playbook::with(Some(Box::new(Rewriting::new(Some(Box::new(Does(actions))), Box::new(Doors::default())))))
}

/// A map whose vbuckets make it about that long.
fn map(len: usize) -> String {
    let vbuckets = vec![[0, 1, 2]; len / 8];
    let node = |n: u16| json!({"services": {"kv": 11210, "n1ql": 8093}, "hostname": format!("node{n}.example")});
    json!({
        "rev": 7,
        "nodesExt": [node(1), node(2)],
        "vBucketServerMap": {
            "serverList": ["node1.example:11210", "node2.example:11210"],
            "vBucketMap": vbuckets,
        },
    })
    .to_string()
}

fn rewritten(map: &str) -> String {
    rewrite(map, &mut Doors::default()).expect("a map")
}

fn packed(map: &str) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(map.as_bytes()).expect("short")
}

fn answer(value: impl Into<Vec<u8>>, datatype: Datatype) -> FrameBuilder {
    FrameBuilder::response(Opcode::GET_CLUSTER_CONFIG, Status::SUCCESS)
        .opaque(Opaque(*b"abcd"))
        .cas(9)
        .datatype(datatype)
        .value(value)
}

fn refusal(value: impl Into<Vec<u8>>) -> FrameBuilder {
    FrameBuilder::response(Opcode::DCP_STREAM_REQ, Status::NOT_MY_VBUCKET).opaque(Opaque(*b"efgh")).value(value)
}

fn notice(value: impl Into<Vec<u8>>) -> FrameBuilder {
    ClustermapChange { epoch: Some(1), revision: 7, bucket: "travel".to_owned() }.request(Opaque([0; 4])).value(value)
}

/// What the client gets of that, however it is cut.
fn got(frame: &Bytes, size: usize) -> (Vec<u8>, Vec<Trouble>) {
    let (mut play, doors) = alone();
    let mut bytes = Vec::new();
    for chunk in frame.chunks(size) {
        let gave = play.feed(U, chunk);
        assert_eq!(gave.bytes(U), b"");
        bytes.extend(gave.bytes(D));
    }
    (bytes, doors.told_of())
}

#[test]
fn a_map_is_rewritten_wherever_a_node_sends_one_and_its_frame_is_the_same_else() {
    let (old, new) = (map(100), rewritten(&map(100)));
    assert!(new.contains("\"kv\":21210") && new.contains("192.0.2.77:21210") && !new.contains("example"), "{new}");
    let both = Datatype::JSON | Datatype::SNAPPY;
    let flex = |value: &str| refusal(value).frame_info(1, &[7]);
    let old_form = |value: &str| {
        let change = ClustermapChange { epoch: None, revision: 7, bucket: String::new() };
        change.request(Opaque([0; 4])).value(value)
    };
    for (sent, expected) in [
        (answer(&*old, Datatype::JSON), answer(&*new, Datatype::JSON)),
        (answer(&*old, Datatype::RAW), answer(&*new, Datatype::RAW)),
        (answer(packed(&old), both), answer(&*new, Datatype::JSON)),
        (refusal(&*old), refusal(&*new)),
        (refusal(packed(&old)).datatype(Datatype::SNAPPY), refusal(&*new)),
        (flex(&old), flex(&new)),
        (notice(&*old), notice(&*new)),
        (old_form(&old), old_form(&new)),
    ] {
        for size in [1, 100, usize::MAX] {
            let (bytes, told) = got(&sent.build(), size);
            assert_eq!(
                String::from_utf8_lossy(&bytes),
                String::from_utf8_lossy(&expected.build()),
                "in pieces of {size}"
            );
            assert_eq!(told, []);
        }
    }
}

#[test]
fn what_carries_no_map_goes_on_as_it_came() {
    let get = FrameBuilder::response(Opcode::GET, Status::SUCCESS).extras([0; 4]).value(map(100)).build();
    let failed = FrameBuilder::response(Opcode::GET_CLUSTER_CONFIG, Status::NO_BUCKET).value(*b"{}").build();
    let brief = [answer("", Datatype::RAW).build(), refusal("").build(), notice("").build()];
    let long = FrameBuilder::response(Opcode::GET, Status::SUCCESS).value(vec![b'x'; WHOLE_LIMIT]).build();
    for frame in [get, failed, noop(1), long].into_iter().chain(brief) {
        assert_eq!(got(&frame, 1000), (frame.to_vec(), vec![]));
    }
    // What a client says is for the node: it knows itself.
    let (mut play, _) = alone();
    let orphan = refusal(map(100)).build();
    assert_eq!(play.feed(D, &orphan).bytes(U), orphan);
}

/// Of 1024 vbuckets with three replicas on many nodes a map may be longer than what is looked at whole.
#[test]
fn a_long_map_is_rewritten_too_and_stays_the_nodes_word() {
    let old = map(3 * WHOLE_LIMIT);
    let (sent, expected) = (answer(&*old, Datatype::JSON).build(), answer(rewritten(&old), Datatype::JSON).build());
    for size in [1460, 64 * 1024, usize::MAX] {
        assert_eq!(got(&sent, size), (expected.to_vec(), vec![]), "in pieces of {size}");
    }
    let (mut play, _) = alone();
    let behind = ok(Opcode::NOOP, 2);
    let all = [&noop(1)[..], &sent, &behind].concat();
    let outputs = play.feed(U, all).bytes(D);
    assert_eq!(outputs, [&noop(1)[..], &expected, &behind].concat());
    let is_map = |what: &What| matches!(what, What::Frame(head) if head.header.opcode == Opcode::GET_CLUSTER_CONFIG);
    let story: Vec<_> = play
        .journal()
        .iter()
        .filter(|entry| is_map(&entry.what) || matches!(entry.what, What::Acted(_)))
        .map(|entry| (entry.edge, entry.direction, entry.origin, matches!(entry.what, What::Acted(Act::Replaced))))
        .collect();
    let (from, to) = (Direction::From, Direction::To);
    let expected = [(U, from, Origin::Peer, false), (U, from, Origin::Tool, true), (D, to, Origin::Peer, false)];
    assert_eq!(story, expected);
    assert!(!play.engine.is_armed() && play.engine.is_settled());
}

/// No client gets away: it hears that the map is not there for now, and asks again.
#[test]
fn a_map_that_cannot_be_rewritten_does_not_reach_the_client() {
    let long = " ".repeat(MAX_MAP_LEN + 1);
    let bomb = [0xff, 0xff, 0xff, 0x7f, 0];
    let later = FrameBuilder::response(Opcode::GET_CLUSTER_CONFIG, Status::ETMPFAIL).opaque(Opaque(*b"abcd"));
    for (sent, instead, why) in [
        (answer(&*long, Datatype::JSON), later.clone(), "at most 8388608 bytes, found one of 8388609"),
        (refusal(&*long), refusal(""), "at most 8388608 bytes"),
        (notice(&*long), notice(""), "at most 8388608 bytes"),
        (answer(bomb, Datatype::SNAPPY), later.clone(), "claims 268435455"),
        (answer("no map", Datatype::JSON), later.clone(), "expected a JSON object, found no map"),
        (answer([0xff; 9], Datatype::RAW), later, "UTF-8"),
        (refusal("[7"), refusal(""), "found [7"),
    ] {
        let behind = ok(Opcode::NOOP, 2);
        let all: Bytes = [&sent.build()[..], &behind].concat().into();
        let (bytes, told) = got(&all, 1 << 20);
        assert_eq!(frames(&bytes), [instead.build(), behind], "{why}");
        let [Trouble::Refused(found)] = &told[..] else { panic!("{told:?}") };
        assert!(found.contains(why), "{found}");
    }
}

#[test]
fn the_other_interceptor_decides_and_what_it_sends_is_rewritten() {
    let (old, new) = (answer(map(100), Datatype::JSON).build(), answer(rewritten(&map(100)), Datatype::JSON).build());
    let other = refusal(map(50)).build();
    let append = |frame: &Bytes| Action::Append { to: D, frame: frame.clone() };
    for (actions, expected) in [
        (vec![], vec![new.clone()]),
        (vec![Action::Forward], vec![new.clone()]),
        (vec![Action::Drop], vec![]),
        (vec![Action::Forward, append(&old)], vec![new.clone(), new.clone()]),
        (vec![append(&old), Action::Forward], vec![new.clone(), new.clone()]),
        (vec![Action::Replace(other)], vec![refusal(rewritten(&map(50))).build()]),
        (vec![Action::Replace(noop(7))], vec![noop(7)]),
    ] {
        let mut play = with(actions.clone());
        assert!(play.engine.is_armed(), "with another the engine is armed");
        assert_eq!(frames(&play.feed(U, &old).bytes(D)), expected, "{actions:?}");
    }
    let mut play = with(vec![Action::Truncate(30)]);
    assert_eq!(play.feed(U, &old).bytes(D), old[..30]);
}

#[test]
fn a_map_waits_where_what_goes_to_the_client_is_held() {
    let (old, new) = (notice(map(100)).build(), notice(rewritten(&map(100))).build());
    let mut play = with(vec![Action::Hold { to: D, until: at(50) }]);
    assert_eq!(play.feed(U, &old).bytes(D), b"");
    assert_eq!(play.woken_at(50).bytes(D), new);
}

#[test]
fn bytes_without_framing_are_told_of() {
    let (mut play, doors) = alone();
    assert_eq!(play.feed(U, b"HTTP/1.1 200 OK").bytes(D), b"HTTP/1.1 200 OK");
    assert_eq!(doors.told_of(), [Trouble::NotFramed]);
    let frame = notice(map(9)).build();
    assert!(Frame::whole(&frame).is_ok() && play.feed(D, b"GET / HTTP/1.1").bytes(U) == b"GET / HTTP/1.1");
    assert_eq!(doors.told_of().len(), 1, "what a client says holds no map");
}
