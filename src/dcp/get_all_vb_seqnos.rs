use super::Malformed;
use super::MemberName;
use super::MemberSink;
use super::check;
use super::malformed::malformed;
use super::member::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// GET_ALL_VB_SEQNOS: asks for the highest seqno of each vbucket (dcp-protocol.md §2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GetAllVbSeqnos {
    /// Only vbuckets in this state (0 alive, 1 active, 2 replica, 3 pending, 4 dead).
    pub state: Option<u32>,
    /// Only what this collection has.
    pub collection_id: Option<u32>,
}

/// The answer to [`GetAllVbSeqnos`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VbSeqnos {
    /// Sorted by vbucket.
    pub entries: Vec<VbSeqno>,
}

/// One vbucket's highest seqno.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VbSeqno {
    /// Which.
    pub vbucket: u16,
    /// Its highest seqno.
    pub seqno: u64,
}

impl GetAllVbSeqnos {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// Extras of another length than 0, 4 or 8; a key or a value.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::no_key(frame)?;
        check::no_value(frame)?;
        let mut fields = check::Fields(frame.extras());
        match frame.extras().len() {
            0 => Ok(Self::default()),
            4 => Ok(Self { state: Some(fields.u32()), collection_id: None }),
            8 => Ok(Self { state: Some(fields.u32()), collection_id: Some(fields.u32()) }),
            len => Err(malformed!("expected GET_ALL_VB_SEQNOS to have 0, 4 or 8 bytes of extras, found {len}")),
        }
    }

    /// The request. A collection without a state asks for vbuckets that are alive.
    pub fn request(&self, opaque: Opaque) -> FrameBuilder {
        let mut extras = Vec::new();
        if self.state.is_some() || self.collection_id.is_some() {
            extras.extend(self.state.unwrap_or_default().to_be_bytes());
        }
        extras.extend(self.collection_id.into_iter().flat_map(u32::to_be_bytes));
        FrameBuilder::request(Opcode::GET_ALL_VB_SEQNOS).opaque(opaque).extras(extras)
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        if self.state.is_some() {
            put!(to, self, state);
        }
        if self.collection_id.is_some() {
            put!(to, self, collection_id);
        }
    }
}

impl VbSeqnos {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A value that is not a multiple of 10 bytes.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        let entries = check::list(frame, 10)?
            .map(check::Fields)
            .map(|mut entry| VbSeqno { vbucket: entry.u16(), seqno: entry.u64() })
            .collect();
        Ok(Self { entries })
    }

    /// The response.
    pub fn response(&self, opaque: Opaque) -> FrameBuilder {
        let mut value = Vec::with_capacity(self.entries.len().saturating_mul(10));
        for entry in &self.entries {
            value.extend(entry.vbucket.to_be_bytes());
            value.extend(entry.seqno.to_be_bytes());
        }
        FrameBuilder::response(Opcode::GET_ALL_VB_SEQNOS, Status::SUCCESS).opaque(opaque).value(value)
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        to.open_list(MemberName::entries);
        for entry in &self.entries {
            to.open_object();
            put!(to, entry, vbucket, seqno);
            to.close_object();
        }
        to.close_list();
    }
}
