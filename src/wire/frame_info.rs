/// One item of the framing extras: an id and its data. Source: dcp-protocol.md §1.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameInfo<'a> {
    /// What the item is; which ids exist depends on whether a request or a response carries it.
    pub id: u16,
    /// The item's bytes, its id and length not included.
    pub data: &'a [u8],
}

impl FrameInfo<'_> {
    /// The id of a DCP stream id, in requests: two bytes of data, a u16.
    pub const STREAM_ID: u16 = 2;
    /// The id of the server's duration, in responses: two bytes of data.
    pub const SERVER_DURATION: u16 = 0;
}

/// Why framing extras cannot be split into items.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameInfoError {
    /// An id or length of 15 says that one more byte follows, and none does.
    #[error("expected a byte after an escaped frame info id or length, found the end of the framing extras")]
    EscapeCut,
    /// The item is longer than what is left.
    #[error("expected {expected} bytes of frame info, found {found}")]
    DataCut {
        /// Bytes that the item says it has.
        expected: usize,
        /// Bytes that are left.
        found: usize,
    },
}

/// The items of framing extras, in order; it ends behind the first that is broken.
#[derive(Clone, Debug)]
pub struct FrameInfos<'a> {
    rest: &'a [u8],
}

impl<'a> FrameInfos<'a> {
    /// The items in `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The stream id, if an item of two bytes gives one.
    pub fn stream_id(self) -> Option<u16> {
        self.map_while(Result::ok)
            .find(|info| info.id == FrameInfo::STREAM_ID)
            .and_then(|info| info.data.try_into().ok())
            .map(u16::from_be_bytes)
    }

    #[inline]
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn escaped(&mut self, nibble: u8) -> Option<u16> {
        if nibble < 15 {
            return Some(nibble.into());
        }
        self.take(1)?.first().map(|&more| 15_u16.saturating_add(more.into()))
    }

    #[inline]
    fn read(&mut self) -> Result<FrameInfo<'a>, FrameInfoError> {
        let first = self.take(1).and_then(|b| b.first().copied()).ok_or(FrameInfoError::EscapeCut)?;
        let id = self.escaped(first >> 4).ok_or(FrameInfoError::EscapeCut)?;
        let len = usize::from(self.escaped(first & 0x0f).ok_or(FrameInfoError::EscapeCut)?);
        let found = self.rest.len();
        let data = self.take(len).ok_or(FrameInfoError::DataCut { expected: len, found })?;
        Ok(FrameInfo { id, data })
    }
}

impl<'a> Iterator for FrameInfos<'a> {
    type Item = Result<FrameInfo<'a>, FrameInfoError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = self.read();
        if item.is_err() {
            self.rest = &[];
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(bytes: &[u8]) -> Vec<Result<FrameInfo<'_>, FrameInfoError>> {
        FrameInfos::new(bytes).collect()
    }

    #[test]
    fn plain_and_escaped_items() {
        assert_eq!(items(&[0x22, 0, 71]), [Ok(FrameInfo { id: 2, data: &[0, 71] })]);
        assert_eq!(FrameInfos::new(&[0x00, 0x22, 0, 5]).stream_id(), Some(5));
        let mut escaped = vec![0xff, 1, 2];
        escaped.extend([0x41; 17]);
        assert_eq!(items(&escaped), [Ok(FrameInfo { id: 16, data: &[0x41; 17] })]);
    }

    #[test]
    fn broken_items_end_the_list() {
        assert_eq!(items(&[0x22, 0]), [Err(FrameInfoError::DataCut { expected: 2, found: 1 })]);
        assert_eq!(items(&[0xf0]), [Err(FrameInfoError::EscapeCut)]);
        assert_eq!(FrameInfos::new(&[0x23, 0, 0, 1]).stream_id(), None);
    }
}
