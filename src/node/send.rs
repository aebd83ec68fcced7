//! How items and markers of a stream are put on the wire, by what was negotiated.

use super::data::Kind;
use super::document::Item;
use super::events;
use super::parts::Address;
use super::parts::Parts;
use super::parts::charge;
use super::terms::Terms;
use super::terms::Values;
use crate::dcp::MarkerVersion;
use crate::dcp::SnapshotMarker;
use crate::wire::Datatype;
use crate::wire::Opcode;
use crate::wire::leb128;

/// Writes the frames of streams. It keeps its buffers, so that an item costs no allocation.
#[derive(Debug)]
pub(super) struct Sender {
    value: Vec<u8>,
    compressed: Vec<u8>,
    key: Vec<u8>,
    snappy: snap::raw::Encoder,
}

impl Sender {
    pub(super) fn new() -> Self {
        Self { value: Vec::new(), compressed: Vec::new(), key: Vec::new(), snappy: snap::raw::Encoder::new() }
    }

    /// Appends the message of an item and gives its charge. `disk`: in a disk snapshot, where commits are mutations.
    pub(super) fn item(&mut self, item: &Item, disk: bool, terms: &Terms, to: &Address, out: &mut Vec<u8>) -> u32 {
        let (by_seqno, rev_seqno) = (item.outline.seqno.to_be_bytes(), item.rev_seqno.to_be_bytes());
        match item.outline.kind {
            Kind::CreateCollection { .. }
            | Kind::DropCollection { .. }
            | Kind::CreateScope { .. }
            | Kind::DropScope { .. } => {
                let Some(event) = events::event(item, terms.flatbuffers) else { return 0 };
                let before = out.len();
                event.request(&item.key, to.vbucket, to.opaque).stream_id(to.stream_id).write(out);
                let framing = if to.stream_id.is_some() { 3 } else { 0 };
                charge(Opcode::DCP_SYSTEM_EVENT, (out.len() - before) as u32, framing, terms)
            }
            Kind::Commit { prepared, .. } if !disk && terms.sync_writes => {
                self.completion(Opcode::DCP_COMMIT, prepared, item, terms, to, out)
            }
            Kind::Abort { prepared } => self.completion(Opcode::DCP_ABORT, prepared, item, terms, to, out),
            Kind::Prepare { level, deleted } => {
                let datatype = self.take(item, terms);
                let mut extras = written(item);
                extras[28] = NRU;
                extras[29] = deleted.into();
                extras[30] = level;
                self.document(Opcode::DCP_PREPARE, datatype, item.cas, &extras, terms, to, out)
            }
            Kind::Mutation | Kind::Commit { deleted: false, .. } => {
                let datatype = self.take(item, terms);
                let mut extras = written(item);
                extras[30] = NRU;
                self.document(Opcode::DCP_MUTATION, datatype, item.cas, &extras, terms, to, out)
            }
            Kind::Expiration if terms.expiry && terms.delete_times => {
                let datatype = self.take(item, terms);
                let mut extras = [0; 20];
                extras[..8].copy_from_slice(&by_seqno);
                extras[8..16].copy_from_slice(&rev_seqno);
                extras[16..].copy_from_slice(&item.delete_time.to_be_bytes());
                self.document(Opcode::DCP_EXPIRATION, datatype, item.cas, &extras, terms, to, out)
            }
            Kind::Deletion | Kind::Expiration | Kind::Commit { .. } => {
                let datatype = self.take(item, terms);
                let mut extras = [0; 21];
                extras[..8].copy_from_slice(&by_seqno);
                extras[8..16].copy_from_slice(&rev_seqno);
                if terms.delete_times {
                    let delete_time = if disk { item.delete_time } else { 0 };
                    extras[16..20].copy_from_slice(&delete_time.to_be_bytes());
                    self.document(Opcode::DCP_DELETION, datatype, item.cas, &extras, terms, to, out)
                } else {
                    self.document(Opcode::DCP_DELETION, datatype, item.cas, &extras[..18], terms, to, out)
                }
            }
        }
    }

    fn completion(
        &mut self,
        opcode: Opcode,
        prepared: u64,
        item: &Item,
        terms: &Terms,
        to: &Address,
        out: &mut Vec<u8>,
    ) -> u32 {
        self.key(item, terms);
        let mut extras = [0; 16];
        extras[..8].copy_from_slice(&prepared.to_be_bytes());
        extras[8..].copy_from_slice(&item.outline.seqno.to_be_bytes());
        Parts { key: &self.key, ..Parts::bare(opcode, &extras) }.write(to, terms, out)
    }

