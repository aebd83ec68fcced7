#![allow(clippy::wildcard_enum_match_arm, clippy::arithmetic_side_effects, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;

use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;

use super::*;

/// What a directory was asked and told.
#[derive(Clone, Default, Debug)]
pub(super) struct Log {
    pub(super) ports: BTreeMap<(Service, Place), u16>,
    pub(super) aliases: Vec<(Service, Place)>,
    pub(super) maps: Vec<(Identity, BTreeSet<(Service, Place)>)>,
    pub(super) troubles: Vec<Trouble>,
}

/// A proxy at one host, whose ports count from 40001 in the order that they are asked for.
#[derive(Clone)]
pub(super) struct Proxy {
    host: String,
    here: Option<Place>,
    /// What is spoken with clients, and with nodes.
    tls: (bool, bool),
    refuses: Option<String>,
    pub(super) log: Arc<Mutex<Log>>,
}

impl Proxy {
    pub(super) fn at(host: &str, here: &str) -> Self {
        Self { host: host.to_owned(), here: Place::read(here), tls: (false, false), refuses: None, log: Arc::default() }
    }

    fn seen(&self) -> Log {
        self.log.lock().unwrap().clone()
    }

    fn rewrite(&self, map: &Value) -> Value {
        let text = rewrite(&map.to_string(), &mut self.clone()).expect("it is rewritten");
        serde_json::from_str(&text).expect("JSON")
    }

    /// What stands for a node at the proxy.
    fn stands_for(&self, service: Service, node: &str) -> Value {
        let port = self.seen().ports.get(&(service, Place::read(node).unwrap())).copied();
        json!(port.unwrap_or_else(|| panic!("{node} was not asked for")))
    }
}

impl Directory for Proxy {
    fn host(&self) -> &str {
        &self.host
    }

    fn here(&self) -> Option<&Place> {
        self.here.as_ref()
    }

    fn behind(&self, offered: Service) -> Option<Service> {
        let (client, node) = self.tls;
        let of = |tls| match offered.over_tls() {
            over_tls if tls => over_tls,
            Service::KvTls => Service::Kv,
            _ => Service::Management,
        };
        (offered.is_tls() == client).then(|| of(node))
    }

    fn port(&mut self, offered: Service, node: &Place) -> Result<u16, String> {
        if self.refuses.as_deref() == Some(&*node.host) {
            return Err(format!("no room for {node}"));
        }
        let ports = &mut self.log.lock().unwrap().ports;
        let next = 40001 + u16::try_from(ports.len()).unwrap();
        Ok(*ports.entry((offered, node.clone())).or_insert(next))
    }

    fn also_called(&mut self, offered: Service, node: &Place) {
        self.log.lock().unwrap().aliases.push((offered, node.clone()));
    }

    fn mapped(&mut self, map: &Identity, nodes: &BTreeSet<(Service, Place)>) {
        self.log.lock().unwrap().maps.push((map.clone(), nodes.clone()));
    }

    fn told(&mut self, trouble: &Trouble) {
        self.log.lock().unwrap().troubles.push(trouble.clone());
    }
}

