//! Unsigned LEB128 of at most five bytes, as collection ids are written (dcp-protocol.md §1.4).

/// Why bytes do not begin with a collection id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LebError {
    /// No byte ends the number.
    #[error("expected a LEB128 stop byte within five bytes, found none")]
    NoStop,
    /// The number does not fit 32 bits.
    #[error("expected a LEB128 number of at most 32 bits, found a larger one")]
    TooLarge,
    /// The same number has a shorter form, and only the shortest is legal.
    #[error("expected the shortest LEB128 form of {value}, found one of {len} bytes")]
    NotCanonical {
        /// The number.
        value: u32,
        /// Bytes that it was written in.
        len: usize,
    },
}

/// Splits `bytes` into the number that they begin with and the rest.
///
/// # Errors
/// A number without end, over 32 bits, or not in its shortest form.
pub fn split(bytes: &[u8]) -> Result<(u32, &[u8]), LebError> {
    let mut value: u64 = 0;
    for (index, &byte) in bytes.iter().take(5).enumerate() {
        let shift = u32::try_from(index).unwrap_or_default().saturating_mul(7);
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| LebError::TooLarge)?;
            let len = index.saturating_add(1);
            if byte == 0 && index > 0 {
                return Err(LebError::NotCanonical { value, len });
            }
            return Ok((value, bytes.get(len..).unwrap_or_default()));
        }
    }
    Err(LebError::NoStop)
}

/// Appends the shortest form of `value`.
pub fn write(mut value: u32, to: &mut Vec<u8>) {
    while value > 0x7f {
        to.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_reference() {
        for (value, bytes) in [
            (0, "00"),
            (0x7f, "7f"),
            (0x80, "8001"),
            (0x555, "d50a"),
            (0xcafe_f00d, "8de0fbd70c"),
            (u32::MAX, "ffffffff0f"),
        ] {
            let mut written = Vec::new();
            write(value, &mut written);
            assert_eq!(hex::encode(&written), bytes);
            written.push(0xaa);
            assert_eq!(split(&written), Ok((value, &[0xaa][..])));
        }
    }

    #[test]
    fn what_is_not_a_collection_id() {
        assert_eq!(split(&[0x80; 9]), Err(LebError::NoStop));
        assert_eq!(split(&[]), Err(LebError::NoStop));
        assert_eq!(split(&[0x89, 0]), Err(LebError::NotCanonical { value: 9, len: 2 }));
        assert_eq!(split(&[0xff, 0xff, 0xff, 0xff, 0x1f]), Err(LebError::TooLarge));
    }
}
