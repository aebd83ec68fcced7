use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use super::errand::Answer;
use super::errand::Script;
use crate::Timestamp;
use crate::wire::FrameBuilder;
use crate::wire::Opcode;
use crate::wire::Status;

/// Traffic that brings every type of message: sets, deletes, expiries, durable sets, sets that are to be aborted, and a
/// collection that is made and dropped. All keys begin with a prefix of the run's own, and are removed in the end.
#[derive(Debug)]
pub struct Workload {
    prefix: String,
    vbuckets: Vec<u16>,
    /// How many vbuckets the bucket has: keys hash into theirs, so that other clients find them.
    count: Option<u16>,
    /// Whether a manager sets the collections, so that nobody else may.
    managed: bool,
    rounds: u64,
    /// Keys that may be there.
    keys: Vec<(u16, String)>,
    /// Keys that expire, and when they were written.
    expiring: Vec<(u16, String, Timestamp)>,
    /// What came of each kind of request.
    results: BTreeMap<(Kind, Status), u64>,
    collection: bool,
    /// Whether the collection may be there, also where the answer to its making never came.
    made: bool,
}

/// What a request is for: the messages that it brings.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    /// MUTATION.
    Set,
    /// DELETION.
    Delete,
    /// EXPIRATION: a document is looked at that has expired.
    Expire,
    /// PREPARE and COMMIT.
    Durable,
    /// PREPARE and ABORT: a durable write that has a millisecond.
    Abort,
    /// SYSTEM_EVENT.
    Collection,
}

/// Rounds that are made at most.
const MAX_ROUNDS: u64 = 120;
/// Plain sets around the others, so that snapshots are long.
const FILLERS: u64 = 8;
/// A document that lives for a second is looked at after so long.
const EXPIRED_AFTER: Duration = Duration::from_millis(2_100);
/// The frame info of a durability requirement; the levels majority and persist to majority.
const DURABILITY: u16 = 1;
const MAJORITY: u8 = 1;
const PERSIST_TO_MAJORITY: u8 = 3;
/// The default collection's id, as it stands before keys.
const DEFAULT_COLLECTION: u8 = 0;
/// Keys removed with one batch.
const REMOVED_AT_ONCE: usize = 256;

/// Requests of a workload, and what they are for.
#[derive(Debug)]
pub struct Batch {
    steps: std::collections::VecDeque<Step>,
    asked: Vec<Kind>,
    results: BTreeMap<(Kind, Status), u64>,
    made_collection: Option<bool>,
}

#[derive(Debug)]
enum Step {
    Requests(Vec<(Kind, Keyed)>),
    /// Asks for the manifest, then sets it with or without the collection.
    Manifest {
        name: String,
        make: bool,
    },
    SetManifest {
        name: String,
        make: bool,
    },
}

/// A request, and the key that it is to get once it is known whether collections are agreed on.
#[derive(Debug)]
struct Keyed {
    frame: FrameBuilder,
    key: String,
}

impl Workload {
    /// A workload in these vbuckets of a bucket of `count`. `managed`: whether a cluster manager looks after the node.
    pub fn new(prefix: String, vbuckets: Vec<u16>, count: Option<u16>, managed: bool) -> Self {
        Self {
            prefix,
            vbuckets,
            count,
            managed,
            rounds: 0,
            keys: Vec::new(),
            expiring: Vec::new(),
            results: BTreeMap::new(),
            collection: false,
            made: false,
        }
    }

    /// The keys that were written, and their vbuckets.
    #[cfg(test)]
    pub(crate) fn keys(&self) -> &[(u16, String)] {
        &self.keys
    }

