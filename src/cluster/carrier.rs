use bytes::Bytes;

use super::Directory;
use super::map;
use crate::dcp;
use crate::wire::Datatype;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Header;
use crate::wire::Opcode;
use crate::wire::ServerOpcode;
use crate::wire::Status;

/// The longest map that is rewritten, in bytes, as it comes and inflated: so much of it is kept in memory. That of 1024
/// vbuckets with three replicas on a hundred nodes is a fortieth of it.
pub const MAX_MAP_LEN: usize = 8 * 1024 * 1024;

/// How a frame carries a map (dcp-protocol.md §2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Carrier {
    /// The answer to `GET_CLUSTER_CONFIG`.
    Answer,
    /// NotMyVbucket, whatever it answers: the map that tells where the vbucket is.
    Refusal,
    /// `ClustermapChangeNotification`.
    Notice,
}

impl Carrier {
    /// How a frame from a node with this header carries a map, if it does. The brief forms carry none.
    pub(super) fn of(header: &Header) -> Option<Self> {
        if header.value_len() == 0 {
            return None;
        }
        match (header.status(), header.opcode) {
            _ if header.server_opcode() == Some(ServerOpcode::CLUSTERMAP_CHANGE_NOTIFICATION) => Some(Self::Notice),
            _ if !header.is_response() => None,
            (Some(Status::NOT_MY_VBUCKET), _) => Some(Self::Refusal),
            (Some(Status::SUCCESS), Opcode::GET_CLUSTER_CONFIG) => Some(Self::Answer),
            _ => None,
        }
    }

    /// What goes to the client where the map of `frame` must not: clients ask again for what is temporarily not there, and
    /// for a map that a refusal or a notice does not bring.
    pub(super) fn without_map(self, frame: &Frame<'_>) -> Bytes {
        match self {
            Self::Answer => {
                let header = frame.header();
                FrameBuilder::response(header.opcode, Status::ETMPFAIL).opaque(header.opaque).build()
            }
            Self::Refusal | Self::Notice => frame.with_value(&[], Datatype::RAW).into(),
        }
    }
}

/// The same frame with its map rewritten. Where the map was compressed it is no more, and the datatype says so.
///
/// # Errors
/// Why it cannot be rewritten, as one line.
pub(super) fn rewritten(frame: &Frame<'_>, directory: &mut dyn Directory) -> Result<Bytes, String> {
    let too_long =
        || format!("expected a map of at most {MAX_MAP_LEN} bytes, found one of {}", frame.header().value_len());
    let value = frame.value().filter(|value| value.len() <= MAX_MAP_LEN).ok_or_else(too_long)?;
    let datatype = frame.header().datatype;
    let inflated;
    let (value, datatype) = if datatype.contains(Datatype::SNAPPY) {
        inflated = dcp::value::inflate(value, MAX_MAP_LEN).map_err(|error| error.to_string())?;
        (&*inflated, Datatype(datatype.0 & !Datatype::SNAPPY.0))
    } else {
        (value, datatype)
    };
    let text =
        std::str::from_utf8(value).map_err(|error| format!("expected a map in UTF-8, found other bytes: {error}"))?;
    let map = map::rewrite(text, directory)?;
    Ok(frame.with_value(map.as_bytes(), datatype).into())
}
