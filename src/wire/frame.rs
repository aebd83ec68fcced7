use std::fmt;

use super::Datatype;
use super::FrameInfos;
use super::FramingError;
use super::HEADER_LEN;
use super::Header;

/// The exact bytes of a frame and a checked view of them.
///
/// The bytes hold at least the head (header, framing extras, extras, key). The value may be missing, or cut, where the
/// frame was too long to keep: [`Frame::value`] is `None` then.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    header: Header,
    bytes: &'a [u8],
}

/// Keys, documents and credentials do not show (law L9).
impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame").field("header", &self.header).field("len", &self.bytes.len()).finish()
    }
}

impl<'a> Frame<'a> {
    /// A view of the frame that `bytes` begin with; what follows it is ignored.
    ///
    /// # Errors
    /// A header that cannot be framed, or fewer bytes than its head has.
    pub fn new(bytes: &'a [u8]) -> Result<Self, FramingError> {
        let header = Header::parse_slice(bytes)?;
        header.check()?;
        if bytes.len() < header.head_len() {
            return Err(FramingError::Truncated { expected: header.frame_len(), found: bytes.len() as u64 });
        }
        let len = usize::try_from(header.frame_len()).unwrap_or(usize::MAX).min(bytes.len());
        Ok(Self { header, bytes: bytes.get(..len).unwrap_or(bytes) })
    }

    /// As [`Frame::new`], and the value must be whole.
    ///
    /// # Errors
    /// As [`Frame::new`]; [`FramingError::Truncated`] where the value is cut.
    pub fn whole(bytes: &'a [u8]) -> Result<Self, FramingError> {
        let frame = Self::new(bytes)?;
        if frame.is_whole() {
            Ok(frame)
        } else {
            Err(FramingError::Truncated { expected: frame.header.frame_len(), found: bytes.len() as u64 })
        }
    }

    /// The header's fields.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// All the bytes that are here, as they came.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether every byte of the frame is here.
    pub const fn is_whole(&self) -> bool {
        self.bytes.len() as u64 == self.header.frame_len()
    }

    /// The bytes of the framing extras.
    pub fn framing_extras(&self) -> &'a [u8] {
        self.part(HEADER_LEN, self.header.framing_extras_len as usize)
    }

    /// The items of the framing extras.
    pub fn frame_infos(&self) -> FrameInfos<'a> {
        FrameInfos::new(self.framing_extras())
    }

    /// The bytes of the extras.
    pub fn extras(&self) -> &'a [u8] {
        self.part(HEADER_LEN.saturating_add(self.header.framing_extras_len as usize), self.header.extras_len as usize)
    }

    /// The bytes of the key, with its collection prefix if the connection has such.
    pub fn key(&self) -> &'a [u8] {
        let len = self.header.key_len as usize;
        self.part(self.header.head_len().saturating_sub(len), len)
    }

    /// The bytes of the value, if all of them are here.
    pub fn value(&self) -> Option<&'a [u8]> {
        if self.is_whole() { self.bytes.get(self.header.head_len()..) } else { None }
    }

    /// The bytes of the same frame with another value: its head as it is but for the datatype and the length.
    pub fn with_value(&self, value: &[u8], datatype: Datatype) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.header.head_len().saturating_add(value.len()));
        bytes.extend_from_slice(self.bytes.get(..self.header.head_len()).unwrap_or(self.bytes));
        let body_len = (self.header.prefix_len() as usize).saturating_add(value.len());
        let body_len = u32::try_from(body_len).unwrap_or(u32::MAX).to_be_bytes();
        for (at, byte) in (5..).zip([datatype.0]).chain((8..).zip(body_len)) {
            if let Some(slot) = bytes.get_mut(at) {
                *slot = byte;
            }
        }
        bytes.extend_from_slice(value);
        bytes
    }

    fn part(&self, from: usize, len: usize) -> &'a [u8] {
        self.bytes.get(from..from.saturating_add(len)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_flex_frame() {
        let bytes = hex::decode("08550300040002100000000700001210000000000000000022004700000000").unwrap();
        let frame = Frame::whole(&bytes).unwrap();
        assert_eq!(frame.framing_extras(), [0x22, 0, 0x47]);
        assert_eq!(frame.extras(), [0; 4]);
        assert_eq!(frame.key(), b"");
        assert_eq!(frame.value(), Some(&[][..]));
    }

    #[test]
    fn another_value_changes_the_length_and_the_datatype_alone() {
        let bytes = hex::decode("085503000402001200000008000012100000000000000000220047000000007b").unwrap();
        let frame = Frame::whole(&bytes).unwrap();
        assert_eq!(frame.with_value(b"{", Datatype(2)), bytes);
        let other = frame.with_value(b"{}", Datatype::JSON);
        let expected = "08550300040100120000000900001210000000000000000022004700000000".to_owned() + "7b7d";
        assert_eq!(hex::encode(&other), expected);
        assert_eq!(Frame::whole(&other).unwrap().value(), Some(&b"{}"[..]));
    }

    #[test]
    fn a_cut_value_is_no_value() {
        let bytes = hex::decode("805700011f0002100000002100001210000000000000000000000000000000010000000000000001000000000000000000000000000000").unwrap();
        assert_eq!(Frame::new(&bytes), Err(FramingError::Truncated { expected: 57, found: 55 }));
        let mut head = bytes;
        head.push(b'k');
        let frame = Frame::new(&head).unwrap();
        assert_eq!((frame.key(), frame.value()), (&b"k"[..], None));
        assert!(Frame::whole(&head).is_err());
        head.extend_from_slice(b"vrest of the stream");
        assert_eq!(Frame::whole(&head).unwrap().value(), Some(&b"v"[..]));
    }
}
