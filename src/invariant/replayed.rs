//! Sections B and D: items that are delivered again because their stream was requested again. Keys are known by their
//! hashes alone, and of each vbucket only the last items are remembered.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use super::Concerns;
use super::Invariant;
use super::rule::Alike;
use super::rule::Rule;
use super::rule::Ruling;
use super::rule::Seen;
use super::rule::held;
use crate::dcp;
use crate::dcp::Message;
use crate::dcp::StreamReqResponse;
use crate::dcp::Stretch;
use crate::session::Session;
use crate::verdict::Severity;
use crate::wire::Opcode;

/// Items that are remembered of a vbucket: the last ones.
const MAX_ITEMS: usize = Stretch::LATEST;
/// Vbuckets of which items are remembered; further ones are not judged.
const MAX_VBUCKETS: usize = 1_024;

pub(super) fn add_meta(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([held::<SameMeta>()]);
}

pub(super) fn add_content(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([held::<SameContent>()]);
}

/// What was delivered of each vbucket.
#[derive(Debug, Default)]
struct Delivered {
    vbuckets: BTreeMap<u16, Vbucket>,
    /// Whether what came last was delivered before, or may have been.
    is_again: bool,
}

#[derive(Debug, Default)]
struct Vbucket {
    /// The branch of history that it is of.
    uuid: u64,
    /// In the order of their seqnos.
    items: VecDeque<Item>,
}