/// The terse map of a bucket of three nodes, one of which has no KV, in the form that Couchbase Server 7 gives it.
pub(super) fn bucket_map() -> Value {
    json!({
        "rev": 1234,
        "revEpoch": 1,
        "name": "travel",
        "nodeLocator": "vbucket",
        "bucketType": "membase",
        "storageBackend": "couchstore",
        "uuid": "50f1e0a1f35ddb9a6ba0d4cf0e5e54e5",
        "uri": "/pools/default/buckets/travel?bucket_uuid=50f1e0a1f35ddb9a6ba0d4cf0e5e54e5",
        "streamingUri": "/pools/default/bucketsStreaming/travel?bucket_uuid=50f1e0a1f35ddb9a6ba0d4cf0e5e54e5",
        "bucketCapabilitiesVer": "",
        "bucketCapabilities": ["collections", "durableWrite", "dcp", "cbhello", "cccp", "nodesExt", "xattr"],
        "collectionsManifestUid": "1b",
        "ddocs": {"uri": "/pools/default/buckets/travel/ddocs"},
        "vBucketServerMap": {
            "hashAlgorithm": "CRC",
            "numReplicas": 1,
            "serverList": ["node1.example:11210", "node2.example:11210"],
            "vBucketMap": [[0, 1], [1, 0], [0, -1], [1, -1]],
            "vBucketMapForward": [[1, 0], [1, 0], [0, -1], [1, -1]],
        },
        "nodes": [
            {
                "couchApiBase": "http://node1.example:8092/travel%2B50f1",
                "hostname": "node1.example:8091",
                "ports": {"direct": 11210, "proxy": 11211},
                "thisNode": true,
            },
            {
                "couchApiBase": "http://node2.example:8092/travel%2B50f1",
                "hostname": "node2.example:8091",
                "ports": {"direct": 11210},
            },
        ],
        "nodesExt": [
            {
                "services": {"capi": 8092, "capiSSL": 18092, "kv": 11210, "kvSSL": 11207, "mgmt": 8091, "mgmtSSL": 18091,
                    "projector": 9999},
                "thisNode": true,
                "hostname": "node1.example",
                "serverGroup": "Group 1",
                "alternateAddresses": {"external": {"hostname": "198.51.100.1", "ports": {"kv": 31210, "mgmt": 38091}}},
            },
            {
                "services": {"kv": 11210, "kvSSL": 11207, "mgmt": 8091, "mgmtSSL": 18091},
                "hostname": "node2.example",
                "alternateAddresses": {"external": {"hostname": "198.51.100.2", "ports": {"kv": 31210, "mgmt": 38091}}},
            },
            {"services": {"mgmt": 8091, "mgmtSSL": 18091, "n1ql": 8093, "n1qlSSL": 18093}, "hostname": "node3.example"},
        ],
        "clusterCapabilitiesVer": [1, 0],
        "clusterCapabilities": {"n1ql": ["enhancedPreparedStatements"]},
    })
}

#[test]
fn every_address_becomes_the_proxys_and_all_else_stays() {
    let proxy = Proxy::at("127.0.0.1", "node1.example:11210");
    let map = bucket_map();
    let new = proxy.rewrite(&map);
    let port = |service, node: &str| proxy.stands_for(service, node);
    let (kv1, kv2) = (port(Service::Kv, "node1.example:11210"), port(Service::Kv, "node2.example:11210"));
    let mgmt = |n| port(Service::Management, &format!("node{n}.example:8091"));
    let mut expected = map;
    let servers = &mut expected["vBucketServerMap"]["serverList"];
    *servers = json!([format!("127.0.0.1:{kv1}"), format!("127.0.0.1:{kv2}")]);
    expected["nodes"] = json!([
        {"hostname": format!("127.0.0.1:{}", mgmt(1)), "ports": {"direct": kv1}, "thisNode": true},
        {"hostname": format!("127.0.0.1:{}", mgmt(2)), "ports": {"direct": kv2}},
    ]);
    let external =
        |kv: &Value, mgmt: Value| json!({"external": {"hostname": "127.0.0.1", "ports": {"kv": kv, "mgmt": mgmt}}});
    expected["nodesExt"] = json!([
        {"services": {"kv": kv1, "mgmt": mgmt(1)}, "thisNode": true, "hostname": "127.0.0.1", "serverGroup": "Group 1",
            "alternateAddresses": external(&kv1, mgmt(1))},
        {"services": {"kv": kv2, "mgmt": mgmt(2)}, "hostname": "127.0.0.1", "alternateAddresses": external(&kv2, mgmt(2))},
        {"services": {"mgmt": mgmt(3)}, "hostname": "127.0.0.1"},
    ]);
    assert_eq!(new, expected);
    let order = |map: &Value| map.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(order(&new), order(&bucket_map()), "members keep their places");
    let log = proxy.seen();
    let identity = Identity { bucket: Some("travel".to_owned()), revision: Some(Revision { epoch: 1, rev: 1234 }) };
    assert_eq!(log.maps, [(identity, log.ports.keys().cloned().collect())]);
    assert_eq!((log.aliases, log.troubles), (vec![], vec![]));
}

#[test]
fn the_dialled_node_is_known_by_its_own_name_where_the_port_is_the_same() {
    let proxy = Proxy::at("127.0.0.1", "localhost:11210");
    proxy.rewrite(&bucket_map());
    let log = proxy.seen();
    assert_eq!(log.aliases, [(Service::Kv, Place::read("node1.example:11210").unwrap())]);
    assert!(log.troubles.is_empty());
}

