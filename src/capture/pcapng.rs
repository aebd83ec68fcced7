use pcap_parser::Block;
use pcap_parser::OptionCode;
use pcap_parser::parse_block_be;
use pcap_parser::parse_block_le;
use pcap_parser::parse_sectionheaderblock;

use super::CaptureError;
use super::comments::Comments;
use super::file::MAX_RECORD;
use super::file::cut;
use super::file::u32_at;
use super::source::Source;
use crate::Timestamp;

pub(super) const SECTION_HEADER_BLOCK: u32 = 0x0a0d_0d0a;
/// Enough of a section header to know its byte order.
pub(super) const SECTION_START: usize = 12;
/// The type and the length that each block begins with, and the length that it ends with.
const BLOCK_HEADER: usize = 8;
const BLOCK_END: usize = 4;
/// The most interfaces that a section is believed to have.
const MAX_INTERFACES: usize = 65_536;

/// Blocks that hold a packet, and where in them it begins.
mod packet_block {
    /// Deprecated, and of the same shape as the enhanced one, but for two bytes of its interface's number, which count drops.
    pub(super) const OBSOLETE: u32 = 2;
    pub(super) const SIMPLE: u32 = 3;
    pub(super) const ENHANCED: u32 = 6;
    pub(super) const DATA: usize = 28;
    pub(super) const SIMPLE_DATA: usize = 12;
}

/// A section of a pcapng file: blocks in one byte order, and the interfaces that their packets are of.
pub(super) struct Section {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// What a simple packet block, which has no time of its own, is given.
    last: Timestamp,
}

/// A packet in the block that the source holds.
pub(super) struct Located {
    /// Bytes of the whole block.
    pub(super) block: usize,
    pub(super) at: Timestamp,
    pub(super) link: u16,
    pub(super) wire_len: u32,
    /// Where in the block it begins.
    pub(super) data: usize,
    pub(super) captured: u32,
    /// Whether options may follow it.
    pub(super) has_options: bool,
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
    /// Reads a section header.
    pub(super) fn open(source: &mut Source<'_>, last: Timestamp) -> Result<Self, CaptureError> {
        let offset = source.offset();
        let start = source.ahead(SECTION_START)?;
        let (found, mark) = (start.len(), u32_at(start, 8, true));
        if found < SECTION_START {
            return Err(cut(source, "a section header", SECTION_START, found));
        }
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
        let len = u32_at(start, 4, big_endian).unwrap_or_default();
        let block = whole_block(source, len)?;
        if parse_sectionheaderblock(block).is_err() {
            return Err(CaptureError::Damaged {
                offset,
                expected: format!("a section header of {len} bytes"),
                found: "one that cannot be read".into(),
            });
        }
        source.take(len as usize)?;
        Ok(Self { big_endian, interfaces: Vec::new(), last })
    }

