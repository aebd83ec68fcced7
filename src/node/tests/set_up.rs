use super::super::Config;
use super::super::Connection;
use super::super::How;
use super::super::Node;
use super::peer::Peer;
use super::peer::still;
use crate::Timestamp;
use crate::dcp::Feature;
use crate::dcp::GetAllVbSeqnos;
use crate::dcp::GetErrorMap;
use crate::dcp::Message;
use crate::dcp::Open;
use crate::era::Era;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

fn request(opcode: Opcode) -> FrameBuilder {
    FrameBuilder::request(opcode)
}

#[test]
fn a_client_sets_up_its_connection() {
    let mut peer = Peer::new(&still(Config::default()));
    assert_eq!(peer.hello(&[0x03, 0x06, 0x07, 0x08, 0x99, 0x12, 0x12]), [0x03, 0x06, 0x07, 0x08, 0x12]);
    let mechanisms = peer.asks(request(Opcode::SASL_LIST_MECHS), Status::SUCCESS);
    assert_eq!(mechanisms.value(), b"SCRAM-SHA512 SCRAM-SHA256 SCRAM-SHA1 PLAIN");
    peer.asks(request(Opcode::SELECT_BUCKET).key(*b"default"), Status::EACCESS);
    peer.asks(request(Opcode::SASL_AUTH).key(*b"PLAIN").value(*b"\0Administrator\0wrong"), Status::AUTH_ERROR);
    peer.asks(request(Opcode::SASL_AUTH).key(*b"PLAIN").value(*b"\0Administrator\0password"), Status::SUCCESS);
    peer.asks(request(Opcode::GET_ALL_VB_SEQNOS), Status::NO_BUCKET);
    peer.asks(request(Opcode::SELECT_BUCKET).key(*b"other"), Status::KEY_ENOENT);
    peer.asks(request(Opcode::SELECT_BUCKET).key(*b"default"), Status::SUCCESS);
    let map = peer.asks(GetErrorMap { version: 2 }.request(Opaque([0; 4])), Status::SUCCESS);
    assert!(serde_json::from_slice::<serde_json::Value>(map.value()).unwrap()["errors"]["1"].is_object());
    let config = peer.asks(request(Opcode::GET_CLUSTER_CONFIG), Status::SUCCESS);
    let config: serde_json::Value = serde_json::from_slice(config.value()).unwrap();
    assert_eq!(config["vBucketServerMap"]["vBucketMap"].as_array().unwrap().len(), 4);
    peer.asks(request(Opcode::NOOP), Status::SUCCESS);
    peer.asks(request(Opcode(0xe7)), Status::UNKNOWN_COMMAND);
    let seqnos = peer.asks(GetAllVbSeqnos::default().request(Opaque([0; 4])), Status::SUCCESS);
    let Message::VbSeqnos(seqnos) = seqnos.message else { panic!("{seqnos:?}") };
    assert_eq!(seqnos.entries.len(), 4);
    assert!(seqnos.entries.iter().all(|entry| (9_990..=10_000).contains(&entry.seqno)), "{seqnos:?}");
}

#[test]
fn a_certificate_of_the_nodes_user_is_a_login_and_no_other() {
    for (user, status) in [("Administrator", Status::SUCCESS), ("administrator", Status::EACCESS)] {
        let mut peer = Peer::new(&still(Config::default()));
        peer.connection.certified(user);
        peer.hello(&[Feature::XERROR]);
        peer.asks(request(Opcode::SELECT_BUCKET).key(*b"default"), status);
    }
}

#[test]
fn the_highest_seqno_is_that_which_the_client_can_see() {
    // Seqno 31 is an abort, 30 an expiration in the default collection, 25 a deletion in collection 8.
    let node = still(Config { items: 31, ..Config::default() });
    let highest = |features: &[u16], collection_id: Option<u32>| {
        let mut peer = Peer::in_bucket(&node, features);
        let asked = GetAllVbSeqnos { state: collection_id.map(|_| 1), collection_id };
        let seqnos = peer.asks(asked.request(Opaque([0; 4])), Status::SUCCESS);
        let Message::VbSeqnos(seqnos) = seqnos.message else { panic!("{seqnos:?}") };
        seqnos.entries[2].seqno
    };
    assert_eq!(highest(&[Feature::COLLECTIONS, Feature::SYNC_REPLICATION], None), 31);
    assert_eq!(highest(&[Feature::COLLECTIONS], None), 30);
    assert_eq!(highest(&[Feature::COLLECTIONS], Some(8)), 25);
    assert_eq!(highest(&[Feature::SYNC_REPLICATION], None), 30, "of the default collection");
}

