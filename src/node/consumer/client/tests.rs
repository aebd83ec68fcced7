use std::time::Duration;

use super::*;
use crate::dcp::*;
use crate::era::Era;
use crate::node::consumer::item_hash;
use crate::wire::Datatype;

const NOW: Timestamp = Timestamp(1_000_000_000);
const UUID: u64 = 0xabc;

/// A client and a producer that agrees to everything, but for the controls that are named.
struct Rig {
    client: Client,
    refused: Vec<&'static str>,
    /// Requests of the client's that the producer has not answered by itself.
    asked: Vec<Vec<u8>>,
    outputs: Vec<Output>,
    greeted: Vec<Opcode>,
}

impl Rig {
    fn new(config: ClientConfig) -> Self {
        Self::refusing(config, &[])
    }

    fn refusing(config: ClientConfig, refused: &[&'static str]) -> Self {
        let mut rig = Self {
            client: Client::new(config, NOW),
            refused: refused.to_vec(),
            asked: Vec::new(),
            outputs: Vec::new(),
            greeted: Vec::new(),
        };
        rig.serve();
        rig
    }

    /// Answers what sets a connection up, until the client asks for something else.
    fn serve(&mut self) {
        while let Some(output) = self.client.poll() {
            let Output::Write(bytes) = &output else {
                if output == Output::Close {
                    self.outputs.push(output);
                }
                continue;
            };
            let frame = Frame::whole(bytes).unwrap();
            let (opcode, opaque) = (frame.header().opcode, frame.header().opaque);
            let answer = match opcode {
                Opcode::HELLO => HelloResponse { features: Hello::parse(&frame).unwrap().features }.response(opaque),
                Opcode::SASL_AUTH | Opcode::SELECT_BUCKET | Opcode::DCP_OPEN => {
                    response(opcode, Status::SUCCESS, opaque)
                }
                Opcode::DCP_CONTROL => {
                    let refuse = self.refused.contains(&std::str::from_utf8(frame.key()).unwrap());
                    response(opcode, if refuse { Status::EINVAL } else { Status::SUCCESS }, opaque)
                }
                Opcode::DCP_GET_FAILOVER_LOG => log().response(opcode, opaque),
                _ => {
                    self.asked.push(bytes.to_vec());
                    continue;
                }
            };
            self.greeted.push(opcode);
            self.client.feed(&answer.build(), NOW);
        }
    }

    /// The stream requests since the last call: vbucket, opaque, request.
    fn stream_requests(&mut self) -> Vec<(u16, Opaque, StreamReq)> {
        let asked = std::mem::take(&mut self.asked);
        asked
            .iter()
            .map(|bytes| {
                let frame = Frame::whole(bytes).unwrap();
                (frame.header().vbucket_or_status, frame.header().opaque, StreamReq::parse(&frame).unwrap())
            })
            .collect()
    }

    fn asked(&mut self) -> Vec<(Opcode, u16, Vec<u8>)> {
        std::mem::take(&mut self.asked)
            .iter()
            .map(|bytes| {
                let frame = Frame::whole(bytes).unwrap();
                (frame.header().opcode, frame.header().vbucket_or_status, frame.extras().to_vec())
            })
            .collect()
    }

    fn tell(&mut self, frame: &FrameBuilder) {
        self.client.feed(&frame.build(), NOW);
        self.serve();
    }

    /// Lets the vbucket's stream begin; its opaque.
    fn open(&mut self) -> Opaque {
        let (_, opaque, _) = self.stream_requests().pop().unwrap();
        self.tell(&success(opaque));
        opaque
    }

    fn violations(&self) -> Vec<&str> {
        self.client.violations().iter().map(|violation| violation.what.as_str()).collect()
    }
}

fn config() -> ClientConfig {
    ClientConfig::new(Era::V7_0, [0])
}

fn log() -> FailoverLog {
    FailoverLog { failover_log: vec![FailoverEntry { vb_uuid: UUID, seqno: 0 }] }
}

fn success(opaque: Opaque) -> FrameBuilder {
    log().response(Opcode::DCP_STREAM_REQ, opaque)
}

fn rollback(seqno: u64, opaque: Opaque) -> FrameBuilder {
    response(Opcode::DCP_STREAM_REQ, Status::ROLLBACK, opaque).value(seqno.to_be_bytes())
}

fn marker(start_seqno: u64, end_seqno: u64, opaque: Opaque) -> FrameBuilder {
    let marker = SnapshotMarker {
        version: MarkerVersion::V2_0,
        start_seqno,
        end_seqno,
        flags: SnapshotMarker::MEMORY,
        max_visible_seqno: Some(end_seqno),
        ..SnapshotMarker::default()
    };
    marker.request(0, opaque)
}

fn mutation(by_seqno: u64, opaque: Opaque) -> FrameBuilder {
    Mutation { by_seqno, rev_seqno: 1, ..Mutation::default() }.request(0, opaque).key(*b"\0key").value(*b"v").cas(5)
}

fn prepare(by_seqno: u64, opaque: Opaque) -> FrameBuilder {
    let prepare = Prepare { by_seqno, rev_seqno: 1, durability_level: 1, ..Prepare::default() };
    prepare.request(0, opaque).key(*b"\0key").cas(5)
}

fn commit(prepared_seqno: u64, commit_seqno: u64, opaque: Opaque) -> FrameBuilder {
    Commit { prepared_seqno, commit_seqno }.request(0, opaque).key(*b"\0key")
}

fn abort(prepared_seqno: u64, abort_seqno: u64, opaque: Opaque) -> FrameBuilder {
    Abort { prepared_seqno, abort_seqno }.request(0, opaque).key(*b"\0key")
}

fn deletion(by_seqno: u64, opaque: Opaque) -> FrameBuilder {
    let deletion = Deletion { version: 2, by_seqno, rev_seqno: 1, delete_time: Some(0), nmeta: None, unused: Some(0) };
    deletion.request(0, opaque).key(*b"\0key").cas(5)
}

fn expiration(by_seqno: u64, opaque: Opaque) -> FrameBuilder {
    Expiration { by_seqno, rev_seqno: 1, delete_time: 7 }.request(0, opaque).key(*b"\0key").cas(5)
}

fn system_event(by_seqno: u64, opaque: Opaque) -> FrameBuilder {
    let body = SystemEventBody::Collection(CollectionEvent {
        manifest_uid: 1,
        collection_id: 8,
        ..CollectionEvent::default()
    });
    SystemEvent { by_seqno, event: SystemEvent::BEGIN_COLLECTION, version: 0, body }.request(b"name", 0, opaque)
}

fn stream_end(end_reason: u32, opaque: Opaque) -> FrameBuilder {
    StreamEnd { end_reason }.request(0, opaque)
}

/// A snapshot of 1 to 8 with one of each message that has a seqno, and the stream's end.
fn all_eight(opaque: Opaque) -> Vec<FrameBuilder> {
    vec![
        marker(0, 8, opaque),
        system_event(1, opaque),
        mutation(2, opaque),
        deletion(3, opaque),
        expiration(4, opaque),
        prepare(5, opaque),
        commit(5, 6, opaque),
        prepare(7, opaque),
        abort(7, 8, opaque),
        stream_end(StreamEnd::OK, opaque),
    ]
}

#[test]
fn it_sets_up_in_the_usual_order() {
    let mut config = config();
    config.login = Some(("user".to_owned(), "secret-of-mine".to_owned()).into());
    assert!(!format!("{config:?}").contains("secret-of-mine"));
    let mut client = Client::new(config.clone(), NOW);
    let Some(Output::Write(hello)) = client.poll() else { panic!("expected a frame") };
    let hello = Hello::parse(&Frame::whole(&hello).unwrap()).unwrap();
    for feature in [Feature::COLLECTIONS, Feature::XATTR, Feature::XERROR, Feature::JSON] {
        assert!(hello.features.contains(&feature));
    }
    assert_eq!(client.poll(), None, "one thing after another");
    let mut rig = Rig::new(config);
    assert_eq!(
        rig.greeted[..5],
        [Opcode::HELLO, Opcode::SASL_AUTH, Opcode::SELECT_BUCKET, Opcode::DCP_OPEN, Opcode::DCP_CONTROL]
    );
    assert_eq!(rig.greeted.last(), Some(&Opcode::DCP_GET_FAILOVER_LOG));
    assert_eq!(rig.client.phase(), Phase::Streaming);
    for control in [
        "connection_buffer_size",
        "enable_noop",
        "send_stream_end_on_client_close_stream",
        "enable_expiry_opcode",
        "enable_sync_writes",
        "consumer_name",
        "v7_dcp_status_codes",
    ] {
        assert_eq!(rig.client.accepted(control), Some(true), "{control}");
    }
    let (vbucket, _, request) = rig.stream_requests().pop().unwrap();
    assert_eq!((vbucket, request.start_seqno, request.end_seqno, request.vb_uuid), (0, 0, u64::MAX, UUID));
    assert_eq!(rig.violations(), [""; 0]);
}

#[test]
fn each_era_has_its_own_words() {
    let keys = |era| {
        let controls = ClientConfig::new(era, [0]).controls();
        controls.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert!(keys(Era::V2019_07).contains(&"enable_synchronous_replication".to_owned()));
    assert!(keys(Era::V6_5).contains(&"enable_sync_writes".to_owned()));
    assert!(!keys(Era::V6_6).contains(&"v7_dcp_status_codes".to_owned()));
    assert_eq!(ClientConfig::new(Era::V6_5, [0]).open_flags(), 0x25);
    assert_eq!(ClientConfig::new(Era::V6_6, [0]).open_flags(), 0x125);
    let without = config().without(Opcode::DCP_COMMIT).without(Opcode::DCP_EXPIRATION).without(Opcode::DCP_NOOP);
    let keys: Vec<String> = without.controls().into_iter().map(|(key, _)| key).collect();
    for gone in ["enable_sync_writes", "consumer_name", "enable_expiry_opcode", "enable_noop"] {
        assert!(!keys.contains(&gone.to_owned()), "{gone}");
    }
}

#[test]
fn a_refused_login_fails() {
    let mut config = config();
    config.login = Some(("user".to_owned(), "wrong".to_owned()).into());
    let mut client = Client::new(config, NOW);
    client.poll();
    client.feed(&HelloResponse::default().response(Opaque([0, 0, 0, 1])).build(), NOW);
    client.poll();
    client.feed(&response(Opcode::SASL_AUTH, Status::AUTH_ERROR, Opaque([0, 0, 0, 2])).build(), NOW);
    assert_eq!(client.poll(), Some(Output::Close));
    assert_eq!(client.phase(), Phase::Failed);
    assert_eq!(client.violations()[0].what, "login of user refused: AuthError; check the user and the password");
}

#[test]
fn everything_is_taken_in_and_counted() {
    let mut config = config();
    config.end = End::ToLatest;
    let mut rig = Rig::new(config);
    let opaque = rig.open();
    for message in all_eight(opaque) {
        rig.tell(&message);
    }
    assert_eq!(rig.violations(), [""; 0]);
    assert_eq!((rig.client.phase(), rig.outputs.as_slice()), (Phase::Done, &[Output::Close][..]));
    let ledger = rig.client.ledger().vbucket(0).unwrap();
    assert_eq!((ledger.items(), ledger.last_seqno(), ledger.is_complete()), (8, 8, true));
    let counts = [0x55, 0x56, 0x57, 0x58, 0x59, 0x5f, 0x60, 0x62, 0x63].map(|opcode| ledger.count(Opcode(opcode)));
    assert_eq!(counts, [1, 1, 1, 1, 1, 1, 2, 1, 1]);
    let event = [&0_u64.to_be_bytes()[..7], &[1], &[0; 4], &8_u32.to_be_bytes()].concat();
    let expected = [
        item_hash(Opcode::DCP_SYSTEM_EVENT, 1, 0, b"name", &event),
        item_hash(Opcode::DCP_MUTATION, 2, 5, b"\0key", b"v"),
        item_hash(Opcode::DCP_DELETION, 3, 5, b"\0key", b""),
        item_hash(Opcode::DCP_EXPIRATION, 4, 5, b"\0key", b""),
        item_hash(Opcode::DCP_PREPARE, 5, 5, b"\0key", b""),
        item_hash(Opcode::DCP_COMMIT, 6, 0, b"\0key", b""),
        item_hash(Opcode::DCP_PREPARE, 7, 5, b"\0key", b""),
        item_hash(Opcode::DCP_ABORT, 8, 0, b"\0key", b""),
    ];
    assert_eq!(ledger.digest(), Some(expected.into_iter().fold(0, u64::wrapping_add)));
}

#[test]
fn a_compressed_value_counts_as_what_it_holds() {
    let run = |value: &[u8], datatype| {
        let mut config = config();
        config.snappy = true;
        let mut rig = Rig::new(config);
        let opaque = rig.open();
        rig.tell(&marker(0, 1, opaque));
        rig.tell(&mutation(1, opaque).value(value).datatype(datatype));
        assert_eq!(rig.violations(), [""; 0]);
        rig.client.ledger().vbucket(0).unwrap().digest()
    };
    let block = snap::raw::Encoder::new().compress_vec(b"value value value value").unwrap();
    assert_eq!(run(&block, Datatype::SNAPPY), run(b"value value value value", Datatype::RAW));
}

#[test]
fn an_interrupted_stream_goes_on_from_where_it_was() {
    let mut rig = Rig::new(config());
    let first = rig.open();
    for message in [marker(0, 10, first), mutation(1, first), mutation(4, first)] {
        rig.tell(&message);
    }
    rig.tell(&stream_end(StreamEnd::STATE_CHANGED, first));
    let (_, second, request) = rig.stream_requests().pop().unwrap();
    assert_ne!(first, second);
    assert_eq!((request.start_seqno, request.snap_start_seqno, request.snap_end_seqno), (4, 0, 10));
    assert_eq!(request.vb_uuid, UUID);
    rig.tell(&success(second));
    for message in [marker(0, 10, second), mutation(7, second), mutation(10, second)] {
        rig.tell(&message);
    }
    rig.tell(&stream_end(StreamEnd::CLOSED, second));
    let (_, third, request) = rig.stream_requests().pop().unwrap();
    assert_eq!((request.start_seqno, request.snap_start_seqno, request.snap_end_seqno), (10, 10, 10));
    rig.tell(&success(third));
    for message in [marker(10, 12, third), mutation(11, third)] {
        rig.tell(&message);
    }
    assert_eq!(rig.violations(), [""; 0]);
    assert_eq!(rig.client.ledger().items(), 5);
    rig.tell(&mutation(12, first));
    assert!(rig.violations()[0].starts_with("expected nothing after a stream's end, found DCP_MUTATION"));
}

#[test]
fn a_rollback_is_honoured() {
    let mut rig = Rig::new(config());
    let first = rig.open();
    for message in [marker(0, 10, first), mutation(1, first), mutation(4, first), mutation(5, first)] {
        rig.tell(&message);
    }
    let short = {
        let mut rig = Rig::new(config());
        let opaque = rig.open();
        for message in [marker(0, 10, opaque), mutation(1, opaque)] {
            rig.tell(&message);
        }
        rig.client.ledger().vbucket(0).unwrap().digest()
    };
    rig.tell(&stream_end(StreamEnd::STATE_CHANGED, first));
    let (_, second, _) = rig.stream_requests().pop().unwrap();
    rig.tell(&rollback(3, second));
    let (_, third, request) = rig.stream_requests().pop().unwrap();
    assert_eq!((request.start_seqno, request.snap_start_seqno, request.snap_end_seqno), (3, 3, 3));
    assert_eq!(rig.client.ledger().vbucket(0).unwrap().digest(), short);
    rig.tell(&rollback(9, third));
    assert_eq!(rig.violations(), ["expected a rollback to at most 3, found 9"]);
}

#[test]
fn a_stream_that_never_opens_is_given_up() {
    let mut config = config();
    config.retries = 3;
    let mut rig = Rig::new(config);
    let mut now = NOW;
    for _ in 0..4 {
        let (_, opaque, _) = rig.stream_requests().pop().unwrap();
        rig.tell(&response(Opcode::DCP_STREAM_REQ, Status::NOT_MY_VBUCKET, opaque));
        assert_eq!(rig.stream_requests().len(), 0, "not at once");
        now = now + Duration::from_millis(100);
        rig.client.wakeup(now);
        rig.serve();
    }
    assert_eq!(rig.stream_requests().len(), 0);
    assert_eq!(rig.violations(), ["expected the stream to open, found it refused or ended 4 times"]);
    assert_eq!(rig.client.phase(), Phase::Done);
    let mut rig = Rig::new(ClientConfig::new(Era::V7_0, [0]));
    let (_, opaque, _) = rig.stream_requests().pop().unwrap();
    rig.tell(&response(Opcode::DCP_STREAM_REQ, Status::ERANGE, opaque));
    assert_eq!(rig.violations(), ["expected the stream to open, found it refused: Erange"]);
}

#[test]
fn the_wait_for_another_try_is_asked_for() {
    let mut rig = Rig::new(config());
    let (_, opaque, _) = rig.stream_requests().pop().unwrap();
    rig.client.feed(&response(Opcode::DCP_STREAM_REQ, Status::ETMPFAIL, opaque).build(), NOW);
    assert_eq!(rig.client.poll(), Some(Output::Wait(Some(NOW + Duration::from_millis(100)))));
}

#[test]
fn what_it_closes_itself_stays_closed() {
    let mut rig = Rig::new(ClientConfig::new(Era::V7_0, [0, 1]));
    let requests = rig.stream_requests();
    for (_, opaque, _) in &requests {
        rig.tell(&success(*opaque));
    }
    let opaque = requests[0].1;
    rig.tell(&marker(0, 5, opaque));
    rig.client.close_stream(0);
    rig.serve();
    let asked = std::mem::take(&mut rig.asked);
    let close = *Frame::whole(&asked[0]).unwrap().header();
    assert_eq!((close.opcode, close.vbucket_or_status), (Opcode::DCP_CLOSE_STREAM, 0));
    rig.tell(&response(close.opcode, Status::SUCCESS, close.opaque));
    rig.tell(&mutation(1, opaque));
    rig.tell(&stream_end(StreamEnd::CLOSED, opaque));
    assert_eq!((rig.asked(), rig.violations()), (vec![], vec![]));
    assert_eq!((rig.client.ledger().items(), rig.client.phase()), (1, Phase::Streaming));
    assert!(!rig.client.is_streaming(0) && rig.client.is_streaming(1));
}

#[test]
fn the_window_is_given_back_and_watched() {
    let mut config = config();
    config.window = 150;
    config.ack_percent = 100;
    let mut rig = Rig::new(config);
    let opaque = rig.open();
    rig.tell(&marker(0, 9, opaque));
    rig.tell(&mutation(1, opaque));
    assert_eq!((rig.asked(), rig.client.unacked()), (vec![], 61 + 60));
    rig.tell(&prepare(2, opaque));
    let acked: u32 = 61 + 60 + 59 + 2;
    assert_eq!(rig.asked(), [(Opcode::DCP_BUFFER_ACK, 0, acked.to_be_bytes().to_vec())], "a prepare costs 2 more");
    rig.tell(&DcpNoop.request(Opaque([1; 4])));
    assert_eq!(rig.asked(), [(Opcode::DCP_NOOP, 0, vec![])], "answered, not charged");
    assert_eq!((rig.client.noops(), rig.client.unacked()), (1, 0));
    rig.tell(&commit(2, 3, opaque));
    rig.client.wakeup(NOW + Duration::from_secs(5));
    rig.serve();
    assert_eq!(rig.asked(), [(Opcode::DCP_BUFFER_ACK, 0, 44_u32.to_be_bytes().to_vec())]);
    assert_eq!(rig.violations(), [""; 0]);

    rig.client.config.ack_percent = 1000;
    rig.client.acks = Books::new(Acks::new(150, 1000, NOW), &BTreeSet::new());
    for seqno in 4..=7 {
        rig.tell(&mutation(seqno, opaque));
    }
    assert_eq!(rig.violations(), ["expected nothing once 150 bytes are out, found DCP_MUTATION at 180"]);
}

#[test]
fn prepares_are_acknowledged_at_the_end_of_their_snapshot() {
    let run = |refused: &[&'static str]| {
        let mut rig = Rig::refusing(ClientConfig { window: 0, ..config() }, refused);
        let opaque = rig.open();
        let marker = if refused.is_empty() {
            marker(0, 3, opaque)
        } else {
            SnapshotMarker { end_seqno: 3, flags: 1, ..SnapshotMarker::default() }.request(0, opaque)
        };
        for message in [marker, prepare(1, opaque), abort(1, 2, opaque)] {
            rig.tell(&message);
        }
        assert_eq!(rig.asked(), []);
        rig.tell(&mutation(3, opaque));
        assert_eq!(rig.violations(), [""; 0]);
        rig.asked()
    };
    assert_eq!(run(&[]), [(Opcode::DCP_SEQNO_ACK, 0, 1_u64.to_be_bytes().to_vec())]);
    assert_eq!(run(&["consumer_name"]), []);
}

/// Each row: messages on a fresh stream, and what the client must say of them.
#[test]
fn whatever_a_producer_must_not_do_is_noted() {
    type Row = (fn(Opaque) -> Vec<FrameBuilder>, &'static [&'static str], &'static str);
    let rows: [Row; 18] = [
        (|o| vec![mutation(1, o)], &[], "expected a marker first, found DCP_MUTATION with seqno 1"),
        (|o| vec![marker(0, 5, o), mutation(2, o), mutation(2, o)], &[], "expected a seqno above 2, found 2"),
        (|o| vec![marker(0, 5, o), mutation(6, o)], &[], "expected a seqno of the snapshot 0 to 5, found 6"),
        (|o| vec![marker(3, 5, o)], &[], "expected the first snapshot from 0 or before, found 3"),
        (|o| vec![marker(6, 5, o)], &[], "expected a sound DCP_SNAPSHOT_MARKER, found"),
        (
            |o| vec![marker(0, 5, o), mutation(1, o), marker(6, 9, o)],
            &[],
            "expected the snapshot to 5 to be completed, found a marker at 1",
        ),
        (
            |o| vec![marker(0, 5, o), mutation(5, o), marker(5, 9, o)],
            &[],
            "expected a snapshot after 5, found one from 5",
        ),
        (
            |o| vec![marker(0, 5, o), mutation(5, o), marker(2, 4, o)],
            &[],
            "expected a snapshot that ends after 5, found 2 to 4",
        ),
        (|_| vec![mutation(1, Opaque([7; 4]))], &[], "expected the opaque 0x0000000e, found DCP_MUTATION 0x07070707"),
        (
            |o| vec![Mutation { by_seqno: 1, ..Mutation::default() }.request(9, o).key(*b"\0k").cas(1)],
            &[],
            "expected streams that were asked for, found DCP_MUTATION",
        ),
        (
            |o| vec![marker(0, 5, o), expiration(1, o)],
            &["enable_expiry_opcode"],
            "expected DCP_EXPIRATION only as agreed on by enable_expiry_opcode, found one",
        ),
        (
            |o| vec![prepare(1, o)],
            &["enable_sync_writes"],
            "expected DCP_PREPARE only as agreed on by sync writes, found one",
        ),
        (
            |o| vec![marker(0, 5, o)],
            &["consumer_name"],
            "expected DCP_SNAPSHOT_MARKER only as agreed on by consumer_name, found one",
        ),
        (|o| vec![marker(0, 5, o), commit(1, 2, o)], &[], "expected DCP_COMMIT of a prepare that came, found one of 1"),
        (
            |o| vec![marker(0, 5, o), prepare(1, o), abort(2, 3, o)],
            &[],
            "expected DCP_ABORT of prepare 1, found one of 2",
        ),
        (
            |o| vec![marker(0, 5, o), prepare(1, o), prepare(2, o)],
            &[],
            "expected prepare 1 to be completed, found one of the same key",
        ),
        (|o| vec![stream_end(0, o)], &[], "expected an endless stream to go on, found STREAM_END with reason Ok"),
        (
            |_| vec![response(Opcode::DCP_MUTATION, Status::SUCCESS, Opaque([7; 4]))],
            &[],
            "expected answers to requests only, found one to DCP_MUTATION 0x07070707",
        ),
    ];
    for (messages, refused, expected) in rows {
        let mut rig = Rig::refusing(config(), refused);
        let opaque = rig.open();
        for message in messages(opaque) {
            assert_eq!(rig.violations(), [""; 0], "{expected}");
            rig.tell(&message);
        }
        assert_eq!(rig.violations().len(), 1, "{expected}");
        assert!(rig.violations()[0].starts_with(expected), "{expected}: {}", rig.violations()[0]);
    }
}

#[test]
fn a_repeated_item_is_not_counted_twice() {
    let mut rig = Rig::new(config());
    let opaque = rig.open();
    for message in [marker(0, 5, opaque), mutation(2, opaque), mutation(2, opaque), mutation(1, opaque)] {
        rig.tell(&message);
    }
    assert_eq!((rig.client.ledger().items(), rig.client.violation_count()), (1, 2));
}

#[test]
fn stream_ids_are_asked_for_and_looked_at() {
    let mut rig = Rig::new(ClientConfig::new(Era::V7_0, [0]).with_stream_ids());
    let (_, opaque, request) = rig.stream_requests().pop().unwrap();
    assert_eq!(request.value.as_ref().and_then(|value| value.sid), Some(1));
    rig.tell(&success(opaque));
    let marker = SnapshotMarker { end_seqno: 5, flags: 1, ..SnapshotMarker::default() }.request(0, opaque);
    rig.tell(&marker.stream_id(Some(1)));
    rig.tell(&mutation(1, opaque).stream_id(Some(1)));
    assert_eq!(rig.violations(), [""; 0]);
    // 6.5.0's bug: the framing extras are there, the header denies them.
    let mut quirk = deletion(2, opaque).stream_id(Some(1)).build().to_vec();
    quirk[2] = 0;
    rig.client.feed(&quirk, NOW);
    assert_eq!((rig.violations(), rig.client.ledger().items()), (vec![], 2));
    rig.tell(&mutation(3, opaque).stream_id(Some(2)));
    rig.tell(&mutation(4, opaque));
    let expected = ["expected the stream id Some(1), found Some(2)", "expected the stream id Some(1), found None"];
    assert_eq!(rig.violations(), expected);
}

#[test]
fn enough_is_enough() {
    let mut rig = Rig::new(ClientConfig { max_items: Some(3), ..config() });
    let opaque = rig.open();
    rig.tell(&marker(0, 9, opaque));
    for seqno in 1..=2 {
        rig.tell(&mutation(seqno, opaque));
    }
    assert_eq!(rig.outputs, []);
    rig.tell(&mutation(3, opaque));
    assert_eq!((rig.outputs.as_slice(), rig.client.phase()), (&[Output::Close][..], Phase::Done));
    let ledger = rig.client.into_ledger();
    let mut next = Rig { client: Client::resume(config(), ledger, NOW), ..Rig::new(config()) };
    next.asked.clear();
    next.serve();
    assert_eq!(next.stream_requests().pop().unwrap().2.start_seqno, 3, "another connection goes on");
}

#[test]
fn a_producer_that_leaves_early_is_noted() {
    let mut rig = Rig::new(config());
    let opaque = rig.open();
    rig.client.feed(&mutation(1, opaque).build()[..30], NOW);
    rig.client.closed(NOW);
    assert_eq!(rig.client.phase(), Phase::Failed);
    let expected = [
        "expected the end between two frames, found 30 bytes of one",
        "expected the connection to stay, found it closed",
    ];
    assert_eq!(rig.violations(), expected);
}

#[test]
fn one_byte_at_a_time_is_the_same() {
    let run = |size: usize| {
        let mut rig = Rig::new(ClientConfig { end: End::ToLatest, ..config() });
        let opaque = rig.open();
        let mut bytes = Vec::new();
        for message in all_eight(opaque) {
            message.write(&mut bytes);
        }
        for chunk in bytes.chunks(size) {
            rig.client.feed(chunk, NOW);
        }
        rig.serve();
        (rig.client.ledger().vbucket(0).unwrap().digest(), rig.outputs, rig.asked, rig.client.violation_count())
    };
    assert_eq!(run(1), run(usize::MAX));
    assert_eq!(run(7).3, 0);
}

#[test]
fn garbage_fails_and_never_panics() {
    let mut rig = Rig::new(config());
    rig.client.feed(b"HTTP/1.1 400 Bad Request\r\n", NOW);
    rig.serve();
    assert_eq!((rig.client.phase(), rig.outputs.as_slice()), (Phase::Failed, &[Output::Close][..]));
    assert!(rig.violations()[0].starts_with("expected a magic"), "{:?}", rig.violations());
}

#[test]
fn it_logs_in_with_the_best_mechanism_that_the_producer_offers() {
    let node = crate::node::Node::new(crate::node::Config { items: 10, interval: None, ..Default::default() });
    for (password, offers, expected) in
        [("password", true, Phase::Done), ("wrong", true, Phase::Failed), ("password", false, Phase::Failed)]
    {
        let login = Some(("Administrator".to_owned(), password.to_owned()).into());
        let nonce = Some("abcdef".to_owned());
        let mut client = Client::new(ClientConfig { login, nonce, end: End::ToLatest, ..config() }, NOW);
        let mut server = crate::node::Connection::new(&node, NOW);
        let mut said = Vec::new();
        loop {
            while let Some(output) = client.poll() {
                if let Output::Write(bytes) = output {
                    let header = *Frame::whole(&bytes).unwrap().header();
                    if header.opcode == Opcode::SASL_LIST_MECHS && !offers {
                        let offer = SaslMechanisms { mechanisms: vec!["GSSAPI".to_owned()] };
                        client.feed(&offer.response(header.opaque).build(), NOW);
                        continue;
                    }
                    said.push(header.opcode);
                    server.feed(&bytes, NOW);
                }
            }
            let mut bytes = Vec::new();
            server.pull(&mut bytes, 1 << 16, NOW);
            if bytes.is_empty() || client.is_over() {
                break;
            }
            client.feed(&bytes, NOW);
        }
        assert_eq!(client.phase(), expected, "{:?}", client.violations());
        assert_eq!(said.contains(&Opcode::SASL_STEP), offers, "SCRAM is the best on offer");
        let told = format!("{:?}", client.violations());
        assert!(
            expected == Phase::Done
                || told.contains(if offers { "login of Administrator refused: AuthError" } else { "'GSSAPI'" }),
            "{told}"
        );
    }
}
