use std::fmt;

use super::Datatype;
use super::Magic;
use super::Opcode;
use super::ServerOpcode;
use super::Status;

/// Bytes of every header, in all six forms.
pub const HEADER_LEN: usize = 24;

/// Four bytes compared for equality; never a number (dcp-protocol.md §1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Opaque(pub [u8; 4]);

impl fmt::Display for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "0x{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The 24 bytes that every frame begins with, as numbers. Any value of any field survives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Byte 0.
    pub magic: Magic,
    /// Byte 1. For server magics see [`Header::server_opcode`].
    pub opcode: Opcode,
    /// Byte 2 of the flex forms, else 0.
    pub framing_extras_len: u8,
    /// Bytes 2-3, or byte 3 of the flex forms.
    pub key_len: u16,
    /// Byte 4.
    pub extras_len: u8,
    /// Byte 5.
    pub datatype: Datatype,
    /// Bytes 6-7: the vbucket of a request, the status of a response.
    pub vbucket_or_status: u16,
    /// Bytes 8-11: framing extras, extras, key and value together.
    pub body_len: u32,
    /// Bytes 12-15.
    pub opaque: Opaque,
    /// Bytes 16-23.
    pub cas: u64,
}

/// Why bytes are not a frame. After one of these the rest of the stream cannot be framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FramingError {
    /// Byte 0 is none of the six magics.
    #[error("expected a magic of 0x80, 0x81, 0x08, 0x18, 0x82 or 0x83, found {0}")]
    Magic(Magic),
    /// Framing extras, extras and key are longer than the body that holds them.
    #[error("expected framing extras, extras and key to fit the body of {body} bytes, found {parts}")]
    Lengths {
        /// Framing extras + extras + key.
        parts: u32,
        /// What the header says of the body.
        body: u32,
    },
    /// The frame is longer than any that a producer sends (`max_packet_size`).
    #[error("expected a frame of at most 31457280 bytes (30 MiB), found a header that claims {0}")]
    TooLong(u64),
    /// The bytes end before the frame does.
    #[error("expected {expected} bytes, found {found}")]
    Truncated {
        /// Bytes that the frame has, as far as known.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
}

impl Header {
    /// Reads the fields of a header; nothing is judged.
    pub const fn parse(bytes: &[u8; HEADER_LEN]) -> Self {
        let [
            magic,
            opcode,
            b2,
            b3,
            extras_len,
            datatype,
            b6,
            b7,
            l0,
            l1,
            l2,
            l3,
            o0,
            o1,
            o2,
            o3,
            c0,
            c1,
            c2,
            c3,
            c4,
            c5,
            c6,
            c7,
        ] = *bytes;
        let magic = Magic(magic);
        let (framing_extras_len, key_len) =
            if magic.is_flex() { (b2, b3 as u16) } else { (0, u16::from_be_bytes([b2, b3])) };
        Self {
            magic,
            opcode: Opcode(opcode),
            framing_extras_len,
            key_len,
            extras_len,
            datatype: Datatype(datatype),
            vbucket_or_status: u16::from_be_bytes([b6, b7]),
            body_len: u32::from_be_bytes([l0, l1, l2, l3]),
            opaque: Opaque([o0, o1, o2, o3]),
            cas: u64::from_be_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
        }
    }

    /// Reads a header from the front of `bytes`.
    ///
    /// # Errors
    /// [`FramingError::Truncated`] where there are fewer than 24 bytes.
    #[inline]
    pub fn parse_slice(bytes: &[u8]) -> Result<Self, FramingError> {
        bytes
            .first_chunk()
            .map(Self::parse)
            .ok_or(FramingError::Truncated { expected: HEADER_LEN as u64, found: bytes.len() as u64 })
    }