#[test]
fn scram_is_served_over_the_wire() {
    let mut peer = Peer::new(&still(Config::default()));
    peer.hello(&[Feature::XERROR]);
    let begin = request(Opcode::SASL_AUTH).key(*b"SCRAM-SHA1").value(*b"n,,n=Administrator,r=abc");
    let first = peer.asks(begin, Status::AUTH_CONTINUE);
    assert!(first.value().starts_with(b"r=abc"));
    let step = request(Opcode::SASL_STEP).key(*b"SCRAM-SHA1").value(*b"c=biws,r=abc,p=AAAA");
    peer.asks(step.clone(), Status::AUTH_ERROR);
    peer.asks(step, Status::AUTH_ERROR);
    peer.asks(request(Opcode::SELECT_BUCKET).key(*b"default"), Status::EACCESS);
}

#[test]
fn nonces_differ_between_connections_and_logins() {
    let node = still(Config::default());
    let nonce = |peer: &mut Peer| {
        let begin = request(Opcode::SASL_AUTH).key(*b"SCRAM-SHA1").value(*b"n,,n=Administrator,r=abc");
        peer.ask(begin).value().to_vec()
    };
    let (mut one, mut two) = (Peer::new(&node), Peer::new(&node));
    let all = [nonce(&mut one), nonce(&mut one), nonce(&mut two)];
    assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
}

#[test]
fn the_version_is_that_of_the_era() {
    for era in Era::ALL {
        let mut peer = Peer::new(&still(Config { era, ..Config::default() }));
        let version = peer.asks(request(Opcode::VERSION), Status::SUCCESS);
        assert_eq!(version.value(), era.version_text().as_bytes());
    }
}

#[test]
fn without_xerror_a_refusal_closes_the_connection() {
    let mut peer = Peer::new(&still(Config::default()));
    peer.says(request(Opcode::SELECT_BUCKET).key(*b"default"));
    assert!(peer.reads(1).is_empty());
    peer.waits(1000);
    assert_eq!(peer.connection.closing(), Some(How::Fin));
}

#[test]
fn open_flags_are_those_of_the_era() {
    let refused = |era, flags: u32| {
        let mut peer = Peer::in_bucket(&still(Config { era, ..Config::default() }), &[]);
        let open = Open { name: "test".to_owned(), flags: flags | Open::PRODUCER, ..Open::default() };
        peer.ask(open.request(Opaque([0; 4]))).header.status() == Some(Status::EINVAL)
    };
    for flags in [0x02, 0x10, 0x80, 0x48, 0x100, 0x400] {
        assert!(refused(Era::Master, flags), "{flags:#x}");
    }
    for flags in [0x04, 0x08, 0x20, 0x40, 0x24] {
        assert!(!refused(Era::V6_0, flags), "{flags:#x}");
    }
    assert!(refused(Era::V6_5, 0x104) && !refused(Era::V6_6, 0x104));
    assert!(refused(Era::V7_0, 0x200) && !refused(Era::Master, 0x200));
}

#[test]
fn dcp_needs_a_bucket_and_no_unordered_execution_and_is_opened_once() {
    let node = still(Config::default());
    let open = || Open { name: "test".to_owned(), flags: Open::PRODUCER, ..Open::default() }.request(Opaque([0; 4]));
    let mut peer = Peer::new(&node);
    peer.hello(&[Feature::XERROR]);
    peer.asks(open(), Status::EACCESS);
    let mut peer = Peer::in_bucket(&node, &[Feature::UNORDERED_EXECUTION]);
    peer.asks(open(), Status::NOT_SUPPORTED);
    let mut peer = Peer::in_bucket(&node, &[]);
    peer.asks(open(), Status::SUCCESS);
    peer.asks(open(), Status::EINVAL);
}

#[test]
fn the_other_role_is_the_consumers() {
    let mut peer = Peer::in_bucket(&still(Config::default()), &[Feature::COLLECTIONS]);
    let open = Open { name: "test".to_owned(), flags: Open::INCLUDE_DELETE_TIMES, ..Open::default() };
    peer.says(open.request(Opaque([0; 4])));
    let seen = peer.reads(30);
    assert_eq!((seen[0].opcode(), seen[0].header.status()), (Opcode::DCP_OPEN, Some(Status::SUCCESS)));
    assert!(seen[1..].iter().all(|frame| frame.header.is_request()), "it asks for what it wants");
    assert!(seen[1..].iter().any(|frame| frame.opcode() == Opcode::DCP_CONTROL));
    peer.asks(request(Opcode::NOOP), Status::SUCCESS);
    peer.asks(request(Opcode::VERSION), Status::SUCCESS);
    let closed = peer.ask(request(Opcode::DCP_CLOSE_STREAM));
    assert_ne!(closed.header.status(), Some(Status::SUCCESS), "no such stream");
}

