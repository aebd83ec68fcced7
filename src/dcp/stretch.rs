use std::cell::OnceCell;

use super::FrameHead;
use super::Message;
use super::Negotiated;
use super::head::hash;
use super::split_key;
use crate::wire::Datatype;
use crate::wire::Frame;
use crate::wire::HEADER_LEN;
use crate::wire::Header;
use crate::wire::Magic;
use crate::wire::Opcode;

/// Extras of a DCP_MUTATION.
const EXTRAS: usize = 31;
/// Where nmeta is, counted from the beginning of the frame.
const NMETA: usize = HEADER_LEN + 28;
/// Everything before the key.
const FRONT: usize = HEADER_LEN + EXTRAS;
/// Magic, opcode, extras length, datatype and vbucket in the first eight bytes: all but the length of the key.
const SAME: u64 = 0xffff_0000_ffff_ffff;

/// What a mutation must look like to be alike to one before it: of the same stream and collection, well formed, with a
/// higher seqno; and different in nothing else but what nobody judges by itself: CAS, revision, flags, times, key, value.
///
/// One whose value is to be looked into (xattrs, Snappy) has none, and so has one with a stream id.
#[derive(Clone, Copy, Debug)]
pub struct Mould {
    header: Header,
    collection_id: Option<u32>,
    first: u64,
    /// The bytes of the collection id before the key, and how many these are; none without collections.
    prefix: [u8; 5],
    prefix_len: usize,
    /// The longest key, its prefix included.
    max_key: usize,
    above: u64,
    bounds: Bounds,
    whole_limit: u64,
    key_seed: u64,
}

/// How far alike mutations may go, as something has to be looked at anew behind that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// The highest seqno.
    pub up_to: u64,
    /// Bytes that they may have in all.
    pub room: u64,
}

impl Bounds {
    /// What keeps to both.
    #[must_use]
    #[inline]
    pub fn and(self, other: Self) -> Self {
        Self { up_to: self.up_to.min(other.up_to), room: self.room.min(other.room) }
    }
}

impl Mould {
    /// Whether the bytes behind a frame begin as it does, so that it is worth asking whether they are alike.
    #[inline]
    pub fn may_fit(frame: &Frame<'_>, next: &[u8]) -> bool {
        let word = |bytes: &[u8]| bytes.first_chunk().map(|first| u64::from_be_bytes(*first) & SAME);
        frame.header().opcode == Opcode::DCP_MUTATION
            && word(next).is_some_and(|next| word(frame.bytes()) == Some(next))
    }

    /// The mould of a mutation, `head`, which is whole and was read with what was `negotiated`. Frames are alike only up to
    /// `whole_limit` bytes each.
    #[inline]
    pub fn of(
        frame: &Frame<'_>,
        head: &FrameHead,
        negotiated: &Negotiated,
        whole_limit: usize,
        key_seed: u64,
    ) -> Option<Self> {
        let header = head.header;
        let Ok(Message::Mutation(mutation)) = &head.message else { return None };
        let plain =
            header.magic == Magic::REQUEST && (header.datatype == Datatype::RAW || header.datatype == Datatype::JSON);
        if !plain || !frame.is_whole() || negotiated.stream_id || usize::from(header.extras_len) != EXTRAS {
            return None;
        }
        let key = frame.key();
        let logical = split_key(key, negotiated.collections).ok()?.logical.len();
        let prefix_len = key.len().saturating_sub(logical);
        let mut prefix = [0; 5];
        prefix.get_mut(..prefix_len)?.copy_from_slice(key.get(..prefix_len)?);
        let longest = super::key::longest(head.collection_id);
        Some(Self {
            header,
            collection_id: head.collection_id,
            first: u64::from_be_bytes(*frame.bytes().first_chunk()?) & SAME,
            prefix,
            prefix_len,
            max_key: prefix_len.saturating_add(longest),
            above: mutation.by_seqno,
            bounds: Bounds { up_to: u64::MAX, room: u64::MAX },
            whole_limit: whole_limit as u64,
            key_seed,
        })
    }