impl Vbucket {
    /// The newest item.
    fn push(&mut self, item: Item) {
        if self.items.len() >= MAX_ITEMS {
            self.items.pop_front();
        }
        self.items.push_back(item);
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Item {
    seqno: u64,
    /// Collection and hash.
    key: (u32, u64),
    kind: Kind,
    meta: Option<Meta>,
}

/// What a message does to its key. A commit may come again as the document that it committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Written,
    Deleted,
    Committed,
    Prepared,
    Aborted,
}

impl Kind {
    fn may_be(self, other: Self) -> bool {
        let document = |kind| matches!(kind, Self::Written | Self::Deleted);
        match (self, other) {
            (Self::Committed, kind) | (kind, Self::Committed) => kind == Self::Committed || document(kind),
            _ => self == other,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Meta {
    cas: u64,
    rev_seqno: u64,
    /// `None` where the message does not have them.
    flags: Option<u32>,
}

impl Delivered {
    /// Takes in a frame. Returns what was delivered with its seqno before, and what is now, where that is known.
    fn again(&mut self, seen: &Seen<'_>) -> Option<(Item, Item)> {
        let opcode = seen.header().opcode;
        if opcode == Opcode::DCP_STREAM_REQ && seen.header().is_response() {
            self.opened(seen);
            return None;
        }
        if !dcp::carries_key(opcode) {
            return None;
        }
        self.is_again = false;
        seen.produced_live()?;
        let item = item(seen)?;
        let vbucket = self.vbuckets.get_mut(&seen.header().vbucket_or_status)?;
        if vbucket.items.back().is_none_or(|last| last.seqno < item.seqno) {
            vbucket.push(item);
            return None;
        }
        self.is_again = true;
        let items = &vbucket.items;
        let at = items.binary_search_by_key(&item.seqno, |item| item.seqno).ok()?;
        items.get(at).map(|before| (*before, item))
    }

    /// Takes in mutations behind one that came for the first time: the last of them are remembered.
    fn stretch(&mut self, stretch: &Stretch<'_>) {
        let Some(vbucket) = self.vbuckets.get_mut(&stretch.header().vbucket_or_status) else { return };
        let collection_id = stretch.collection_id().unwrap_or_default();
        let latest = stretch.latest();
        let beyond = (vbucket.items.len() + latest.len()).saturating_sub(MAX_ITEMS);
        vbucket.items.drain(..beyond);
        vbucket.items.extend(latest.iter().map(|told| Item {
            seqno: told.by_seqno,
            key: (collection_id, told.key_hash),
            kind: Kind::Written,
            meta: Some(Meta { cas: told.cas, rev_seqno: told.rev_seqno, flags: Some(told.flags) }),
        }));
    }

    /// A stream was opened, or rolled back: on another branch of history the seqnos are of other items.
    fn opened(&mut self, seen: &Seen<'_>) {
        let Some(vbucket) = seen.context.stream.map(|stream| stream.key.vbucket) else { return };
        match seen.message() {
            Some(Message::StreamReqResponse(StreamReqResponse::FailoverLog(log))) => {
                let uuid = log.first().map(|entry| entry.vb_uuid);
                if let Some(known) = self.vbuckets.get_mut(&vbucket) {
                    if uuid != Some(known.uuid) {
                        *known = Vbucket { uuid: uuid.unwrap_or_default(), items: VecDeque::new() };
                    }
                } else if self.vbuckets.len() < MAX_VBUCKETS {
                    self.vbuckets.insert(vbucket, Vbucket { uuid: uuid.unwrap_or_default(), items: VecDeque::new() });
                }
            }
            Some(Message::ErrorResponse(_)) => {}
            _ => drop(self.vbuckets.remove(&vbucket)),
        }
    }
}

fn item(seen: &Seen<'_>) -> Option<Item> {
    let message = seen.message()?;
    #[allow(clippy::wildcard_enum_match_arm)] // the question is put to the messages with a key
    let (kind, rev_seqno, flags) = match message {
        Message::Mutation(m) => (Kind::Written, Some(m.rev_seqno), Some(m.flags)),
        Message::Deletion(m) => (Kind::Deleted, Some(m.rev_seqno), None),
        Message::Expiration(m) => (Kind::Deleted, Some(m.rev_seqno), None),
        Message::Prepare(m) => (Kind::Prepared, Some(m.rev_seqno), Some(m.flags)),
        Message::Commit(_) => (Kind::Committed, None, None),
        Message::Abort(_) => (Kind::Aborted, None, None),
        _ => return None,
    };
    let meta = rev_seqno.map(|rev_seqno| Meta { cas: seen.header().cas, rev_seqno, flags });
    let key = (seen.head.collection_id.unwrap_or_default(), seen.head.key_hash);
    Some(Item { seqno: message.by_seqno()?, key, kind, meta })
}

/// B5.
#[derive(Debug, Default)]
pub(super) struct SameMeta(Delivered);

impl Rule for SameMeta {
    const ID: &'static str = "b5-same-meta";
    const REQUIREMENT: &'static str =
        "an item that is delivered again has the CAS, revision and user flags that it had";
    const EXCEPTIONS: &'static str = "after a rollback or on another branch of history; items that were deduplicated do not come again; only the \
         last 128 items of a vbucket on the same connection are known";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::DOCUMENTS.and(Concerns::responses(&[Opcode::DCP_STREAM_REQ]));
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((before, now)) = self.0.again(seen) else { return Ruling::Silent };
        // Another item is D22's.
        if before.key != now.key || !before.kind.may_be(now.kind) {
            return Ruling::Silent;
        }
        match (before.meta, now.meta) {
            (Some(before), Some(now)) => {
                let flags = before.flags.is_none() || now.flags.is_none() || before.flags == now.flags;
                Ruling::of(flags && (before.cas, before.rev_seqno) == (now.cas, now.rev_seqno), || {
                    let text = |meta: Meta| {
                        let flags = meta.flags.map(|flags| format!(", flags 0x{flags:x}")).unwrap_or_default();
                        format!("CAS {}, revision {}{flags}", meta.cas, meta.rev_seqno)
                    };
                    (text(before), text(now))
                })
            }
            _ => Ruling::Silent,
        }
    }

    fn bears_stretch(&self) -> bool {
        !self.0.is_again
    }

    fn stretch(&mut self, stretch: &Stretch<'_>, _: &Session, _: &mut impl FnMut(u64, Ruling)) {
        self.0.stretch(stretch);
    }
}

/// D22. That a seqno comes again only to who asks for it is D2's.
#[derive(Debug, Default)]
pub(super) struct SameContent(Delivered);

impl Rule for SameContent {
    const ID: &'static str = "d22-same-content";
    const REQUIREMENT: &'static str = "a seqno that is delivered again is of the same key, and does the same to it";
    const EXCEPTIONS: &'static str = "after a rollback or on another branch of history; a commit may come again as its document; only the last \
         128 items of a vbucket on the same connection are known, and no documents";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::DOCUMENTS.and(Concerns::responses(&[Opcode::DCP_STREAM_REQ]));
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let Some((before, now)) = self.0.again(seen) else { return Ruling::Silent };
        let key = before.key == now.key;
        Ruling::of(key && before.kind.may_be(now.kind), || {
            let which = if key { "the same" } else { "another" };
            (format!("the same key {:?}", before.kind), format!("{which} key {:?}", now.kind))
        })
    }

    fn bears_stretch(&self) -> bool {
        !self.0.is_again
    }

    fn stretch(&mut self, stretch: &Stretch<'_>, _: &Session, _: &mut impl FnMut(u64, Ruling)) {
        self.0.stretch(stretch);
    }
}

#[cfg(test)]
mod tests;
