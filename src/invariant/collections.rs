//! Section F, first part: collections, their items, and the filters of streams.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::Concerns;
use super::Invariant;
use super::per_stream::Entries;
use super::per_stream::PerStream;
use super::rule::Alike;
use super::rule::Rule;
use super::rule::Ruling;
use super::rule::Seen;
use super::rule::held;
use crate::dcp;
use crate::dcp::Message;
use crate::dcp::StreamEnd;
use crate::dcp::StreamReq;
use crate::dcp::SystemEvent;
use crate::session::Before;
use crate::session::SnapshotKind;
use crate::session::State;
use crate::wire::Opcode;

pub(super) fn add(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([held::<ItemsAfterBegin>(), held::<NoItemAfterEnd>(), held::<OnlyFiltered>(), held::<FilterEmptied>()]);
}

/// Collections that a filter may name; one that names more is not judged.
const MAX_FILTER: usize = 1_024;

/// The collection of a message that carries a document, on a live stream.
pub(super) fn document<'a>(seen: &Seen<'a>) -> Option<(u32, &'a Before)> {
    let collection = seen.head.collection_id.filter(|_| dcp::carries_document(seen.header().opcode))?;
    Some((collection, seen.produced_live()?))
}

/// Whether the stream is, or has just been, in an OSO snapshot: its events may come anywhere.
pub(super) fn in_oso(before: &Before) -> bool {
    before.snapshot.is_some_and(|snapshot| snapshot.kind == SnapshotKind::Oso)
}

/// A system event on a live stream: what it says, where it decodes.
pub(super) fn event<'a>(seen: &Seen<'a>) -> Option<(Option<&'a SystemEvent>, &'a Before)> {
    if seen.header().opcode != Opcode::DCP_SYSTEM_EVENT {
        return None;
    }
    let before = seen.produced_live()?;
    #[allow(clippy::wildcard_enum_match_arm)] // the opcode was looked at above
    match seen.message() {
        Some(Message::SystemEvent(event)) => Some((Some(event), before)),
        _ => Some((None, before)),
    }
}

/// F1. An item whose begin event has not come yet is owed one until its snapshot is whole: on disk, and in a checkpoint, the
/// begin event of a collection that was flushed is behind the items that it flushed.
#[derive(Debug, Default)]
pub(super) struct ItemsAfterBegin(PerStream<Begun>);

#[derive(Debug, Default)]
struct Begun {
    begun: BTreeSet<u32>,
    /// Collections of which an item came first, and that item's seqno.
    owed: BTreeMap<u32, u64>,
}

impl Entries for Begun {
    fn entries(&self) -> usize {
        self.begun.len() + self.owed.len()
    }
}

impl ItemsAfterBegin {
    fn begins(&mut self, seen: &Seen<'_>) {
        let Some((event, before)) = event(seen) else { return };
        let Some(event) = event else { return self.0.lose(before.generation) };
        // An end event has taken the place of its begin event on disk.
        let Some(id) = event.body.collection_id() else { return };
        let Some(stream) = self.0.at(before.generation, seen.session) else { return };
        if stream.owed.remove(&id).is_some() {
            self.0.shrink();
        }
        if self.0.grow(before.generation, seen.session)
            && let Some(stream) = self.0.known(before.generation)
            && !stream.begun.insert(id)
        {
            self.0.shrink();
        }
    }

    fn item(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((collection, before)) = document(seen) else { return Ruling::Silent };
        if collection == 0 || before.request.start_seqno != 0 || before.request.has(StreamReq::FROM_LATEST) {
            return Ruling::Silent;
        }
        let seqno = seen.message().and_then(Message::by_seqno);
        let Some(stream) = self.0.at(before.generation, seen.session) else { return Ruling::Silent };
        if stream.begun.contains(&collection) {
            return Ruling::Kept;
        }
        if !stream.owed.contains_key(&collection)
            && self.0.grow(before.generation, seen.session)
            && let Some(stream) = self.0.known(before.generation)
        {
            stream.owed.insert(collection, seqno.unwrap_or_default());
        }
        Ruling::Silent
    }

