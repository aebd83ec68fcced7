//! COLLECTIONS_SET_MANIFEST: a client makes and drops collections and scopes, as a cluster manager does.
//!
//! The generator's own collections come and go with its rounds, and ids up to [`FIRST_FREE`] are its: a manifest has to
//! name those that are there, and takes ids of its own above.

use serde::Deserialize;

use super::bucket::Bucket;
use super::data::Kind;
use super::document::Item;
use super::front::error;
use super::producer::Reply;
use super::producer::answer;
use super::vbucket::Vbucket;
use crate::wire::Frame;
use crate::wire::Status;

/// The first id of a collection or scope that a client may make up.
pub(super) const FIRST_FREE: u32 = 0x8000_1000;

/// The most collections and scopes of clients.
const MAX_MADE: usize = 1000;

/// The longest name of a collection or scope.
const MAX_NAME: usize = 251;

/// A collection that is there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Collection {
    pub(super) id: u32,
    pub(super) scope: u32,
    pub(super) name: String,
    pub(super) max_ttl: Option<u32>,
}

/// A scope that is there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Scope {
    pub(super) id: u32,
    pub(super) name: String,
}

/// What clients made, and the ids that they used up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Made {
    pub(super) collections: Vec<Collection>,
    pub(super) scopes: Vec<Scope>,
    dropped: Vec<u32>,
}

#[derive(Deserialize)]
struct Posted {
    uid: String,
    scopes: Vec<PostedScope>,
}

#[derive(Deserialize)]
struct PostedScope {
    uid: String,
    name: String,
    #[serde(default)]
    collections: Vec<PostedCollection>,
}

#[derive(Deserialize)]
struct PostedCollection {
    uid: String,
    name: String,
    #[serde(rename = "maxTTL")]
    max_ttl: Option<u32>,
}

/// A manifest in the node's own terms, the default scope and collection left out.
struct Wanted {
    uid: u64,
    scopes: Vec<Scope>,
    collections: Vec<Collection>,
}

/// Answers COLLECTIONS_SET_MANIFEST: what is new gets its events on every vbucket, what is gone too.
pub(super) fn set(frame: &Frame<'_>, bucket: &mut Bucket) -> Reply {
    let header = frame.header();
    let wanted = match read(frame.value().unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(context) => return error(header, Status::EINVAL, &context),
    };
    let Some(newest) = bucket.newest() else { return answer(header, Status::NOT_MY_VBUCKET) };
    let (uid, made) = (newest.manifest_uid(), newest.made());
    let (kinds, made) = match changes(&wanted, uid, newest, made) {
        Ok(changes) => changes,
        Err(context) => return error(header, Status::CANNOT_APPLY_COLLECTIONS_MANIFEST, &context),
    };
    if wanted.uid == uid && kinds.is_empty() {
        return answer(header, Status::SUCCESS);
    }
    if wanted.uid <= uid {
        let context = format!("expected a uid above {uid:x}, found {:x}", wanted.uid);
        return error(header, Status::CANNOT_APPLY_COLLECTIONS_MANIFEST, &context);
    }
    let done = bucket.change_manifest(wanted.uid, &kinds, &made);
    answer(header, if done { Status::SUCCESS } else { Status::ENOMEM })
}

fn read(text: &[u8]) -> Result<Wanted, String> {
    let posted: Posted = serde_json::from_slice(text).map_err(|error| format!("expected a manifest: {error}"))?;
    let number = |text: &str| u64::from_str_radix(text, 16).map_err(|_| format!("expected a hex uid, found '{text}'"));
    let id = |text: &str| {
        number(text).and_then(|id| u32::try_from(id).map_err(|_| format!("expected an id of 32 bits, found '{text}'")))
    };
    let mut wanted = Wanted { uid: number(&posted.uid)?, scopes: Vec::new(), collections: Vec::new() };
    for scope in posted.scopes {
        let scope_id = id(&scope.uid)?;
        if scope_id != 0 {
            wanted.scopes.push(Scope { id: scope_id, name: scope.name });
        }
        for collection in scope.collections {
            let PostedCollection { uid, name, max_ttl } = collection;
            if id(&uid)? != 0 {
                wanted.collections.push(Collection { id: id(&uid)?, scope: scope_id, name, max_ttl });
            }
        }
    }
    Ok(wanted)
}

