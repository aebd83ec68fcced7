use super::super::Cluster;
use super::super::Config;
use super::super::Member;
use super::super::Node;
use super::peer::EVERYTHING;
use super::peer::Peer;
use crate::dcp::ClustermapChange;
use crate::dcp::Feature;
use crate::dcp::GetAllVbSeqnos;
use crate::dcp::Message;
use crate::dcp::StreamEnd;
use crate::dcp::StreamReq;
use crate::era::Era;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

const MAP_NOTICES: u16 = 0x0d;
const BRIEF_MAP_NOTICES: u16 = 0x1f;

fn cluster(config: Config) -> (Cluster, Vec<Node>) {
    let member =
        |at: u16| Member { host: format!("n{at}"), kv: 100 + at, kv_tls: None, management: None, management_tls: None };
    let cluster = Cluster::new(Config { interval: None, ..config }, (0..3).map(member).collect()).unwrap();
    let nodes = cluster.nodes();
    (cluster, nodes)
}

fn server_of(map: &[u8], vbucket: usize) -> String {
    let map: serde_json::Value = serde_json::from_slice(map).unwrap();
    let map = &map["vBucketServerMap"];
    let at = map["vBucketMap"][vbucket][0].as_u64().unwrap() as usize;
    map["serverList"][at].as_str().unwrap().to_owned()
}

/// Of each vbucket, how a node answers a request for its stream, and the highest seqno that it tells.
fn vbuckets(node: &Node) -> (Vec<bool>, Vec<u16>) {
    let mut peer = Peer::with_everything(node);
    let wanted = StreamReq { end_seqno: 1, ..StreamReq::default() };
    let mut here = Vec::new();
    for vbucket in 0..node.config().vbuckets {
        here.push(peer.stream_req(&wanted, vbucket).header.status() == Some(Status::SUCCESS));
        peer.reads(usize::MAX);
    }
    let all = peer.asks(GetAllVbSeqnos::default().request(Opaque([0; 4])), Status::SUCCESS);
    let Message::VbSeqnos(seqnos) = all.message else { panic!("{all:?}") };
    (here, seqnos.entries.iter().map(|entry| entry.vbucket).collect())
}

#[test]
fn every_vbucket_is_on_one_node_and_the_others_say_where() {
    let (_, nodes) = cluster(Config { items: 50, vbuckets: 7, ..Config::default() });
    for (at, node) in nodes.iter().enumerate() {
        let (here, told) = vbuckets(node);
        let expected: Vec<bool> = (0..7).map(|vbucket| vbucket % 3 == at).collect();
        assert_eq!(here, expected);
        assert_eq!(told, (0..7).filter(|vbucket| usize::from(*vbucket) % 3 == at).collect::<Vec<_>>());
    }
    let mut peer = Peer::in_bucket(&nodes[0], EVERYTHING);
    let get = FrameBuilder::request(Opcode::GET).vbucket(4).key(*b"\0key");
    let refused = peer.asks(get, Status::NOT_MY_VBUCKET);
    assert_eq!(server_of(refused.value(), 4), "n1:101");
}

#[test]
fn a_vbucket_moves_with_all_that_was_written_and_its_streams_end() {
    let (cluster, nodes) = cluster(Config { items: 200, ..Config::default() });
    let set = |value: &[u8]| {
        FrameBuilder::request(Opcode::SET).vbucket(1).extras([0; 8]).key(*b"\0key").value(value.to_vec())
    };
    let get = || FrameBuilder::request(Opcode::GET).vbucket(1).key(*b"\0key");
    let (mut before, mut after) = (Peer::in_bucket(&nodes[1], EVERYTHING), Peer::in_bucket(&nodes[2], EVERYTHING));
    before.asks(set(b"1"), Status::SUCCESS);
    let mut consumer = Peer::with_everything(&nodes[1]);
    consumer.stream(1);
    consumer.stream(4);
    consumer.reads(usize::MAX);
    assert_eq!(cluster.move_vbucket(1, 2), Ok(2));
    let told = consumer.reads(usize::MAX).pop().unwrap();
    assert_eq!((told.message, told.header.vbucket_or_status), (Message::StreamEnd(StreamEnd { end_reason: 2 }), 1));
    assert_eq!(server_of(before.asks(get(), Status::NOT_MY_VBUCKET).value(), 1), "n2:102");
    assert_eq!(after.asks(get(), Status::SUCCESS).value(), b"1");
    after.asks(set(b"2"), Status::SUCCESS);
    assert_eq!(cluster.move_vbucket(1, 1), Ok(3));
    assert_eq!(before.asks(get(), Status::SUCCESS).value(), b"2");
}

#[test]
fn whoever_asked_to_be_told_of_new_maps_is_told_once_for_each() {
    for (era, features, brief) in
        [(Era::V7_0, [Feature::DUPLEX, MAP_NOTICES], false), (Era::Master, [Feature::DUPLEX, BRIEF_MAP_NOTICES], true)]
    {
        let (cluster, nodes) = cluster(Config { era, items: 10, ..Config::default() });
        let mut peer = Peer::in_bucket(&nodes[0], &features);
        peer.waits(1000);
        assert_eq!(peer.reads(usize::MAX).len(), 0);
        cluster.leave(1).unwrap();
        assert!(peer.connection.next_wakeup(peer.now()).is_some());
        peer.waits(1000);
        let notice = peer.reads(usize::MAX).pop().unwrap();
        let change = ClustermapChange { epoch: Some(1), revision: 2, bucket: "default".to_owned() };
        assert_eq!(notice.message, Message::ClustermapChange(change));
        assert_eq!(notice.value().is_empty(), brief);
        if !brief {
            assert_eq!(server_of(notice.value(), 1), "n2:102");
        }
        peer.waits(1000);
        assert_eq!(peer.reads(usize::MAX).len(), 0);
    }
}

#[test]
fn nobody_is_told_of_new_maps_who_did_not_ask_or_cannot_listen() {
    for features in [&[Feature::DUPLEX][..], &[MAP_NOTICES]] {
        let (cluster, nodes) = cluster(Config { items: 10, ..Config::default() });
        let mut peer = Peer::in_bucket(&nodes[0], features);
        cluster.leave(1).unwrap();
        peer.waits(1000);
        assert_eq!(peer.reads(usize::MAX).len(), 0);
    }
}

#[test]
fn all_nodes_make_the_same_of_time_and_manifests() {
    let member =
        |at: u16| Member { host: "h".to_owned(), kv: at, kv_tls: None, management: None, management_tls: None };
    let cluster = Cluster::new(Config { items: 10, ..Config::default() }, (0..2).map(member).collect()).unwrap();
    let nodes = cluster.nodes();
    let mut first = Peer::in_bucket(&nodes[0], EVERYTHING);
    first.waits(5000);
    first.reads(usize::MAX);
    let mut second = Peer::in_bucket(&nodes[1], EVERYTHING);
    second.waits(5000);
    let manifests = [&mut first, &mut second].map(|peer| {
        let manifest = FrameBuilder::request(Opcode::COLLECTIONS_GET_MANIFEST);
        peer.asks(manifest, Status::SUCCESS).value().to_vec()
    });
    assert_eq!(manifests[0], manifests[1]);
}
