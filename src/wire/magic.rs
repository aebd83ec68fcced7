use std::fmt;

/// The first byte of a frame: which header form follows, and whether it asks or answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Magic(pub u8);

impl Magic {
    /// A request, either way on a DCP connection.
    pub const REQUEST: Self = Self(0x80);
    /// A response, either way on a DCP connection.
    pub const RESPONSE: Self = Self(0x81);
    /// A request with framing extras.
    pub const FLEX_REQUEST: Self = Self(0x08);
    /// A response with framing extras.
    pub const FLEX_RESPONSE: Self = Self(0x18);
    /// A request of the server to its client, with opcodes of its own.
    pub const SERVER_REQUEST: Self = Self(0x82);
    /// The client's response to a server request.
    pub const SERVER_RESPONSE: Self = Self(0x83);

    /// Whether this is one of the six magics that exist.
    pub const fn is_known(self) -> bool {
        self.is_request() || self.is_response()
    }

    /// Whether the frame asks: its bytes 6-7 are then a vbucket.
    pub const fn is_request(self) -> bool {
        matches!(self, Self::REQUEST | Self::FLEX_REQUEST | Self::SERVER_REQUEST)
    }

    /// Whether the frame answers: its bytes 6-7 are then a status.
    pub const fn is_response(self) -> bool {
        matches!(self, Self::RESPONSE | Self::FLEX_RESPONSE | Self::SERVER_RESPONSE)
    }

    /// Whether the header has a framing extras length and a one-byte key length.
    pub const fn is_flex(self) -> bool {
        matches!(self, Self::FLEX_REQUEST | Self::FLEX_RESPONSE)
    }

    /// Whether the opcode is a [`super::ServerOpcode`].
    pub const fn is_server(self) -> bool {
        matches!(self, Self::SERVER_REQUEST | Self::SERVER_RESPONSE)
    }
}

impl fmt::Display for Magic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:02x}", self.0)
    }
}

impl fmt::Debug for Magic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