#[test]
fn dcp_requests_before_open_close_the_connection() {
    for opcode in [Opcode::DCP_STREAM_REQ, Opcode::DCP_CONTROL, Opcode::DCP_CLOSE_STREAM, Opcode::DCP_MUTATION] {
        let mut peer = Peer::in_bucket(&still(Config::default()), &[]);
        peer.says(request(opcode));
        assert!(!peer.is_alive(), "{opcode}");
    }
}

#[test]
fn what_cannot_be_framed_closes_at_once() {
    let mut peer = Peer::new(&still(Config::default()));
    let now = peer.now();
    peer.connection.feed(b"GET / HTTP/1.1\r\n", now);
    assert_eq!(peer.connection.closing(), Some(How::Fin));
}

#[test]
fn it_closes_when_its_peer_does_and_on_quit() {
    let mut peer = Peer::new(&still(Config::default()));
    peer.asks(request(Opcode::QUIT), Status::SUCCESS);
    assert_eq!(peer.connection.closing(), Some(How::Fin));
    let mut peer = Peer::new(&still(Config::default()));
    let now = peer.now();
    peer.connection.closed(How::Reset, now);
    assert_eq!(peer.connection.closing(), Some(How::Reset));
}

#[test]
fn a_peer_that_asks_and_does_not_read_is_not_read_from() {
    let mut peer = Peer::new(&still(Config::default()));
    let now = peer.now();
    let many = request(Opcode::NOOP).build().repeat(1000);
    let mut fed = 0;
    while peer.connection.wants_input() {
        peer.connection.feed(&many, now);
        fed += 1;
        assert!(fed < 1000);
    }
    peer.reads(usize::MAX);
    assert!(peer.connection.wants_input());
}

#[test]
fn a_no_op_goes_out_each_interval_and_silence_is_the_end() {
    let mut peer = Peer::opened(&still(Config::default()), &[], 0);
    peer.controls(&[("set_noop_interval", "1"), ("enable_noop", "true")]);
    assert!(peer.reads(1).is_empty());
    let due = peer.connection.next_wakeup(peer.now()).unwrap();
    peer.ms += due.since(peer.now()).as_millis() as u64;
    let now = peer.now();
    peer.connection.wakeup(now);
    let noop = peer.reads(2);
    assert_eq!(noop.len(), 1);
    assert_eq!((noop[0].opcode(), noop[0].header.opaque), (Opcode::DCP_NOOP, Opaque([0x81, 0x96, 0x98, 0])));
    peer.waits(300_000);
    assert!(peer.reads(1).is_empty(), "no second one while the first is not answered");
    peer.responds(Opcode::DCP_NOOP, Status::SUCCESS, Opaque([0x81, 0x96, 0x98, 0]));
    assert_eq!(peer.reads(5).len(), 1);
    peer.waits(359_999);
    peer.waits(999);
    assert_eq!(peer.connection.closing(), None);
    peer.waits(1001);
    assert_eq!(peer.connection.closing(), Some(How::Fin));
}

#[test]
fn bytes_may_come_one_by_one() {
    let node = still(Config { items: 100, ..Config::default() });
    let mut whole = Connection::new(&node, Timestamp(0));
    let mut cut = Connection::new(&node, Timestamp(0));
    let requests = [
        request(Opcode::HELLO).key(*b"a").value([0, 7]),
        request(Opcode::SASL_AUTH).key(*b"PLAIN").value(*b"\0Administrator\0password"),
        request(Opcode::SELECT_BUCKET).key(*b"default"),
        Open { name: "x".to_owned(), flags: Open::PRODUCER, ..Open::default() }.request(Opaque([0; 4])),
        crate::dcp::StreamReq { end_seqno: u64::MAX, ..Default::default() }.request(1, Opaque([1; 4])),
    ];
    let bytes: Vec<u8> = requests.iter().flat_map(|frame| frame.build().to_vec()).collect();
    whole.feed(&bytes, Timestamp(5));
    for byte in bytes {
        cut.feed(&[byte], Timestamp(5));
    }
    let (mut one, mut two) = (Vec::new(), Vec::new());
    whole.pull(&mut one, 1 << 20, Timestamp(5));
    loop {
        let before = two.len();
        cut.pull(&mut two, 1, Timestamp(5));
        if two.len() == before {
            break;
        }
    }
    assert_eq!(one, two);
    assert!(one.len() > 5000);
}

#[test]
fn connections_may_be_driven_from_several_threads() {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Node>();
    is_send_and_sync::<Connection>();
}
