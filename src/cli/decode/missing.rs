use std::collections::BTreeMap;

use crate::capture::Happened;
use crate::journal::Side;
use crate::journal::What;

/// What a capture does not hold: told on stderr, and at the next frame of the same sender.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Whether stderr is told.
    telling: bool,
    /// Bytes missing before the next frame of a connection's sender; 0 where their number is unknown.
    before: BTreeMap<(u64, Side), u64>,
    /// Gaps of the open connections, and whether these are told one by one.
    gaps: BTreeMap<u64, (u64, bool)>,
    /// Connections that have gaps.
    connections: u64,
    /// Connections of which framing was lost.
    lost: u64,
    /// Gaps of connections that were too many to be told one by one, and their bytes.
    more: (u64, u64),
}

/// A gap that has just been seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Gap {
    /// How many bytes; `None` where that is unknown.
    pub(super) bytes: Option<u64>,
    /// Bytes of its sender before it.
    pub(super) offset: Option<u64>,
}

impl Missing {
    /// So many connections, and gaps of each, are told one by one; the others are counted.
    const NAMED: u64 = 10;

    /// `telling`: stderr is told.
    pub(super) fn new(telling: bool) -> Self {
        Self { telling, ..Self::default() }
    }

    /// Takes in what happened and tells of gaps and lost framing on stderr; `who` sent it.
    pub(super) fn observe(&mut self, path: &str, conn: u64, who: &str, happened: &Happened<'_>) -> Option<Gap> {
        let sender = happened.entry.sender();
        match &happened.entry.what {
            What::Gap(bytes) => {
                let gap = Gap { bytes: *bytes, offset: happened.gap_offset };
                self.gap(path, conn, who, sender, gap);
                return Some(gap);
            }
            What::FramingLost(error) => {
                self.lost += 1;
                if self.lost <= Self::NAMED {
                    self.tell(format_args!(
                        "{path}: connection {conn}: what the {who} sent has no more frames: {error}"
                    ));
                }
            }
            What::Frame(_) | What::Paused(_) | What::Acted(_) | What::Closed { .. } => {}
        }
        None
    }

    fn gap(&mut self, path: &str, conn: u64, who: &str, sender: Side, gap: Gap) {
        let before = match (self.before.get(&(conn, sender)), gap.bytes) {
            (None, bytes) => bytes.unwrap_or_default(),
            (Some(0), _) | (_, None) => 0,
            (Some(before), Some(bytes)) => before.saturating_add(bytes),
        };
        self.before.insert((conn, sender), before);
        let named = self.gaps.contains_key(&conn) || self.connections < Self::NAMED;
        let (gaps, named) = self.gaps.entry(conn).or_insert((0, named));
        *gaps += 1;
        self.connections += u64::from(*gaps == 1);
        if !*named {
            self.more.0 += 1;
            self.more.1 = self.more.1.saturating_add(gap.bytes.unwrap_or_default());
        } else if *gaps <= Self::NAMED {
            let bytes =
                gap.bytes.map_or_else(|| "bytes of unknown number".to_owned(), |bytes| format!("{bytes} bytes"));
            let offset = gap.offset.map(|offset| format!(" at offset {offset}")).unwrap_or_default();
            self.tell(format_args!("{path}: connection {conn}: gap: {bytes} of the {who} missing{offset}"));
        }
    }

    /// Bytes missing before a frame of this sender, told once.
    pub(super) fn before(&mut self, conn: u64, sender: Side) -> Option<u64> {
        if self.before.is_empty() { None } else { self.before.remove(&(conn, sender)) }
    }

    /// The connection is over.
    pub(super) fn forget(&mut self, path: &str, conn: u64) {
        for side in [Side::Dialler, Side::Upstream] {
            self.before.remove(&(conn, side));
        }
        if let Some((gaps, true)) = self.gaps.remove(&conn)
            && gaps > Self::NAMED
        {
            self.tell(format_args!("{path}: connection {conn}: {} more gaps", gaps - Self::NAMED));
        }
    }

    /// Tells of what was only counted.
    pub(super) fn finish(&self) {
        if let (gaps @ 1.., bytes) = self.more {
            self.tell(format_args!("more connections have gaps: {gaps} gaps, {bytes} bytes or more"));
        }
        if self.lost > Self::NAMED {
            self.tell(format_args!("of {} more directions the framing was lost", self.lost - Self::NAMED));
        }
    }

    fn tell(&self, what: std::fmt::Arguments<'_>) {
        if self.telling {
            tracing::warn!("{what}");
        }
    }
}
