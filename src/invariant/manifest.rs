//! Section F, second part: what system events tell of the manifest.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::Concerns;
use super::Invariant;
use super::collections::event;
use super::collections::in_oso;
use super::framing::Fault;
use super::framing::broken_as;
use super::per_stream::Entries;
use super::per_stream::PerStream;
use super::rule::Rule;
use super::rule::Ruling;
use super::rule::Seen;
use super::rule::held;
use crate::dcp::SystemEvent;
use crate::verdict::Severity;
use crate::wire::Opcode;

pub(super) fn add(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([held::<ManifestUidGrows>(), held::<ScopesHoldCollections>(), held::<EventValueLength>()]);
}

/// F5.
#[derive(Debug, Default)]
pub(super) struct ManifestUidGrows(PerStream<Uid>);

#[derive(Debug, Default)]
struct Uid(u64);

impl Entries for Uid {}

impl Rule for ManifestUidGrows {
    const ID: &'static str = "f5-manifest-uid-grows";
    const REQUIREMENT: &'static str = "the manifest's uid does not decrease from event to event of a stream";
    const EXCEPTIONS: &'static str =
        "OSO snapshots; several events of one change share a uid, or all but the last have the one before";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_SYSTEM_EVENT]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((event, before)) = event(seen) else { return Ruling::Silent };
        let Some(event) = event.filter(|_| !in_oso(before)) else {
            self.0.lose(before.generation);
            return Ruling::Silent;
        };
        let uid = event.body.manifest_uid();
        let Some(last) = self.0.at(before.generation, seen.session) else { return Ruling::Silent };
        let highest = last.0;
        last.0 = highest.max(uid);
        Ruling::of(uid >= highest, || (format!("a uid of at least {highest:x} (hex)"), format!("{uid:x}")))
    }
}

/// F6. Inside one change of the manifest the order is not known, and all its events but the last have the uid before: what
/// is missing is told once an event shows that two more changes have begun.
#[derive(Debug, Default)]
pub(super) struct ScopesHoldCollections(PerStream<Scopes>);

#[derive(Debug, Default)]
struct Scopes {
    created: BTreeSet<u32>,
    /// Collections that live, and their scope.
    collections: BTreeMap<u32, u32>,
    /// What is not as it should be yet.
    doubt: Option<Doubt>,
}

#[derive(Clone, Copy, Debug)]
struct Doubt {
    what: Missing,
    uid: u64,
    /// Whether an event of a later manifest has come, which may still be of the same change.
    later: bool,
}

#[derive(Clone, Copy, Debug)]
enum Missing {
    /// A collection was created in a scope of which no event told.
    Scope(u32),
    /// A scope was dropped that has collections.
    End(u32),
}

impl Entries for Scopes {
    fn entries(&self) -> usize {
        self.created.len() + self.collections.len()
    }
}

impl Scopes {
    /// Whether the doubt was well-founded, now that an event of `uid` has come.
    fn settle(&mut self, uid: u64) -> Option<Missing> {
        let doubt = self.doubt.as_mut()?;
        let gone = match doubt.what {
            Missing::Scope(scope) => self.created.contains(&scope),
            Missing::End(scope) => !self.collections.values().any(|of| *of == scope),
        };
        if gone {
            self.doubt = None;
            return None;
        }
        if uid <= doubt.uid {
            return None;
        }
        if !doubt.later {
            *doubt = Doubt { later: true, uid, ..*doubt };
            return None;
        }
        self.doubt.take().map(|doubt| doubt.what)
    }
}

impl Rule for ScopesHoldCollections {
    const ID: &'static str = "f6-scopes-hold-collections";
    const REQUIREMENT: &'static str =
        "a collection begins in a scope that was created, and a scope is dropped after its collections have ended";
    const EXCEPTIONS: &'static str = "the default scope; streams with a filter, or that were not requested from seqno 0; OSO snapshots; the \
         order inside one change of the manifest";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_SYSTEM_EVENT]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((event, before)) = event(seen) else { return Ruling::Silent };
        if before.request.start_seqno != 0 || before.request.filtered {
            return Ruling::Silent;
        }
        let generation = before.generation;
        let Some(event) = event.filter(|_| !in_oso(before)) else {
            self.0.lose(generation);
            return Ruling::Silent;
        };
        let (uid, scope) = (event.body.manifest_uid(), event.body.scope_id());
        let adds = matches!(event.event, SystemEvent::BEGIN_COLLECTION | SystemEvent::CREATE_SCOPE);
        if self.0.at(generation, seen.session).is_none() || (adds && !self.0.grow(generation, seen.session)) {
            return Ruling::Silent;
        }
        let Some(scopes) = self.0.known(generation) else { return Ruling::Silent };
        let mut spare = false;
        let found = match (event.event, event.body.collection_id()) {
            (SystemEvent::BEGIN_COLLECTION, Some(id)) => {
                spare = scopes.collections.insert(id, scope).is_some();
                let known = scope == 0 || scopes.created.contains(&scope);
                if known { None } else { Some(Missing::Scope(scope)) }
            }
            (SystemEvent::END_COLLECTION, Some(id)) => {
                spare = scopes.collections.remove(&id).is_some();
                None
            }
            (SystemEvent::CREATE_SCOPE, _) => {
                spare = !scopes.created.insert(scope);
                None
            }
            (SystemEvent::DROP_SCOPE, _) => {
                let lives = scopes.collections.values().any(|of| *of == scope);
                if lives { Some(Missing::End(scope)) } else { None }
            }
            _ => None,
        };
        let broken = scopes.settle(uid);
        if let Some(what) = found
            && scopes.doubt.is_none()
        {
            scopes.doubt = Some(Doubt { what, uid, later: false });
        }
        let fine = found.is_none() && scopes.doubt.is_none();
        if spare {
            self.0.shrink();
        }
        match broken {
            Some(Missing::Scope(scope)) => Ruling::broken(
                format!("an event that creates scope {scope}"),
                "a collection in it, and none".to_owned(),
            ),
            Some(Missing::End(scope)) => Ruling::broken(
                format!("the end of scope {scope}'s collections"),
                "the scope dropped, and none".to_owned(),
            ),
            None if fine => Ruling::Kept,
            None => Ruling::Silent,
        }
    }
}

/// F7. A FlatBuffers value has no length of its own.
#[derive(Debug, Default)]
pub(super) struct EventValueLength;

impl Rule for EventValueLength {
    const ID: &'static str = "f7-event-value-length";
    const REQUIREMENT: &'static str = "the value of a system event has 16 bytes (begin of version 0, end), 20 (begin of version 1) or 12 (of a \
         scope)";
    const EXCEPTIONS: &'static str = "version 2, whose value is FlatBuffers";
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_SYSTEM_EVENT]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if seen.header().opcode != Opcode::DCP_SYSTEM_EVENT || seen.produced().is_none() {
            return Ruling::Silent;
        }
        match &seen.head.message {
            Ok(crate::dcp::Message::SystemEvent(event)) if event.version < 2 => Ruling::Kept,
            Err(reason) if Fault::of(Opcode::DCP_SYSTEM_EVENT, &reason.0) == Fault::EventValue => broken_as(&reason.0),
            Ok(_) | Err(_) => Ruling::Silent,
        }
    }
}

#[cfg(test)]
mod tests;