    fn whole(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some(before) = seen.produced_live() else { return Ruling::Silent };
        let undecoded = before.snapshot.is_some_and(|snapshot| snapshot.undecoded > 0);
        let oso = matches!(seen.message(), Some(Message::OsoSnapshot(_)));
        let Some(stream) = self.0.known(before.generation) else {
            if oso && before.request.start_seqno == 0 {
                self.0.lose(before.generation);
            }
            return Ruling::Silent;
        };
        if undecoded || oso {
            self.0.lose(before.generation);
            return Ruling::Silent;
        }
        let whole = before.snapshot.is_some_and(|snapshot| snapshot.is_complete(before.last_seqno));
        let first = stream.owed.first_key_value().map(|(collection, seqno)| (*collection, *seqno));
        match first {
            Some((collection, seqno)) if whole => {
                self.0.lose(before.generation);
                let found =
                    format!("an item of collection {collection} at seqno {seqno}, and none up to its snapshot's end");
                Ruling::broken("a begin event of its collection first".to_owned(), found)
            }
            _ => Ruling::Silent,
        }
    }
}

impl Rule for ItemsAfterBegin {
    const ID: &'static str = "f1-items-after-begin";
    const REQUIREMENT: &'static str = "the begin event of a collection (not the default one) precedes its items";
    const EXCEPTIONS: &'static str = "streams that were not requested from seqno 0; OSO snapshots; legacy streams; a collection that was \
         flushed: its event may come later in the snapshot";
    const CONCERNS: Concerns = Concerns::DOCUMENTS.and(Concerns::requests(&[
        Opcode::DCP_SYSTEM_EVENT,
        Opcode::DCP_SNAPSHOT_MARKER,
        Opcode::DCP_OSO_SNAPSHOT,
        Opcode::DCP_STREAM_END,
    ]));
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        match seen.header().opcode {
            Opcode::DCP_SYSTEM_EVENT => {
                self.begins(seen);
                Ruling::Silent
            }
            Opcode::DCP_SNAPSHOT_MARKER | Opcode::DCP_OSO_SNAPSHOT | Opcode::DCP_STREAM_END => self.whole(seen),
            _ => self.item(seen),
        }
    }
}

/// F2. What completes a prepare may come after the end of its collection.
#[derive(Debug, Default)]
pub(super) struct NoItemAfterEnd(PerStream<Ended>);

#[derive(Debug, Default)]
struct Ended(BTreeSet<u32>);

impl Entries for Ended {
    fn entries(&self) -> usize {
        self.0.len()
    }
}

impl PerStream<Ended> {
    /// Takes in an event that begins or ends a collection.
    fn ends(&mut self, event: &SystemEvent, before: &Before, seen: &Seen<'_>) {
        let Some(id) = event.body.collection_id() else { return };
        if event.event == SystemEvent::BEGIN_COLLECTION {
            if self.known(before.generation).is_some_and(|stream| stream.0.remove(&id)) {
                self.shrink();
            }
        } else if event.event == SystemEvent::END_COLLECTION
            && self.at(before.generation, seen.session).is_some()
            && self.grow(before.generation, seen.session)
            && let Some(stream) = self.known(before.generation)
            && !stream.0.insert(id)
        {
            self.shrink();
        }
    }
}

