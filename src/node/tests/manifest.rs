use serde_json::Value;
use serde_json::json;

use super::super::Config;
use super::super::Node;
use super::peer::EVERYTHING;
use super::peer::Peer;
use super::peer::Seen;
use super::peer::still;
use crate::dcp::Message;
use crate::dcp::StreamReq;
use crate::dcp::StreamReqValue;
use crate::dcp::SystemEventBody;
use crate::verdict::Verdict;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;
use crate::wire::leb128;

const MINE: u32 = 0x9000_0001;
const SCOPE: u32 = 0x9000_0002;

fn manifest(peer: &mut Peer) -> Value {
    let found = peer.asks(FrameBuilder::request(Opcode::COLLECTIONS_GET_MANIFEST), Status::SUCCESS);
    serde_json::from_slice(found.value()).unwrap()
}

fn uid(manifest: &Value) -> u64 {
    u64::from_str_radix(manifest["uid"].as_str().unwrap(), 16).unwrap()
}

/// Sets the manifest that is there with a change, and the next uid.
fn change(peer: &mut Peer, how: impl Fn(&mut Vec<Value>)) -> Seen {
    let mut manifest = manifest(peer);
    manifest["uid"] = format!("{:x}", uid(&manifest) + 1).into();
    how(manifest["scopes"].as_array_mut().unwrap());
    post(peer, &manifest)
}

fn post(peer: &mut Peer, manifest: &Value) -> Seen {
    peer.ask(FrameBuilder::request(Opcode::COLLECTIONS_SET_MANIFEST).value(manifest.to_string().into_bytes()))
}

fn collection(id: u32, name: &str) -> Value {
    json!({"uid": format!("{id:x}"), "name": name})
}

fn add(to: &mut Value, member: Value) {
    to["collections"].as_array_mut().unwrap().push(member);
}

fn remove(from: &mut Value, id: u32) {
    from["collections"].as_array_mut().unwrap().retain(|it| it["uid"] != format!("{id:x}"));
}

fn document(opcode: Opcode, collection: u32) -> FrameBuilder {
    let mut key = Vec::new();
    leb128::write(collection, &mut key);
    // The collection's own name: its event is no document.
    key.extend(*b"made");
    let frame = FrameBuilder::request(opcode).key(key);
    if opcode == Opcode::SET { frame.extras([0; 8]).value(*b"{}") } else { frame }
}

fn events(seen: &[Seen]) -> Vec<SystemEventBody> {
    let body = |frame: &Seen| match &frame.message {
        Message::SystemEvent(event) => Some(event.body),
        _ => None,
    };
    seen.iter().filter_map(body).collect()
}

#[test]
fn a_collection_is_made_and_dropped_on_every_vbucket() {
    let node = Node::new(Config { items: 100, ..Config::default() });
    let mut watcher = Peer::with_everything(&node);
    watcher.stream(0);
    watcher.stream(3);
    watcher.reads(usize::MAX);
    let mut peer = Peer::in_bucket(&node, EVERYTHING);
    let before = uid(&manifest(&mut peer));
    let made = change(&mut peer, |scopes| add(&mut scopes[0], collection(MINE, "made")));
    assert_eq!(made.header.status(), Some(Status::SUCCESS));
    assert_eq!(uid(&manifest(&mut peer)), before + 1);
    let id = peer.asks(FrameBuilder::request(Opcode::COLLECTIONS_GET_ID).value(*b"_default.made"), Status::SUCCESS);
    assert_eq!(id.frame().extras()[8..], MINE.to_be_bytes());
    peer.asks(document(Opcode::GET, MINE), Status::KEY_ENOENT);
    peer.asks(document(Opcode::SET, MINE), Status::SUCCESS);
    peer.asks(document(Opcode::GET, MINE), Status::SUCCESS);
    for ms in [0, 350] {
        // The generator goes on making collections of its own, with the uids that follow.
        watcher.waits(ms);
        peer.waits(ms);
        watcher.reads(usize::MAX);
    }
    peer.asks(document(Opcode::DELETE, MINE), Status::SUCCESS);
    let gone = change(&mut peer, |scopes| remove(&mut scopes[0], MINE));
    assert_eq!(gone.header.status(), Some(Status::SUCCESS));
    peer.asks(document(Opcode::SET, MINE), Status::UNKNOWN_COLLECTION);
    peer.asks(document(Opcode::GET, MINE), Status::UNKNOWN_COLLECTION);
    watcher.waits(300);
    watcher.reads(usize::MAX);
    let mut other = Peer::with_everything(&node);
    other.waits(700);
    other.stream(1);
    let seen = other.reads(usize::MAX);
    let of_it: Vec<u32> = events(&seen)
        .iter()
        .filter_map(|event| match event {
            SystemEventBody::Collection(made) if made.collection_id == MINE => Some(1),
            SystemEventBody::DroppedCollection { collection_id: MINE, .. } => Some(2),
            _ => None,
        })
        .collect();
    assert_eq!(of_it, [1, 2]);
    for peer in [&watcher, &other] {
        let failed: Vec<_> = peer.findings().into_iter().filter(|finding| finding.verdict != Verdict::Pass).collect();
        assert!(failed.is_empty(), "{failed:#?}");
    }
}