    /// What all keys begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The requests of the next round; `None` where there were enough.
    pub fn round(&mut self, now: Timestamp) -> Option<Batch> {
        if self.rounds >= MAX_ROUNDS {
            return None;
        }
        self.rounds += 1;
        let mut requests = Vec::new();
        for vbucket in self.vbuckets.clone() {
            let name = |it: &Self, what: &str, n: u64| it.key(vbucket, &format!("{}-{what}{n}", it.rounds));
            for n in 0..FILLERS {
                requests.push((Kind::Set, set(vbucket, name(self, "set", n), 0)));
            }
            let (doomed, durable, aborted, mortal) = (
                name(self, "deleted", 0),
                name(self, "durable", 0),
                name(self, "aborted", 0),
                name(self, "expired", 0),
            );
            requests.push((Kind::Set, set(vbucket, doomed.clone(), 0)));
            requests.push((Kind::Set, set(vbucket, mortal.clone(), 1)));
            let mut asked = set(vbucket, durable, 0);
            asked.frame = asked.frame.frame_info(DURABILITY, &[MAJORITY]);
            requests.push((Kind::Durable, asked));
            let mut asked = set(vbucket, aborted, 0);
            asked.frame = asked.frame.frame_info(DURABILITY, &[PERSIST_TO_MAJORITY, 0, 1]);
            requests.push((Kind::Abort, asked));
            requests.push((Kind::Delete, delete(vbucket, doomed)));
            for n in FILLERS..2 * FILLERS {
                requests.push((Kind::Set, set(vbucket, name(self, "set", n), 0)));
            }
            self.expiring.push((vbucket, mortal, now));
        }
        let keys = requests.iter().filter(|(kind, _)| *kind != Kind::Delete);
        self.keys.extend(keys.map(|(_, it)| (it.vbucket(), it.key.clone())));
        let (due, later) =
            std::mem::take(&mut self.expiring).into_iter().partition(|(_, _, at)| now.since(*at) >= EXPIRED_AFTER);
        self.expiring = later;
        for (vbucket, key, _) in due {
            requests.push((Kind::Expire, Keyed { frame: FrameBuilder::request(Opcode::GET).vbucket(vbucket), key }));
        }
        let mut steps = std::collections::VecDeque::from([Step::Requests(requests)]);
        if !self.managed {
            self.made |= !self.collection;
            steps.push_back(Step::Manifest { name: self.prefix.clone(), make: !self.collection });
        }
        Some(Batch { steps, asked: Vec::new(), results: BTreeMap::new(), made_collection: None })
    }

    /// The requests that remove all that may be left.
    pub fn removal(&self) -> Batch {
        let mut steps = std::collections::VecDeque::new();
        for keys in self.keys.chunks(REMOVED_AT_ONCE) {
            let requests = keys.iter().map(|(vbucket, key)| (Kind::Delete, delete(*vbucket, key.clone()))).collect();
            steps.push_back(Step::Requests(requests));
        }
        if self.made {
            steps.push_back(Step::Manifest { name: self.prefix.clone(), make: false });
        }
        Batch { steps, asked: Vec::new(), results: BTreeMap::new(), made_collection: None }
    }

    /// Takes in what came of a round.
    pub fn take(&mut self, batch: Batch) {
        for (key, count) in batch.results {
            *self.results.entry(key).or_default() += count;
        }
        if let Some(made) = batch.made_collection {
            self.collection = made;
        }
    }

    /// How many of the keys a removal could not remove.
    pub fn remain(&self, removal: &Batch) -> u64 {
        let gone = |status: Status| matches!(status, Status::SUCCESS | Status::KEY_ENOENT);
        let removed: u64 =
            removal.results.iter().filter(|((_, status), _)| gone(*status)).map(|(_, count)| *count).sum();
        (self.keys.len() as u64).saturating_sub(removed)
    }

    /// What could not be made, one line each.
    pub fn shortfalls(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.managed {
            lines.push(
                "no collection was made: the node belongs to a cluster, whose manager alone may (REST: make and drop one \
                 while probe runs)"
                    .to_owned(),
            );
        }
        for (kind, what) in [
            (Kind::Set, "sets"),
            (Kind::Delete, "deletes"),
            (Kind::Durable, "durable sets"),
            (Kind::Collection, "collections"),
        ] {
            let of = |status: bool| {
                self.results.iter().filter(move |((it, found), _)| *it == kind && (*found == Status::SUCCESS) == status)
            };
            if of(true).next().is_none()
                && let Some(((_, status), _)) = of(false).next()
            {
                lines.push(format!("{what} were refused: {status}"));
            }
        }
        let aborted = self.results.keys().any(|&key| key == (Kind::Abort, Status::SYNC_WRITE_AMBIGUOUS));
        if !aborted && self.results.keys().any(|(kind, _)| *kind == Kind::Abort) {
            lines.push("no durable set could be made to fail in time, so that none was aborted".to_owned());
        }
        lines
    }