impl Rule for NoItemAfterEnd {
    const ID: &'static str = "f2-no-item-after-end";
    const REQUIREMENT: &'static str = "no item of a collection follows its end event, until it begins anew";
    const EXCEPTIONS: &'static str = "OSO snapshots; COMMIT and ABORT; legacy streams";
    const CONCERNS: Concerns = Concerns::DOCUMENTS.and(Concerns::requests(&[Opcode::DCP_SYSTEM_EVENT]));
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if seen.header().opcode == Opcode::DCP_SYSTEM_EVENT {
            match event(seen) {
                Some((Some(_), before)) if in_oso(before) => self.0.lose(before.generation),
                Some((Some(event), before)) => self.0.ends(event, before, seen),
                Some((None, before)) => self.0.lose(before.generation),
                None => {}
            }
            return Ruling::Silent;
        }
        if self.0.is_unused() {
            return Ruling::Silent;
        }
        let Some((collection, before)) = document(seen).filter(|(_, before)| !in_oso(before)) else {
            return Ruling::Silent;
        };
        let Some(ended) = self.0.known(before.generation).filter(|ended| !ended.0.is_empty()) else {
            return Ruling::Silent;
        };
        Ruling::of(!ended.0.contains(&collection), || {
            let found = format!("{} of collection {collection}", seen.header().opcode);
            ("nothing of a collection that has ended".to_owned(), found)
        })
    }
}

/// What a stream was requested for.
#[derive(Debug, Default)]
enum Filter {
    #[default]
    Everything,
    Collections(BTreeSet<u32>),
    Scope(u32),
}

impl Filter {
    fn entries(&self) -> usize {
        match self {
            Self::Everything => 0,
            Self::Collections(ids) => ids.len(),
            Self::Scope(_) => 1,
        }
    }
}

#[derive(Debug, Default)]
struct Filtered {
    filter: Filter,
    /// What of it has ended: collections, and the scope.
    ended: BTreeSet<u32>,
    scope_ended: bool,
}

impl Entries for Filtered {
    fn entries(&self) -> usize {
        self.filter.entries() + self.ended.len()
    }
}

impl PerStream<Filtered> {
    /// Takes in a STREAM_REQ.
    fn requested(&mut self, request: &StreamReq, seen: &Seen<'_>) {
        let Some(key) = seen.context.stream.map(|stream| stream.key) else { return };
        let Some(generation) = seen.session.streams().requested(key).map(|stream| stream.generation) else { return };
        let filter = match request.value.as_deref().map(|value| (&value.collections, value.scope)) {
            Some((Some(ids), _)) if ids.is_empty() || ids.len() > MAX_FILTER => return self.lose(generation),
            Some((Some(ids), _)) => Filter::Collections(ids.iter().copied().collect()),
            Some((None, Some(scope))) => Filter::Scope(scope),
            Some((None, None)) | None => Filter::Everything,
        };
        if self.at(generation, seen.session).is_some()
            && (0..filter.entries()).all(|_| self.grow(generation, seen.session))
            && let Some(stream) = self.known(generation)
        {
            stream.filter = filter;
        }
    }
}

/// F3. Of a scope the collections are known by their events alone, and where the stream was not requested from seqno 0 not
/// by these either: only events, and the default collection's items, are judged there.
#[derive(Debug, Default)]
pub(super) struct OnlyFiltered(PerStream<Filtered>);

