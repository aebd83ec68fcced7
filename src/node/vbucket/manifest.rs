//! The collections of a vbucket: the generator's, which come and go with its rounds, and those that clients made.

use super::Vbucket;
use crate::node::data;
use crate::node::data::Kind;
use crate::node::document::Item;
use crate::node::manifest::Collection;
use crate::node::manifest::Made;
use crate::node::manifest::Scope;

/// The most manifests that clients may set.
const MAX_MANIFESTS: usize = 10_000;

impl Vbucket {
    /// The collections that are there, without the default one.
    pub(in crate::node) fn collections(&self) -> Vec<Collection> {
        if let Some(copy) = &self.copy {
            return copy.collections().to_vec();
        }
        let own = data::collections(self.generated).map(|it| Collection {
            id: it.id,
            scope: it.scope,
            name: data::collection_name(it.id),
            max_ttl: it.max_ttl,
        });
        own.chain(self.made.collections.iter().cloned()).collect()
    }

    /// The scopes that are there, without the default one.
    pub(in crate::node) fn scopes(&self) -> Vec<Scope> {
        if let Some(copy) = &self.copy {
            return copy.scopes().to_vec();
        }
        let own = data::has_scope(self.generated).then(|| Scope { id: data::SCOPE, name: data::SCOPE_NAME.to_owned() });
        own.into_iter().chain(self.made.scopes.iter().cloned()).collect()
    }

    /// Whether the collection is there.
    pub(in crate::node) fn has_collection(&self, id: u32) -> bool {
        if let Some(copy) = &self.copy {
            return id == 0 || copy.collections().iter().any(|it| it.id == id);
        }
        id == 0
            || data::collections(self.generated).any(|it| it.id == id)
            || self.made.collections.iter().any(|it| it.id == id)
    }

    /// Whether the scope is there.
    pub(in crate::node) fn has_scope(&self, id: u32) -> bool {
        if let Some(copy) = &self.copy {
            return id == 0 || copy.scopes().iter().any(|it| it.id == id);
        }
        id == 0
            || (id == data::SCOPE && data::has_scope(self.generated))
            || self.made.scopes.iter().any(|it| it.id == id)
    }

    /// The uid of its manifest.
    pub(in crate::node) fn manifest_uid(&self) -> u64 {
        if let Some(copy) = &self.copy {
            return copy.uid();
        }
        data::manifest_uid(self.generated) + self.uid_shift(self.generated + 1)
    }

    /// What is added to the uid of the generator's event `g`: the uids that clients used up before it.
    pub(super) fn uid_shift(&self, g: u64) -> u64 {
        let later = self.uid_shifts.partition_point(|&(from, _)| from < g);
        later.checked_sub(1).and_then(|at| self.uid_shifts.get(at)).map_or(0, |&(_, shift)| shift)
    }

    /// What clients made.
    pub(in crate::node) const fn made(&self) -> &Made {
        &self.made
    }

    /// A client's manifest: its events come next, and what is generated from here on has higher uids.
    pub(in crate::node) fn change_manifest(&mut self, uid: u64, events: &[(Kind, Item)], made: &Made) {
        for (kind, item) in events {
            let mut item = item.clone();
            item.outline.kind = *kind;
            item.outline.seqno = self.high() + 1;
            if let Some(copy) = &mut self.copy {
                copy.append(item);
                continue;
            }
            self.written.push(item);
        }
        self.uid_shifts.push((self.generated, uid.saturating_sub(data::manifest_uid(self.generated))));
        self.made.clone_from(made);
    }

    /// Whether so many more events of clients find room.
    pub(in crate::node) const fn has_room_for(&self, events: usize) -> bool {
        self.written.has_room(events, 0) && self.uid_shifts.len() < MAX_MANIFESTS
    }
}