/// The events that lead from what is there to what is wanted, and what clients have made then.
fn changes(wanted: &Wanted, uid: u64, there: &Vbucket, before: &Made) -> Result<(Vec<(Kind, Item)>, Made), String> {
    let (scopes, collections) = (there.scopes(), there.collections());
    for own in scopes.iter().filter(|own| own.id < FIRST_FREE) {
        if !wanted.scopes.contains(own) {
            return Err(format!("expected scope {} ({:x}), which is the node's own", own.name, own.id));
        }
    }
    for own in collections.iter().filter(|own| own.id < FIRST_FREE) {
        if !wanted.collections.contains(own) {
            return Err(format!("expected collection {} ({:x}), which is the node's own", own.name, own.id));
        }
    }
    let new_scopes: Vec<_> = wanted.scopes.iter().filter(|scope| !scopes.contains(scope)).collect();
    let new: Vec<_> = wanted.collections.iter().filter(|collection| !collections.contains(collection)).collect();
    let gone: Vec<_> = collections.iter().filter(|collection| !wanted.collections.contains(collection)).collect();
    let gone_scopes: Vec<_> = scopes.iter().filter(|scope| !wanted.scopes.contains(scope)).collect();
    let ids = new.iter().map(|new| (new.id, &new.name)).chain(new_scopes.iter().map(|new| (new.id, &new.name)));
    for (id, name) in ids {
        check(id, name)?;
        if before.dropped.contains(&id)
            || scopes.iter().any(|it| it.id == id)
            || collections.iter().any(|it| it.id == id)
        {
            return Err(format!("expected an id that was never used, found {id:x} for {name}"));
        }
    }
    for (at, it) in wanted.collections.iter().enumerate() {
        let clashes = |other: &Collection| other.id == it.id || (other.scope, &other.name) == (it.scope, &it.name);
        if wanted.collections.iter().skip(at + 1).any(clashes) {
            return Err(format!("expected each collection once, found {} ({:x}) again", it.name, it.id));
        }
    }
    for (at, it) in wanted.scopes.iter().enumerate() {
        if wanted.scopes.iter().skip(at + 1).any(|other| other.id == it.id || other.name == it.name) {
            return Err(format!("expected each scope once, found {} ({:x}) again", it.name, it.id));
        }
    }
    let made = Made {
        collections: wanted.collections.iter().filter(|it| it.id >= FIRST_FREE).cloned().collect(),
        scopes: wanted.scopes.iter().filter(|it| it.id >= FIRST_FREE).cloned().collect(),
        dropped: before
            .dropped
            .iter()
            .copied()
            .chain(gone.iter().map(|it| it.id))
            .chain(gone_scopes.iter().map(|it| it.id))
            .collect(),
    };
    if made.collections.len() + made.scopes.len() + made.dropped.len() > MAX_MADE {
        return Err(format!("expected at most {MAX_MADE} collections and scopes in the node's life"));
    }
    let event = |kind, collection, scope, name: &str| {
        let mut item = Item::empty();
        item.outline.collection = collection;
        item.outline.scope = scope;
        item.key = name.as_bytes().to_vec();
        (kind, item)
    };
    let mut events = Vec::new();
    for it in new_scopes {
        events.push(event(Kind::CreateScope { uid, scope: it.id }, 0, it.id, &it.name));
    }
    for it in gone {
        events.push(event(Kind::DropCollection { uid, scope: it.scope }, it.id, it.scope, ""));
    }
    for it in new {
        let kind = Kind::CreateCollection { uid, scope: it.scope, max_ttl: it.max_ttl };
        events.push(event(kind, it.id, it.scope, &it.name));
    }
    for it in gone_scopes {
        events.push(event(Kind::DropScope { uid, scope: it.id }, 0, it.id, ""));
    }
    // dcp-protocol.md §4.8: of several events only the last has the new uid.
    if let Some((kind, _)) = events.last_mut() {
        *kind = kind.with_uid(wanted.uid);
    }
    Ok((events, made))
}

fn check(id: u32, name: &str) -> Result<(), String> {
    let legal = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-' | b'%');
    let starts = name.bytes().next().is_some_and(|letter| !matches!(letter, b'_' | b'%'));
    if !starts || name.len() > MAX_NAME || !name.bytes().all(legal) {
        return Err(format!("expected a name of A-Z a-z 0-9 _ - %, not begun with _ or %, found '{name}'"));
    }
    if id < FIRST_FREE {
        return Err(format!("expected an id from {FIRST_FREE:x} on, as those below are the node's own, found {id:x}"));
    }
    Ok(())
}
