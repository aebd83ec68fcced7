use super::super::Config;
use super::peer::EVERYTHING;
use super::peer::Peer;
use super::peer::Seen;
use super::peer::still;
use crate::Timestamp;
use crate::dcp::Message;
use crate::verdict::Verdict;
use crate::wire::Datatype;
use crate::wire::FrameBuilder;
use crate::wire::Opcode;
use crate::wire::Status;
use crate::wire::leb128;

fn key(collection: u32, name: &str) -> Vec<u8> {
    let mut key = Vec::new();
    leb128::write(collection, &mut key);
    key.extend(name.bytes());
    key
}

fn set(name: &str, value: &[u8]) -> FrameBuilder {
    FrameBuilder::request(Opcode::SET).key(key(0, name)).extras([0, 0, 0, 7, 0, 0, 0, 0]).value(value)
}

fn get(name: &str) -> FrameBuilder {
    FrameBuilder::request(Opcode::GET).key(key(0, name))
}

fn delete(name: &str) -> FrameBuilder {
    FrameBuilder::request(Opcode::DELETE).key(key(0, name))
}

#[test]
fn what_is_set_can_be_got_and_deleted() {
    let mut peer = Peer::in_bucket(&still(Config { items: 100, ..Config::default() }), EVERYTHING);
    peer.asks(get("mine"), Status::KEY_ENOENT);
    let written = peer.asks(set("mine", b"{\"a\":1}"), Status::SUCCESS);
    assert_ne!(written.header.cas, 0);
    let found = peer.asks(get("mine"), Status::SUCCESS);
    assert_eq!((found.value(), found.frame().extras()), (&b"{\"a\":1}"[..], &[0, 0, 0, 7][..]));
    assert_eq!((found.header.cas, found.header.datatype), (written.header.cas, Datatype::JSON));
    peer.asks(set("mine", b"x").cas(1), Status::KEY_EEXISTS);
    peer.asks(set("mine", b"x").cas(written.header.cas), Status::SUCCESS);
    peer.asks(FrameBuilder::request(Opcode::ADD).key(key(0, "mine")).extras([0; 8]), Status::KEY_EEXISTS);
    peer.asks(delete("mine"), Status::SUCCESS);
    peer.asks(delete("mine"), Status::KEY_ENOENT);
    peer.asks(get("mine"), Status::KEY_ENOENT);
    peer.asks(get("mine").vbucket(4), Status::NOT_MY_VBUCKET);
    peer.asks(get(""), Status::EINVAL);
    peer.asks(FrameBuilder::request(Opcode::GET).key(key(0x999, "x")), Status::UNKNOWN_COLLECTION);
    let seven = peer.asks(get("order-0-7"), Status::SUCCESS);
    assert!(!seven.value().is_empty(), "what the node made is there too");
}

#[test]
fn what_is_written_comes_out_of_streams() {
    let node = still(Config { items: 100, ..Config::default() });
    let mut watcher = Peer::with_everything(&node);
    watcher.stream(0);
    watcher.reads(usize::MAX);
    assert!(watcher.connection.next_wakeup(watcher.now()).is_some(), "it looks for writes");
    let mut peer = Peer::in_bucket(&node, EVERYTHING);
    peer.asks(set("mine", b"one"), Status::SUCCESS);
    peer.asks(set("mine", b"two").frame_info(1, &[1]), Status::SUCCESS);
    peer.asks(delete("mine"), Status::SUCCESS);
    peer.asks(set("mine", b"two").frame_info(1, &[9]), Status::DURABILITY_INVALID_LEVEL);
    let seen = watcher.reads(usize::MAX);
    let opcodes: Vec<Opcode> =
        seen.iter().map(|frame| frame.opcode()).filter(|&opcode| opcode != Opcode::DCP_SNAPSHOT_MARKER).collect();
    assert_eq!(opcodes, [Opcode::DCP_MUTATION, Opcode::DCP_PREPARE, Opcode::DCP_COMMIT, Opcode::DCP_DELETION]);
    let commit = seen.iter().find(|frame| frame.opcode() == Opcode::DCP_COMMIT).unwrap();
    let Message::Commit(commit) = &commit.message else { panic!() };
    assert_eq!((commit.prepared_seqno, commit.commit_seqno), (102, 103));
    let keys = seen.iter().filter(|frame| frame.header.key_len > 0).map(|frame| frame.frame().key().to_vec());
    assert!(keys.into_iter().all(|found| found == key(0, "mine")));
}