#[test]
fn a_dialled_node_that_the_map_does_not_name_is_told_of() {
    let proxy = Proxy::at("127.0.0.1", "localhost:4711");
    proxy.rewrite(&bucket_map());
    let log = proxy.seen();
    assert_eq!(log.troubles, [Trouble::UnknownNode("localhost:4711".to_owned())]);
    assert!(log.aliases.is_empty());
}

#[test]
fn nodes_are_dialled_by_the_network_that_the_first_was_dialled_by() {
    for here in ["198.51.100.1:31210", "nat.example:31210"] {
        let proxy = Proxy::at("127.0.0.1", here);
        let new = proxy.rewrite(&bucket_map());
        let asked: Vec<String> = proxy.seen().ports.keys().map(|(_, place)| place.to_string()).collect();
        let external = ["198.51.100.1:31210", "198.51.100.2:31210", "198.51.100.1:38091", "198.51.100.2:38091"];
        // The third has no such address.
        assert_eq!(asked, [&external[..], &["node3.example:8091"]].concat());
        let kv2 = proxy.stands_for(Service::Kv, "198.51.100.2:31210");
        assert_eq!(new["vBucketServerMap"]["serverList"][1], format!("127.0.0.1:{kv2}"));
        assert_eq!(new["nodesExt"][1]["services"]["kv"], kv2);
        assert_eq!(new["nodesExt"][1]["alternateAddresses"]["external"]["ports"]["kv"], kv2);
        assert!(proxy.seen().troubles.is_empty());
    }
}

#[test]
fn a_node_without_a_host_is_the_one_that_was_dialled() {
    let proxy = Proxy::at("127.0.0.1", "[fd00::7]:11210");
    let map = json!({
        "rev": 1,
        "name": "b",
        "nodes": [{"hostname": "$HOST:8091", "ports": {"direct": 11210}}],
        "nodesExt": [{"services": {"kv": 11210, "mgmt": 8091}, "thisNode": true}],
        "vBucketServerMap": {"serverList": ["$HOST:11210"]},
    });
    let new = proxy.rewrite(&map);
    let (kv, mgmt) =
        (proxy.stands_for(Service::Kv, "[fd00::7]:11210"), proxy.stands_for(Service::Management, "[fd00::7]:8091"));
    assert_eq!(new["vBucketServerMap"]["serverList"][0], format!("$HOST:{kv}"));
    assert_eq!(new["nodes"][0]["hostname"], format!("$HOST:{mgmt}"));
    assert_eq!(new["nodesExt"][0], json!({"services": {"kv": kv, "mgmt": mgmt}, "thisNode": true}));
    assert_eq!(proxy.seen().ports.len(), 2);
}

#[test]
fn addresses_of_ipv6_have_brackets_beside_a_port_and_none_by_themselves() {
    let map = json!({
        "nodes": [{"hostname": "[fd00::1]:8091", "ports": {"direct": 11210}}],
        "nodesExt": [{"services": {"kv": 11210, "mgmt": 8091}, "hostname": "fd00::1"}],
        "vBucketServerMap": {"serverList": ["[fd00::1]:11210"]},
    });
    let proxy = Proxy::at("::1", "[fd00::1]:11210");
    let new = proxy.rewrite(&map);
    let (kv, mgmt) =
        (proxy.stands_for(Service::Kv, "[fd00::1]:11210"), proxy.stands_for(Service::Management, "[fd00::1]:8091"));
    assert_eq!(new["vBucketServerMap"]["serverList"][0], format!("[::1]:{kv}"));
    assert_eq!(new["nodes"][0]["hostname"], format!("[::1]:{mgmt}"));
    assert_eq!(new["nodesExt"][0]["hostname"], "::1");
    assert_eq!(proxy.seen().ports.len(), 2, "a node is one place in all parts of a map");
}

