//! What the messages' parsers share: the shape of a frame, and numbers out of bytes.

use super::Malformed;
use super::malformed::malformed;
use super::split_key;
use super::value;
use crate::dcp::Negotiated;
use crate::wire::Datatype;
use crate::wire::Frame;

/// Reads big-endian numbers off the front of bytes whose length was checked; past their end it reads zeros.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    #[inline]
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk().map_or(([0; N], &[][..]), |(taken, rest)| (*taken, rest));
        self.0 = rest;
        taken
    }

    #[inline]
    pub(super) fn u8(&mut self) -> u8 {
        let [byte] = self.take();
        byte
    }

    #[inline]
    pub(super) fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take())
    }

    #[inline]
    pub(super) fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }

    #[inline]
    pub(super) fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }

    #[inline]
    pub(super) fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take())
    }
}

/// The frame's operation, as an error names it.
fn name(frame: &Frame<'_>) -> String {
    let header = frame.header();
    let name = match header.server_opcode() {
        Some(opcode) => opcode.to_string(),
        None => header.opcode.to_string(),
    };
    if header.magic.is_response() { format!("{name} response") } else { name }
}

/// The extras, which must have this many bytes.
#[inline]
pub(super) fn extras<'a>(frame: &Frame<'a>, expected: usize) -> Result<Fields<'a>, Malformed> {
    let extras = frame.extras();
    if extras.len() == expected {
        Ok(Fields(extras))
    } else {
        Err(malformed!("expected {} to have {expected} bytes of extras, found {}", name(frame), extras.len()))
    }
}

pub(super) fn no_extras(frame: &Frame<'_>) -> Result<(), Malformed> {
    extras(frame, 0).map(|_| ())
}

pub(super) fn no_key(frame: &Frame<'_>) -> Result<(), Malformed> {
    match frame.header().key_len {
        0 => Ok(()),
        len => Err(malformed!("expected {} to have no key, found one of {len} bytes", name(frame))),
    }
}

#[inline]
pub(super) fn some_key(frame: &Frame<'_>) -> Result<(), Malformed> {
    match frame.header().key_len {
        0 => Err(malformed!("expected {} to have a key, found none", name(frame))),
        _ => Ok(()),
    }
}

pub(super) fn no_value(frame: &Frame<'_>) -> Result<(), Malformed> {
    match frame.header().value_len() {
        0 => Ok(()),
        len => Err(malformed!("expected {} to have no value, found one of {len} bytes", name(frame))),
    }
}

/// The value, which must have this many bytes.
pub(super) fn value_of<'a>(frame: &Frame<'a>, expected: u32) -> Result<Fields<'a>, Malformed> {
    let found = frame.header().value_len();
    if found == expected {
        Ok(Fields(frame.value().unwrap_or_default()))
    } else {
        Err(malformed!("expected {} to have {expected} bytes of value, found {found}", name(frame)))
    }
}

/// Neither extras, key nor value.
pub(super) fn no_body(frame: &Frame<'_>) -> Result<(), Malformed> {
    no_extras(frame)?;
    no_key(frame)?;
    no_value(frame)
}

pub(super) fn raw(frame: &Frame<'_>) -> Result<(), Malformed> {
    match frame.header().datatype {
        Datatype::RAW => Ok(()),
        Datatype(found) => Err(malformed!("expected {} to have datatype raw (0x00), found 0x{found:02x}", name(frame))),
    }
}

/// dcp-protocol.md §4: the CAS is the document's; other stream messages have 0.
pub(super) fn no_cas(frame: &Frame<'_>) -> Result<(), Malformed> {
    match frame.header().cas {
        0 => Ok(()),
        cas => Err(malformed!("expected {} to have a CAS of 0, found {cas}", name(frame))),
    }
}

/// dcp-protocol.md §4.2: no item has seqno 0.
#[inline]
pub(super) fn seqno(frame: &Frame<'_>, seqno: u64) -> Result<u64, Malformed> {
    if seqno == 0 { Err(malformed!("expected {} to have a by_seqno above 0, found 0", name(frame))) } else { Ok(seqno) }
}

/// dcp-protocol.md §4.2: extended metadata is no longer accepted.
#[inline]
pub(super) fn nmeta(frame: &Frame<'_>, nmeta: u16) -> Result<u16, Malformed> {
    if nmeta == 0 { Ok(0) } else { Err(malformed!("expected {} to have an nmeta of 0, found {nmeta}", name(frame))) }
}

/// The key of a document message.
#[inline]
pub(super) fn key(frame: &Frame<'_>, negotiated: &Negotiated) -> Result<(), Malformed> {
    some_key(frame)?;
    split_key(frame.key(), negotiated.collections).map(|_| ())
}

/// Datatype, key and value of a message that carries a document.
#[inline]
pub(super) fn document(frame: &Frame<'_>, negotiated: &Negotiated) -> Result<(), Malformed> {
    let datatype = frame.header().datatype;
    if !datatype.is_defined() {
        return Err(malformed!(
            "expected {} to have a datatype of defined bits (at most 0x07), found 0x{:02x}",
            name(frame),
            datatype.0
        ));
    }
    key(frame, negotiated)?;
    value::check_value(frame)
}

/// As [`document`], of a deletion or an expiration: their value is xattrs, not a document.
pub(super) fn deleted_document(frame: &Frame<'_>, negotiated: &Negotiated) -> Result<(), Malformed> {
    document(frame, negotiated)?;
    let datatype = frame.header().datatype;
    // dcp-protocol.md §4.3: 0, 2, 4, 6, 5 and 7 are accepted.
    if datatype.contains(Datatype::JSON) && !datatype.contains(Datatype::XATTR) {
        return Err(malformed!(
            "expected {} to have datatype JSON (0x01) only together with xattr (0x04), found 0x{:02x}",
            name(frame),
            datatype.0
        ));
    }
    Ok(())
}

/// A list of numbers of `size` bytes each.
pub(super) fn list<'a>(frame: &Frame<'a>, size: usize) -> Result<std::slice::ChunksExact<'a, u8>, Malformed> {
    let len = frame.header().value_len() as usize;
    if !len.is_multiple_of(size) {
        return Err(malformed!("expected {} to have a value of n times {size} bytes, found {len}", name(frame)));
    }
    Ok(frame.value().unwrap_or_default().chunks_exact(size))
}

/// Bytes as text; what is not UTF-8 in them is replaced.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
