//! The few frames that both ends say, and what of a frame they look at.

/// Bytes of a header.
pub(crate) const HEADER: usize = 24;
pub(crate) const REQUEST: u8 = 0x80;
pub(crate) const RESPONSE: u8 = 0x81;
pub(crate) const NOOP: u8 = 0x0a;
pub(crate) const OPEN: u8 = 0x50;
pub(crate) const STREAM_REQ: u8 = 0x53;
pub(crate) const MARKER: u8 = 0x56;
pub(crate) const MUTATION: u8 = 0x57;
/// by_seqno, rev_seqno, flags, expiration, lock time, nmeta, nru.
pub(crate) const MUTATION_EXTRAS: usize = 31;

/// What stands in a header that either end varies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head {
    pub(crate) magic: u8,
    pub(crate) opcode: u8,
    /// Of a response: the status.
    pub(crate) vbucket: u16,
    pub(crate) opaque: u32,
    pub(crate) cas: u64,
}

/// A frame.
pub(crate) fn frame(head: Head, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER + extras.len() + key.len() + value.len());
    frame.extend_from_slice(&[head.magic, head.opcode]);
    frame.extend_from_slice(&(key.len() as u16).to_be_bytes());
    frame.extend_from_slice(&[extras.len() as u8, 0]);
    frame.extend_from_slice(&head.vbucket.to_be_bytes());
    frame.extend_from_slice(&((extras.len() + key.len() + value.len()) as u32).to_be_bytes());
    frame.extend_from_slice(&head.opaque.to_be_bytes());
    frame.extend_from_slice(&head.cas.to_be_bytes());
    [extras, key, value].iter().for_each(|part| frame.extend_from_slice(part));
    frame
}

/// Successful, and with the request's opaque.
pub(crate) fn answer(request: &[u8], value: &[u8]) -> Vec<u8> {
    let head = Head { magic: RESPONSE, opcode: request[1], opaque: opaque(request), ..Head::default() };
    frame(head, &[], &[], value)
}

/// A consumer asks for a producer. Its name tells our source what is wanted of it.
pub(crate) fn open(name: &str) -> Vec<u8> {
    const PRODUCER: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 1];
    frame(Head { magic: REQUEST, opcode: OPEN, opaque: u32::MAX, ..Head::default() }, &PRODUCER, name.as_bytes(), &[])
}

/// All of a vbucket, from its beginning and without an end.
pub(crate) fn stream_request(vbucket: u16) -> Vec<u8> {
    let mut extras = [0; 48];
    extras[16..24].copy_from_slice(&u64::MAX.to_be_bytes());
    frame(
        Head { magic: REQUEST, opcode: STREAM_REQ, vbucket, opaque: stream_opaque(vbucket), cas: 0 },
        &extras,
        &[],
        &[],
    )
}

/// The opaque of the stream that [`stream_request`] asks for.
pub(crate) fn stream_opaque(vbucket: u16) -> u32 {
    u32::from(vbucket) + 1
}

pub(crate) fn noop(opaque: u32) -> Vec<u8> {
    frame(Head { magic: REQUEST, opcode: NOOP, opaque, ..Head::default() }, &[], &[], &[])
}

pub(crate) fn marker(vbucket: u16, start_seqno: u64, end_seqno: u64) -> Vec<u8> {
    const MEMORY: u32 = 1;
    let mut extras = [0; 20];
    extras[..8].copy_from_slice(&start_seqno.to_be_bytes());
    extras[8..16].copy_from_slice(&end_seqno.to_be_bytes());
    extras[16..].copy_from_slice(&MEMORY.to_be_bytes());
    let opaque = stream_opaque(vbucket);
    frame(Head { magic: REQUEST, opcode: MARKER, vbucket, opaque, cas: 0 }, &extras, &[], &[])
}

/// One entry: a vbucket that has always been this one.
pub(crate) fn failover_log() -> [u8; 16] {
    let mut log = [0; 16];
    log[7] = 1;
    log
}

pub(crate) fn opaque(header: &[u8]) -> u32 {
    u32_at(header, 12)
}

pub(crate) fn vbucket(header: &[u8]) -> u16 {
    u16::from_be_bytes([header[6], header[7]])
}

pub(crate) fn key_len(header: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([header[2], header[3]]))
}

/// Extras, key and value together.
pub(crate) fn body_len(header: &[u8]) -> usize {
    u32_at(header, 8) as usize
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
