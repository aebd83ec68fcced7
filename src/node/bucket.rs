use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::OnceLock;

use serde_json::Value;
use serde_json::json;

use super::config::Config;
use super::consumer::Taken;
use super::data::Kind;
use super::document::Item;
use super::manifest::Made;
use super::producer::Reply;
use super::producer::answer;
use super::topology::Member;
use super::topology::Topology;
use super::vbucket::Vbucket;
use super::vbucket::seconds;
use crate::Timestamp;
use crate::dcp::FailoverLog;
use crate::dcp::GetAllVbSeqnos;
use crate::dcp::VbSeqno;
use crate::dcp::VbSeqnos;
use crate::wire::Datatype;
use crate::wire::FrameBuilder;
use crate::wire::Header;
use crate::wire::Status;

/// A node's part of the one bucket: its vbuckets, shared by all connections. Those of other nodes are deleted here.
#[derive(Debug)]
pub(super) struct Bucket {
    vbuckets: Vec<Vbucket>,
    /// Since when the vbuckets make snapshots of themselves, on all nodes.
    since: Arc<OnceLock<Timestamp>>,
    expiries: BTreeSet<Expiry>,
    topology: Arc<Topology>,
    /// Which node of the cluster this is.
    at: usize,
    /// The bytes of what streams have brought.
    taken: usize,
}

/// When which document expires: seconds since the epoch, vbucket, collection, key. There are no more than writes.
type Expiry = (u32, u16, u32, Vec<u8>);

/// A vbucket on its way to another node, with the documents of it that expire.
#[derive(Debug)]
pub(super) struct Given {
    vbucket: Vbucket,
    expiries: BTreeSet<Expiry>,
}

/// More items than this no vbucket has: collection ids are 32 bits, and there is one a round.
const MAX_ITEMS: u64 = 1 << 36;

/// The most bytes of what streams have brought that are kept, in all vbuckets.
const MAX_TAKEN: usize = 512 * 1024 * 1024;

/// Above so many vbuckets the interval between their snapshots grows, so that a node's own traffic stays small.
const VBUCKETS_AT_FULL_PACE: u32 = 16;

impl Bucket {
    /// The parts that these nodes have of it, at least one.
    pub(super) fn spread(config: &Config, nodes: Vec<Member>) -> Vec<Self> {
        let count = config.vbuckets.clamp(1, Config::MAX_VBUCKETS);
        let items = config.items.min(MAX_ITEMS);
        let parts = 0..nodes.len();
        let topology = Arc::new(Topology::new(nodes, count));
        let since = Arc::new(OnceLock::new());
        let part = |at| {
            let vbucket = |number| {
                let mut vbucket = Vbucket::new(config.seed, number, items, config.disk_items);
                if !topology.is_owner(at, number.into()) {
                    vbucket.delete();
                }
                vbucket
            };
            Self {
                vbuckets: (0..count).map(vbucket).collect(),
                since: Arc::clone(&since),
                expiries: BTreeSet::new(),
                topology: Arc::clone(&topology),
                at,
                taken: 0,
            }
        };
        parts.map(part).collect()
    }

    /// Who has what.
    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The topology changed.
    pub(super) fn set_topology(&mut self, topology: Arc<Topology>) {
        self.topology = topology;
    }

    /// A vbucket goes to another node. A copy stays for the snapshots that its streams are inside of.
    pub(super) fn give(&mut self, number: u16) -> Option<Given> {
        let here = self.vbucket_mut(number)?;
        let vbucket = here.clone();
        here.delete();
        let (expiries, others) = std::mem::take(&mut self.expiries).into_iter().partition(|expiry| expiry.1 == number);
        self.expiries = others;
        Some(Given { vbucket, expiries })
    }

    /// A vbucket came from another node.
    pub(super) fn take(&mut self, number: u16, given: Given) {
        if let Some(vbucket) = self.vbucket_mut(number) {
            *vbucket = given.vbucket;
            self.expiries.extend(given.expiries);
        }
    }

    pub(super) fn vbucket(&self, number: u16) -> Option<&Vbucket> {
        self.vbuckets.get(usize::from(number))
    }

    pub(super) fn vbucket_mut(&mut self, number: u16) -> Option<&mut Vbucket> {
        self.vbuckets.get_mut(usize::from(number))
    }