    /// The same, up to these bounds.
    #[must_use]
    #[inline]
    pub const fn within(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// The header of the one that is its model.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The mutations that `bytes` begin with and that are alike, all but the last of them: that one is left to be looked at
    /// by itself, so that whatever is true of the latest frame is. `None` where there are not two.
    pub fn stretch<'a>(&self, bytes: &'a [u8]) -> Option<Stretch<'a>> {
        let (mut rest, mut len, mut before) = (bytes, 0_usize, 0_usize);
        let (mut above, mut last_seqno, mut frames) = (self.above, self.above, 0_u64);
        while let Some((seqno, frame_len)) = self.fits(rest, above) {
            (before, last_seqno) = (len, above);
            len = len.saturating_add(frame_len);
            above = seqno;
            frames = frames.wrapping_add(1);
            rest = rest.get(frame_len..).unwrap_or_default();
            if len as u64 > self.bounds.room {
                break;
            }
        }
        if frames < 2 {
            return None;
        }
        Some(Stretch {
            mould: *self,
            bytes: bytes.get(..before)?,
            frames: frames.wrapping_sub(1),
            last_seqno,
            latest: OnceCell::new(),
        })
    }

    /// The seqno and the length of the frame that `bytes` begin with, if it is alike and its seqno is higher.
    #[inline]
    fn fits(&self, bytes: &[u8], above: u64) -> Option<(u64, usize)> {
        let front: &[u8; FRONT] = bytes.first_chunk()?;
        let [m, o, k0, k1, e, d, v0, v1, l0, l1, l2, l3, q0, q1, q2, q3, ..] = *front;
        let first = u64::from_be_bytes([m, o, k0, k1, e, d, v0, v1]);
        let key_len = usize::from(u16::from_be_bytes([k0, k1]));
        let body_len = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        let len = body_len.saturating_add(HEADER_LEN);
        let seqno = u64::from_be_bytes(*front.get(HEADER_LEN..)?.first_chunk()?);
        let is_alike = first & SAME == self.first
            && [q0, q1, q2, q3] == self.header.opaque.0
            && key_len > self.prefix_len
            && key_len <= self.max_key
            && body_len >= key_len.saturating_add(EXTRAS)
            && len <= bytes.len()
            && len as u64 <= self.whole_limit
            && seqno > above
            && seqno <= self.bounds.up_to
            && front.get(NMETA..NMETA.saturating_add(2)) == Some(&[0, 0])
            && (self.prefix_len == 0
                || bytes.get(FRONT..)?.get(..self.prefix_len) == self.prefix.get(..self.prefix_len));
        is_alike.then_some((seqno, len))
    }
}

/// Mutations side by side that are alike to the one before them.
///
/// Whoever has taken in that one, in its context, knows all of these but for what [`Told`] has of each, and their lengths, times and
/// values; each is as if it had come by itself.
#[derive(Clone, Debug)]
pub struct Stretch<'a> {
    mould: Mould,
    bytes: &'a [u8],
    frames: u64,
    last_seqno: u64,
    latest: OnceCell<Vec<Told>>,
}

/// What a mutation of a stretch says, as far as it is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Its seqno.
    pub by_seqno: u64,
    /// Its CAS.
    pub cas: u64,
    /// The revision of its document.
    pub rev_seqno: u64,
    /// The seeded hash of its key: [`FrameHead::key_hash`].
    pub key_hash: u64,
    /// The user's flags.
    pub flags: u32,
}

impl<'a> Stretch<'a> {
    /// So many of the last are told in full.
    pub const LATEST: usize = 128;

    /// Their bytes.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many there are.
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// Bytes that they are charged to the flow-control window, all together: a mutation is charged its length
    /// (dcp-protocol.md §5).
    pub const fn charge(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The seqno of the last.
    pub const fn last_seqno(&self) -> u64 {
        self.last_seqno
    }

    /// The header of the one before them: only the lengths, and the CAS, are not theirs.
    pub const fn header(&self) -> &Header {
        &self.mould.header
    }

    /// The collection that they are in, where keys have one.
    pub const fn collection_id(&self) -> Option<u32> {
        self.mould.collection_id
    }

    /// The last of them, [`Self::LATEST`] at the most. They are read once, whoever asks.
    pub fn latest(&self) -> &[Told] {
        self.latest.get_or_init(|| {
            let count = self.frames.min(Self::LATEST as u64);
            let mut latest = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
            latest.extend(self.items().skip(self.before_latest()).map(|item| item.told()));
            latest
        })
    }

    /// The seqno and the key's hash of each, in order.
    pub fn keys(&self) -> impl Iterator<Item = (u64, u64)> {
        let early = self.items().take(self.before_latest()).map(|item| (item.by_seqno(), item.key_hash()));
        early.chain(self.latest().iter().map(|told| (told.by_seqno, told.key_hash)))
    }

    fn before_latest(&self) -> usize {
        usize::try_from(self.frames.saturating_sub(Self::LATEST as u64)).unwrap_or(usize::MAX)
    }

    /// Each of them, in order.
    fn items(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let (mut rest, prefix_len, seed) = (self.bytes, self.mould.prefix_len, self.mould.key_seed);
        std::iter::from_fn(move || {
            let front: &[u8; FRONT] = rest.first_chunk()?;
            let [_, _, k0, k1, _, _, _, _, l0, l1, l2, l3, ..] = *front;
            let key_end = FRONT.saturating_add(u16::from_be_bytes([k0, k1]).into());
            let key = rest.get(FRONT.saturating_add(prefix_len)..key_end)?;
            let len = (u32::from_be_bytes([l0, l1, l2, l3]) as usize).saturating_add(HEADER_LEN);
            rest = rest.get(len..)?;
            Some(Item { front, key, seed })
        })
    }
}

/// One of a stretch.
#[derive(Clone, Copy, Debug)]
struct Item<'a> {
    front: &'a [u8; FRONT],
    key: &'a [u8],
    seed: u64,
}

