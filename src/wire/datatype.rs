use std::fmt;

/// The datatype byte: how the bytes of the value are to be read. Source: dcp-protocol.md §1.2.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Datatype(pub u8);

impl Datatype {
    /// No bit set.
    pub const RAW: Self = Self(0);
    /// The document body is JSON.
    pub const JSON: Self = Self(0x01);
    /// The whole value, the xattr section included, is one raw Snappy block.
    pub const SNAPPY: Self = Self(0x02);
    /// The value starts with an xattr section.
    pub const XATTR: Self = Self(0x04);

    /// Whether every bit of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether only defined bits are set.
    pub const fn is_defined(self) -> bool {
        self.0 <= 7
    }

    /// The names of the bits that are set; an undefined bit is named by its hex value.
    pub fn names(self) -> Vec<String> {
        (0..8)
            .map(|bit| self.0 & (1 << bit))
            .filter(|&bit| bit != 0)
            .map(|bit| match Self(bit) {
                Self::JSON => "json".to_owned(),
                Self::SNAPPY => "snappy".to_owned(),
                Self::XATTR => "xattr".to_owned(),
                Self(other) => format!("0x{other:02x}"),
            })
            .collect()
    }
}

impl std::ops::BitOr for Datatype {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.names().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_has_a_name() {
        assert_eq!(Datatype::RAW.names(), Vec::<String>::new());
        assert_eq!(Datatype(0x87).names(), ["json", "snappy", "xattr", "0x80"]);
        assert!(!Datatype(8).is_defined());
    }
}