/// Which of a node's services is dialled for which that is offered, with TLS at either edge.
#[test]
fn what_is_offered_is_what_clients_speak_and_what_is_dialled_is_what_nodes_speak() {
    for (tls, offered, dialled) in [
        ((false, true), "kv", "node2.example:11207"),
        ((true, false), "kvSSL", "node2.example:11210"),
        ((true, true), "kvSSL", "node2.example:11207"),
    ] {
        let proxy = Proxy { tls, ..Proxy::at("127.0.0.1", "node1.example:11207") };
        let mut map = bucket_map();
        map["nodesExt"][1]["services"].as_object_mut().unwrap().shift_remove(if tls.0 && !tls.1 {
            "kvSSL"
        } else {
            "n"
        });
        let new = proxy.rewrite(&map);
        let port = proxy.stands_for(Service::named(offered).unwrap(), dialled);
        let services = new["nodesExt"][1]["services"].as_object().unwrap();
        assert_eq!((services.get(offered), services.len()), (Some(&port), 2), "{tls:?} {services:?}");
        assert_eq!(new["vBucketServerMap"]["serverList"][1], format!("127.0.0.1:{port}"), "{tls:?}");
        assert!(proxy.seen().ports.keys().all(|(service, _)| service.is_tls() == tls.0));
    }
}

/// What the management port gives beside the terse form: nodes alone, of the cluster or of a list of buckets.
#[test]
fn maps_of_the_management_port_are_rewritten_too() {
    let node = json!({
        "otpNode": "ns_1@node1.example",
        "hostname": "node1.example:8091",
        "configuredHostname": "node1.example:8091",
        "couchApiBase": "http://node1.example:8092/",
        "ports": {"direct": 11210, "httpsMgmt": 18091, "distTCP": 21100},
        "services": ["kv"],
        "thisNode": true,
    });
    let pool = json!({"name": "default", "nodes": [node], "uri": "/pools/default"});
    let proxy = Proxy::at("127.0.0.1", "node1.example:8091");
    let new = proxy.rewrite(&pool);
    let (kv, mgmt) = (
        proxy.stands_for(Service::Kv, "node1.example:11210"),
        proxy.stands_for(Service::Management, "node1.example:8091"),
    );
    let at = format!("127.0.0.1:{mgmt}");
    let expected = json!({
        "otpNode": "ns_1@node1.example", "hostname": at, "configuredHostname": at, "ports": {"direct": kv},
        "services": ["kv"], "thisNode": true,
    });
    assert_eq!(new, json!({"name": "default", "nodes": [expected], "uri": "/pools/default"}));
    assert_eq!(proxy.rewrite(&json!([pool, 7, []])), json!([new, 7, []]));
    assert_eq!(proxy.seen().maps[0].0, Identity { bucket: None, revision: None });
    assert_eq!(
        proxy.rewrite(&json!({"pools": [{"uri": "/pools/default"}]})),
        json!({"pools": [{"uri": "/pools/default"}]})
    );
}