    /// A key of the vbucket's.
    fn key(&self, vbucket: u16, name: &str) -> String {
        let plain = format!("{}-{vbucket}-{name}", self.prefix);
        let Some(count) = self.count else { return plain };
        // Every 1,024th on average is one.
        (0..1_000_000_u32)
            .map(|n| format!("{plain}-{n}"))
            .find(|key| vbucket_of(key, count) == vbucket)
            .unwrap_or(plain)
    }
}

impl Keyed {
    fn vbucket(&self) -> u16 {
        let bytes = self.frame.build();
        bytes.get(6..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_be_bytes)
    }
}

fn set(vbucket: u16, key: String, expires: u32) -> Keyed {
    let extras = [0_u32.to_be_bytes(), expires.to_be_bytes()].concat();
    let frame = FrameBuilder::request(Opcode::SET).vbucket(vbucket).extras(extras).value(&b"\"dcproxy probe\""[..]);
    Keyed { frame, key }
}

fn delete(vbucket: u16, key: String) -> Keyed {
    Keyed { frame: FrameBuilder::request(Opcode::DELETE).vbucket(vbucket), key }
}

/// The vbucket that clients look for a key in: by the upper half of its CRC-32.
fn vbucket_of(key: &str, count: u16) -> u16 {
    let mut crc = flate2::Crc::new();
    crc.update(key.as_bytes());
    let hash = (crc.sum() >> 16) & 0x7fff;
    u16::try_from(hash % u32::from(count.max(1))).unwrap_or_default()
}

impl Script for Batch {
    fn next(&mut self, answers: &[Answer], collections: bool) -> Vec<FrameBuilder> {
        for (kind, answer) in std::mem::take(&mut self.asked).into_iter().zip(answers) {
            *self.results.entry((kind, answer.status)).or_default() += 1;
        }
        match self.steps.pop_front() {
            None => Vec::new(),
            Some(Step::Requests(requests)) => {
                let mut frames = Vec::new();
                for (kind, Keyed { frame, key }) in requests {
                    let mut bytes = Vec::new();
                    bytes.extend(collections.then_some(DEFAULT_COLLECTION));
                    bytes.extend(key.into_bytes());
                    self.asked.push(kind);
                    frames.push(frame.key(bytes));
                }
                frames
            }
            Some(Step::Manifest { name, make }) => {
                self.steps.push_front(Step::SetManifest { name, make });
                vec![FrameBuilder::request(Opcode::COLLECTIONS_GET_MANIFEST)]
            }
            Some(Step::SetManifest { name, make }) => {
                let manifest = answers.first().filter(|answer| answer.status == Status::SUCCESS);
                let changed = manifest.and_then(|answer| changed(&answer.value, &name, make));
                match changed {
                    Some(manifest) => {
                        self.asked.push(Kind::Collection);
                        self.made_collection = Some(make);
                        vec![FrameBuilder::request(Opcode::COLLECTIONS_SET_MANIFEST).value(manifest.into_bytes())]
                    }
                    None => {
                        let status = answers.first().map_or(Status::UNKNOWN_COMMAND, |answer| answer.status);
                        *self.results.entry((Kind::Collection, status)).or_default() += 1;
                        self.next(&[], collections)
                    }
                }
            }
        }
    }
}

