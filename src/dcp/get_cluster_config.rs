use super::Malformed;
use super::MemberSink;
use super::check;
use super::member::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// GET_CLUSTER_CONFIG: asks for the cluster map; its answer is JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GetClusterConfig {
    /// Epoch and revision of the map that the client has.
    pub known: Option<MapRevision>,
}

/// Which cluster map.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct MapRevision {
    /// Epoch.
    pub epoch: i64,
    /// Revision within the epoch.
    pub revision: i64,
}

impl GetClusterConfig {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// Extras of another length than 0 or 16; a key or a value.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::no_key(frame)?;
        check::no_value(frame)?;
        if frame.extras().is_empty() {
            return Ok(Self { known: None });
        }
        let mut fields = check::extras(frame, 16)?;
        Ok(Self { known: Some(MapRevision { epoch: fields.i64(), revision: fields.i64() }) })
    }

    /// The request.
    pub fn request(&self, opaque: Opaque) -> FrameBuilder {
        let known = self.known.map(|known| [known.epoch.to_be_bytes(), known.revision.to_be_bytes()]);
        let extras: Vec<u8> = known.into_iter().flatten().flatten().collect();
        FrameBuilder::request(Opcode::GET_CLUSTER_CONFIG).opaque(opaque).extras(extras)
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        if let Some(known) = &self.known {
            put!(to, known, epoch, revision);
        }
    }
}
