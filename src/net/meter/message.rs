use crate::wire::{Header, Magic, Opcode, ServerOpcode};

/// What frames are counted by. There are only so many, whatever the ends say: all that have no name are one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Message {
    kind: Kind,
    /// [`NAMELESS`] for what has no name.
    opcode: u16,
}

/// Whether a frame asks or answers, and whose opcodes it has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// A request.
    Request,
    /// A response.
    Response,
    /// A request of a server to its client, with opcodes of its own.
    ServerRequest,
    /// The response to one.
    ServerResponse,
}

const NAMELESS: u16 = 256;
/// What has no name is called that.
pub const OTHER: &str = "other";

impl Message {
    pub(super) const fn of(header: &Header) -> Self {
        Self::new(Kind::of(header.magic), header.opcode)
    }

    /// A message with that opcode.
    pub const fn new(kind: Kind, opcode: Opcode) -> Self {
        let is_named = match kind {
            Kind::Request | Kind::Response => opcode.name().is_some(),
            Kind::ServerRequest | Kind::ServerResponse => ServerOpcode(opcode.0).name().is_some(),
        };
        Self { kind, opcode: if is_named { opcode.0 as u16 } else { NAMELESS } }
    }

    /// The one of those that have no name.
    pub(super) const fn nameless(kind: Kind) -> Self {
        Self { kind, opcode: NAMELESS }
    }

    /// Whether it asks or answers.
    pub const fn kind(self) -> Kind {
        self.kind
    }

    /// Its name, or [`OTHER`].
    pub fn name(self) -> &'static str {
        let Ok(opcode) = u8::try_from(self.opcode) else { return OTHER };
        let name = match self.kind {
            Kind::Request | Kind::Response => Opcode(opcode).name(),
            Kind::ServerRequest | Kind::ServerResponse => ServerOpcode(opcode).name(),
        };
        name.unwrap_or(OTHER)
    }
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Request, Self::Response, Self::ServerRequest, Self::ServerResponse];

    pub(super) const fn of(magic: Magic) -> Self {
        match (magic.is_server(), magic.is_response()) {
            (false, false) => Self::Request,
            (false, true) => Self::Response,
            (true, false) => Self::ServerRequest,
            (true, true) => Self::ServerResponse,
        }
    }

    /// As a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
            Self::ServerRequest => "server_request",
            Self::ServerResponse => "server_response",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn whatever_the_opcode_there_are_as_many_messages_as_names_and_one() {
        for kind in Kind::ALL {
            let all: BTreeSet<_> = (0..=u8::MAX).map(|opcode| Message::new(kind, Opcode(opcode))).collect();
            let named = match kind {
                Kind::Request | Kind::Response => Opcode::ALL.len(),
                Kind::ServerRequest | Kind::ServerResponse => ServerOpcode::ALL.len(),
            };
            assert_eq!(all.len(), named + 1, "{kind:?}");
            assert_eq!(all.iter().filter(|message| message.name() == OTHER).count(), 1);
        }
        assert_eq!(Message::new(Kind::Response, Opcode::DCP_PREPARE).name(), "DCP_PREPARE");
        assert_eq!(Message::new(Kind::ServerRequest, Opcode(1)).name(), "ClustermapChangeNotification");
    }
}
