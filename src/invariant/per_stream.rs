use std::collections::BTreeSet;

use crate::session::Session;

/// Streams that a rule remembers something of; beyond them it says nothing of further ones.
const MAX_STREAMS: usize = 4_096;
/// Entries (keys, collections) that a rule remembers of all streams; a stream that needs more is not judged any more.
const MAX_ENTRIES: usize = 65_536;
/// Generations behind the newest that are kept although they are not live: their answer may be on its way.
const YOUNG: u64 = 256;

/// What a rule remembers of each stream of a connection, by generation. It is bounded, and where it is full the rule
/// knows nothing of a stream, instead of something wrong.
#[derive(Debug)]
pub(super) struct PerStream<T> {
    /// In the order of the generations, the newest of which is nearly always the one that comes. `None`: lost for good.
    streams: Vec<(u64, Option<T>)>,
    /// At most so many entries are in use.
    entries: usize,
    /// No stream that is not known yet is taken in any more.
    full: bool,
    /// The stream that was asked for last, and is there; 0 for none.
    last: u64,
}

/// How much there is of something.
pub(super) trait Entries: Default {
    /// Entries in use.
    fn entries(&self) -> usize {
        0
    }
}

impl<T> Default for PerStream<T> {
    fn default() -> Self {
        Self { streams: Vec::new(), entries: 0, full: false, last: 0 }
    }
}

impl<T: Entries> PerStream<T> {
    /// Where the stream is, or would be.
    fn place(&self, generation: u64) -> Result<usize, usize> {
        self.streams.binary_search_by_key(&generation, |(generation, _)| *generation)
    }

    /// What is remembered of a stream, nothing yet where it is new; `None` where it is lost, or there is no room.
    pub(super) fn at(&mut self, generation: u64, session: &Session) -> Option<&mut T> {
        if self.last != generation && self.place(generation).is_err() {
            if self.streams.len() >= MAX_STREAMS {
                self.forget_those_gone(session);
            }
            self.full |= self.streams.len() >= MAX_STREAMS;
            if self.full {
                return None;
            }
            self.put(generation, Some(T::default()));
        }
        self.last = generation;
        self.known(generation)
    }

    /// As [`Self::at`], of a stream that is known already.
    pub(super) fn known(&mut self, generation: u64) -> Option<&mut T> {
        let place = self.place(generation).ok()?;
        self.streams.get_mut(place)?.1.as_mut()
    }

    fn put(&mut self, generation: u64, state: Option<T>) {
        match self.place(generation) {
            Ok(place) => self.streams[place].1 = state,
            Err(place) => self.streams.insert(place, (generation, state)),
        }
    }

    /// Whether no entry is remembered.
    pub(super) const fn is_unused(&self) -> bool {
        self.entries == 0
    }

    /// Whether no stream is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Nothing is said of the stream any more.
    pub(super) fn lose(&mut self, generation: u64) {
        if self.place(generation).is_ok() || self.streams.len() < MAX_STREAMS {
            self.put(generation, None);
        } else {
            self.full = true;
        }
    }

    /// Makes room for one more entry of a stream; where there is none, the stream is lost. Returns whether there is.
    pub(super) fn grow(&mut self, generation: u64, session: &Session) -> bool {
        if self.entries >= MAX_ENTRIES {
            self.forget_those_gone(session);
            self.entries = self.streams.iter().filter_map(|(_, state)| Some(state.as_ref()?.entries())).sum();
        }
        if self.entries >= MAX_ENTRIES {
            self.lose(generation);
            return false;
        }
        self.entries += 1;
        true
    }

    /// An entry of some stream was taken out.
    pub(super) const fn shrink(&mut self) {
        self.entries = self.entries.saturating_sub(1);
    }

    fn forget_those_gone(&mut self, session: &Session) {
        let live: BTreeSet<_> = session.streams().live().map(|stream| stream.generation).collect();
        let newest = self.streams.last().map_or(0, |(generation, _)| *generation);
        self.last = 0;
        self.streams.retain(|(generation, _)| live.contains(generation) || generation + YOUNG > newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::script::*;

    #[derive(Debug, Default)]
    struct Keys(Vec<u64>);

    impl Entries for Keys {
        fn entries(&self) -> usize {
            self.0.len()
        }
    }

    fn live(vbuckets: u16) -> Session {
        let mut script = Script::opened();
        for vbucket in 0..vbuckets {
            script.stream(vbucket, 10, 0);
        }
        script.session
    }

    fn fill(streams: &mut PerStream<Keys>, generation: u64, session: &Session) -> usize {
        (0..)
            .take_while(|&key| {
                let room = streams.at(generation, session).is_some() && streams.grow(generation, session);
                room && streams.known(generation).map(|keys| keys.0.push(key)).is_some()
            })
            .count()
    }

    #[test]
    fn a_stream_with_too_much_is_lost_and_stays_so() {
        let session = live(2);
        let mut streams = PerStream::<Keys>::default();
        streams.at(2, &session).unwrap().0.push(1);
        assert!(streams.grow(2, &session));
        assert_eq!(fill(&mut streams, 1, &session), MAX_ENTRIES - 1, "with the one of the other stream");
        assert!(streams.at(1, &session).is_none() && streams.known(1).is_none());
        assert_eq!(fill(&mut streams, 2, &session), MAX_ENTRIES - 1, "what the lost one held is free again");
    }

    #[test]
    fn streams_that_are_gone_make_room_and_without_room_nothing_is_known() {
        let session = live(8);
        let mut streams = PerStream::<Keys>::default();
        for generation in 1..=20_000 {
            assert!(streams.at(generation, &session).is_some(), "{generation}");
        }
        assert!(streams.streams.len() <= MAX_STREAMS && streams.known(8).is_some());
        let session = live(5_000);
        let mut streams = PerStream::<Keys>::default();
        let known = (1..=5_000).filter(|&generation| streams.at(generation, &session).is_some()).count();
        assert_eq!(known, MAX_STREAMS);
        assert!(streams.known(1).is_some() && streams.at(5_001, &session).is_none());
    }
}
