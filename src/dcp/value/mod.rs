//! What is inside a document's value: Snappy and xattrs, decoded on demand and never beyond a cap.

mod snappy;
mod xattr;

pub use snappy::inflate;
pub use snappy::inflated_len;
pub use xattr::XattrSection;
pub use xattr::Xattrs;
pub use xattr::xattr_section;

use super::Malformed;
use super::malformed::malformed;
use crate::wire::Datatype;
use crate::wire::Frame;

/// The longest value that is inflated: 30 MiB, as kv_engine's own limit.
pub const MAX_INFLATED_LEN: usize = crate::wire::MAX_FRAME_LEN;

/// Checks that the value of a document message is what its datatype says: a Snappy block that inflates to no more than
/// [`MAX_INFLATED_LEN`], and a well-formed xattr section. A value that is not whole is not checked, nor is an empty
/// one: it keeps its document's datatype where the connection strips values (open flag 0x40, dcp-protocol.md §1.2).
///
/// Allocates only where the value has both bits, and then no more than the xattr section is long.
///
/// # Errors
/// What is wrong with the value.
pub fn check_value(frame: &Frame<'_>) -> Result<(), Malformed> {
    let Some(value) = frame.value().filter(|value| !value.is_empty()) else { return Ok(()) };
    check_bytes(value, frame.header().datatype)
}

/// As [`check_value`], of a value by itself.
pub(super) fn check_bytes(value: &[u8], datatype: Datatype) -> Result<(), Malformed> {
    if !datatype.contains(Datatype::SNAPPY) {
        return if datatype.contains(Datatype::XATTR) { xattr_section(value).map(|_| ()) } else { Ok(()) };
    }
    let len = snappy::check(value, MAX_INFLATED_LEN)?;
    if !datatype.contains(Datatype::XATTR) {
        return Ok(());
    }
    let head = snappy::inflate_front(value, 4);
    let Some(section) = head.first_chunk().map(|head| u32::from_be_bytes(*head) as usize) else {
        return Err(malformed!("expected 4 bytes of xattr section length, found an inflated value of {len}"));
    };
    let section_end = section.saturating_add(4);
    if section_end > len {
        return Err(xattr::beyond(section, len.saturating_sub(4)));
    }
    xattr_section(&snappy::inflate_front(value, section_end)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(bytes).unwrap()
    }

    const XATTRS: &[u8] = b"\0\0\0\x12\0\0\0\x0e_sync\0{\"x\":1}\0";

    #[test]
    fn each_datatype_is_checked_for_what_it_says() {
        let with_body = [XATTRS, &b"{}".repeat(500)].concat();
        let packed = pack(&with_body);
        assert!(packed.len() < with_body.len());
        let both = Datatype::SNAPPY | Datatype::XATTR;
        assert_eq!(check_bytes(b"anything", Datatype::JSON), Ok(()));
        assert_eq!(check_bytes(&with_body, Datatype::XATTR), Ok(()));
        assert_eq!(check_bytes(&packed, both), Ok(()));
        assert!(check_bytes(&with_body, both).is_err());
        assert!(check_bytes(&packed, Datatype::XATTR).is_err());
        assert!(check_bytes(&pack(b"\0\0\0\xff\0\0\0\x0e"), both).unwrap_err().0.contains("xattr"));
        assert!(check_bytes(&pack(b"\0\0\0"), both).unwrap_err().0.contains("xattr"));
        let mut cut = packed;
        cut.pop();
        assert!(check_bytes(&cut, Datatype::SNAPPY).is_err());
    }
}