impl Rule for OnlyFiltered {
    const ID: &'static str = "f3-only-filtered";
    const REQUIREMENT: &'static str =
        "a stream has only items and events of the collections, or of the scope, that it was requested for";
    const EXCEPTIONS: &'static str = "streams without a filter; a scope's collections are those that begin in it; events of scopes on streams of \
         collections";
    const CONCERNS: Concerns =
        Concerns::DOCUMENTS.and(Concerns::requests(&[Opcode::DCP_SYSTEM_EVENT, Opcode::DCP_STREAM_REQ]));
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        if let Some(Message::StreamReq(request)) = seen.message() {
            self.0.requested(request, seen);
            return Ruling::Silent;
        }
        if self.0.is_unused() {
            return Ruling::Silent;
        }
        let event = event(seen);
        let (collection, scope, before) = match event {
            Some((Some(event), before)) => (event.body.collection_id(), Some(event.body.scope_id()), before),
            Some((None, _)) => return Ruling::Silent,
            None => match document(seen) {
                // The default collection is in the default scope.
                Some((collection, before)) => (Some(collection), (collection == 0).then_some(0), before),
                None => return Ruling::Silent,
            },
        };
        let Some(stream) = self.0.known(before.generation) else { return Ruling::Silent };
        let what = || format!("{} of ", seen.header().opcode);
        match (&stream.filter, collection, scope) {
            (Filter::Collections(ids), Some(id), _) => Ruling::of(ids.contains(&id), || {
                let expected = format!("collections {:?}", ids.iter().take(16).collect::<Vec<_>>());
                (expected, format!("{}collection {id}", what()))
            }),
            (Filter::Scope(wanted), _, Some(found)) => {
                Ruling::of(*wanted == found, || (format!("scope {wanted}"), format!("{}scope {found}", what())))
            }
            (Filter::Everything | Filter::Collections(_) | Filter::Scope(_), ..) => Ruling::Silent,
        }
    }
}

/// F4.
#[derive(Debug, Default)]
pub(super) struct FilterEmptied(PerStream<Filtered>);

impl Rule for FilterEmptied {
    const ID: &'static str = "f4-filter-emptied";
    const REQUIREMENT: &'static str =
        "STREAM_END says FilterEmpty (7) only after the last collection, or the scope, that was requested has ended";
    const EXCEPTIONS: &'static str = "a stream of a scope ends when the scope does, not its collections";
    const CONCERNS: Concerns =
        Concerns::requests(&[Opcode::DCP_STREAM_REQ, Opcode::DCP_SYSTEM_EVENT, Opcode::DCP_STREAM_END]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        match seen.header().opcode {
            Opcode::DCP_STREAM_REQ => {
                if let Some(Message::StreamReq(request)) = seen.message() {
                    self.0.requested(request, seen);
                }
                return Ruling::Silent;
            }
            Opcode::DCP_SYSTEM_EVENT => {
                if let Some((event, before)) = event(seen) {
                    self.happened(event, before, seen);
                }
                return Ruling::Silent;
            }
            Opcode::DCP_STREAM_END => {}
            _ => return Ruling::Silent,
        }
        let (Some(Message::StreamEnd(end)), Some(before)) = (seen.message(), seen.produced_live()) else {
            return Ruling::Silent;
        };
        // Events of before the close may have been cleared away with it.
        if end.end_reason != StreamEnd::FILTER_EMPTY || before.state != State::Open {
            return Ruling::Silent;
        }
        let Some(stream) = self.0.known(before.generation) else { return Ruling::Silent };
        let (emptied, expected) = match &stream.filter {
            Filter::Everything => (false, "another reason: the stream has no filter"),
            Filter::Collections(ids) => (ids.is_subset(&stream.ended), "the end events of all collections first"),
            Filter::Scope(_) => (stream.scope_ended, "the event that drops the scope first"),
        };
        Ruling::of(emptied, || (expected.to_owned(), "STREAM_END with reason 7 (FilterEmpty)".to_owned()))
    }
}

impl FilterEmptied {
    fn happened(&mut self, event: Option<&SystemEvent>, before: &Before, seen: &Seen<'_>) {
        let generation = before.generation;
        let Some(event) = event else { return self.0.lose(generation) };
        let Some(stream) = self.0.known(generation) else { return };
        match (event.event, event.body.collection_id()) {
            (SystemEvent::DROP_SCOPE, _) => stream.scope_ended = true,
            (SystemEvent::END_COLLECTION, Some(id)) => {
                let named = matches!(&stream.filter, Filter::Collections(ids) if ids.contains(&id));
                if named
                    && self.0.grow(generation, seen.session)
                    && let Some(stream) = self.0.known(generation)
                    && !stream.ended.insert(id)
                {
                    self.0.shrink();
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
