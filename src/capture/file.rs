use pcap_parser::parse_pcap_header;

use super::CaptureError;
use super::comments::Comments;
use super::pcapng::SECTION_HEADER_BLOCK;
use super::pcapng::SECTION_START;
use super::pcapng::Section;
use super::source::Input;
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
    /// What the one who captured it says of it.
    pub(super) comments: Comments<'a>,
}

/// The packets of a pcap or pcapng file, in file order.
pub(super) struct PacketFile<'r> {
    source: Source<'r>,
    format: Format,
}

enum Format {
    Pcap(Pcap),
    PcapNg(Section),
}

/// What a pcap file's header says.
#[derive(Clone, Copy)]
struct Pcap {
    big_endian: bool,
    /// Nanoseconds in a unit of the packets' times.
    unit: u64,
    /// Bytes of a packet's header.
    header: usize,
    link: u16,
}

impl<'r> PacketFile<'r> {
    pub(super) fn open(input: Input<'r>) -> Result<Self, CaptureError> {
        let mut source = Source::new(input)?;
        let start: &[u8] = source.ahead(SECTION_START)?;
        if start.starts_with(&SECTION_HEADER_BLOCK.to_be_bytes()) {
            let section = Section::open(&mut source, Timestamp(0))?;
            return Ok(Self { source, format: Format::PcapNg(section) });
        }
        let magic = start.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        let known = magic.is_some_and(|m| {
            [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34].contains(&m) || [0xd4c3_b2a1, 0x4d3c_b2a1].contains(&m)
        });
        if !known {
            let found = start.get(..start.len().min(4)).unwrap_or_default().to_vec();
            source.end()?;
            return Err(CaptureError::NotACapture { found });
        }
        let header = source.ahead(PCAP_HEADER)?;
        let Ok((_, file)) = parse_pcap_header(header) else {
            let found = header.len();
            return Err(cut(&source, "the file header", PCAP_HEADER, found));
        };
        source.take(PCAP_HEADER)?;
        let pcap = Pcap {
            big_endian: file.is_bigendian(),
            unit: if file.is_nanosecond_precision() { 1 } else { 1_000 },
            header: if file.is_modified_format() { 24 } else { 16 },
            link: u16::try_from(file.network.0 & LINK_TYPE_BITS).unwrap_or(u16::MAX),
        };
        Ok(Self { source, format: Format::Pcap(pcap) })
    }

    /// The time of the first packet, which is still to be read; `None` where there is none.
    pub(super) fn first(&mut self) -> Result<Option<Timestamp>, CaptureError> {
        match &mut self.format {
            Format::Pcap(pcap) => Ok(pcap.time(self.source.ahead(pcap.header)?)),
            Format::PcapNg(section) => Ok(section.seek_packet(&mut self.source)?.map(|found| found.at)),
        }
    }

    /// The next packet; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        match &mut self.format {
            Format::Pcap(pcap) => pcap.record(&mut self.source),
            Format::PcapNg(section) => {
                let Some(found) = section.seek_packet(&mut self.source)? else {
                    return self.source.end().map(|()| None);
                };
                let block = self.source.take(found.block)?;
                let bytes = block.get(found.data..).unwrap_or_default();
                let bytes = bytes.get(..found.captured as usize).unwrap_or(bytes);
                let comments = section.comments(block, &found);
                Ok(Some(Packet { at: found.at, link: found.link, wire_len: found.wire_len, bytes, comments }))
            }
        }
    }
}

impl Pcap {
    /// The time that a packet's header tells.
    fn time(self, header: &[u8]) -> Option<Timestamp> {
        let (seconds, units) = (u32_at(header, 0, self.big_endian)?, u32_at(header, 4, self.big_endian)?);
        let at = u64::from(seconds).saturating_mul(1_000_000_000);
        Some(Timestamp(at.saturating_add(u64::from(units).saturating_mul(self.unit))))
    }

    fn record<'s>(self, source: &'s mut Source<'_>) -> Result<Option<Packet<'s>>, CaptureError> {
        let header = source.ahead(self.header)?;
        let found = header.len();
        if found == 0 {
            return source.end().map(|()| None);
        }
        let field = |at| u32_at(header, at, self.big_endian);
        let (Some(at), Some(captured), Some(wire_len)) = (self.time(header), field(8), field(12)) else {
            return Err(cut(source, "a packet's header", self.header, found));
        };
        if found < self.header {
            return Err(cut(source, "a packet's header", self.header, found));
        }
        if captured > MAX_RECORD {
            return Err(CaptureError::Damaged {
                offset: source.offset(),
                expected: format!("a packet of at most {MAX_RECORD} bytes"),
                found: format!("one that claims {captured}"),
            });
        }
        let whole = self.header.saturating_add(captured as usize);
        let found = source.ahead(whole)?.len();
        if found < whole {
            return Err(cut(source, "a packet", whole, found));
        }
        let bytes = source.take(whole)?.get(self.header..).unwrap_or_default();
        Ok(Some(Packet { at, link: self.link, wire_len, bytes, comments: Comments::default() }))
    }
}

/// What is at the source's place is cut off.
pub(super) fn cut(source: &Source<'_>, what: &'static str, expected: usize, found: usize) -> CaptureError {
    CaptureError::Cut { what, offset: source.offset(), expected: expected as u64, found: found as u64 }
}

pub(super) fn u32_at(bytes: &[u8], at: usize, big_endian: bool) -> Option<u32> {
    let four = bytes.get(at..at.saturating_add(4))?.try_into().ok()?;
    Some(if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests;
