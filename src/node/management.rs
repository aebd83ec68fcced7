//! What a node's management port says over HTTP, as far as KV and DCP clients need it, and how a cluster is changed there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::json;

use super::Node;
use super::topology::BUCKET_UUID;
use super::topology::ClusterError;

/// How something is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// To read it.
    Get,
    /// To have it done.
    Post,
}

/// What a request comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// This document, with status 200.
    Json(Value),
    /// The cluster map of the bucket, now and again whenever it has changed: [`Node::bucket_map`], each with [`MAP_END`] after
    /// it.
    Maps,
    /// The cluster was changed; the map has this revision.
    Changed(u64),
    /// User and password are wanted, and were not given: status 401.
    Unauthorized,
    /// A status above 401, and why.
    Refused(u16, String),
}

/// What ends each map of a stream of them.
pub const MAP_END: &str = "\n\n\n\n";

impl Node {
    /// Answers a request to the management port. `path` is without the query; `authorization` is the header of that name.
    ///
    /// Besides what clients ask for there are, by POST, `/dcproxy/move/VBUCKET/NODE`, `/dcproxy/leave/NODE` and
    /// `/dcproxy/join/NODE`, where nodes count from 0: these change the cluster.
    pub fn manage(&self, method: Method, path: &str, authorization: Option<&str>) -> Answer {
        if !self.lets_in(authorization) {
            return Answer::Unauthorized;
        }
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match (method, parts.as_slice()) {
            (Method::Get, ["pools"]) => Answer::Json(self.pools()),
            (Method::Get, ["pools", "default"]) => Answer::Json(self.pool()),
            (Method::Get, ["pools", "default", "nodeServices"]) => Answer::Json(self.map(false)),
            (Method::Get, ["pools", "default", "b", bucket]) if self.has(bucket) => Answer::Json(self.map(true)),
            (Method::Get, ["pools", "default", "bs", bucket]) if self.has(bucket) => Answer::Maps,
            (Method::Get, ["pools", "default", "buckets", bucket]) if self.has(bucket) => Answer::Json(self.details()),
            (Method::Get, ["pools", "default", "buckets"]) => Answer::Json(json!([self.details()])),
            (Method::Post, ["dcproxy", "move", vbucket, node]) => self.change(node, |at| match vbucket.parse() {
                Ok(vbucket) => self.cluster().move_vbucket(vbucket, at).map_err(|error| error.to_string()),
                Err(_) => Err(format!("expected a vbucket, found '{vbucket}'")),
            }),
            (Method::Post, ["dcproxy", "join", node]) => self.change(node, |at| told(self.cluster().join(at))),
            (Method::Post, ["dcproxy", "leave", node]) => self.change(node, |at| told(self.cluster().leave(at))),
            _ => Answer::Refused(404, "Object Not Found".to_owned()),
        }
    }

    /// The bucket's cluster map as this node gives it, as text.
    pub fn bucket_map(&self) -> String {
        self.map(true).to_string()
    }

    /// The revision of the cluster map: it grows with each change.
    pub fn map_revision(&self) -> u64 {
        self.bucket().topology().revision()
    }

    fn has(&self, bucket: &str) -> bool {
        bucket == self.config().bucket
    }

    fn lets_in(&self, authorization: Option<&str>) -> bool {
        let account = format!("{}:{}", self.config().user, self.config().password);
        let given = authorization.and_then(|header| header.strip_prefix("Basic "));
        given.and_then(|given| STANDARD.decode(given.trim()).ok()).is_some_and(|given| given == account.as_bytes())
    }

    fn map(&self, bucket: bool) -> Value {
        self.bucket().cluster_map(self.config(), bucket)
    }

    fn pools(&self) -> Value {
        json!({
            "isAdminCreds": true,
            "implementationVersion": self.config().era.version_text(),
            "uuid": BUCKET_UUID,
            "pools": [{"name": "default", "uri": "/pools/default"}],
        })
    }

    fn pool(&self) -> Value {
        json!({
            "name": "default",
            "nodes": self.bucket().members(),
            "buckets": {"uri": "/pools/default/buckets", "terseBucketsBase": "/pools/default/b/"},
            "rebalanceStatus": "none",
        })
    }

