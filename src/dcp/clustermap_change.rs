use super::Malformed;
use super::MemberSink;
use super::check;
use super::malformed::malformed;
use super::member::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::ServerOpcode;

/// The server request ClustermapChangeNotification: the cluster map changed (dcp-protocol.md §2).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClustermapChange {
    /// Epoch of the map; the old form has none.
    pub epoch: Option<i64>,
    /// Revision of the map.
    pub revision: i64,
    /// The bucket; empty for the global map.
    pub bucket: String,
}

impl ClustermapChange {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// Extras of another length than 4 (the old form, a u32 revision) or 16.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        let bucket = check::text(frame.key());
        let mut fields = check::Fields(frame.extras());
        match frame.extras().len() {
            4 => Ok(Self { epoch: None, revision: fields.u32().into(), bucket }),
            16 => Ok(Self { epoch: Some(fields.i64()), revision: fields.i64(), bucket }),
            len => {
                Err(malformed!("expected ClustermapChangeNotification to have 4 or 16 bytes of extras, found {len}"))
            }
        }
    }

    /// The request, in its brief form (the map itself is the caller's value, if it is to have one).
    pub fn request(&self, opaque: Opaque) -> FrameBuilder {
        let extras: Vec<u8> = match self.epoch {
            Some(epoch) => [epoch.to_be_bytes(), self.revision.to_be_bytes()].concat(),
            None => u32::try_from(self.revision).unwrap_or_default().to_be_bytes().to_vec(),
        };
        FrameBuilder::server_request(ServerOpcode::CLUSTERMAP_CHANGE_NOTIFICATION)
            .opaque(opaque)
            .extras(extras)
            .key(self.bucket.as_bytes())
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        if self.epoch.is_some() {
            put!(to, self, epoch);
        }
        put!(to, self, revision);
    }
}
