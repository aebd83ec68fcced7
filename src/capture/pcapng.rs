use std::io::Read;

use pcap_parser::Block;
use pcap_parser::OptionCode;
use pcap_parser::parse_block_be;
use pcap_parser::parse_block_le;
use pcap_parser::parse_sectionheaderblock;

use super::CaptureError;
use super::file::MAX_RECORD;
use super::file::cut;
use super::file::u32_at;
use super::source::Source;
use crate::Timestamp;

pub(super) const SECTION_HEADER_BLOCK: u32 = 0x0a0d_0d0a;
/// Enough of a section header to know its byte order.
pub(super) const SECTION_START: usize = 12;
const BLOCK_HEADER: usize = 8;
/// The most interfaces that a section is believed to have.
const MAX_INTERFACES: usize = 65_536;
/// Where the packet begins in an enhanced, and in a simple packet block.
const ENHANCED_PACKET_DATA: usize = 28;
const SIMPLE_PACKET_DATA: usize = 12;

/// A section of a pcapng file: blocks in one byte order, and the interfaces that their packets are of.
pub(super) struct Section {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// What a simple packet block, which has no time of its own, is given.
    last: Timestamp,
}

/// A packet in the block that the source holds.
pub(super) struct Located {
    pub(super) at: Timestamp,
    pub(super) link: u16,
    pub(super) wire_len: u32,
    /// Where in the block it begins.
    pub(super) data: usize,
    pub(super) captured: u32,
}

#[derive(Clone, Copy)]
struct Interface {
    link: u16,
    snaplen: u32,
    /// Units of the packets' times in a second.
    resolution: u128,
    /// Seconds to be added to the packets' times.
    offset: i64,
}

impl Section {
    /// Reads the rest of a section header, of which the source holds `found` bytes.
    pub(super) fn open<R: Read>(source: &mut Source<R>, found: usize, last: Timestamp) -> Result<Self, CaptureError> {
        let offset = source.offset().saturating_sub(found as u64);
        if found < SECTION_START {
            return Err(cut(source, "a section header", SECTION_START, found));
        }
        let mark = u32_at(source.bytes(), 8, true);
        let big_endian = match mark {
            Some(0x1a2b_3c4d) => true,
            Some(0x4d3c_2b1a) => false,
            _ => {
                return Err(CaptureError::Damaged {
                    offset,
                    expected: "a section header with the byte-order mark 1a2b3c4d".into(),
                    found: format!("{:08x}", mark.unwrap_or_default()),
                });
            }
        };
        let len = u32_at(source.bytes(), 4, big_endian).unwrap_or_default();
        whole_block(source, offset, len)?;
        if parse_sectionheaderblock(source.bytes()).is_err() {
            return Err(CaptureError::Damaged {
                offset,
                expected: format!("a section header of {len} bytes"),
                found: "one that cannot be read".into(),
            });
        }
        Ok(Self { big_endian, interfaces: Vec::new(), last })
    }