#[test]
fn what_is_no_map_or_has_no_place_is_refused_with_what_was_found() {
    let bad = |text: &str| rewrite(text, &mut Proxy::at("127.0.0.1", "node1.example:11210")).unwrap_err();
    for (text, said) in [
        ("", "expected a JSON object, found "),
        ("{\"rev\":1", "expected a JSON object, found {\"rev\":1"),
        ("7", "expected a JSON object, found 7"),
        (r#"{"nodesExt":{}}"#, "expected an array as nodesExt, found {}"),
        (r#"{"nodesExt":[7]}"#, "expected objects in nodesExt, found 7"),
        (r#"{"nodes":[7]}"#, "expected objects in nodes, found 7"),
        (r#"{"vBucketServerMap":[]}"#, "expected an object as vBucketServerMap, found []"),
        (
            r#"{"vBucketServerMap":{"serverList":["node1.example"]}}"#,
            "HOST:PORT in serverList, found \"node1.example\"",
        ),
    ] {
        assert!(bad(text).contains(said), "{text}: {}", bad(text));
    }
    let mut proxy =
        Proxy { refuses: Some("node2.example".to_owned()), ..Proxy::at("127.0.0.1", "node1.example:11210") };
    assert_eq!(rewrite(&bucket_map().to_string(), &mut proxy).unwrap_err(), "no room for node2.example:11210");
    assert!(proxy.seen().maps.is_empty(), "a map that is not rewritten says nothing of who has left");
}

/// Every text in `map`, with the names of the members that lead to it.
fn texts<'a>(map: &'a Value, path: &str, to: &mut Vec<(String, &'a Value)>) {
    match map {
        Value::Object(members) => members.iter().for_each(|(name, value)| texts(value, &format!("{path}/{name}"), to)),
        Value::Array(elements) => elements.iter().for_each(|value| texts(value, path, to)),
        value => to.push((path.to_owned(), value)),
    }
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,8}\\.example", "10\\.[0-9]\\.0\\.[1-9]", Just("fd00::1".to_owned()), Just("$HOST".to_owned())]
}

fn beside_port(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn any_map() -> impl Strategy<Value = Value> {
    let node = (host(), 1024..40_000_u16, 1024..40_000_u16, any::<[bool; 4]>());
    let other = proptest::collection::vec(("[a-z]{12}", any::<i64>(), "[ -~]{0,9}"), 0..4);
    (proptest::collection::vec(node, 1..5), other).prop_map(|(nodes, other)| {
        let ext = |(host, kv, mgmt, [this, named, alternate, tls]): &(String, u16, u16, [bool; 4])| {
            let mut node = json!({"services": {"n1ql": 8093, "kv": kv, "mgmt": mgmt}, "version": "7"});
            if *tls {
                node["services"]["kvSSL"] = json!(kv + 1);
            }
            if *named && host != "$HOST" {
                node["hostname"] = json!(host);
            }
            if *alternate {
                node["alternateAddresses"] = json!({"external": {"hostname": "192.0.2.9", "ports": {"kv": 9, "fts": 8}}});
            }
            if *this {
                node["thisNode"] = json!(true);
            }
            node
        };
        let plain = |(host, kv, mgmt, _): &(String, u16, u16, _)| {
            json!({"hostname": format!("{}:{mgmt}", beside_port(host)), "ports": {"direct": kv, "proxy": 7}})
        };
        let server = |(host, kv, ..): &(String, u16, u16, _)| format!("{}:{kv}", beside_port(host));
        let mut map = json!({
            "rev": 7,
            "nodes": nodes.iter().map(plain).collect::<Vec<_>>(),
            "vBucketServerMap": {
                "serverList": nodes.iter().map(server).collect::<Vec<_>>(),
                "vBucketMap": [[0, 1], [-1, 0]],
            },
            "nodesExt": nodes.iter().map(ext).collect::<Vec<_>>(),
        });
        for (name, number, text) in other {
            map[&name] = json!({"a": number, "b": [text, null, 0.1, true]});
        }
        map
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn of_any_map_all_addresses_are_the_proxys_and_nothing_else_changes(map in any_map()) {
        let proxy = Proxy::at("192.0.2.77", "10.0.0.1:11210");
        let new = proxy.rewrite(&map);
        let mut found = Vec::new();
        texts(&new, "", &mut found);
        for (path, value) in found {
            let name = path.rsplit('/').next().unwrap();
            match (path.as_str(), value) {
                ("/nodes/hostname" | "/vBucketServerMap/serverList", Value::String(text)) => {
                    let place = Place::read(text).unwrap();
                    prop_assert!(matches!(place.host.as_str(), "192.0.2.77" | "$HOST"), "{}", text);
                    prop_assert!(place.port > 40_000, "{}", text);
                }
                ("/nodesExt/hostname" | "/nodesExt/alternateAddresses/external/hostname", text) => {
                    prop_assert_eq!(text, "192.0.2.77");
                }
                (path, port) if path.contains("ports") || path.contains("services") => {
                    prop_assert!(matches!(name, "kv" | "mgmt" | "direct"), "{}", path);
                    prop_assert!(port.as_u64().unwrap() > 40_000, "{}", path);
                }
                _ => {}
            }
        }
        for (name, value) in map.as_object().unwrap() {
            if !matches!(name.as_str(), "nodes" | "nodesExt" | "vBucketServerMap") {
                prop_assert_eq!(&new[name], value);
            }
        }
        prop_assert_eq!(&new["vBucketServerMap"]["vBucketMap"], &map["vBucketServerMap"]["vBucketMap"]);
        prop_assert_eq!(new.as_object().unwrap().keys().collect::<Vec<_>>(), map.as_object().unwrap().keys().collect::<Vec<_>>());
        prop_assert_eq!(proxy.rewrite(&map), new, "the same map is rewritten the same way again");
    }

    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\]{}:,\"a-zA-Z0-9. $\\\\]{0,60}", at in any::<prop::sample::Index>()) {
        let mut proxy = Proxy::at("127.0.0.1", "node1.example:11210");
        let _ = rewrite(&text, &mut proxy);
        let mut map = bucket_map().to_string();
        map.insert_str(at.index(map.len()), &text);
        let _ = rewrite(&map, &mut proxy);
    }
}