    /// The comments of the packet in a block.
    pub(super) fn comments<'b>(&self, block: &'b [u8], found: &Located) -> Comments<'b> {
        let options = found.data.saturating_add((found.captured as usize).next_multiple_of(4));
        let options = block.get(options..block.len().saturating_sub(BLOCK_END)).filter(|_| found.has_options);
        Comments::new(options.unwrap_or_default(), self.big_endian)
    }

    /// Moves the source to the next block that has a packet, which is whole there.
    pub(super) fn seek_packet(&mut self, source: &mut Source<'_>) -> Result<Option<Located>, CaptureError> {
        loop {
            let offset = source.offset();
            let big_endian = self.big_endian;
            let header = source.ahead(BLOCK_HEADER)?;
            let found = header.len();
            if found == 0 {
                return Ok(None);
            }
            let (Some(kind), Some(len)) = (u32_at(header, 0, big_endian), u32_at(header, 4, big_endian)) else {
                return Err(cut(source, "a block's header", BLOCK_HEADER, found));
            };
            if kind == SECTION_HEADER_BLOCK {
                *self = Self::open(source, self.last)?;
                continue;
            }
            let block = whole_block(source, len)?;
            if u32_at(block, block.len().saturating_sub(BLOCK_END), big_endian) != Some(len) {
                return Err(unreadable(offset, block.len(), kind));
            }
            let located = match kind {
                packet_block::ENHANCED | packet_block::OBSOLETE => Some(self.packet(kind, block, offset)?),
                packet_block::SIMPLE => Some(self.simple(block, offset)?),
                _ => None,
            };
            if let Some(located) = located {
                self.last = located.at;
                return Ok(Some(located));
            }
            self.other(block, offset, kind)?;
            source.take(len as usize)?;
        }
    }

    /// A packet with its interface and its time.
    fn packet(&self, kind: u32, block: &[u8], offset: u64) -> Result<Located, CaptureError> {
        let field = |at| u32_at(block, at, self.big_endian);
        let (Some(id), Some(high), Some(low), Some(captured), Some(wire_len)) =
            (field(8), field(12), field(16), field(20), field(24))
        else {
            return Err(unreadable(offset, block.len(), kind));
        };
        let id = match (kind, self.big_endian) {
            (packet_block::ENHANCED, _) => id,
            (_, true) => id >> 16,
            (_, false) => id & 0xffff,
        };
        let room = block.len().saturating_sub(packet_block::DATA.saturating_add(BLOCK_END));
        if captured as usize > room {
            return Err(CaptureError::Damaged {
                offset,
                expected: format!("a packet of at most {room} bytes in a block of {}", block.len()),
                found: format!("one that claims {captured}"),
            });
        }
        let interface = usize::try_from(id).ok().and_then(|id| self.interfaces.get(id)).copied();
        let interface = interface.ok_or_else(|| no_interface(offset, id, self.interfaces.len()))?;
        Ok(Located {
            block: block.len(),
            at: interface.time(u64::from(high).wrapping_shl(32) | u64::from(low)),
            link: interface.link,
            wire_len,
            data: packet_block::DATA,
            captured,
            has_options: true,
        })
    }

    /// A packet of the first interface, which has no time of its own: it gets that of the packet before it.
    fn simple(&self, block: &[u8], offset: u64) -> Result<Located, CaptureError> {
        let wire_len = u32_at(block, 8, self.big_endian)
            .filter(|_| block.len() >= packet_block::SIMPLE_DATA.saturating_add(BLOCK_END))
            .ok_or_else(|| unreadable(offset, block.len(), packet_block::SIMPLE))?;
        let interface = self.interfaces.first().copied().ok_or_else(|| no_interface(offset, 0, 0))?;
        let limit = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
        let room = block.len().saturating_sub(packet_block::SIMPLE_DATA.saturating_add(BLOCK_END));
        Ok(Located {
            block: block.len(),
            at: self.last,
            link: interface.link,
            wire_len,
            data: packet_block::SIMPLE_DATA,
            captured: wire_len.min(limit).min(u32::try_from(room).unwrap_or(u32::MAX)),
            has_options: false,
        })
    }

    /// A block without a packet: an interface, or something that is passed over.
    fn other(&mut self, block: &[u8], offset: u64, kind: u32) -> Result<(), CaptureError> {
        let parse = if self.big_endian { parse_block_be } else { parse_block_le };
        match parse(block) {
            Ok((_, Block::InterfaceDescription(_))) if self.interfaces.len() >= MAX_INTERFACES => {
                Err(CaptureError::Damaged {
                    offset,
                    expected: format!("at most {MAX_INTERFACES} interfaces in a section"),
                    found: "one more".into(),
                })
            }
            Ok((_, Block::InterfaceDescription(block))) => {
                self.interfaces.push(Interface {
                    link: u16::try_from(block.linktype.0).unwrap_or(u16::MAX),
                    snaplen: block.snaplen,
                    resolution: units_in_a_second(block.if_tsresol),
                    offset: block
                        .options
                        .iter()
                        .find(|option| option.code == OptionCode::IfTsoffset)
                        .and_then(|option| option.value().first_chunk().copied())
                        .map_or(0, if self.big_endian { i64::from_be_bytes } else { i64::from_le_bytes }),
                });
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(_) => Err(unreadable(offset, block.len(), kind)),
        }
    }
}

impl Interface {
    fn time(self, units: u64) -> Timestamp {
        if self.resolution == 1_000_000_000 && self.offset == 0 {
            return Timestamp(units);
        }
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

/// The whole block of `len` bytes that the source is at.
fn whole_block<'s>(source: &'s mut Source<'_>, len: u32) -> Result<&'s [u8], CaptureError> {
    let offset = source.offset();
    if len > MAX_RECORD || !len.is_multiple_of(4) || len < 12 {
        return Err(CaptureError::Damaged {
            offset,
            expected: format!("a pcapng block of 12 to {MAX_RECORD} bytes, a multiple of 4"),
            found: format!("one that claims {len}"),
        });
    }
    let len = len as usize;
    let found = source.ahead(len)?.len();
    if found < len {
        return Err(cut(source, "a block", len, found));
    }
    Ok(source.ahead(len)?)
}

fn unreadable(offset: u64, len: usize, kind: u32) -> CaptureError {
    CaptureError::Damaged {
        offset,
        expected: format!("a pcapng block of {len} bytes"),
        found: format!("one of type 0x{kind:08x} that cannot be read"),
    }
}

fn no_interface(offset: u64, id: u32, known: usize) -> CaptureError {
    CaptureError::Damaged {
        offset,
        expected: format!("a packet of one of the {known} interfaces described before it"),
        found: format!("interface {id}"),
    }
}