    /// Reads blocks until the source holds one that has a packet.
    pub(super) fn seek_packet<R: Read>(&mut self, source: &mut Source<R>) -> Result<Option<Located>, CaptureError> {
        loop {
            let offset = source.offset();
            let found = source.read(BLOCK_HEADER)?;
            if found == 0 {
                return Ok(None);
            }
            let big_endian = self.big_endian;
            let kind = u32_at(source.bytes(), 0, big_endian);
            if kind == Some(SECTION_HEADER_BLOCK) {
                let found = source.more(SECTION_START.saturating_sub(BLOCK_HEADER))?;
                *self = Self::open(source, found, self.last)?;
                continue;
            }
            let len = u32_at(source.bytes(), 4, big_endian)
                .ok_or_else(|| cut(source, "a block's header", BLOCK_HEADER, found))?;
            whole_block(source, offset, len)?;
            let parse = if big_endian { parse_block_be } else { parse_block_le };
            match parse(source.bytes()) {
                Ok((_, Block::InterfaceDescription(_))) if self.interfaces.len() >= MAX_INTERFACES => {
                    return Err(CaptureError::Damaged {
                        offset,
                        expected: format!("at most {MAX_INTERFACES} interfaces in a section"),
                        found: "one more".into(),
                    });
                }
                Ok((_, Block::InterfaceDescription(block))) => self.interfaces.push(Interface {
                    link: u16::try_from(block.linktype.0).unwrap_or(u16::MAX),
                    snaplen: block.snaplen,
                    resolution: units_in_a_second(block.if_tsresol),
                    offset: block
                        .options
                        .iter()
                        .find(|option| option.code == OptionCode::IfTsoffset)
                        .and_then(|option| option.value().first_chunk().copied())
                        .map_or(0, if big_endian { i64::from_be_bytes } else { i64::from_le_bytes }),
                }),
                Ok((_, Block::EnhancedPacket(block))) => {
                    let interface = usize::try_from(block.if_id).ok().and_then(|id| self.interfaces.get(id)).copied();
                    let interface =
                        interface.ok_or_else(|| no_interface(offset, block.if_id, self.interfaces.len()))?;
                    self.last = interface.time(u64::from(block.ts_high).wrapping_shl(32) | u64::from(block.ts_low));
                    return Ok(Some(Located {
                        at: self.last,
                        link: interface.link,
                        wire_len: block.origlen,
                        data: ENHANCED_PACKET_DATA,
                        captured: block.caplen,
                    }));
                }
                Ok((_, Block::SimplePacket(block))) => {
                    let interface = self.interfaces.first().copied().ok_or_else(|| no_interface(offset, 0, 0))?;
                    let limit = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
                    let data = u32::try_from(block.data.len()).unwrap_or(u32::MAX);
                    return Ok(Some(Located {
                        at: self.last,
                        link: interface.link,
                        wire_len: block.origlen,
                        data: SIMPLE_PACKET_DATA,
                        captured: block.origlen.min(limit).min(data),
                    }));
                }
                Ok(_) => {}
                Err(_) => {
                    return Err(CaptureError::Damaged {
                        offset,
                        expected: format!("a pcapng block of {len} bytes"),
                        found: format!("one of type 0x{:08x} that cannot be read", kind.unwrap_or_default()),
                    });
                }
            }
        }
    }
}

impl Interface {
    fn time(self, units: u64) -> Timestamp {
        let nanos = u128::from(units).saturating_mul(1_000_000_000).checked_div(self.resolution).unwrap_or_default();
        let offset = i128::from(self.offset).saturating_mul(1_000_000_000);
        let nanos = i128::try_from(nanos).unwrap_or(i128::MAX).saturating_add(offset);
        Timestamp(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }
}

/// What an interface's `if_tsresol` says: a negative power of 2 where its top bit is set, else one of 10. (pcap-parser's
/// own reading of it refuses all powers of 2.)
fn units_in_a_second(resolution: u8) -> u128 {
    let (base, exponent): (u128, u8) = if resolution & 0x80 == 0 { (10, resolution) } else { (2, resolution & 0x7f) };
    base.saturating_pow(exponent.into())
}

/// Reads the rest of a block of `len` bytes, the front of which is held.
fn whole_block<R: Read>(source: &mut Source<R>, offset: u64, len: u32) -> Result<(), CaptureError> {
    if len > MAX_RECORD || !len.is_multiple_of(4) || len < 12 {
        return Err(CaptureError::Damaged {
            offset,
            expected: format!("a pcapng block of 12 to {MAX_RECORD} bytes, a multiple of 4"),
            found: format!("one that claims {len}"),
        });
    }
    let len = len as usize;
    let missing = len.saturating_sub(source.bytes().len());
    let found = source.more(missing)?;
    if found < len { Err(cut(source, "a block", len, found)) } else { Ok(()) }
}

fn no_interface(offset: u64, id: u32, known: usize) -> CaptureError {
    CaptureError::Damaged {
        offset,
        expected: format!("a packet of one of the {known} interfaces described before it"),
        found: format!("interface {id}"),
    }
}
