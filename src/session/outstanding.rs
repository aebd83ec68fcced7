use std::collections::BTreeMap;

use super::StreamKey;
use crate::Timestamp;
use crate::journal::Origin;
use crate::journal::Side;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// Requests that are remembered at once. A peer that never answers costs no more memory than this.
const MAX_OUTSTANDING: usize = 16_384;

/// A request that awaits, or has just got, its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Who asked.
    pub by: Side,
    /// Whether a peer or the tool asked.
    pub origin: Origin,
    /// What.
    pub opcode: Opcode,
    /// The request's opaque.
    pub opaque: Opaque,
    /// When.
    pub at: Timestamp,
    /// The stream that it names, where it names one: key and generation.
    pub stream: Option<(StreamKey, u64)>,
    /// Counts all requests of the connection.
    pub serial: u64,
}

/// The requests that await an answer, by who asked, the opcode and the opaque. Opaques of the two directions are
/// independent (invariants.md J1), and one that is used again is answered in order.
#[derive(Clone, Debug, Default)]
pub struct Outstanding {
    asked: BTreeMap<(Side, Opcode, Opaque, u64), Asked>,
    by_age: BTreeMap<u64, (Side, Opcode, Opaque)>,
    serial: u64,
    overflowed: bool,
}

impl Outstanding {
    /// The requests of `by` that await an answer, by opcode.
    pub fn of(&self, by: Side) -> impl Iterator<Item = &Asked> {
        self.asked.values().filter(move |asked| asked.by == by)
    }

    /// The oldest request that an answer with this opcode and opaque, to `by`, would answer.
    pub fn find(&self, by: Side, opcode: Opcode, opaque: Opaque) -> Option<&Asked> {
        self.asked.range((by, opcode, opaque, 0)..=(by, opcode, opaque, u64::MAX)).next().map(|(_, asked)| asked)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.asked.len()
    }

    /// Whether every request was answered.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// The serial of the last request that expects an answer.
    pub const fn latest(&self) -> u64 {
        self.serial
    }

    /// Whether requests were forgotten because there were too many of them.
    pub const fn overflowed(&self) -> bool {
        self.overflowed
    }

    pub(super) fn ask(&mut self, mut asked: Asked) -> u64 {
        if self.asked.len() >= MAX_OUTSTANDING
            && let Some((serial, (by, opcode, opaque))) = self.by_age.pop_first()
        {
            self.asked.remove(&(by, opcode, opaque, serial));
            self.overflowed = true;
        }
        self.serial = self.serial.wrapping_add(1);
        asked.serial = self.serial;
        self.asked.insert((asked.by, asked.opcode, asked.opaque, asked.serial), asked);
        self.by_age.insert(asked.serial, (asked.by, asked.opcode, asked.opaque));
        asked.serial
    }

    pub(super) fn answer(&mut self, by: Side, opcode: Opcode, opaque: Opaque) -> Option<Asked> {
        let asked = *self.find(by, opcode, opaque)?;
        self.asked.remove(&(by, opcode, opaque, asked.serial));
        self.by_age.remove(&asked.serial);
        Some(asked)
    }
}
