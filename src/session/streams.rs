use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;

use super::Census;
use super::State;
use super::Stream;
use super::StreamKey;
use crate::wire::Opaque;

/// Streams that are kept track of at once; kv_engine has at most 1,024 vbuckets.
const MAX_STREAMS: usize = 65_536;
/// Streams that are gone and remembered, so that answers to their messages can be told from nonsense.
const MAX_GONE: usize = 4_096;
/// STREAM_REQs of one stream that wait for their answers.
const MAX_REQUESTED: usize = 16;
/// Streams with one opaque that are looked at to find whose a response is.
const MAX_SAME_OPAQUE: usize = 64;

/// A stream that another generation has replaced, or that was dropped to make room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gone {
    /// Which stream.
    pub key: StreamKey,
    /// Its opaque.
    pub opaque: Opaque,
    /// Where it stood then.
    pub state: State,
}

/// Whose a message of a stream is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The stream's current generation, in this state before the message.
    Current(State),
    /// A generation that was requested and not answered yet.
    Requested,
    /// A generation that is gone; where it stood then.
    Gone(State),
    /// Nobody: the stream exists, in this state, but never had this opaque as far as remembered.
    OtherOpaque(State),
    /// Nobody: there is no such stream.
    Unknown,
}

/// The generations of one stream.
#[derive(Clone, Debug, Default)]
struct Slot {
    /// The one that was answered last.
    current: Option<Stream>,
    /// Those that await their answers, oldest first.
    requested: Vec<Stream>,
    /// The state that it is counted in.
    counted: Option<State>,
}

impl Slot {
    fn newest(&self) -> Option<&Stream> {
        self.current.as_ref().or(self.requested.first())
    }

    fn is_over(&self) -> bool {
        self.requested.is_empty() && self.current.as_ref().is_none_or(|stream| !stream.state.is_live())
    }
}

/// The streams of a connection, by key.
#[derive(Clone, Debug, Default)]
pub struct Streams {
    slots: Vec<Slot>,
    index: BTreeMap<StreamKey, usize>,
    free: Vec<usize>,
    opaques: BTreeSet<(Opaque, StreamKey)>,
    gone: VecDeque<Gone>,
    last: Option<(StreamKey, usize)>,
    census: Census,
    overflowed: bool,
}

impl Streams {
    /// The stream of `key`: its current generation, or where there is none yet the one requested.
    #[inline]
    pub fn at(&self, key: StreamKey) -> Option<&Stream> {
        self.slot(key)?.newest()
    }

    /// The newest generation of `key` that awaits its answer.
    pub fn requested(&self, key: StreamKey) -> Option<&Stream> {
        self.slot(key)?.requested.last()
    }

    /// The streams that have `opaque`, gone ones not among them.
    pub fn with_opaque(&self, opaque: Opaque) -> impl Iterator<Item = &Stream> {
        let first = (opaque, StreamKey { vbucket: 0, stream_id: None });
        let last = (opaque, StreamKey { vbucket: u16::MAX, stream_id: Some(u16::MAX) });
        self.opaques.range(first..=last).take(MAX_SAME_OPAQUE).filter_map(move |&(_, key)| self.of(key, opaque))
    }

    /// The generation of `key` that has `opaque` and is not gone.
    #[inline]
    pub fn of(&self, key: StreamKey, opaque: Opaque) -> Option<&Stream> {
        let slot = self.slot(key)?;
        let current = slot.current.as_ref().filter(|stream| stream.opaque == opaque);
        let requested = slot.requested.iter().find(|stream| stream.opaque == opaque);
        current.filter(|stream| stream.state.is_live()).or(requested).or(current)
    }

