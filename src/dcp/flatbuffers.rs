//! FlatBuffers tables, as far as system events need them: read with every offset checked, and written plainly.

use super::Malformed;
use super::malformed::malformed;

/// A table and the buffer that it is in. Little endian, unlike everything else on this wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    start: usize,
    len: usize,
    fields: &'a [u8],
}

impl<'a> Table<'a> {
    /// The table that a buffer begins by pointing at.
    pub(super) fn root(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let start = uoffset(bytes, 0)?;
        let back = i32::from_le_bytes(chunk(bytes, start)?);
        let vtable = isize::try_from(start)
            .ok()
            .and_then(|start| start.checked_sub(isize::try_from(back).ok()?))
            .and_then(|vtable| usize::try_from(vtable).ok())
            .ok_or_else(|| {
                malformed!("expected a FlatBuffers vtable within the value, found it {back} before {start}")
            })?;
        let vtable_len = u16::from_le_bytes(chunk(bytes, vtable)?);
        let len = u16::from_le_bytes(chunk(bytes, vtable.saturating_add(2))?);
        let fields =
            bytes.get(vtable.saturating_add(4)..vtable.saturating_add(vtable_len.into())).ok_or_else(|| {
                malformed!("expected a FlatBuffers vtable within the value, found {vtable_len} bytes of it at {vtable}")
            })?;
        Ok(Self { bytes, start, len: len.into(), fields })
    }

    /// The bytes of a field of `N` bytes; `None` where the table leaves it out.
    fn field<const N: usize>(&self, id: usize) -> Result<Option<(usize, [u8; N])>, Malformed> {
        let (offsets, _) = self.fields.as_chunks();
        let offset = offsets.get(id).map_or(0, |&offset| usize::from(u16::from_le_bytes(offset)));
        if offset == 0 {
            return Ok(None);
        }
        if offset.saturating_add(N) > self.len {
            return Err(malformed!(
                "expected FlatBuffers field {id} within its table of {} bytes, found it at {offset}",
                self.len
            ));
        }
        let at = self.start.saturating_add(offset);
        chunk(self.bytes, at).map(|bytes| Some((at, bytes)))
    }

    pub(super) fn u64(&self, id: usize) -> Result<u64, Malformed> {
        Ok(self.field(id)?.map_or(0, |(_, bytes)| u64::from_le_bytes(bytes)))
    }

    pub(super) fn u32(&self, id: usize) -> Result<u32, Malformed> {
        Ok(self.field(id)?.map_or(0, |(_, bytes)| u32::from_le_bytes(bytes)))
    }

    pub(super) fn bool(&self, id: usize) -> Result<bool, Malformed> {
        Ok(self.field::<1>(id)?.is_some_and(|(_, [byte])| byte != 0))
    }

    /// A string's bytes; empty where the table leaves it out.
    pub(super) fn text(&self, id: usize) -> Result<&'a [u8], Malformed> {
        let Some((at, _)) = self.field::<4>(id)? else { return Ok(&[]) };
        let at = at.saturating_add(uoffset(self.bytes, at)?);
        let len = uoffset(self.bytes, at)?;
        let from = at.saturating_add(4);
        self.bytes.get(from..from.saturating_add(len)).ok_or_else(|| {
            malformed!("expected a FlatBuffers string within the value, found {len} bytes of it at {from}")
        })
    }
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Malformed> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().ok_or_else(|| {
        malformed!("expected {N} bytes at offset {at} of a FlatBuffers value, found a value of {}", bytes.len())
    })
}

fn uoffset(bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    Ok(u32::from_le_bytes(chunk(bytes, at)?) as usize)
}

/// A field to write; its place in the list is its id.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field<'a> {
    U64(u64),
    U32(u32),
    Bool(bool),
    Text(&'a [u8]),
}

impl Field<'_> {
    const fn size(self) -> usize {
        match self {
            Self::U64(_) => 8,
            Self::U32(_) | Self::Text(_) => 4,
            Self::Bool(_) => 1,
        }
    }
}

