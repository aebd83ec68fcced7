//! Section B: keys and sizes. What decoding found in the key decides; of a value the journal knows its length on the wire.

use super::Concerns;
use super::Invariant;
use super::framing::Fault;
use super::framing::broken_as;
use super::rule::Alike;
use super::rule::Rule;
use super::rule::Ruling;
use super::rule::Seen;
use super::rule::held;
use crate::dcp;
use crate::dcp::Message;
use crate::verdict::Severity;
use crate::wire::Datatype;
use crate::wire::Opcode;

pub(super) fn add(all: &mut Vec<Box<dyn Invariant>>) {
    all.extend([held::<PlainKeys>(), held::<CollectionKeys>(), held::<ValueSize>(), held::<DeletionsWithoutBody>()]);
}

fn of_key(seen: &Seen<'_>, collections: bool) -> Ruling {
    let opcode = seen.header().opcode;
    if !(dcp::carries_key(opcode) || opcode == Opcode::DCP_CACHE_TRANSFER)
        || seen.session.negotiated().collections != collections
        || seen.produced().is_none()
    {
        return Ruling::Silent;
    }
    match &seen.head.message {
        Ok(_) => Ruling::Kept,
        Err(reason) if Fault::of(opcode, &reason.0) == Fault::Key => broken_as(&reason.0),
        Err(_) => Ruling::Silent,
    }
}

/// B1.
#[derive(Debug, Default)]
pub(super) struct PlainKeys;

impl Rule for PlainKeys {
    const ID: &'static str = "b1-plain-keys";
    const REQUIREMENT: &'static str = "without collections a document's key has 1 to 250 bytes";
    const CONCERNS: Concerns = Concerns::DOCUMENTS.and(Concerns::requests(&[Opcode::DCP_CACHE_TRANSFER]));
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        of_key(seen, false)
    }
}

/// B2.
#[derive(Debug, Default)]
pub(super) struct CollectionKeys;

impl Rule for CollectionKeys {
    const ID: &'static str = "b2-collection-keys";
    const REQUIREMENT: &'static str = "with collections a key is the shortest LEB128 of a collection id (not 1 to 7) and 1 to 250 bytes more, or \
         246 outside the default collection";
    const CONCERNS: Concerns = Concerns::DOCUMENTS.and(Concerns::requests(&[Opcode::DCP_CACHE_TRANSFER]));
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        of_key(seen, true)
    }
}

/// B3. A Snappy block is judged by the least that it can inflate to.
#[derive(Debug, Default)]
pub(super) struct ValueSize;

/// A document of 20 MiB and system xattrs of 1 MiB.
const MAX_VALUE: u32 = 21 << 20;

impl Rule for ValueSize {
    const ID: &'static str = "b3-value-size";
    const REQUIREMENT: &'static str = "a value has at most 20 MiB, and 1 MiB of system xattrs";
    const EXCEPTIONS: &'static str =
        "a bucket's max_item_size may be another; of a compressed value the length that it must have at least counts";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::DOCUMENTS;
    const ALIKE: Alike = Alike::Same;

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        let header = seen.header();
        if !dcp::carries_document(header.opcode) || seen.produced().is_none() {
            return Ruling::Silent;
        }
        let max = if header.datatype.contains(Datatype::SNAPPY) { MAX_COMPRESSED } else { MAX_VALUE };
        Ruling::of(header.value_len() <= max, || {
            (format!("at most {max} bytes"), format!("{} with {}", header.opcode, header.value_len()))
        })
    }
}

/// Snappy makes no more than this of [`MAX_VALUE`] bytes that cannot be compressed.
const MAX_COMPRESSED: u32 = 32 + MAX_VALUE + MAX_VALUE / 6;

/// B4. With xattrs the journal does not know where they end, so what may follow them is not judged.
#[derive(Debug, Default)]
pub(super) struct DeletionsWithoutBody;

impl Rule for DeletionsWithoutBody {
    const ID: &'static str = "b4-deletions-without-body";
    const REQUIREMENT: &'static str =
        "DELETION, EXPIRATION and the PREPARE of a deletion carry no document, only xattrs";
    const EXCEPTIONS: &'static str =
        "older producers send bodies (MB-29040, MB-31141, MB-43205); what may follow xattrs is not judged";
    const SEVERITY: Severity = Severity::Warning;
    const CONCERNS: Concerns = Concerns::requests(&[Opcode::DCP_DELETION, Opcode::DCP_EXPIRATION, Opcode::DCP_PREPARE]);

    fn judge(&mut self, seen: &Seen<'_>) -> Ruling {
        #[allow(clippy::wildcard_enum_match_arm)] // the question is put to three kinds of message
        let deleted = match seen.message() {
            Some(Message::Deletion(_) | Message::Expiration(_)) => true,
            Some(Message::Prepare(prepare)) => prepare.deleted == 1,
            _ => false,
        };
        let header = seen.header();
        if !deleted || seen.produced().is_none() || header.datatype.contains(Datatype::XATTR) {
            return Ruling::Silent;
        }
        // Nothing at all, compressed, takes a byte.
        let nothing = u32::from(header.datatype.contains(Datatype::SNAPPY));
        Ruling::of(header.value_len() <= nothing, || {
            let found =
                format!("{} with {} bytes and datatype {:?}", header.opcode, header.value_len(), header.datatype);
            ("no value, or one with xattrs".to_owned(), found)
        })
    }
}

#[cfg(test)]
mod tests;
