use std::collections::BTreeMap;
use std::time::Duration;

use super::super::SUSPICIOUS;
use super::super::is_due;
use super::LOOK_EVERY;
use crate::Timestamp;
use crate::session::Session;
use crate::session::StreamKey;
use crate::wire::Opaque;

/// Why the producer is to be watched for longer.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// How many messages each stream that is due had brought when it was looked at, and since when it is so many.
    due: BTreeMap<(StreamKey, Opaque), (u64, Timestamp)>,
    /// When the consumer itself last said an orphaned response.
    orphan_at: Timestamp,
    /// Until when the settling may be prolonged.
    prolonged_until: Option<Timestamp>,
}

impl Doubts {
    /// The consumer itself said an orphaned response.
    pub(super) const fn orphan(&mut self, now: Timestamp) {
        self.orphan_at = now;
    }

    /// Takes note of which streams are due and bring nothing.
    pub(super) fn look(&mut self, session: &Session, now: Timestamp) {
        let mut due = BTreeMap::new();
        for stream in session.streams().live().filter(|stream| is_due(session, stream)) {
            let (key, frames) = ((stream.key, stream.opaque), stream.counts.frames);
            let since = self.due.get(&key).filter(|(before, _)| *before == frames).map_or(now, |&(_, since)| since);
            due.insert(key, (frames, since));
        }
        self.due = due;
    }

    /// Until when to look on, where something gives reason to; not for ever.
    pub(super) fn until(&mut self, now: Timestamp, settle: Duration) -> Option<Timestamp> {
        let most = *self.prolonged_until.get_or_insert(now + settle * 3);
        if now >= most {
            return None;
        }
        // Orphaned responses of a real consumer may have come meanwhile: they are watched as long.
        if now.since(self.orphan_at) < settle {
            return Some(self.orphan_at + settle);
        }
        let stalls = self.due.values().any(|&(_, since)| now.since(since) > SUSPICIOUS);
        stalls.then(|| now + LOOK_EVERY * 5)
    }
}
