//! Which node has which vbucket, and the cluster maps that say so.

use serde_json::Value;
use serde_json::json;

use super::config::Config;
use crate::era::Era;

/// A node as cluster maps name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its host name or address, without brackets.
    pub host: String,
    /// The port of its KV listener.
    pub kv: u16,
    /// The port of its KV listener with TLS.
    pub kv_tls: Option<u16>,
    /// The port of its management, which speaks HTTP.
    pub management: Option<u16>,
    /// The port of its management with TLS.
    pub management_tls: Option<u16>,
}

/// What a cluster was asked to do and cannot.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClusterError {
    /// Such a node there is not.
    #[error("expected a node from 0 to {last}, found {found}")]
    NoNode {
        /// The last that there is.
        last: usize,
        /// What was asked for.
        found: usize,
    },
    /// Such a vbucket there is not.
    #[error("expected a vbucket from 0 to {last}, found {found}")]
    NoVbucket {
        /// The last that there is.
        last: usize,
        /// What was asked for.
        found: u16,
    },
    /// The node has left.
    #[error("expected a node that belongs to the cluster, found node {0}, which has left it")]
    NotAMember(usize),
    /// Nobody would be left to take its vbuckets.
    #[error("expected a node besides {0} that belongs to the cluster, found none")]
    LastMember(usize),
}

/// A vbucket goes from one node to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Move {
    pub(super) vbucket: u16,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// The nodes of a cluster, those that belong to it, and the node that has each vbucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Topology {
    revision: u64,
    nodes: Vec<Member>,
    joined: Vec<bool>,
    owners: Vec<usize>,
}

impl Topology {
    /// All nodes belong to it; the vbuckets are spread over them in turn. There is at least one node.
    pub(super) fn new(nodes: Vec<Member>, vbuckets: u16) -> Self {
        let owners = (0..usize::from(vbuckets)).map(|vbucket| vbucket % nodes.len()).collect();
        Self { revision: 1, joined: vec![true; nodes.len()], nodes, owners }
    }

    /// Grows with each change.
    pub(super) const fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether this node has the vbucket.
    pub(super) fn is_owner(&self, at: usize, vbucket: usize) -> bool {
        self.owners.get(vbucket) == Some(&at)
    }

    /// The vbucket goes to that node.
    pub(super) fn move_vbucket(&mut self, vbucket: u16, to: usize) -> Result<Vec<Move>, ClusterError> {
        self.check(to)?;
        if !self.joined[to] {
            return Err(ClusterError::NotAMember(to));
        }
        let last = self.owners.len() - 1;
        let owner =
            self.owners.get_mut(usize::from(vbucket)).ok_or(ClusterError::NoVbucket { last, found: vbucket })?;
        let from = std::mem::replace(owner, to);
        if from == to {
            return Ok(Vec::new());
        }
        self.revision += 1;
        Ok(vec![Move { vbucket, from, to }])
    }

    /// The node joins (again), and gets its share of the vbuckets.
    pub(super) fn join(&mut self, at: usize) -> Result<Vec<Move>, ClusterError> {
        self.check(at)?;
        if std::mem::replace(&mut self.joined[at], true) {
            return Ok(Vec::new());
        }
        Ok(self.balance())
    }

    /// The node leaves, and its vbuckets go to the others.
    pub(super) fn leave(&mut self, at: usize) -> Result<Vec<Move>, ClusterError> {
        self.check(at)?;
        if !self.joined[at] {
            return Ok(Vec::new());
        }
        if self.joined.iter().filter(|&&joined| joined).count() == 1 {
            return Err(ClusterError::LastMember(at));
        }
        self.joined[at] = false;
        Ok(self.balance())
    }

    fn check(&self, at: usize) -> Result<(), ClusterError> {
        if at < self.nodes.len() { Ok(()) } else { Err(ClusterError::NoNode { last: self.nodes.len() - 1, found: at }) }
    }

    /// Moves as few vbuckets as it takes for every member to have as many as another, or one more.
    fn balance(&mut self) -> Vec<Move> {
        self.revision += 1;
        let mut moves = Vec::new();
        let homeless: Vec<usize> = (0..self.owners.len()).filter(|&it| !self.joined[self.owners[it]]).collect();
        for vbucket in homeless {
            let (least, _) = self.extremes();
            moves.push(self.hand(vbucket, least));
        }
        loop {
            let (least, most) = self.extremes();
            if self.load(most) <= self.load(least) + 1 {
                return moves;
            }
            let Some(vbucket) = self.owners.iter().rposition(|&owner| owner == most) else { return moves };
            moves.push(self.hand(vbucket, least));
        }
    }

