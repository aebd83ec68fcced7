use std::fmt;

use super::Malformed;
use super::MemberName;
use super::MemberSink;
use super::check;
use super::malformed::malformed;
use super::member::put;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// DCP_SNAPSHOT_MARKER: the seqnos that follow belong together (dcp-protocol.md §4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SnapshotMarker {
    /// Its layout.
    pub version: MarkerVersion,
    /// First seqno of the snapshot.
    pub start_seqno: u64,
    /// Last seqno of the snapshot.
    pub end_seqno: u64,
    /// A set of this type's flags.
    pub flags: u32,
    /// Version 2.x: the highest seqno that a reader may see.
    pub max_visible_seqno: Option<u64>,
    /// Version 2.x with the Disk flag: the highest completed prepare. Without the flag its bytes mean nothing.
    pub high_completed_seqno: Option<u64>,
    /// Version 2.1: a time, ns since the epoch.
    pub timestamp: Option<u64>,
    /// Version 2.2: the purge seqno.
    pub purge_seqno: Option<u64>,
    /// Version 2.2 with the Disk flag: the highest prepare. Without the flag its bytes mean nothing.
    pub high_prepared_seqno: Option<u64>,
}

/// The layouts of a snapshot marker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum MarkerVersion {
    /// Everything in 20 bytes of extras.
    #[default]
    V1,
    /// 36 bytes of value: max visible and high completed seqno too.
    V2_0,
    /// 44 bytes of value: a timestamp too. In the code of 7.0 to 7.6, never used.
    V2_1,
    /// 52 bytes of value: purge and high prepared seqno too.
    V2_2,
}

impl MarkerVersion {
    /// As it is written: `1`, `2.0`, `2.1` or `2.2`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "1",
            Self::V2_0 => "2.0",
            Self::V2_1 => "2.1",
            Self::V2_2 => "2.2",
        }
    }
}

impl fmt::Display for MarkerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl SnapshotMarker {
    /// The snapshot comes from memory.
    pub const MEMORY: u32 = 0x01;
    /// The snapshot comes from disk.
    pub const DISK: u32 = 0x02;
    /// A checkpoint starts with it.
    pub const CHECKPOINT: u32 = 0x04;
    /// To be answered once the item at the end seqno was processed.
    pub const ACK: u32 = 0x08;
    /// It has the history of its range.
    pub const HISTORY: u32 = 0x10;
    /// A key may come more than once.
    pub const MAY_CONTAIN_DUPLICATE_KEYS: u32 = 0x20;
}

impl SnapshotMarker {
    /// Reads the message out of its frame.
    ///
    /// # Errors
    /// A version that is not known, lengths that are not its own, a start beyond the end.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, Malformed> {
        check::raw(frame)?;
        check::no_key(frame)?;
        check::no_cas(frame)?;
        let marker = match frame.extras() {
            [0] => Self::v2(MarkerVersion::V2_0, check::value_of(frame, 36)?),
            [1] => Self::v2(MarkerVersion::V2_1, check::value_of(frame, 44)?),
            [2] => Self::v2(MarkerVersion::V2_2, check::value_of(frame, 52)?),
            [version] => return Err(malformed!("expected snapshot marker version 2.0, 2.1 or 2.2, found 2.{version}")),
            extras if extras.len() == 20 => {
                check::no_value(frame)?;
                Self::v1(check::Fields(extras))
            }
            extras => {
                return Err(malformed!(
                    "expected DCP_SNAPSHOT_MARKER to have 20 bytes of extras, or 1, found {}",
                    extras.len()
                ));
            }
        };
        if marker.start_seqno > marker.end_seqno {
            return Err(malformed!(
                "expected a snapshot's start to be at most its end of {}, found {}",
                marker.end_seqno,
                marker.start_seqno
            ));
        }
        Ok(marker)
    }

    fn v1(mut fields: check::Fields<'_>) -> Self {
        Self { start_seqno: fields.u64(), end_seqno: fields.u64(), flags: fields.u32(), ..Self::default() }
    }

    fn v2(version: MarkerVersion, mut fields: check::Fields<'_>) -> Self {
        let mut marker = Self {
            version,
            start_seqno: fields.u64(),
            end_seqno: fields.u64(),
            flags: fields.u32(),
            max_visible_seqno: Some(fields.u64()),
            ..Self::default()
        };
        // dcp-protocol.md §4.1: these two are meaningful only with the Disk flag.
        let disk = marker.flags & Self::DISK != 0;
        marker.high_completed_seqno = Some(fields.u64()).filter(|_| disk);
        match version {
            MarkerVersion::V1 | MarkerVersion::V2_0 => {}
            MarkerVersion::V2_1 => marker.timestamp = Some(fields.u64()),
            MarkerVersion::V2_2 => {
                marker.purge_seqno = Some(fields.u64());
                marker.high_prepared_seqno = Some(fields.u64()).filter(|_| disk);
            }
        }
        marker
    }

    /// The request. What the version has room for and the marker does not know is written as 0.
    pub fn request(&self, vbucket: u16, opaque: Opaque) -> FrameBuilder {
        let frame = FrameBuilder::request(Opcode::DCP_SNAPSHOT_MARKER).vbucket(vbucket).opaque(opaque);
        let mut fields = Vec::with_capacity(52);
        fields.extend(self.start_seqno.to_be_bytes());
        fields.extend(self.end_seqno.to_be_bytes());
        fields.extend(self.flags.to_be_bytes());
        let more: &[Option<u64>] = match self.version {
            MarkerVersion::V1 => return frame.extras(fields),
            MarkerVersion::V2_0 => &[],
            MarkerVersion::V2_1 => &[self.timestamp],
            MarkerVersion::V2_2 => &[self.purge_seqno, self.high_prepared_seqno],
        };
        for seqno in [self.max_visible_seqno, self.high_completed_seqno].iter().chain(more) {
            fields.extend(seqno.unwrap_or_default().to_be_bytes());
        }
        frame.extras([(self.version as u8).saturating_sub(1)]).value(fields)
    }

    pub(super) fn members(&self, to: &mut impl MemberSink) {
        to.member(MemberName::version, self.version.name().into());
        put!(to, self, start_seqno, end_seqno, flags);
        if self.version != MarkerVersion::V1 {
            put!(to, self, max_visible_seqno, high_completed_seqno);
        }
        if self.version == MarkerVersion::V2_1 {
            put!(to, self, timestamp);
        }
        if self.version == MarkerVersion::V2_2 {
            put!(to, self, purge_seqno, high_prepared_seqno);
        }
    }
}