    /// All streams, one generation each, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.index.values().filter_map(|&at| self.slots.get(at)?.newest())
    }

    /// The streams that are open, or closing and not ended.
    pub fn live(&self) -> impl Iterator<Item = &Stream> {
        self.iter().filter(|stream| stream.state.is_live())
    }

    /// How many streams are in each state, one generation each.
    pub const fn census(&self) -> Census {
        self.census
    }

    /// How many streams there are, ended ones that were not replaced among them.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no stream was requested yet.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether there were more streams than are kept track of.
    pub const fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// The streams that are gone, as far as remembered, latest last.
    pub fn gone(&self) -> impl DoubleEndedIterator<Item = &Gone> {
        self.gone.iter()
    }

    /// Whose a message with this key and opaque is.
    pub fn owner(&self, key: StreamKey, opaque: Opaque) -> Owner {
        match self.of(key, opaque) {
            Some(stream) if stream.state == State::Requested => Owner::Requested,
            Some(stream) => Owner::Current(stream.state),
            None => self
                .gone
                .iter()
                .rev()
                .find(|gone| gone.key == key && gone.opaque == opaque)
                .map(|gone| Owner::Gone(gone.state))
                .or_else(|| self.at(key).map(|stream| Owner::OtherOpaque(stream.state)))
                .unwrap_or(Owner::Unknown),
        }
    }

    /// The stream that a message without a stream id belongs to where streams have ids: PREPARE, COMMIT and ABORT have
    /// none, and some frames of 6.5.0 hide theirs (dcp-protocol.md §3). `None` where several streams may be meant.
    pub(super) fn without_id(&self, vbucket: u16, opaque: Opaque) -> Option<StreamKey> {
        let mut keys = self.with_opaque(opaque).map(|stream| stream.key).filter(|key| key.vbucket == vbucket);
        keys.next().filter(|_| keys.next().is_none())
    }

    /// A STREAM_REQ was sent.
    pub(super) fn request(&mut self, stream: Stream) {
        let (key, opaque) = (stream.key, stream.opaque);
        let Some(slot) = self.slot_or_new(key) else {
            self.overflowed = true;
            return;
        };
        if slot.requested.len() >= MAX_REQUESTED {
            let dropped = slot.requested.remove(0);
            self.bury(&dropped);
        }
        if let Some(slot) = self.slot_or_new(key) {
            slot.requested.push(stream);
            self.opaques.insert((opaque, key));
        }
        self.recount(key);
    }

    /// The STREAM_REQ of `generation` was answered: `answer` says how. A refusal leaves a stream that lives alone.
    pub(super) fn answered(&mut self, key: StreamKey, generation: u64, answer: impl FnOnce(&mut Stream)) {
        let Some(slot) = self.slot_mut(key) else { return };
        let Some(at) = slot.requested.iter().position(|stream| stream.generation == generation) else { return };
        let mut stream = slot.requested.remove(at);
        answer(&mut stream);
        let keeps_old = !stream.state.is_live() && slot.current.as_ref().is_some_and(|old| old.state.is_live());
        let gone = if keeps_old { Some(stream) } else { slot.current.replace(stream) };
        if let Some(gone) = gone {
            self.bury(&gone);
        }
        self.recount(key);
    }

    /// Whoever changes the state of a stream of `key` has it counted anew.
    pub(super) fn recount(&mut self, key: StreamKey) {
        let Some(slot) = self.slot_mut(key) else { return };
        let now = slot.newest().map(|stream| stream.state);
        let before = std::mem::replace(&mut slot.counted, now);
        self.census.moved(before, now);
    }

    /// The generation of `key` that has `opaque`, to be changed.
    #[inline]
    pub(super) fn of_mut(&mut self, key: StreamKey, opaque: Opaque) -> Option<&mut Stream> {
        let slot = self.slot_mut(key)?;
        let current = slot.current.as_mut().filter(|stream| stream.opaque == opaque);
        if current.as_ref().is_some_and(|stream| stream.state.is_live()) {
            return current;
        }
        slot.requested.iter_mut().find(|stream| stream.opaque == opaque).or(current)
    }

    /// The generation that a CLOSE_STREAM for `key` closes: the live one, else the one requested last.
    pub(super) fn closable(&mut self, key: StreamKey) -> Option<&mut Stream> {
        let slot = self.slot_mut(key)?;
        slot.current.as_mut().filter(|stream| stream.state.is_live()).or(slot.requested.last_mut())
    }

    /// A generation by its number.
    pub(super) fn generation_mut(&mut self, key: StreamKey, generation: u64) -> Option<&mut Stream> {
        let slot = self.slot_mut(key)?;
        slot.current.iter_mut().chain(&mut slot.requested).find(|stream| stream.generation == generation)
    }

    #[inline]
    fn slot(&self, key: StreamKey) -> Option<&Slot> {
        let at = match self.last {
            Some((last, at)) if last == key => at,
            _ => *self.index.get(&key)?,
        };
        self.slots.get(at)
    }

    #[inline]
    fn slot_mut(&mut self, key: StreamKey) -> Option<&mut Slot> {
        let at = match self.last {
            Some((last, at)) if last == key => at,
            _ => {
                let at = *self.index.get(&key)?;
                self.last = Some((key, at));
                at
            }
        };
        self.slots.get_mut(at)
    }

    fn slot_or_new(&mut self, key: StreamKey) -> Option<&mut Slot> {
        if !self.index.contains_key(&key) {
            if self.index.len() >= MAX_STREAMS && !self.make_room() {
                return None;
            }
            let at = self.free.pop().unwrap_or_else(|| {
                self.slots.push(Slot::default());
                self.slots.len().saturating_sub(1)
            });
            self.index.insert(key, at);
        }
        self.slot_mut(key)
    }

    /// Forgets the first stream that is over.
    fn make_room(&mut self) -> bool {
        let over = |(_, at): &(&StreamKey, &usize)| self.slots.get(**at).is_none_or(Slot::is_over);
        let Some((key, at)) = self.index.iter().find(over).map(|(key, at)| (*key, *at)) else { return false };
        self.index.remove(&key);
        self.last = None;
        if let Some(slot) = self.slots.get_mut(at) {
            let Slot { current, counted, .. } = std::mem::take(slot);
            self.census.moved(counted, None);
            if let Some(stream) = current {
                self.bury(&stream);
            }
        }
        self.free.push(at);
        true
    }

    fn bury(&mut self, stream: &Stream) {
        if self.gone.len() >= MAX_GONE {
            self.gone.pop_front();
        }
        self.gone.push_back(Gone { key: stream.key, opaque: stream.opaque, state: stream.state });
        if self.of(stream.key, stream.opaque).is_none() {
            self.opaques.remove(&(stream.opaque, stream.key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Request;
    use super::*;
    use crate::dcp::FailoverEntry;

    fn stream(vbucket: u16, opaque: u32) -> Stream {
        let key = StreamKey { vbucket, stream_id: None };
        Stream::new(key, Opaque(opaque.to_be_bytes()), opaque.into(), Request::default())
    }

    #[test]
    fn the_opaques_of_streams_that_are_replaced_are_forgotten() {
        let mut streams = Streams::default();
        for opaque in 1..1_000 {
            let stream = stream(1, opaque);
            let (key, generation) = (stream.key, stream.generation);
            streams.request(stream);
            streams.answered(key, generation, |stream| stream.opened(vec![FailoverEntry { vb_uuid: 1, seqno: 0 }]));
        }
        assert_eq!((streams.opaques.len(), streams.slots.len(), streams.gone.len()), (1, 1, 998));
    }

    #[test]
    fn room_is_made_by_forgetting_a_stream_that_is_over() {
        let mut streams = Streams::default();
        let ids = 0..=u16::MAX;
        for stream_id in ids {
            let key = StreamKey { vbucket: 1, stream_id: Some(stream_id) };
            streams.request(Stream::new(key, Opaque([0; 4]), 1 + u64::from(stream_id), Request::default()));
        }
        streams.request(stream(2, 1));
        assert!(streams.overflowed(), "all of them await their answers");
        let key = StreamKey { vbucket: 1, stream_id: Some(7) };
        streams.answered(key, 8, |stream| stream.state = State::Ended(0));
        streams.request(stream(2, 1));
        assert!(streams.at(StreamKey { vbucket: 2, stream_id: None }).is_some() && streams.at(key).is_none());
        assert_eq!((streams.len(), streams.slots.len()), (MAX_STREAMS, MAX_STREAMS));
        assert_eq!(streams.census().requested as usize, MAX_STREAMS);
    }
}