    fn hand(&mut self, vbucket: usize, to: usize) -> Move {
        let from = std::mem::replace(&mut self.owners[vbucket], to);
        Move { vbucket: vbucket as u16, from, to }
    }

    fn load(&self, at: usize) -> usize {
        self.owners.iter().filter(|&&owner| owner == at).count()
    }

    /// The members with the fewest and the most vbuckets.
    fn extremes(&self) -> (usize, usize) {
        let members = (0..self.nodes.len()).filter(|&at| self.joined[at]);
        let least = members.clone().min_by_key(|&at| self.load(at)).unwrap_or_default();
        (least, members.max_by_key(|&at| self.load(at)).unwrap_or_default())
    }

    /// The terse configuration of the bucket (without replicas), or where it is not asked for that of the cluster, as the
    /// node `at` gives it.
    pub(super) fn terse(&self, config: &Config, at: usize, bucket: bool) -> Value {
        let members: Vec<usize> = (0..self.nodes.len()).filter(|&node| self.joined[node]).collect();
        let nodes_ext: Vec<Value> = members.iter().map(|&node| self.nodes[node].extended(node == at)).collect();
        if !bucket {
            return json!({"rev": self.revision, "revEpoch": 1, "nodesExt": nodes_ext});
        }
        let mut capabilities = vec!["dcp", "cbhello", "touch", "cccp", "xdcrCheckpointing", "nodesExt", "xattr"];
        if config.era >= Era::V6_5 {
            capabilities.push("durableWrite");
        }
        if config.era >= Era::V7_0 {
            capabilities.extend(["collections", "tombstonedUserXAttrs"]);
        }
        let map: Vec<[usize; 1]> =
            self.owners.iter().map(|owner| [members.partition_point(|member| member < owner)]).collect();
        let members = || members.iter().map(|&node| &self.nodes[node]);
        json!({
            "rev": self.revision,
            "revEpoch": 1,
            "name": config.bucket,
            "uuid": BUCKET_UUID,
            "nodeLocator": "vbucket",
            "bucketCapabilitiesVer": "",
            "bucketCapabilities": capabilities,
            "collectionsManifestUid": "0",
            "nodes": members().map(Member::short).collect::<Vec<_>>(),
            "nodesExt": nodes_ext,
            "vBucketServerMap": {
                "hashAlgorithm": "CRC",
                "numReplicas": 0,
                "serverList": members().map(|node| format!("{}:{}", node.authority(), node.kv)).collect::<Vec<_>>(),
                "vBucketMap": map,
            },
        })
    }

    /// The nodes that belong to it, as the management's longer documents have them.
    pub(super) fn members(&self, at: usize) -> Vec<Value> {
        let members = self.nodes.iter().enumerate().filter(|&(node, _)| self.joined[node]);
        members
            .map(|(node, member)| {
                let mut short = member.short();
                short["thisNode"] = (node == at).into();
                short["status"] = "healthy".into();
                short["clusterMembership"] = "active".into();
                short["services"] = json!(["kv"]);
                short
            })
            .collect()
    }
}

/// The uuid of the one bucket.
pub(super) const BUCKET_UUID: &str = "6a4b1f7e0c2d4e3f8a9b0c1d2e3f4a5b";

/// Where a node's management is where nothing else is said.
const MANAGEMENT_PORT: u16 = 8091;

