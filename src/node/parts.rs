use super::Quirk;
use super::terms::Terms;
use crate::era::Era;
use crate::wire::Datatype;
use crate::wire::FrameInfo;
use crate::wire::HEADER_LEN;
use crate::wire::Magic;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// Which stream a frame belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Address {
    pub(super) vbucket: u16,
    pub(super) opaque: Opaque,
    pub(super) stream_id: Option<u16>,
}

/// A frame in its parts.
pub(super) struct Parts<'a> {
    pub(super) opcode: Opcode,
    pub(super) datatype: Datatype,
    pub(super) cas: u64,
    pub(super) extras: &'a [u8],
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(super) const fn bare(opcode: Opcode, extras: &'a [u8]) -> Self {
        Self { opcode, datatype: Datatype::RAW, cas: 0, extras, key: &[], value: &[] }
    }

    /// Appends the frame and gives its charge (dcp-protocol.md §5).
    pub(super) fn write(&self, to: &Address, terms: &Terms, out: &mut Vec<u8>) -> u32 {
        let carries_stream_id = !matches!(
            self.opcode,
            Opcode::DCP_PREPARE | Opcode::DCP_COMMIT | Opcode::DCP_ABORT | Opcode::DCP_SET_VBUCKET_STATE
        );
        let stream_id = to.stream_id.filter(|_| carries_stream_id);
        let framing = if stream_id.is_some() { 3 } else { 0 };
        let body_len = framing + self.extras.len() + self.key.len() + self.value.len();
        out.reserve(HEADER_LEN + body_len);
        match stream_id {
            Some(_) => out.extend([Magic::FLEX_REQUEST.0, self.opcode.0, 3, self.key.len() as u8]),
            None => {
                let [hi, lo] = (self.key.len() as u16).to_be_bytes();
                out.extend([Magic::REQUEST.0, self.opcode.0, hi, lo]);
            }
        }
        out.extend([self.extras.len() as u8, self.datatype.0]);
        out.extend(to.vbucket.to_be_bytes());
        out.extend((body_len as u32).to_be_bytes());
        out.extend(to.opaque.0);
        out.extend(self.cas.to_be_bytes());
        if let Some(id) = stream_id {
            let [hi, lo] = id.to_be_bytes();
            out.extend([(FrameInfo::STREAM_ID as u8) << 4 | 2, hi, lo]);
        }
        out.extend_from_slice(self.extras);
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.value);
        charge(self.opcode, (HEADER_LEN + body_len) as u32, framing as u32, terms)
    }
}

/// What a frame costs (dcp-protocol.md §5): its length, 2 more for a PREPARE (MB-46634).
pub(super) fn charge(opcode: Opcode, len: u32, framing: u32, terms: &Terms) -> u32 {
    // MB-40277, MB-42506: before 7.0 the bytes of the stream id were forgotten.
    let forgets = |quirk| terms.era < Era::V7_0 || terms.has(quirk);
    match opcode {
        Opcode::DCP_PREPARE if terms.has(Quirk::Mb46634) => len,
        Opcode::DCP_PREPARE => len + 2,
        Opcode::DCP_MUTATION | Opcode::DCP_SNAPSHOT_MARKER | Opcode::DCP_SYSTEM_EVENT if forgets(Quirk::Mb40277) => {
            len - framing
        }
        Opcode::DCP_STREAM_END if forgets(Quirk::Mb42506) => len - framing,
        _ => len,
    }
}
