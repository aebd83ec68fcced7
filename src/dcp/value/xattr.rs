use crate::dcp::Malformed;
use crate::dcp::malformed::malformed;

/// A value that begins with an xattr section, split (dcp-protocol.md §1.3).
#[derive(Clone, Debug)]
pub struct XattrSection<'a> {
    /// The pairs of key and value, in order.
    pub xattrs: Xattrs<'a>,
    /// What follows the section: the document's body.
    pub body: &'a [u8],
}

/// Splits an inflated value into its xattrs and its body.
///
/// # Errors
/// A section that is longer than the value, or a pair that is not `key 0 value 0` of its length.
pub fn xattr_section(value: &[u8]) -> Result<XattrSection<'_>, Malformed> {
    let Some((len, rest)) = value.split_first_chunk() else {
        return Err(malformed!("expected 4 bytes of xattr section length, found a value of {}", value.len()));
    };
    let len = u32::from_be_bytes(*len) as usize;
    let (section, body) = rest.split_at_checked(len).ok_or_else(|| beyond(len, rest.len()))?;
    let mut pairs = section;
    while !pairs.is_empty() {
        (_, pairs) = pair(pairs)?;
    }
    Ok(XattrSection { xattrs: Xattrs { rest: section }, body })
}

pub(super) fn beyond(expected: usize, found: usize) -> Malformed {
    malformed!("expected an xattr section of {expected} bytes, found {found} bytes of value after its length")
}

type Pair<'a> = (&'a [u8], &'a [u8]);

/// The first pair, and what follows it.
fn pair(bytes: &[u8]) -> Result<(Pair<'_>, &[u8]), Malformed> {
    let Some((len, rest)) = bytes.split_first_chunk() else {
        return Err(malformed!("expected 4 bytes of xattr pair length, found {}", bytes.len()));
    };
    let len = u32::from_be_bytes(*len) as usize;
    let (pair, rest) = rest
        .split_at_checked(len)
        .ok_or_else(|| malformed!("expected an xattr pair of {len} bytes, found {} in its section", rest.len()))?;
    let mut parts = pair.split(|&byte| byte == 0);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(key), Some(value), Some([]), None) if !key.is_empty() => Ok(((key, value), rest)),
        _ => Err(malformed!("expected an xattr pair of a key, a 0, a value and a 0, found another form")),
    }
}

/// The pairs of an xattr section that was found well-formed.
#[derive(Clone, Debug)]
pub struct Xattrs<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Xattrs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (found, rest) = pair(self.rest).ok()?;
        self.rest = rest;
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_and_body() {
        let value = b"\0\0\0\x1d\0\0\0\x0e_sync\0{\"x\":1}\0\0\0\0\x07user\0y\0{}";
        let section = xattr_section(value).unwrap();
        assert_eq!(section.xattrs.collect::<Vec<_>>(), [(&b"_sync"[..], &b"{\"x\":1}"[..]), (b"user", b"y")]);
        assert_eq!(section.body, b"{}");
    }

    #[test]
    fn what_is_no_section() {
        for (value, why) in [
            (&b"\0\0\0"[..], "section length"),
            (b"\0\0\0\x64abc", "section of 100 bytes"),
            (b"\0\0\0\x03abc", "pair length"),
            (b"\0\0\0\x05\0\0\0\x02a", "pair of 2 bytes"),
            (b"\0\0\0\x07\0\0\0\x03\0v\0", "key, a 0"),
            (b"\0\0\0\x07\0\0\0\x03k\0v", "key, a 0"),
            (b"\0\0\0\x08\0\0\0\x04kvvv", "key, a 0"),
        ] {
            let error = xattr_section(value).unwrap_err();
            assert!(error.0.contains(why), "{error}");
        }
        assert!(xattr_section(b"\0\0\0\0body").unwrap().body == b"body");
    }
}