impl Member {
    fn authority(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    fn short(&self) -> Value {
        let management = self.management.unwrap_or(MANAGEMENT_PORT);
        json!({"hostname": format!("{}:{management}", self.authority()), "ports": {"direct": self.kv}})
    }

    fn extended(&self, this_node: bool) -> Value {
        let mut services = json!({"kv": self.kv});
        let ports = [("kvSSL", self.kv_tls), ("mgmt", self.management), ("mgmtSSL", self.management_tls)];
        for (name, port) in ports {
            if let Some(port) = port {
                services[name] = port.into();
            }
        }
        let mut node = json!({"services": services});
        if this_node {
            node["thisNode"] = true.into();
        }
        node["hostname"] = self.host.clone().into();
        node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(nodes: u16, vbuckets: u16) -> Topology {
        let member =
            |at| Member { host: format!("n{at}"), kv: 100 + at, kv_tls: None, management: None, management_tls: None };
        Topology::new((0..nodes).map(member).collect(), vbuckets)
    }

    fn loads(topology: &Topology) -> Vec<usize> {
        (0..topology.nodes.len()).map(|at| topology.load(at)).collect()
    }

    /// The servers that the map of a bucket names for its vbuckets.
    fn servers(topology: &Topology) -> Vec<String> {
        let map = topology.terse(&Config::default(), 0, true);
        let map = &map["vBucketServerMap"];
        let entries = map["vBucketMap"].as_array().unwrap().iter();
        let at = |entry: &Value| map["serverList"][entry[0].as_u64().unwrap() as usize].as_str().unwrap().to_owned();
        entries.map(at).collect()
    }

    #[test]
    fn the_cluster_map_names_this_node_and_every_vbucket() {
        let member = Member {
            host: "::1".to_owned(),
            kv: 4711,
            kv_tls: Some(4712),
            management: Some(4713),
            management_tls: Some(4714),
        };
        let map = Topology::new(vec![member], 4).terse(&Config::default(), 0, true);
        assert_eq!(map["vBucketServerMap"]["serverList"][0], "[::1]:4711");
        assert_eq!(map["vBucketServerMap"]["vBucketMap"].as_array().unwrap().len(), 4);
        assert_eq!(map["nodesExt"][0]["services"], json!({"kv": 4711, "kvSSL": 4712, "mgmt": 4713, "mgmtSSL": 4714}));
        assert_eq!(map["nodesExt"][0]["hostname"], "::1");
        assert_eq!(map["nodes"][0]["hostname"], "[::1]:4713");
        assert_eq!(map["name"], "default");
    }

    #[test]
    fn every_node_says_which_of_the_members_it_is() {
        let topology = cluster(3, 8);
        for at in 0..3 {
            let map = topology.terse(&Config::default(), at, false);
            let this: Vec<bool> = map["nodesExt"].as_array().unwrap().iter().map(|it| it["thisNode"] == true).collect();
            assert_eq!(this, [at == 0, at == 1, at == 2]);
            assert!(map.get("vBucketServerMap").is_none());
        }
    }

    #[test]
    fn the_map_of_a_smaller_cluster_counts_its_own_members_only() {
        let mut topology = cluster(3, 7);
        assert_eq!(servers(&topology)[1], "n1:101");
        assert_eq!(topology.leave(1).unwrap().len(), 2);
        assert_eq!((loads(&topology), topology.revision()), (vec![4, 0, 3], 2));
        let map = topology.terse(&Config::default(), 0, true);
        assert_eq!(map["vBucketServerMap"]["serverList"], json!(["n0:100", "n2:102"]));
        assert_eq!(map["nodesExt"].as_array().unwrap().len(), 2);
        assert!(servers(&topology).iter().all(|server| server != "n1:101"));
        assert_eq!(servers(&topology)[2], "n2:102");
    }

    #[test]
    fn who_joins_gets_its_share_and_no_more_moves_than_that() {
        let mut topology = cluster(3, 64);
        topology.leave(2).unwrap();
        assert_eq!(loads(&topology), [32, 32, 0]);
        let moves = topology.join(2).unwrap();
        assert_eq!(loads(&topology), [22, 21, 21]);
        assert_eq!(moves.len(), 21);
        assert!(moves.iter().all(|it| it.to == 2));
        assert_eq!(topology.join(2), Ok(Vec::new()), "it has joined already");
        assert_eq!(topology.revision(), 3);
    }

    #[test]
    fn what_cannot_be_is_refused_and_changes_nothing() {
        let mut topology = cluster(2, 4);
        topology.leave(1).unwrap();
        let before = topology.clone();
        assert_eq!(topology.move_vbucket(0, 2), Err(ClusterError::NoNode { last: 1, found: 2 }));
        assert_eq!(topology.move_vbucket(4, 0), Err(ClusterError::NoVbucket { last: 3, found: 4 }));
        assert_eq!(topology.move_vbucket(0, 1), Err(ClusterError::NotAMember(1)));
        assert_eq!(topology.leave(0), Err(ClusterError::LastMember(0)));
        assert_eq!(topology.move_vbucket(0, 0), Ok(Vec::new()));
        assert_eq!(topology, before);
    }
}