    fn details(&self) -> Value {
        let mut details = self.map(true);
        let bucket = &self.config().bucket;
        details["bucketType"] = "membase".into();
        details["numVBuckets"] = self.config().vbuckets.into();
        details["replicaNumber"] = 0.into();
        details["uri"] = format!("/pools/default/buckets/{bucket}").into();
        details["streamingUri"] = format!("/pools/default/bs/{bucket}").into();
        details["nodes"] = self.bucket().members().into();
        details
    }

    fn change(&self, node: &str, change: impl FnOnce(usize) -> Result<u64, String>) -> Answer {
        let changed = match node.parse() {
            Ok(at) => change(at),
            Err(_) => Err(format!("expected the number of a node, found '{node}'")),
        };
        changed.map_or_else(|why| Answer::Refused(400, why), Answer::Changed)
    }
}

fn told(changed: Result<u64, ClusterError>) -> Result<u64, String> {
    changed.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::Cluster;
    use super::super::Config;
    use super::super::Member;
    use super::*;

    fn cluster() -> Vec<Node> {
        let member = |at| Member {
            host: "h".to_owned(),
            kv: at,
            kv_tls: None,
            management: Some(8000 + at),
            management_tls: None,
        };
        Cluster::new(Config::default(), (0..3).map(member).collect()).unwrap().nodes()
    }

    fn login() -> String {
        format!("Basic {}", STANDARD.encode("Administrator:password"))
    }

    fn get(node: &Node, path: &str) -> Answer {
        node.manage(Method::Get, path, Some(&login()))
    }

    #[test]
    fn nothing_is_told_without_the_password() {
        let node = &cluster()[0];
        let wrong = format!("Basic {}", STANDARD.encode("Administrator:other"));
        for authorization in [None, Some("Basic"), Some("Basic !"), Some(wrong.as_str())] {
            for method in [Method::Get, Method::Post] {
                assert_eq!(node.manage(method, "/pools/default/b/default", authorization), Answer::Unauthorized);
                assert_eq!(node.manage(method, "/dcproxy/leave/1", authorization), Answer::Unauthorized);
            }
        }
        assert_eq!(node.map_revision(), 1);
    }

    #[test]
    fn a_change_is_seen_in_the_maps_of_every_node() {
        let nodes = cluster();
        assert_eq!(nodes[1].manage(Method::Post, "/dcproxy/leave/1", Some(&login())), Answer::Changed(2));
        for node in &nodes {
            let Answer::Json(map) = get(node, "/pools/default/b/default") else { panic!("no map") };
            assert_eq!((&map["rev"], map["nodesExt"].as_array().unwrap().len()), (&json!(2), 2));
            let Answer::Json(global) = get(node, "/pools/default/nodeServices") else { panic!("no map") };
            assert_eq!(global["nodesExt"][1]["services"]["mgmt"], 8002);
            let Answer::Json(pool) = get(node, "/pools/default") else { panic!("no pool") };
            assert_eq!(pool["nodes"][1]["hostname"], "h:8002");
        }
        assert_eq!(nodes[0].manage(Method::Post, "/dcproxy/move/0/2", Some(&login())), Answer::Changed(3));
        let Answer::Json(details) = get(&nodes[2], "/pools/default/buckets/default") else { panic!("no bucket") };
        assert_eq!(details["vBucketServerMap"]["vBucketMap"][0], json!([1]));
        assert_eq!(get(&nodes[0], "/pools/default/bs/default"), Answer::Maps);
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let node = &cluster()[0];
        for path in ["/", "", "/pool", "/pools/default/b/other", "/pools/default/bs/other", "/dcproxy/leave/1"] {
            assert!(matches!(get(node, path), Answer::Refused(404, _)), "{path}");
        }
        for path in ["/dcproxy/leave/3", "/dcproxy/join/x", "/dcproxy/move/4/1", "/dcproxy/move/x/1"] {
            assert!(matches!(node.manage(Method::Post, path, Some(&login())), Answer::Refused(400, _)), "{path}");
        }
    }
}
