use crate::dcp::Malformed;
use crate::dcp::malformed::malformed;

/// The length that a raw Snappy block says it inflates to, and what follows that number.
fn preamble(block: &[u8]) -> Result<(usize, &[u8]), Malformed> {
    let mut len = 0_u64;
    for (index, &byte) in block.iter().take(5).enumerate() {
        let shift = u32::try_from(index).unwrap_or_default().saturating_mul(7);
        len |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let len = u32::try_from(len)
                .map_err(|_| malformed!("expected a snappy value's inflated length in 32 bits, found {len}"))?;
            return Ok((len as usize, block.get(index.saturating_add(1)..).unwrap_or_default()));
        }
    }
    Err(malformed!("expected a snappy value to begin with its inflated length, found no number"))
}

/// The length that a raw Snappy block inflates to, by its own word.
///
/// # Errors
/// Bytes that do not begin with a length.
pub fn inflated_len(block: &[u8]) -> Result<usize, Malformed> {
    preamble(block).map(|(len, _)| len)
}

/// Inflates a raw Snappy block, unless it says that it would be longer than `cap`: nothing is allocated then.
///
/// # Errors
/// A block that is too long or does not inflate.
pub fn inflate(block: &[u8], cap: usize) -> Result<Vec<u8>, Malformed> {
    within(inflated_len(block)?, cap)?;
    snap::raw::Decoder::new()
        .decompress_vec(block)
        .map_err(|error| malformed!("expected a snappy value that inflates, found: {error}"))
}

/// Checks that a raw Snappy block inflates, without inflating it; its length.
pub(super) fn check(block: &[u8], cap: usize) -> Result<usize, Malformed> {
    let (len, mut rest) = preamble(block)?;
    within(len, cap)?;
    let mut made = 0_usize;
    while !rest.is_empty() {
        let element = Element::read(rest).ok_or_else(|| {
            malformed!("expected a whole snappy element at byte {made} of the inflated value, found it cut")
        })?;
        if let What::Copy { offset } = element.what
            && (offset == 0 || offset > made)
        {
            return Err(malformed!(
                "expected a snappy copy from within the {made} bytes before it, found {offset} back"
            ));
        }
        made = made.saturating_add(element.len);
        rest = element.rest;
    }
    if made == len {
        Ok(len)
    } else {
        Err(malformed!("expected a snappy value to inflate to the {len} bytes that it claims, found {made}"))
    }
}

/// The first `wanted` bytes that a checked block inflates to; nothing more is allocated.
pub(super) fn inflate_front(block: &[u8], wanted: usize) -> Vec<u8> {
    let Ok((len, mut rest)) = preamble(block) else { return Vec::new() };
    let wanted = wanted.min(len);
    let mut made = Vec::with_capacity(wanted);
    while made.len() < wanted
        && let Some(element) = Element::read(rest)
    {
        let room = element.len.min(wanted.saturating_sub(made.len()));
        match element.what {
            What::Literal(bytes) => made.extend_from_slice(bytes.get(..room).unwrap_or_default()),
            What::Copy { offset } => {
                for _ in 0..room {
                    let from = made.len().checked_sub(offset);
                    let Some(&byte) = from.and_then(|from| made.get(from)) else { return made };
                    made.push(byte);
                }
            }
        }
        rest = element.rest;
    }
    made
}

/// One element of a block: bytes as they are, or a copy of what was made before.
struct Element<'a> {
    len: usize,
    what: What<'a>,
    rest: &'a [u8],
}

enum What<'a> {
    Literal(&'a [u8]),
    Copy { offset: usize },
}

impl<'a> Element<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (&tag, rest) = bytes.split_first()?;
        let high = usize::from(tag >> 2);
        if tag & 3 == 0 {
            let (len, rest) = match high {
                60..=63 => little_endian(rest, high.saturating_sub(59))?,
                _ => (high, rest),
            };
            let len = len.saturating_add(1);
            let (literal, rest) = rest.split_at_checked(len)?;
            return Some(Self { len, what: What::Literal(literal), rest });
        }
        let (len, (offset, rest)) = match tag & 3 {
            1 => {
                let (&low, rest) = rest.split_first()?;
                ((high & 7).saturating_add(4), (usize::from(tag >> 5) << 8 | usize::from(low), rest))
            }
            2 => (high.saturating_add(1), little_endian(rest, 2)?),
            _ => (high.saturating_add(1), little_endian(rest, 4)?),
        };
        Some(Self { len, what: What::Copy { offset }, rest })
    }
}

/// A number of 1 to 4 bytes.
fn little_endian(bytes: &[u8], len: usize) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_at_checked(len)?;
    Some((number.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte)), rest))
}

fn within(len: usize, cap: usize) -> Result<(), Malformed> {
    if len <= cap {
        Ok(())
    } else {
        Err(malformed!("expected a snappy value that inflates to at most {cap} bytes, found one that claims {len}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bomb_is_refused_by_its_claim() {
        let claim = [0xff, 0xff, 0xff, 0x7f, 0];
        assert!(inflate(&claim, 1 << 20).unwrap_err().0.contains("claims 268435455"));
        assert!(check(&claim, 1 << 20).is_err());
        assert!(check(&[0xff; 6], usize::MAX).is_err());
    }

    fn blocks() -> impl Strategy<Value = Vec<u8>> {
        let packed = proptest::collection::vec((any::<u8>(), 1_usize..90), 0..40).prop_map(|runs| {
            let bytes: Vec<u8> = runs.into_iter().flat_map(|(byte, len)| vec![byte & 3; len]).collect();
            snap::raw::Encoder::new().compress_vec(&bytes).unwrap()
        });
        let broken = (packed.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut bytes, at, byte)| {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        });
        prop_oneof![packed, broken, proptest::collection::vec(any::<u8>(), 1..40)]
    }

    proptest! {
        #[test]
        fn the_walk_agrees_with_the_decoder(block in blocks(), wanted in 0_usize..2000) {
            let cap = 1 << 20;
            let inflated = inflate(&block, cap);
            prop_assert_eq!(check(&block, cap).ok(), inflated.as_ref().ok().map(Vec::len));
            if let Ok(inflated) = inflated {
                prop_assert_eq!(inflate_front(&block, wanted), &inflated[..wanted.min(inflated.len())]);
            }
        }
    }
}
