use std::collections::BTreeSet;

use super::data::Kind;
use super::data::Outline;
use super::vbucket::Vbucket;
use crate::dcp::StreamReqValue;
use crate::wire::Status;

/// Which items a stream is for (dcp-protocol.md §3.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Filter {
    /// No collections on the connection: the default one, without system events.
    Legacy,
    /// Everything.
    All,
    /// Some collections.
    Collections(BTreeSet<u32>),
    /// The collections of a scope, whichever it has.
    Scope(u32),
}

impl Filter {
    /// The filter that a stream request asks for.
    ///
    /// # Errors
    /// The status for a collection or scope that is not there.
    pub(super) fn new(collections: bool, value: Option<&StreamReqValue>, vbucket: &Vbucket) -> Result<Self, Status> {
        if !collections {
            return Ok(Self::Legacy);
        }
        let Some(value) = value else { return Ok(Self::All) };
        match (&value.collections, value.scope) {
            (Some(ids), _) => {
                if ids.iter().all(|&id| vbucket.has_collection(id)) {
                    Ok(Self::Collections(ids.iter().copied().collect()))
                } else {
                    Err(Status::UNKNOWN_COLLECTION)
                }
            }
            (None, Some(scope)) if vbucket.has_scope(scope) => Ok(Self::Scope(scope)),
            (None, Some(_)) => Err(Status::UNKNOWN_SCOPE),
            (None, None) => Ok(Self::All),
        }
    }

    /// Whether it lets through less than there is.
    pub(super) const fn is_narrow(&self) -> bool {
        matches!(self, Self::Collections(_) | Self::Scope(_))
    }

    /// Whether it lets the item through.
    pub(super) fn passes(&self, it: &Outline) -> bool {
        match self {
            Self::All => true,
            Self::Legacy => it.collection == 0 && !it.kind.is_system_event(),
            Self::Collections(ids) => ids.contains(&it.collection) && !it.kind.is_of_a_scope(),
            Self::Scope(id) => it.scope == *id,
        }
    }

    /// Takes note of an item that was sent; whether nothing is left to come (invariants.md F4).
    pub(super) fn is_exhausted_by(&mut self, it: &Outline) -> bool {
        match (self, it.kind) {
            (Self::Collections(ids), Kind::DropCollection { .. }) => {
                ids.remove(&it.collection);
                ids.is_empty()
            }
            (Self::Scope(id), Kind::DropScope { scope, .. }) => scope == *id,
            _ => false,
        }
    }
}