/// A buffer with one table. Its parts: offset of the table, vtable, table (widest fields first), strings.
pub(super) fn write(fields: &[Field<'_>]) -> Vec<u8> {
    let vtable_len = fields.len().saturating_mul(2).saturating_add(4);
    // The table starts 4 bytes past a multiple of 8, so that the 8-byte fields behind its first offset are aligned.
    let start = vtable_len.saturating_add(4).saturating_add(3).next_multiple_of(8).saturating_add(4);
    let mut offsets = vec![0_u16; fields.len()];
    let mut len = 4_usize;
    for size in [8, 4, 1] {
        for (offset, _) in offsets.iter_mut().zip(fields).filter(|(_, field)| field.size() == size) {
            *offset = u16::try_from(len).unwrap_or_default();
            len = len.saturating_add(size);
        }
    }
    let mut to = Vec::new();
    to.extend(le(start));
    to.extend(u16::try_from(vtable_len).unwrap_or_default().to_le_bytes());
    to.extend(u16::try_from(len).unwrap_or_default().to_le_bytes());
    for offset in &offsets {
        to.extend(offset.to_le_bytes());
    }
    to.resize(start, 0);
    to.extend(le(start.saturating_sub(4)));
    let mut strings: Vec<u8> = Vec::new();
    let strings_at = start.saturating_add(len).next_multiple_of(4);
    for size in [8, 4, 1] {
        for field in fields.iter().filter(|field| field.size() == size) {
            match *field {
                Field::U64(number) => to.extend(number.to_le_bytes()),
                Field::U32(number) => to.extend(number.to_le_bytes()),
                Field::Bool(flag) => to.push(flag.into()),
                Field::Text(text) => {
                    to.extend(le(strings_at.saturating_add(strings.len()).saturating_sub(to.len())));
                    strings.extend(le(text.len()));
                    strings.extend_from_slice(text);
                    strings.push(0);
                    strings.resize(strings.len().next_multiple_of(4), 0);
                }
            }
        }
    }
    to.resize(strings_at, 0);
    to.append(&mut strings);
    to
}

fn le(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or_default().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let bytes = write(&[Field::U64(7), Field::U32(9), Field::Bool(true), Field::Text(b"name"), Field::Text(b"")]);
        let table = Table::root(&bytes).unwrap();
        assert_eq!((table.u64(0), table.u32(1), table.bool(2)), (Ok(7), Ok(9), Ok(true)));
        assert_eq!((table.text(3), table.text(4), table.u64(5)), (Ok(&b"name"[..]), Ok(&b""[..]), Ok(0)));
        let (at, _) = table.field::<8>(0).unwrap().unwrap();
        assert_eq!(at % 8, 0);
    }

    #[test]
    fn a_field_beyond_its_table_is_refused() {
        let mut bytes = write(&[Field::U64(7), Field::U32(9)]);
        let table_len = bytes[6..8].to_vec();
        assert_eq!(table_len, [16, 0]);
        bytes[6] = 12;
        let table = Table::root(&bytes).unwrap();
        assert_eq!(table.u64(0), Ok(7));
        assert!(table.u32(1).unwrap_err().0.contains("within its table of 12 bytes"));
        bytes[8] = 0;
        bytes[9] = 0;
        assert_eq!(Table::root(&bytes).unwrap().u64(0), Ok(0));
    }

    #[test]
    fn a_vtable_outside_the_value_is_refused() {
        let bytes = write(&[Field::U64(7)]);
        let start = usize::from(bytes[0]);
        for back in [i32::MIN, -1000, 1000, i32::MAX] {
            let mut bytes = bytes.clone();
            bytes[start..start.saturating_add(4)].copy_from_slice(&back.to_le_bytes());
            assert!(Table::root(&bytes).is_err(), "{back}");
        }
    }

    #[test]
    fn every_cut_is_refused_or_read_within_bounds() {
        let bytes = write(&[Field::U64(7), Field::Text(b"a name of some length")]);
        for len in 0..bytes.len() - 3 {
            let table = Table::root(&bytes[..len]);
            assert!(table.and_then(|t| t.text(1)).is_err(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(bytes in proptest::collection::vec(any::<u8>(), 0..80), id in 0_usize..12) {
            if let Ok(table) = Table::root(&bytes) {
                let _ = (table.u64(id), table.u32(id), table.bool(id), table.text(id));
            }
        }
    }
}
