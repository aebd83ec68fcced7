//! `dcproxy node --nodes N` as its user meets it: what it says, what its management answers, how its maps change.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::program::command;
use crate::support::PATIENCE;
use serde_json::Value;

/// A cluster, and what its nodes said where they listen, in order.
struct Cluster {
    child: std::process::Child,
    kv: Vec<u16>,
    tls: Vec<u16>,
    management: Vec<u16>,
    management_tls: Vec<u16>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn start(args: &[&str]) -> Cluster {
    let child =
        command(&[&["node", "--listen", "127.0.0.1:0", "--nodes", "3"][..], args].concat()).spawn().expect("it starts");
    let mut cluster =
        Cluster { kv: Vec::new(), tls: Vec::new(), management: Vec::new(), management_tls: Vec::new(), child };
    let stderr = BufReader::new(cluster.child.stderr.take().expect("it is piped"));
    for line in stderr.lines().map(Result::unwrap) {
        let Some((what, at)) = line.split_once("listening on 127.0.0.1:") else { continue };
        let ports = match what.trim() {
            "" => &mut cluster.kv,
            "tls" => &mut cluster.tls,
            "management" => &mut cluster.management,
            "management tls" => &mut cluster.management_tls,
            _ => continue,
        };
        ports.push(at.parse().expect("a port"));
        if cluster.kv.len() == 3 {
            return cluster;
        }
    }
    panic!("expected it to say where three nodes listen, found {:?}", cluster.kv)
}

const LOGIN: &str = "Authorization: Basic QWRtaW5pc3RyYXRvcjpwYXNzd29yZA==\r\n";

fn ask(port: u16, request: &str, headers: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the cluster answers");
    stream.set_read_timeout(Some(PATIENCE)).expect("the cluster answers");
    write!(stream, "{request} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n").expect("the cluster answers");
    BufReader::new(stream)
}

/// The status and the body of an answer.
fn answer(port: u16, request: &str, headers: &str) -> (u16, String) {
    let mut text = String::new();
    ask(port, request, headers).read_to_string(&mut text).expect("the cluster answers");
    let (head, body) = text.split_once("\r\n\r\n").expect("the cluster answers");
    (head[9..12].parse().expect("a port"), body.to_owned())
}

fn get(port: u16, path: &str) -> Value {
    let (status, body) = answer(port, &format!("GET {path}"), LOGIN);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("the cluster answers")
}

#[test]
fn the_maps_name_every_node_with_its_ports_in_order() {
    let directory = tempfile::tempdir().expect("the cluster answers");
    let ca = directory.path().join("ca.pem");
    let cluster =
        start(&["--vbuckets", "8", "--tls", "auto", "--tls-ca-out", ca.to_str().expect("the cluster answers")]);
    for at in 0..3 {
        for path in ["/pools/default/b/default", "/pools/default/nodeServices"] {
            let map = get(cluster.management[at], path);
            for (node, ext) in map["nodesExt"].as_array().expect("the cluster answers").iter().enumerate() {
                assert_eq!(ext["services"]["kv"], cluster.kv[node]);
                assert_eq!(ext["services"]["kvSSL"], cluster.tls[node]);
                assert_eq!(ext["services"]["mgmt"], cluster.management[node]);
                assert_eq!(ext["services"]["mgmtSSL"], cluster.management_tls[node]);
                assert_eq!(ext.get("thisNode").is_some(), node == at);
            }
        }
        let map = get(cluster.management[at], "/pools/default/buckets/default");
        let servers = map["vBucketServerMap"]["serverList"].as_array().expect("the cluster answers");
        assert_eq!(servers[2], format!("127.0.0.1:{}", cluster.kv[2]));
        assert_eq!(map["vBucketServerMap"]["vBucketMap"].as_array().expect("the cluster answers").len(), 8);
    }
}

#[test]
fn whoever_reads_the_stream_of_maps_gets_each_new_one() {
    let cluster = start(&["--items", "10"]);
    let mut lines = ask(cluster.management[0], "GET /pools/default/bs/default", LOGIN).lines();
    let mut revision = || {
        let map = lines.by_ref().map(Result::unwrap).find(|line| line.starts_with('{')).expect("the cluster answers");
        serde_json::from_str::<Value>(&map).expect("the cluster answers")["rev"].as_u64().unwrap()
    };
    assert_eq!(revision(), 1);
    let changed = answer(cluster.management[1], "POST /dcproxy/leave/2", LOGIN);
    assert_eq!(changed, (200, "{\"rev\":2}".to_owned()));
    assert_eq!(revision(), 2);
    assert_eq!(answer(cluster.management[2], "POST /dcproxy/move/0/1", LOGIN).0, 200);
    assert_eq!(revision(), 3);
}

#[test]
fn what_cannot_be_done_is_told_with_what_was_expected() {
    let cluster = start(&["--items", "10"]);
    let port = cluster.management[0];
    assert_eq!(answer(port, "GET /pools", "").0, 401);
    assert_eq!(answer(port, "DELETE /pools", LOGIN).0, 405);
    assert_eq!(answer(port, "GET /pools/default/b/other", LOGIN).0, 404);
    let refused = answer(port, "POST /dcproxy/leave/3", LOGIN);
    assert_eq!(refused, (400, "expected a node from 0 to 2, found 3".to_owned()));
    let refused = command(&["node", "--listen", "65535", "--nodes", "2"]).output().expect("the cluster answers");
    assert_eq!(refused.status.code(), Some(2));
    let told = String::from_utf8(refused.stderr).expect("the cluster answers");
    assert!(
        told.ends_with("expected ports up to 65535 for all nodes, found 127.0.0.1:65535 for the first\n"),
        "{told}"
    );
}