#[test]
fn a_scope_holds_its_collections_and_ends_the_streams_of_it() {
    let node = still(Config { items: 100, ..Config::default() });
    let mut peer = Peer::in_bucket(&node, EVERYTHING);
    let made = change(&mut peer, |scopes| {
        let mut member = collection(MINE, "made");
        member["maxTTL"] = 60.into();
        scopes.push(json!({"uid": format!("{SCOPE:x}"), "name": "mine", "collections": [member]}));
    });
    assert_eq!(made.header.status(), Some(Status::SUCCESS), "{:?}", made.frame().value());
    let id = peer.asks(FrameBuilder::request(Opcode::COLLECTIONS_GET_SCOPE_ID).value(*b"mine"), Status::SUCCESS);
    assert_eq!(id.frame().extras()[8..], SCOPE.to_be_bytes());
    peer.asks(document(Opcode::SET, MINE), Status::SUCCESS);
    let mut watcher = Peer::opened(&node, EVERYTHING, crate::dcp::Open::INCLUDE_DELETE_TIMES);
    watcher.control("enable_noop", "true");
    let value = StreamReqValue { scope: Some(SCOPE), ..StreamReqValue::default() };
    let request = StreamReq { end_seqno: u64::MAX, value: Some(Box::new(value)), ..StreamReq::default() };
    watcher.says(request.request(0, Opaque([1; 4])));
    let seen = watcher.reads(usize::MAX);
    assert_eq!(events(&seen).len(), 2, "the scope and its collection, no others: {seen:?}");
    let written = seen.iter().find_map(|frame| match &frame.message {
        Message::Mutation(mutation) => Some(mutation.expiration),
        _ => None,
    });
    assert_eq!(written, Some(1060), "its collection lets nothing live longer than 60 s");
    let gone = change(&mut peer, |scopes| scopes.retain(|scope| scope["name"] != "mine"));
    assert_eq!(gone.header.status(), Some(Status::SUCCESS));
    let seen = watcher.reads(usize::MAX);
    assert!(matches!(
        events(&seen)[..],
        [SystemEventBody::DroppedCollection { .. }, SystemEventBody::DroppedScope { .. }]
    ));
    let Message::StreamEnd(end) = &seen.last().unwrap().message else { panic!("{seen:?}") };
    assert_eq!(end.end_reason, 7, "its filter is empty");
    let failed: Vec<_> = watcher.findings().into_iter().filter(|finding| finding.verdict != Verdict::Pass).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn what_cannot_be_applied_changes_nothing_and_is_told() {
    let node = still(Config { items: 100, ..Config::default() });
    let mut peer = Peer::in_bucket(&node, EVERYTHING);
    let made = change(&mut peer, |scopes| add(&mut scopes[0], collection(MINE, "made")));
    assert_eq!(made.header.status(), Some(Status::SUCCESS));
    let before = manifest(&mut peer);
    assert_eq!(post(&mut peer, &before).header.status(), Some(Status::SUCCESS), "the same again");
    let refused = |peer: &mut Peer, told: &str, how: &dyn Fn(&mut Vec<Value>)| {
        let seen = change(peer, how);
        assert_eq!(seen.header.status(), Some(Status::CANNOT_APPLY_COLLECTIONS_MANIFEST), "{told}");
        let text = String::from_utf8_lossy(seen.value()).into_owned();
        assert!(text.contains(told), "{told}: {text}");
    };
    refused(&mut peer, "the node's own", &|scopes| remove(&mut scopes[0], 8));
    refused(&mut peer, "the node's own", &|scopes| add(&mut scopes[0], collection(99, "low")));
    refused(&mut peer, "the node's own", &|scopes| scopes[0]["collections"][1]["name"] = "renamed".into());
    refused(&mut peer, "never used", &|scopes| {
        for it in scopes[0]["collections"].as_array_mut().unwrap() {
            if it["name"] == "made" {
                it["name"] = "renamed".into();
            }
        }
    });
    refused(&mut peer, "once", &|scopes| add(&mut scopes[0], collection(MINE + 7, "made")));
    refused(&mut peer, "a name of", &|scopes| add(&mut scopes[0], collection(MINE + 7, "_system")));
    let gone = change(&mut peer, |scopes| remove(&mut scopes[0], MINE));
    assert_eq!(gone.header.status(), Some(Status::SUCCESS));
    refused(&mut peer, "never used", &|scopes| add(&mut scopes[0], collection(MINE, "again")));
    let seen = post(&mut peer, &before);
    assert_eq!(seen.header.status(), Some(Status::CANNOT_APPLY_COLLECTIONS_MANIFEST), "older than what is there");
    let nonsense = peer.ask(FrameBuilder::request(Opcode::COLLECTIONS_SET_MANIFEST).value(*b"nonsense"));
    assert_eq!(nonsense.header.status(), Some(Status::EINVAL));
}