/// A manifest with the collection of that name in the default scope, or without, under the next uid.
fn changed(manifest: &[u8], name: &str, make: bool) -> Option<String> {
    let mut manifest: Value = serde_json::from_slice(manifest).ok()?;
    let uid = u64::from_str_radix(manifest.get("uid")?.as_str()?, 16).ok()?.checked_add(1)?;
    *manifest.get_mut("uid")? = json!(format!("{uid:x}"));
    let scopes = manifest.get_mut("scopes")?.as_array_mut()?;
    let highest = scopes
        .iter()
        .filter_map(|scope| scope.get("collections")?.as_array())
        .flatten()
        .filter_map(|it| u64::from_str_radix(it.get("uid")?.as_str()?, 16).ok())
        .max()
        .unwrap_or_default();
    let default = scopes.iter_mut().find(|scope| scope.get("uid").is_some_and(|uid| uid == "0"))?;
    let collections = default.get_mut("collections")?.as_array_mut()?;
    if !make && collections.iter().all(|it| it.get("name").is_none_or(|it| it != name)) {
        return None;
    }
    collections.retain(|it| it.get("name").is_none_or(|it| it != name));
    if make {
        // An id is never used again: it grows with the manifest's.
        let id = highest.max(uid).max(8).checked_add(1)?;
        collections.push(json!({"name": name, "uid": format!("{id:x}")}));
    }
    Some(manifest.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);

    fn answers(requests: &[FrameBuilder], status: Status) -> Vec<Answer> {
        requests
            .iter()
            .map(|request| Answer { opcode: Opcode(request.build()[1]), status, value: Vec::new() })
            .collect()
    }

    fn played(mut batch: Batch, status: Status) -> (Batch, Vec<FrameBuilder>) {
        let (mut all, mut last) = (Vec::new(), Vec::new());
        loop {
            let asked = batch.next(&last, true);
            if asked.is_empty() {
                return (batch, all);
            }
            last = answers(&asked, status);
            all.extend(asked);
        }
    }

    fn keys(frames: &[FrameBuilder], opcode: Opcode) -> Vec<Vec<u8>> {
        let bytes = frames.iter().map(FrameBuilder::build);
        let frames = bytes.map(|bytes| {
            let frame = crate::wire::Frame::whole(&bytes).unwrap();
            (frame.header().opcode, frame.key().to_vec())
        });
        frames.filter(|(it, _)| *it == opcode).map(|(_, key)| key).collect()
    }

    #[test]
    fn what_is_written_has_the_prefix_and_is_removed() {
        let mut workload = Workload::new("dcproxy-probe-7".to_owned(), vec![0, 3], Some(4), true);
        let batch = workload.round(NOW).unwrap();
        let (batch, frames) = played(batch, Status::SUCCESS);
        workload.take(batch);
        let written = keys(&frames, Opcode::SET);
        assert!(written.iter().all(|key| key.starts_with(b"\0dcproxy-probe-7-")), "the default collection's");
        assert!(keys(&frames, Opcode::DELETE).len() == 2 && keys(&frames, Opcode::GET).is_empty());
        // What is expired is looked at once it is.
        let batch = workload.round(NOW + Duration::from_secs(3)).unwrap();
        let (batch, later) = played(batch, Status::SUCCESS);
        workload.take(batch);
        assert_eq!(keys(&later, Opcode::GET).len(), 2);
        let (removal, removed) = played(workload.removal(), Status::SUCCESS);
        let mut expected: Vec<_> = written.into_iter().chain(keys(&later, Opcode::SET)).collect();
        let mut found = keys(&removed, Opcode::DELETE);
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
        assert_eq!(workload.remain(&removal), 0);
        let (refused, _) = played(workload.removal(), Status::ETMPFAIL);
        assert_eq!(workload.remain(&refused), expected.len() as u64);
    }

    #[test]
    fn keys_hash_into_their_vbuckets() {
        // What the SDKs compute for these keys and 1,024 vbuckets.
        assert_eq!((vbucket_of("foo", 1024), vbucket_of("", 1024)), (115, 0));
        let workload = Workload::new("p".to_owned(), vec![5], Some(64), true);
        assert_eq!(vbucket_of(&workload.key(5, "x"), 64), 5);
    }

    #[test]
    fn what_could_not_be_made_is_told() {
        let mut workload = Workload::new("p".to_owned(), vec![0], None, true);
        let (batch, _) = played(workload.round(NOW).unwrap(), Status::EACCESS);
        workload.take(batch);
        let told = workload.shortfalls().join("\n");
        assert!(
            told.contains("durable sets were refused: Eaccess")
                && told.contains("its manager") | told.contains("whose manager"),
            "{told}"
        );
        assert!(told.contains("none was aborted"), "{told}");
    }

    #[test]
    fn a_collection_is_made_and_dropped_under_rising_uids() {
        let manifest =
            r#"{"uid":"f","scopes":[{"name":"_default","uid":"0","collections":[{"name":"_default","uid":"0"}]}]}"#;
        let made: Value = serde_json::from_str(&changed(manifest.as_bytes(), "mine", true).unwrap()).unwrap();
        assert_eq!(made["uid"], "10");
        assert_eq!(made["scopes"][0]["collections"][1], json!({"name": "mine", "uid": "11"}));
        let dropped: Value =
            serde_json::from_str(&changed(made.to_string().as_bytes(), "mine", false).unwrap()).unwrap();
        assert_eq!(dropped["uid"], "11");
        assert_eq!(dropped["scopes"][0]["collections"].as_array().unwrap().len(), 1);
        assert_eq!(changed(manifest.as_bytes(), "mine", false), None, "there is none");
        assert_eq!(changed(b"{}", "mine", true), None);
    }
}
