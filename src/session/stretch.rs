//! Mutations that are alike to the one before them are taken in all at once.

use super::Owner;
use super::Session;
use super::SnapshotKind;
use super::State;
use super::StreamKey;
use crate::dcp::Bounds;
use crate::journal::Direction;
use crate::journal::Entries;
use crate::journal::Role;
use crate::wire::Header;

impl Session {
    /// How far mutations may go that are alike to the one taken in last, with this header: to the end of its snapshot, and
    /// as long as there is room in the window. `None` where it is not in the middle of an open stream of which all is known.
    pub fn bounds(&self, header: &Header) -> Option<Bounds> {
        let context = self.context.stream.as_ref()?;
        let before = context.before.as_ref()?;
        let is_plain = self.context.sender == Some(Role::Producer)
            && context.owner == Owner::Current(State::Open)
            && context.key == key(header)
            && self.is_reliable();
        let snapshot = before.snapshot.filter(|snapshot| matches!(snapshot.kind, SnapshotKind::Marker(_)))?;
        is_plain.then(|| Bounds { up_to: snapshot.end, room: self.flow.spare() })
    }

    /// Takes in what is alike to the entry that it took in last, within the [bounds](Self::bounds) that it gave.
    pub fn take_stretch(&mut self, entries: &Entries<'_>) {
        let stretch = entries.stretch;
        let count = match entries.direction {
            Direction::From => &mut self.frames[0],
            Direction::To => &mut self.frames[1],
        };
        *count = count.saturating_add(stretch.frames());
        self.flow.charge(stretch.charge());
        let header = stretch.header();
        if let Some(stream) = self.streams.of_mut(key(header), header.opaque) {
            stream.take_stretch(stretch);
        }
    }
}

const fn key(header: &Header) -> StreamKey {
    StreamKey { vbucket: header.vbucket_or_status, stream_id: None }
}
