use super::Malformed;
use super::MemberName;
use super::MemberSink;
use super::check;
use super::malformed::malformed;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// HELLO: what the client would like to use (dcp-protocol.md §2).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hello {
    /// The key: the client's name, or JSON with it.
    pub agent: String,
    /// The features asked for, as numbers: what is unknown survives. Constants at [`Feature`].
    pub features: Vec<u16>,
}

/// The answer to [`Hello`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HelloResponse {
    /// The features agreed.
    pub features: Vec<u16>,
}

/// The HELLO features that matter to DCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Feature;

#[allow(missing_docs)]
impl Feature {
    pub const XATTR: u16 = 0x06;
    pub const XERROR: u16 = 0x07;
    pub const SELECT_BUCKET: u16 = 0x08;
    pub const SNAPPY: u16 = 0x0a;
    pub const JSON: u16 = 0x0b;
    pub const DUPLEX: u16 = 0x0c;
    pub const UNORDERED_EXECUTION: u16 = 0x0e;
    pub const TRACING: u16 = 0x0f;
    pub const ALT_REQUESTS: u16 = 0x10;
    pub const SYNC_REPLICATION: u16 = 0x11;
    pub const COLLECTIONS: u16 = 0x12;
    pub const SNAPPY_EVERYWHERE: u16 = 0x13;
    pub const DEDUPE_NOT_MY_VBUCKET_CLUSTERMAP: u16 = 0x1e;
}

impl Hello {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A feature list of odd length; extras.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::no_extras(frame)?;
        Ok(Self { agent: check::text(frame.key()), features: features(frame)? })
    }

    /// The request.
    pub fn request(&self, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::request(Opcode::HELLO).opaque(opaque).key(self.agent.as_bytes()).value(bytes(&self.features))
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put_features(&self.features, to);
    }
}

impl HelloResponse {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A feature list of odd length.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        Ok(Self { features: features(frame)? })
    }

    /// The response.
    pub fn response(&self, opaque: Opaque) -> FrameBuilder {
        FrameBuilder::response(Opcode::HELLO, Status::SUCCESS).opaque(opaque).value(bytes(&self.features))
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        put_features(&self.features, to);
    }
}

fn put_features(features: &[u16], to: &mut impl MemberSink) {
    to.open_list(MemberName::features);
    for &feature in features {
        to.item(feature.into());
    }
    to.close_list();
}

fn features(frame: &Frame<'_>) -> Result<Vec<u16>, Malformed> {
    let len = frame.header().value_len();
    if !len.is_multiple_of(2) {
        return Err(malformed!("expected a HELLO feature list of an even length, found an odd one of {len} bytes"));
    }
    Ok(check::list(frame, 2)?.map(|feature| check::Fields(feature).u16()).collect())
}

fn bytes(features: &[u16]) -> Vec<u8> {
    features.iter().flat_map(|feature| feature.to_be_bytes()).collect()
}
