use super::Malformed;
use super::malformed::malformed;
use crate::wire::Frame;
use crate::wire::Opcode;
use crate::wire::leb128;

/// A document's key, apart from the collection that it is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key<'a> {
    /// The collection id, where the connection has collections.
    pub collection_id: Option<u32>,
    /// The key itself.
    pub logical: &'a [u8],
}

/// The longest key without collections, and in the default collection.
const MAX_DEFAULT: usize = 250;
/// The longest key in another collection.
const MAX_OTHER: usize = 246;

/// Splits the key of a frame or of a cache transfer's record (dcp-protocol.md §1.4).
///
/// # Errors
/// A key of illegal length, or one that does not begin with a legal collection id where it must.
pub fn split_key(bytes: &[u8], collections: bool) -> Result<Key<'_>, Malformed> {
    if !collections {
        return if bytes.is_empty() || bytes.len() > MAX_DEFAULT {
            Err(malformed!("expected a key of 1 to {MAX_DEFAULT} bytes (no collections), found {}", bytes.len()))
        } else {
            Ok(Key { collection_id: None, logical: bytes })
        };
    }
    if bytes.len() < 2 {
        return Err(malformed!("expected a key of at least 2 bytes (with collections), found {}", bytes.len()));
    }
    let (id, logical) = leb128::split(bytes).map_err(|error| malformed!("collection id of the key: {error}"))?;
    if (1..8).contains(&id) {
        return Err(malformed!("expected a collection id of 0 or above 7, found {id}, which is reserved"));
    }
    let max = longest(Some(id));
    if logical.is_empty() {
        return Err(malformed!("expected a key after the collection id, found none"));
    }
    if logical.len() > max {
        return Err(malformed!("expected a key of at most {max} bytes in collection {id}, found {}", logical.len()));
    }
    Ok(Key { collection_id: Some(id), logical })
}

/// The longest key, without its collection id, that a collection can have; or one without collections.
pub(super) fn longest(collection_id: Option<u32>) -> usize {
    if collection_id.is_none_or(|id| id == 0) { MAX_DEFAULT } else { MAX_OTHER }
}

/// The bytes of a key on a connection with collections.
pub fn collection_key(collection_id: u32, logical: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(logical.len().saturating_add(5));
    leb128::write(collection_id, &mut key);
    key.extend_from_slice(logical);
    key
}

/// Whether a request with this opcode has a document's key.
pub const fn carries_key(opcode: Opcode) -> bool {
    carries_document(opcode) || matches!(opcode, Opcode::DCP_COMMIT | Opcode::DCP_ABORT)
}

/// Whether a request with this opcode has a document (or what is left of one) as its value.
pub const fn carries_document(opcode: Opcode) -> bool {
    matches!(opcode, Opcode::DCP_MUTATION | Opcode::DCP_DELETION | Opcode::DCP_EXPIRATION | Opcode::DCP_PREPARE)
}

/// The document key of a frame, where its message has one and it is legal.
#[inline]
pub fn document_key<'a>(frame: &Frame<'a>, collections: bool) -> Option<Key<'a>> {
    if frame.header().is_request() && carries_key(frame.header().opcode) {
        split_key(frame.key(), collections).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_and_without_its_collection() {
        let bytes = collection_key(0x555, b"hello");
        assert_eq!(bytes, b"\xd5\x0ahello");
        assert_eq!(split_key(&bytes, true), Ok(Key { collection_id: Some(0x555), logical: b"hello" }));
        assert_eq!(split_key(&bytes, false), Ok(Key { collection_id: None, logical: &bytes }));
    }

    #[test]
    fn limits_of_length() {
        for (id, len, legal) in [(0, 250, true), (0, 251, false), (8, 246, true), (8, 247, false), (8, 0, false)] {
            assert_eq!(split_key(&collection_key(id, &vec![b'k'; len]), true).is_ok(), legal, "{id} {len}");
        }
        assert!(split_key(&[b'k'; 250], false).is_ok());
        assert!(split_key(&[b'k'; 251], false).is_err());
        assert!(split_key(b"", false).is_err());
    }

    #[test]
    fn reserved_collections() {
        let legal: Vec<u32> = (0..10).filter(|&id| split_key(&collection_key(id, b"k"), true).is_ok()).collect();
        assert_eq!(legal, [0, 8, 9]);
    }
}
