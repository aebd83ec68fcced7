use std::io::Read;

use pcap_parser::PcapHeader;
use pcap_parser::parse_pcap_frame;
use pcap_parser::parse_pcap_frame_be;
use pcap_parser::parse_pcap_frame_modified;
use pcap_parser::parse_pcap_header;

use super::CaptureError;
use super::pcapng::SECTION_HEADER_BLOCK;
use super::pcapng::SECTION_START;
use super::pcapng::Section;
use super::source::Source;
use crate::Timestamp;

/// The longest packet record or block that is believed.
pub(super) const MAX_RECORD: u32 = 16 * 1024 * 1024;
/// Of a pcap header's last field, the bits that are the link type; the upper ones tell of a frame check sequence.
const LINK_TYPE_BITS: i32 = 0xffff;
const PCAP_HEADER: usize = 24;

/// One packet of a capture file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Packet<'a> {
    pub(super) at: Timestamp,
    /// The link type's number, as registered for pcap.
    pub(super) link: u16,
    /// Bytes that it had on the wire.
    pub(super) wire_len: u32,
    /// The bytes that were captured.
    pub(super) bytes: &'a [u8],
}

/// The packets of a pcap or pcapng file, in file order.
pub(super) struct PacketFile<R> {
    source: Source<R>,
    format: Format,
}

enum Format {
    Pcap(PcapHeader),
    PcapNg(Section),
}

impl<R: Read> PacketFile<R> {
    pub(super) fn open(reader: R) -> Result<Self, CaptureError> {
        let mut source = Source::new(reader)?;
        let found = source.read(SECTION_START)?;
        let start: &[u8] = source.bytes();
        if start.starts_with(&SECTION_HEADER_BLOCK.to_be_bytes()) {
            let section = Section::open(&mut source, found, Timestamp(0))?;
            return Ok(Self { source, format: Format::PcapNg(section) });
        }
        let magic = start.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        let known = magic.is_some_and(|m| {
            [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34].contains(&m) || [0xd4c3_b2a1, 0x4d3c_b2a1].contains(&m)
        });
        if !known {
            let found = start.get(..start.len().min(4)).unwrap_or_default();
            return Err(CaptureError::NotACapture { found: found.to_vec() });
        }
        let found = source.more(PCAP_HEADER.saturating_sub(SECTION_START))?;
        let Ok((_, header)) = parse_pcap_header(source.bytes()) else {
            return Err(cut(&source, "the file header", PCAP_HEADER, found));
        };
        Ok(Self { source, format: Format::Pcap(header) })
    }

    /// The next packet; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        match &self.format {
            Format::Pcap(header) => {
                let header = header.clone();
                self.record(&header)
            }
            Format::PcapNg(_) => self.block(),
        }
    }

    fn record(&mut self, file: &PcapHeader) -> Result<Option<Packet<'_>>, CaptureError> {
        let offset = self.source.offset();
        let header_len = if file.is_modified_format() { 24 } else { 16 };
        let found = self.source.read(header_len)?;
        if found == 0 {
            return self.end();
        }
        let captured = u32_at(self.source.bytes(), 8, file.is_bigendian())
            .filter(|_| found == header_len)
            .ok_or_else(|| cut(&self.source, "a packet's header", header_len, found))?;
        if captured > MAX_RECORD {
            return Err(CaptureError::Damaged {
                offset,
                expected: format!("a packet of at most {MAX_RECORD} bytes"),
                found: format!("one that claims {captured}"),
            });
        }
        let whole = header_len.saturating_add(captured as usize);
        let found = self.source.more(captured as usize)?;
        let parse = if file.is_modified_format() {
            parse_pcap_frame_modified
        } else if file.is_bigendian() {
            parse_pcap_frame_be
        } else {
            parse_pcap_frame
        };
        let Ok((_, frame)) = parse(self.source.bytes()) else {
            return Err(cut(&self.source, "a packet", whole, found));
        };
        let scale = if file.is_nanosecond_precision() { 1 } else { 1_000 };
        let at = u64::from(frame.ts_sec)
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::from(frame.ts_usec).saturating_mul(scale));
        let link = u16::try_from(file.network.0 & LINK_TYPE_BITS).unwrap_or(u16::MAX);
        Ok(Some(Packet { at: Timestamp(at), link, wire_len: frame.origlen, bytes: frame.data }))
    }

    fn block(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        let Format::PcapNg(section) = &mut self.format else { return Ok(None) };
        let Some(found) = section.seek_packet(&mut self.source)? else { return self.end() };
        let bytes = self.source.bytes().get(found.data..).unwrap_or_default();
        let bytes = bytes.get(..found.captured as usize).unwrap_or(bytes);
        Ok(Some(Packet { at: found.at, link: found.link, wire_len: found.wire_len, bytes }))
    }

    fn end(&self) -> Result<Option<Packet<'_>>, CaptureError> {
        if self.source.gzip_cut() {
            return Err(CaptureError::CutGzip { offset: self.source.offset() });
        }
        Ok(None)
    }
}

pub(super) fn cut<R: Read>(source: &Source<R>, what: &'static str, expected: usize, found: usize) -> CaptureError {
    CaptureError::Cut {
        what,
        offset: source.offset().saturating_sub(found as u64),
        expected: expected as u64,
        found: found as u64,
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize, big_endian: bool) -> Option<u32> {
    let four = bytes.get(at..at.saturating_add(4))?.try_into().ok()?;
    Some(if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests;