#[test]
fn collections_are_found_by_name() {
    let mut peer = Peer::in_bucket(&still(Config { items: 100, ..Config::default() }), EVERYTHING);
    let manifest = peer.asks(FrameBuilder::request(Opcode::COLLECTIONS_GET_MANIFEST), Status::SUCCESS);
    let manifest: serde_json::Value = serde_json::from_slice(manifest.value()).unwrap();
    assert_eq!(manifest["scopes"][0]["collections"][0]["name"], "_default");
    assert_eq!(manifest["scopes"][1]["name"], "inventory");
    assert_eq!(manifest["scopes"][1]["collections"][0]["name"], "orders-9");
    assert_eq!(manifest["uid"], "5");
    let id = |peer: &mut Peer, path: &str| {
        let found = peer.ask(FrameBuilder::request(Opcode::COLLECTIONS_GET_ID).value(path.as_bytes()));
        found
            .frame()
            .extras()
            .last_chunk()
            .map_or_else(|| Err(found.header.status().unwrap()), |&id| Ok(u32::from_be_bytes(id)))
    };
    assert_eq!(id(&mut peer, "inventory.orders-9"), Ok(9));
    assert_eq!(id(&mut peer, "_default.orders-8"), Ok(8));
    assert_eq!(id(&mut peer, "_default._default"), Ok(0));
    assert_eq!(id(&mut peer, "."), Ok(0));
    assert_eq!(id(&mut peer, "_default.orders-9"), Err(Status::UNKNOWN_COLLECTION));
    assert_eq!(id(&mut peer, "none.orders-9"), Err(Status::UNKNOWN_SCOPE));
}

#[test]
fn statistics_end_with_an_empty_one() {
    let mut peer = Peer::in_bucket(&still(Config { items: 100, ..Config::default() }), EVERYTHING);
    peer.says(FrameBuilder::request(Opcode::STAT).key(*b"vbucket-seqno 2"));
    let seen = peer.reads(usize::MAX);
    assert_eq!(seen.len(), 4);
    assert_eq!((seen[0].frame().key(), seen[0].value()), (&b"vb_2:high_seqno"[..], &b"100"[..]));
    assert!(seen[3].frame().key().is_empty());
    peer.asks(FrameBuilder::request(Opcode::STAT).key(*b"nonsense"), Status::KEY_ENOENT);
}

#[test]
fn writes_are_bounded() {
    let mut peer = Peer::in_bucket(&still(Config { items: 10, ..Config::default() }), EVERYTHING);
    let value = vec![b'x'; 500 * 1024];
    let mut accepted = 0;
    while peer.ask(set("mine", &value)).header.status() == Some(Status::SUCCESS) {
        accepted += 1;
        assert!(accepted < 100);
    }
    assert!(accepted > 10);
    peer.asks(set("big", &vec![b'x'; 600 * 1024]), Status::E2BIG);
    peer.asks(set("bigger", &vec![b'x'; 2 * 1024 * 1024]), Status::E2BIG);
}

fn set_to_expire(name: &str, seconds: u8) -> FrameBuilder {
    FrameBuilder::request(Opcode::SET).key(key(0, name)).extras([0, 0, 0, 7, 0, 0, 0, seconds]).value(*b"x")
}

/// What the watcher is sent, markers aside.
fn items(watcher: &mut Peer) -> Vec<Opcode> {
    let seen = watcher.reads(usize::MAX);
    seen.iter().map(Seen::opcode).filter(|&opcode| opcode != Opcode::DCP_SNAPSHOT_MARKER).collect()
}

#[test]
fn a_document_expires_when_its_time_has_come() {
    let node = still(Config { items: 100, ..Config::default() });
    let mut watcher = Peer::with_everything(&node);
    watcher.stream(0);
    watcher.reads(usize::MAX);
    let mut peer = Peer::in_bucket(&node, EVERYTHING);
    for name in ["brief", "renewed", "removed"] {
        peer.asks(set_to_expire(name, 2), Status::SUCCESS);
    }
    peer.asks(set_to_expire("renewed", 0), Status::SUCCESS);
    peer.asks(delete("removed"), Status::SUCCESS);
    let seen = watcher.reads(usize::MAX);
    let Message::Mutation(first) = &seen[1].message else { panic!("{seen:?}") };
    assert_eq!(first.expiration, 1002, "counted from now on");
    watcher.waits(1900);
    assert_eq!(items(&mut watcher), []);
    let due = watcher.connection.next_wakeup(watcher.now()).unwrap();
    assert!(due <= Timestamp(1_002_000_000_000), "{due:?}");
    watcher.waits(100);
    assert_eq!(items(&mut watcher), [Opcode::DCP_EXPIRATION]);
    peer.waits(2000);
    peer.asks(get("brief"), Status::KEY_ENOENT);
    peer.asks(get("renewed"), Status::SUCCESS);
    // The asking alone brings it about too.
    peer.asks(set_to_expire("lazy", 1), Status::SUCCESS);
    peer.waits(1000);
    peer.asks(get("lazy"), Status::KEY_ENOENT);
    assert_eq!(items(&mut watcher), [Opcode::DCP_MUTATION, Opcode::DCP_EXPIRATION]);
    assert!(watcher.findings().iter().all(|finding| finding.verdict == Verdict::Pass));
}