    /// Checks what kv_engine checks before it frames: a known magic, and lengths that fit the body and the size limit.
    ///
    /// # Errors
    /// The first rule that is broken.
    #[inline]
    pub fn check(&self) -> Result<(), FramingError> {
        if !self.magic.is_known() {
            return Err(FramingError::Magic(self.magic));
        }
        if self.prefix_len() > self.body_len {
            return Err(FramingError::Lengths { parts: self.prefix_len(), body: self.body_len });
        }
        if self.frame_len() > super::MAX_FRAME_LEN as u64 {
            return Err(FramingError::TooLong(self.frame_len()));
        }
        Ok(())
    }

    /// Bytes of the whole frame, header included.
    pub const fn frame_len(&self) -> u64 {
        (HEADER_LEN as u64).saturating_add(self.body_len as u64)
    }

    /// Bytes of framing extras, extras and key together.
    pub const fn prefix_len(&self) -> u32 {
        (self.framing_extras_len as u32).saturating_add(self.extras_len as u32).saturating_add(self.key_len as u32)
    }

    /// Bytes of the head: all but the value.
    pub const fn head_len(&self) -> usize {
        HEADER_LEN.saturating_add(self.prefix_len() as usize)
    }

    /// Bytes of the value; 0 where the lengths do not fit.
    pub const fn value_len(&self) -> u32 {
        self.body_len.saturating_sub(self.prefix_len())
    }

    /// The vbucket, where this is a request.
    pub const fn vbucket(&self) -> Option<u16> {
        if self.magic.is_request() { Some(self.vbucket_or_status) } else { None }
    }

    /// The status, where this is a response.
    pub const fn status(&self) -> Option<Status> {
        if self.magic.is_response() { Some(Status(self.vbucket_or_status)) } else { None }
    }

    /// The opcode of a server request or response.
    pub const fn server_opcode(&self) -> Option<ServerOpcode> {
        if self.magic.is_server() { Some(ServerOpcode(self.opcode.0)) } else { None }
    }

    /// Whether this asks, with an opcode of the ordinary table.
    pub const fn is_request(&self) -> bool {
        matches!(self.magic, Magic::REQUEST | Magic::FLEX_REQUEST)
    }

    /// Whether this answers, with an opcode of the ordinary table.
    pub const fn is_response(&self) -> bool {
        matches!(self.magic, Magic::RESPONSE | Magic::FLEX_RESPONSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUTATION: [u8; 24] = [
        0x80, 0x57, 0x00, 0x06, 0x1f, 0x01, 0x02, 0x10, 0, 0, 0, 0x2c, 0, 0, 0x12, 0x10, 0x16, 0x98, 0xe4, 0xc5, 0xa2,
        0xf3, 0, 0,
    ];

    #[test]
    fn fields_of_a_request() {
        let h = Header::parse(&MUTATION);
        assert_eq!((h.magic, h.opcode), (Magic::REQUEST, Opcode::DCP_MUTATION));
        assert_eq!((h.key_len, h.extras_len, h.value_len()), (6, 31, 7));
        assert_eq!((h.vbucket(), h.status()), (Some(0x210), None));
        assert_eq!((h.frame_len(), h.head_len()), (68, 61));
        assert_eq!(h.opaque.to_string(), "0x00001210");
        assert_eq!(h.check(), Ok(()));
    }

    #[test]
    fn flex_form_shares_bytes_two_and_three() {
        let mut bytes = MUTATION;
        bytes[0] = 0x08;
        bytes[2] = 3;
        let h = Header::parse(&bytes);
        assert_eq!((h.framing_extras_len, h.key_len, h.value_len()), (3, 6, 4));
    }

    #[test]
    fn impossible_lengths_are_named() {
        let mut bytes = MUTATION;
        bytes[11] = 5;
        assert_eq!(Header::parse(&bytes).check(), Err(FramingError::Lengths { parts: 37, body: 5 }));
        bytes[8] = 0xff;
        assert!(matches!(Header::parse(&bytes).check(), Err(FramingError::TooLong(_))));
        bytes[0] = 0x79;
        assert_eq!(Header::parse(&bytes).check(), Err(FramingError::Magic(Magic(0x79))));
        assert_eq!(Header::parse_slice(&bytes[..23]), Err(FramingError::Truncated { expected: 24, found: 23 }));
    }
}
