use std::borrow::Cow;

/// The comments of a pcapng packet: read only where somebody asks for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Comments<'a> {
    options: &'a [u8],
    big_endian: bool,
}

const COMMENT: u16 = 1;

impl<'a> Comments<'a> {
    /// Those among the options of a block in this byte order.
    pub(super) const fn new(options: &'a [u8], big_endian: bool) -> Self {
        Self { options, big_endian }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.options.is_empty()
    }

    fn number(&self, at: usize) -> Option<u16> {
        let two = *self.options.get(at..)?.first_chunk()?;
        Some(if self.big_endian { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
    }
}

impl<'a> Iterator for Comments<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Cow<'a, str>> {
        loop {
            let (code, len) = (self.number(0)?, usize::from(self.number(2)?));
            let value = self.options.get(4..)?.get(..len)?;
            self.options = self.options.get(len.next_multiple_of(4).saturating_add(4)..).unwrap_or_default();
            match code {
                0 => return None,
                COMMENT => return Some(String::from_utf8_lossy(value)),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_found_among_other_options_in_either_byte_order() {
        let little = b"\x02\0\x04\0\x07\0\0\0\x01\0\x05\0hello\0\0\0\x01\0\0\0\x01\0\x02\0\xc3\x28\0\0\0\0\0\0\x01\0\x01\0x\0\0\0";
        let found: Vec<_> = Comments::new(little, false).collect();
        assert_eq!(found, ["hello", "", "\u{fffd}("], "and nothing behind the end");
        let big = b"\0\x01\0\x02hi\0\0\0\0\0\0";
        assert_eq!(Comments::new(big, true).collect::<Vec<_>>(), ["hi"]);
        for end in 0..little.len() {
            let cut: Vec<_> = Comments::new(&little[..end], false).collect();
            assert!(cut.len() <= 3 && found.starts_with(&cut));
        }
    }
}