#[test]
fn a_durable_write_without_time_is_aborted() {
    let node = still(Config { items: 100, ..Config::default() });
    let mut watcher = Peer::with_everything(&node);
    watcher.stream(0);
    watcher.reads(usize::MAX);
    let mut peer = Peer::in_bucket(&node, EVERYTHING);
    peer.asks(set("mine", b"one"), Status::SUCCESS);
    for timeout in [0, 0xffff_u16] {
        let [hi, lo] = timeout.to_be_bytes();
        peer.asks(set("mine", b"two").frame_info(1, &[1, hi, lo]), Status::EINVAL);
    }
    peer.asks(set("mine", b"two").frame_info(1, &[1, 0, 1]), Status::SYNC_WRITE_AMBIGUOUS);
    peer.asks(delete("mine").frame_info(1, &[1, 0, 1]), Status::SYNC_WRITE_AMBIGUOUS);
    assert_eq!(peer.asks(get("mine"), Status::SUCCESS).value(), b"one", "nothing has changed");
    peer.asks(set("mine", b"three").frame_info(1, &[2, 0, 100]), Status::SUCCESS);
    peer.asks(delete("mine").frame_info(1, &[3]), Status::SUCCESS);
    use Opcode as O;
    let expected = [O::DCP_MUTATION, O::DCP_PREPARE, O::DCP_ABORT, O::DCP_PREPARE, O::DCP_ABORT];
    let seen = items(&mut watcher);
    assert_eq!(seen[..5], expected);
    assert_eq!(seen[5..], [O::DCP_PREPARE, O::DCP_COMMIT, O::DCP_PREPARE, O::DCP_COMMIT]);
    assert!(watcher.findings().iter().all(|finding| finding.verdict == Verdict::Pass));
}

#[test]
fn a_counter_counts_and_stays_what_it_is() {
    let mut peer = Peer::in_bucket(&still(Config { items: 100, ..Config::default() }), EVERYTHING);
    let count = |opcode, delta: u64, initial: u64, expiration: u32| {
        let extras = [&delta.to_be_bytes()[..], &initial.to_be_bytes(), &expiration.to_be_bytes()].concat();
        FrameBuilder::request(opcode).key(key(0, "counter")).extras(extras)
    };
    let number = |seen: Seen| u64::from_be_bytes(seen.value().try_into().unwrap());
    peer.asks(count(Opcode::INCREMENT, 1, 5, u32::MAX), Status::KEY_ENOENT);
    assert_eq!(number(peer.asks(count(Opcode::INCREMENT, 1, 5, 0), Status::SUCCESS)), 5);
    assert_eq!(number(peer.asks(count(Opcode::INCREMENT, 3, 5, 0), Status::SUCCESS)), 8);
    assert_eq!(peer.asks(get("counter"), Status::SUCCESS).value(), b"8");
    assert_eq!(number(peer.asks(count(Opcode::DECREMENT, 2, 5, u32::MAX), Status::SUCCESS)), 6);
    assert_eq!(number(peer.asks(count(Opcode::DECREMENT, 9, 5, 0), Status::SUCCESS)), 0);
    peer.asks(count(Opcode::INCREMENT, 1, 5, 0).extras([0; 12]), Status::EINVAL);
    peer.asks(set("counter", b"-1"), Status::SUCCESS);
    peer.asks(count(Opcode::INCREMENT, 1, 5, 0), Status::DELTA_BADVAL);
}

#[test]
fn the_meta_data_of_a_document_outlives_it() {
    let mut peer = Peer::in_bucket(&still(Config { items: 100, ..Config::default() }), EVERYTHING);
    let meta = |name: &str| FrameBuilder::request(Opcode::GET_META).key(key(0, name));
    peer.asks(meta("mine"), Status::KEY_ENOENT);
    let written = peer.asks(set("mine", b"{}"), Status::SUCCESS);
    let seen = peer.asks(meta("mine").extras([2]), Status::SUCCESS);
    assert_eq!(seen.header.cas, written.header.cas);
    assert_eq!(hex::encode(seen.frame().extras()), "00000000000000070000000000000000000000010".to_owned() + "1");
    peer.asks(delete("mine"), Status::SUCCESS);
    let extras = peer.asks(meta("mine"), Status::SUCCESS).bytes[24..].to_vec();
    assert_eq!((extras.len(), &extras[..4]), (20, &[0, 0, 0, 1][..]));
}