impl Item<'_> {
    #[inline]
    fn by_seqno(&self) -> u64 {
        self.u64_at(HEADER_LEN)
    }

    /// The hash of its key.
    #[inline]
    fn key_hash(&self) -> u64 {
        hash(self.key, self.seed)
    }

    #[inline]
    fn told(&self) -> Told {
        Told {
            by_seqno: self.by_seqno(),
            cas: self.u64_at(HEADER_LEN.saturating_sub(8)),
            rev_seqno: self.u64_at(HEADER_LEN.saturating_add(8)),
            key_hash: self.key_hash(),
            flags: (self.u64_at(HEADER_LEN.saturating_add(16)) >> 32) as u32,
        }
    }

    #[inline]
    fn u64_at(&self, at: usize) -> u64 {
        self.front.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::super::Mutation;
    use super::super::collection_key;
    use super::super::head;
    use super::*;
    use crate::wire::FrameBuilder;
    use crate::wire::Opaque;

    const ROOM: u64 = 10_000;

    fn mutation(by_seqno: u64) -> FrameBuilder {
        let mutation = Mutation { by_seqno, rev_seqno: by_seqno + 1, flags: 9, ..Mutation::default() };
        let key = collection_key(300, format!("key-{by_seqno}").as_bytes());
        mutation.request(3, Opaque([7; 4])).cas(by_seqno + 2).key(key).value([b'v'; 10])
    }

    /// How many of these are a stretch behind a mutation with seqno 1, one being left to be looked at by itself.
    fn behind(frames: &[FrameBuilder]) -> Option<(u64, u64)> {
        let negotiated = Negotiated { collections: true, ..Negotiated::default() };
        let first = mutation(1).build();
        let first = Frame::whole(&first).unwrap();
        let mould = Mould::of(&first, &head(&first, &negotiated, 7), &negotiated, 1_000, 7).unwrap();
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.write(&mut bytes));
        let stretch = mould.within(Bounds { up_to: 50, room: ROOM }).stretch(&bytes)?;
        assert!(bytes.starts_with(stretch.bytes()) && stretch.charge() == stretch.bytes().len() as u64);
        let heads = frames.iter().map(|frame| {
            let bytes = frame.build();
            head(&Frame::whole(&bytes).unwrap(), &negotiated, 7)
        });
        let told: Vec<_> = stretch.latest().iter().map(|told| (told.by_seqno, told.key_hash)).collect();
        assert_eq!(told, stretch.keys().collect::<Vec<_>>());
        for (told, head) in stretch.latest().iter().zip(heads) {
            let Ok(Message::Mutation(mutation)) = head.message else { panic!("{head:?}") };
            assert_eq!((told.by_seqno, told.cas), (mutation.by_seqno, head.header.cas));
            assert_eq!((told.rev_seqno, told.flags), (mutation.rev_seqno, mutation.flags));
            assert_eq!((told.key_hash, stretch.collection_id()), (head.key_hash, head.collection_id));
        }
        Some((stretch.frames(), stretch.last_seqno()))
    }

    #[test]
    fn what_is_alike_is_one_stretch_but_for_the_last() {
        let all: Vec<_> = (2..=9).map(mutation).collect();
        assert_eq!(behind(&all), Some((7, 8)));
        assert_eq!((behind(&all[..1]), behind(&[])), (None, None), "one is looked at by itself");
        let gaps: Vec<_> = [2, 5, 6, 40].map(mutation).to_vec();
        assert_eq!(behind(&gaps), Some((3, 6)));
    }

    #[test]
    fn it_ends_before_what_is_not_alike() {
        let key = |id, text: &str| collection_key(id, text.as_bytes());
        let nmeta = {
            let mutation = Mutation { by_seqno: 4, nmeta: 1, ..Mutation::default() };
            mutation.request(3, Opaque([7; 4])).key(key(300, "k"))
        };
        for other in [
            mutation(4).vbucket(4),
            mutation(4).opaque(Opaque([8; 4])),
            mutation(4).datatype(Datatype::JSON),
            mutation(4).datatype(Datatype::SNAPPY),
            mutation(4).key(key(301, "k")),
            mutation(4).key(key(300, "")),
            mutation(4).key(key(300, &"k".repeat(247))),
            mutation(4).key(*b"k"),
            mutation(4).extras([0; 30]),
            mutation(4).value(vec![0; 1_000]),
            mutation(4).stream_id(Some(1)),
            mutation(3),
            mutation(51),
            nmeta,
            FrameBuilder::request(Opcode::DCP_DELETION).opaque(Opaque([7; 4])),
        ] {
            assert_eq!(behind(&[mutation(2), mutation(3), other.clone(), mutation(5)]), Some((1, 2)), "{other:?}");
        }
        assert_eq!(behind(&[mutation(2), mutation(3), mutation(4).key(key(300, &"k".repeat(246)))]), Some((2, 3)));
    }

    #[test]
    fn it_ends_where_there_is_no_more_room() {
        let large = |by_seqno| mutation(by_seqno).value(vec![0; 900]);
        let all: Vec<_> = (2..=30).map(large).collect();
        let len = large(2).build().len() as u64;
        assert_eq!(behind(&all), Some((ROOM / len, 1 + ROOM / len)));
    }
}