    /// Takes in what a consumer's stream has brought.
    pub(super) fn take_in(&mut self, number: u16, taken: Taken) {
        let Some(vbucket) = self.vbucket_mut(number) else { return };
        let before = vbucket.taken_bytes();
        vbucket.take(taken);
        let after = vbucket.taken_bytes();
        self.taken = self.taken.saturating_sub(before).saturating_add(after);
    }

    /// Whether there is no room for more of what streams bring.
    pub(super) const fn is_full(&self) -> bool {
        self.taken >= MAX_TAKEN
    }

    /// A takeover gave the vbucket away.
    pub(super) fn hand_over(&mut self, number: u16) {
        if let Some(vbucket) = self.vbucket_mut(number) {
            vbucket.die();
        }
    }

    /// A document was written that expires.
    pub(super) fn expires(&mut self, at: u32, vbucket: u16, collection: u32, key: &[u8]) {
        self.expiries.insert((at, vbucket, collection, key.to_vec()));
    }

    /// When the next document expires.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        self.expiries.first().map(|(at, ..)| Timestamp(u64::from(*at) * 1_000_000_000))
    }

    /// Lets the vbuckets grow as time goes on, and documents expire.
    pub(super) fn tick(&mut self, config: &Config, now: Timestamp) {
        self.grow(config, now);
        while let Some((at, number, collection, key)) = self.expiries.pop_first() {
            if at > seconds(now) {
                self.expiries.insert((at, number, collection, key));
                return;
            }
            if let Some(vbucket) = self.vbucket_mut(number) {
                vbucket.expire(collection, &key, at, now);
            }
        }
    }

    fn grow(&mut self, config: &Config, now: Timestamp) {
        let Some(interval) = self.interval(config) else { return };
        let since = *self.since.get_or_init(|| now);
        let snapshots = now.since(since).as_nanos() / interval;
        for vbucket in &mut self.vbuckets {
            vbucket.grow(snapshots as u64);
        }
    }

    /// When they grow next.
    pub(super) fn next_tick(&self, config: &Config, now: Timestamp) -> Option<Timestamp> {
        let interval = self.interval(config)?;
        let since = self.since.get().copied().unwrap_or(now);
        let left = interval - now.since(since).as_nanos() % interval;
        Some(Timestamp(now.0.saturating_add(left as u64)))
    }

    /// Nanoseconds, never 0.
    fn interval(&self, config: &Config) -> Option<u128> {
        let stretch = (self.vbuckets.len() as u32).div_ceil(VBUCKETS_AT_FULL_PACE);
        config.interval.map(|interval| (interval * stretch).as_nanos().max(1))
    }

    /// GET_FAILOVER_LOG, in both its forms.
    pub(super) fn failover_log(&self, header: &Header) -> Reply {
        match self.vbucket(header.vbucket_or_status).filter(|vbucket| !vbucket.is_deleted()) {
            Some(vbucket) => {
                let log = FailoverLog { failover_log: vbucket.failover_log() };
                Reply::Frame(log.response(header.opcode, header.opaque).build().to_vec())
            }
            None => answer(header, Status::NOT_MY_VBUCKET),
        }
    }

    /// GET_ALL_VB_SEQNOS: the highest seqno, of those that the client can see, or of one collection.
    pub(super) fn all_seqnos(&self, asked: &GetAllVbSeqnos, sync_replication: bool, header: &Header) -> Reply {
        if let Some(id) = asked.collection_id
            && !self.has_collection(id)
        {
            return answer(header, Status::UNKNOWN_COLLECTION);
        }
        let wanted = |vbucket: &Vbucket| match asked.state {
            None | Some(0) => !vbucket.is_dead(),
            Some(state) => vbucket.state().is_some_and(|it| u32::from(it.number()) == state),
        };
        let seqno = |vbucket: &Vbucket| match asked.collection_id {
            Some(id) => vbucket.high_of_collection(id),
            None if sync_replication => vbucket.high(),
            None => vbucket.max_visible(vbucket.high()),
        };
        let entries = (0..).zip(&self.vbuckets).filter(|(_, vbucket)| wanted(vbucket));
        let entries = entries.map(|(number, vbucket)| VbSeqno { vbucket: number, seqno: seqno(vbucket) }).collect();
        Reply::Frame(VbSeqnos { entries }.response(header.opaque).build().to_vec())
    }

    /// NotMyVbucket, with the cluster map.
    pub(super) fn not_my_vbucket(&self, header: &Header, config: &Config) -> Reply {
        let map = self.cluster_map(config, true);
        let frame = FrameBuilder::response(header.opcode, Status::NOT_MY_VBUCKET).opaque(header.opaque);
        Reply::Frame(frame.datatype(Datatype::JSON).value(map.to_string().into_bytes()).build().to_vec())
    }

    /// The cluster map of the bucket, or the global one, as this node gives it.
    pub(super) fn cluster_map(&self, config: &Config, bucket: bool) -> Value {
        self.topology.terse(config, self.at, bucket)
    }

    /// The nodes of the cluster, as this node's management gives them.
    pub(super) fn members(&self) -> Vec<Value> {
        self.topology.members(self.at)
    }

    /// How many vbuckets there are.
    pub(super) fn len(&self) -> u16 {
        self.vbuckets.len() as u16
    }

    /// A vbucket that knows of every change so far.
    pub(super) fn newest(&self) -> Option<&Vbucket> {
        self.vbuckets.iter().find(|vbucket| !vbucket.is_dead()).or_else(|| self.vbuckets.first())
    }

    /// Whether the collection is there.
    pub(super) fn has_collection(&self, id: u32) -> bool {
        self.newest().is_some_and(|vbucket| vbucket.has_collection(id))
    }

    /// The uid of the manifest.
    pub(super) fn manifest_uid(&self) -> u64 {
        self.newest().map(Vbucket::manifest_uid).unwrap_or_default()
    }

    /// The id of a scope by its name, where an empty name is the default one's.
    pub(super) fn scope_id(&self, name: &str) -> Result<u32, Status> {
        if matches!(name, "" | "_default") {
            return Ok(0);
        }
        let scopes = self.newest().map(Vbucket::scopes).unwrap_or_default();
        scopes.iter().find(|scope| scope.name == name).map(|scope| scope.id).ok_or(Status::UNKNOWN_SCOPE)
    }

    /// The id of a collection by `scope.collection`, where an empty name is the default one's.
    pub(super) fn collection_id(&self, path: &str) -> Result<u32, Status> {
        let (scope, collection) = path.split_once('.').ok_or(Status::EINVAL)?;
        let scope = self.scope_id(scope)?;
        if scope == 0 && matches!(collection, "" | "_default") {
            return Ok(0);
        }
        let collections = self.newest().map(Vbucket::collections).unwrap_or_default();
        let found = collections.iter().find(|it| it.scope == scope && it.name == collection);
        found.map(|it| it.id).ok_or(Status::UNKNOWN_COLLECTION)
    }

    /// The collections manifest as COLLECTIONS_GET_MANIFEST gives it.
    pub(super) fn manifest(&self) -> String {
        let mut scopes = vec![(0, "_default".to_owned(), vec![json!({"name": "_default", "uid": "0"})])];
        let there = self.newest().map(|newest| (newest.scopes(), newest.collections())).unwrap_or_default();
        scopes.extend(there.0.into_iter().map(|scope| (scope.id, scope.name, Vec::new())));
        for it in there.1 {
            if let Some((_, _, members)) = scopes.iter_mut().find(|(id, ..)| *id == it.scope) {
                let mut member = json!({"name": it.name, "uid": format!("{:x}", it.id)});
                if let Some(ttl) = it.max_ttl {
                    member["maxTTL"] = ttl.into();
                }
                members.push(member);
            }
        }
        let scopes: Vec<_> = scopes
            .into_iter()
            .map(|(id, name, collections)| json!({"name": name, "uid": format!("{id:x}"), "collections": collections}))
            .collect();
        json!({"uid": format!("{:x}", self.manifest_uid()), "scopes": scopes}).to_string()
    }

    /// Sets a client's manifest on every vbucket, the dead ones too, which may come back; false where there is no room.
    pub(super) fn change_manifest(&mut self, uid: u64, events: &[(Kind, Item)], made: &Made) -> bool {
        if !self.vbuckets.iter().all(|vbucket| vbucket.has_room_for(events.len())) {
            return false;
        }
        for vbucket in &mut self.vbuckets {
            vbucket.change_manifest(uid, events, made);
        }
        true
    }
}