    #[allow(clippy::too_many_arguments)]
    fn document(
        &self,
        opcode: Opcode,
        datatype: Datatype,
        cas: u64,
        extras: &[u8],
        terms: &Terms,
        to: &Address,
        out: &mut Vec<u8>,
    ) -> u32 {
        let value =
            if datatype.contains(Datatype::SNAPPY) && !self.value.is_empty() { &self.compressed } else { &self.value };
        Parts { opcode, datatype, cas, extras, key: &self.key, value }.write(to, terms, out)
    }

    fn key(&mut self, item: &Item, terms: &Terms) {
        self.key.clear();
        if terms.collections {
            leb128::write(item.outline.collection, &mut self.key);
        }
        self.key.extend_from_slice(&item.key);
    }

    /// Makes the key and the value as they are sent, and gives the datatype.
    fn take(&mut self, item: &Item, terms: &Terms) -> Datatype {
        self.key(item, terms);
        self.value.clear();
        let mut datatype = Datatype::RAW;
        if terms.xattrs && !item.xattrs.is_empty() {
            datatype = datatype | Datatype::XATTR;
            self.value.extend((item.xattrs.len() as u32).to_be_bytes());
            self.value.extend_from_slice(&item.xattrs);
        }
        let stored_compressed = item.compressed && terms.snappy;
        match terms.values {
            Values::Whole => {
                self.value.extend_from_slice(&item.body);
                if item.json {
                    datatype = datatype | Datatype::JSON;
                }
            }
            Values::None => {}
            Values::NoneButDatatype => {
                if item.json {
                    datatype = datatype | Datatype::JSON;
                }
                if stored_compressed && !item.body.is_empty() {
                    datatype = datatype | Datatype::SNAPPY;
                }
            }
        }
        let compress = !self.value.is_empty()
            && (terms.force_compression || stored_compressed || datatype.contains(Datatype::SNAPPY));
        if compress {
            self.compressed.resize(snap::raw::max_compress_len(self.value.len()), 0);
            let len = self.snappy.compress(&self.value, &mut self.compressed).unwrap_or_default();
            self.compressed.truncate(len);
            datatype = datatype | Datatype::SNAPPY;
        }
        datatype
    }

    /// Appends a marker and gives its charge.
    pub(super) fn marker(&mut self, marker: &SnapshotMarker, terms: &Terms, to: &Address, out: &mut Vec<u8>) -> u32 {
        self.value.clear();
        self.value.extend(marker.start_seqno.to_be_bytes());
        self.value.extend(marker.end_seqno.to_be_bytes());
        self.value.extend(marker.flags.to_be_bytes());
        let version = match marker.version {
            MarkerVersion::V1 => {
                return Parts::bare(Opcode::DCP_SNAPSHOT_MARKER, &self.value).write(to, terms, out);
            }
            MarkerVersion::V2_0 | MarkerVersion::V2_1 => 0,
            MarkerVersion::V2_2 => 2,
        };
        self.value.extend(marker.max_visible_seqno.unwrap_or_default().to_be_bytes());
        self.value.extend(marker.high_completed_seqno.unwrap_or_default().to_be_bytes());
        if version == 2 {
            self.value.extend(marker.purge_seqno.unwrap_or_default().to_be_bytes());
            self.value.extend(marker.high_prepared_seqno.unwrap_or_default().to_be_bytes());
        }
        Parts { value: &self.value, ..Parts::bare(Opcode::DCP_SNAPSHOT_MARKER, &[version]) }.write(to, terms, out)
    }
}

/// Appends a STREAM_END and gives its charge.
pub(super) fn stream_end(reason: u32, terms: &Terms, to: &Address, out: &mut Vec<u8>) -> u32 {
    Parts::bare(Opcode::DCP_STREAM_END, &reason.to_be_bytes()).write(to, terms, out)
}

/// Appends a SEQNO_ADVANCED and gives its charge.
pub(super) fn seqno_advanced(seqno: u64, terms: &Terms, to: &Address, out: &mut Vec<u8>) -> u32 {
    Parts::bare(Opcode::DCP_SEQNO_ADVANCED, &seqno.to_be_bytes()).write(to, terms, out)
}

/// Appends a SET_VBUCKET_STATE and gives its charge.
pub(super) fn vbucket_state(state: u8, terms: &Terms, to: &Address, out: &mut Vec<u8>) -> u32 {
    Parts::bare(Opcode::DCP_SET_VBUCKET_STATE, &[state]).write(to, terms, out)
}

/// The extras of a mutation or a prepare, as far as the two are the same.
fn written(item: &Item) -> [u8; 31] {
    let mut extras = [0; 31];
    extras[..8].copy_from_slice(&item.outline.seqno.to_be_bytes());
    extras[8..16].copy_from_slice(&item.rev_seqno.to_be_bytes());
    extras[16..20].copy_from_slice(&item.flags.to_be_bytes());
    extras[20..24].copy_from_slice(&item.expiration.to_be_bytes());
    extras
}

/// The nru byte of a document that was just used.
const NRU: u8 = 0;

#[cfg(test)]
mod tests;
