use super::Malformed;
use super::Negotiated;
use super::check;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// What a commit and an abort say: the seqno of the prepare, and their own (dcp-protocol.md §4.6).
pub(super) fn parse(frame: &Frame<'_>, negotiated: &Negotiated) -> Result<[u64; 2], Malformed> {
    check::raw(frame)?;
    check::key(frame, negotiated)?;
    check::no_value(frame)?;
    check::no_cas(frame)?;
    let mut fields = check::extras(frame, 16)?;
    Ok([fields.u64(), check::seqno(frame, fields.u64())?])
}

/// The request of that opcode with these seqnos.
pub(super) fn request(opcode: Opcode, seqnos: [u64; 2], vbucket: u16, opaque: Opaque) -> FrameBuilder {
    FrameBuilder::request(opcode).vbucket(vbucket).opaque(opaque).extras(seqnos.map(u64::to_be_bytes).as_flattened())
}
