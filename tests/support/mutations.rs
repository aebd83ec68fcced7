//! A connection whose producer mostly sends mutations that are alike.
#![allow(dead_code, unreachable_pub, reason = "each user needs a part")]

use bytes::Bytes;
use dcproxy::dcp;
use dcproxy::dcp::SystemEventBody;
use dcproxy::wire::{Datatype, FrameBuilder, Opaque, Opcode, Status};
use fastrand::Rng;

/// A producer that mostly sends mutations, and now and then something else, some of it wrong.
pub struct Producer {
    dice: Rng,
    collections: bool,
    pub streams: Vec<Stream>,
    /// How seldom something is wrong: in so many frames.
    sound: u32,
    /// How seldom it sends something else: in so many frames.
    others: u32,
}

pub struct Stream {
    pub vbucket: u16,
    pub opaque: Opaque,
    pub seqno: u64,
    pub end: u64,
    keys: u64,
    collection: u32,
    /// Mutations that still come beyond the end of their snapshot.
    beyond: u32,
}

impl Stream {
    /// It is requested again: what it has brought since so many seqnos comes anew, most often with the same keys.
    pub fn again(&mut self, back: u64, opaque: Opaque) {
        (self.seqno, self.keys) = (self.seqno.saturating_sub(back), self.keys.saturating_sub(back));
        (self.end, self.opaque) = (self.seqno, opaque);
    }

    /// Whether its snapshot is over, and the next is to come.
    fn is_at_end(&mut self) -> bool {
        let is_over = self.seqno + 4 >= self.end;
        let goes_on = is_over && self.beyond > 0;
        self.beyond -= u32::from(goes_on);
        is_over && !goes_on
    }
}

impl Producer {
    /// One of three streams; something is wrong in one of `sound` frames.
    pub fn new(mut dice: Rng, collections: bool, sound: u32) -> Self {
        let streams = (0..3_u16).map(|vbucket| Stream {
            vbucket,
            opaque: Opaque([0, 0, 1, vbucket as u8]),
            seqno: 0,
            end: 0,
            keys: 0,
            collection: 0,
            beyond: 0,
        });
        let others = [1_500, 1_500, 200][dice.usize(0..3)];
        Self { dice, collections, streams: streams.collect(), sound, others }
    }

    fn key(&mut self, at: usize) -> Vec<u8> {
        let wrong = self.is_wrong();
        let stream = &mut self.streams[at];
        stream.keys += 1;
        let number = if wrong { self.dice.u64(0..=stream.keys) } else { stream.keys };
        let logical = match self.dice.u32(0..200) {
            0 => vec![b'k'; 246],
            1 if wrong => vec![b'k'; 251],
            _ => format!("key-{number}").into_bytes(),
        };
        if !self.collections {
            return logical;
        }
        if self.dice.u32(0..200) == 0 {
            stream.collection = [0, 8, 300, 70_000][self.dice.usize(0..4)];
        }
        match self.dice.u32(0..300) {
            0 if wrong => vec![0x83, 0x00, b'k'],
            1 if wrong => dcp::collection_key(3, &logical),
            _ => dcp::collection_key(stream.collection, &logical),
        }
    }

    fn is_wrong(&mut self) -> bool {
        self.dice.u32(0..self.sound) == 0
    }

    fn marker(&mut self, at: usize, to: &mut Vec<u8>) {
        let flags = [1, 1 | 4, 2, 2 | 4, 2 | 4 | 0x20, 1 | 4 | 0x20, 2 | 0x20][self.dice.usize(0..7)];
        let span = [3, 40, 400, 4_000][self.dice.usize(0..4)];
        let wrong = self.is_wrong();
        let beyond = if self.is_wrong() { self.dice.u32(1..60) } else { 0 };
        let stream = &mut self.streams[at];
        stream.beyond = beyond;
        let start = if wrong { stream.seqno + 7 } else { stream.seqno + 1 };
        stream.end = start + span;
        // Each snapshot has other keys, or the same again.
        stream.keys = if self.dice.u32(0..4) == 0 { 0 } else { stream.keys };
        let marker =
            dcp::SnapshotMarker { start_seqno: start, end_seqno: stream.end, flags, ..dcp::SnapshotMarker::default() };
        marker.request(stream.vbucket, stream.opaque).write(to);
    }

    fn mutation(&mut self, at: usize, to: &mut Vec<u8>) {
        let key = self.key(at);
        let wrong = self.is_wrong();
        let gap = if self.dice.u32(0..20) == 0 { 3 } else { 1 };
        let stream = &mut self.streams[at];
        let (mut vbucket, mut opaque) = (stream.vbucket, stream.opaque);
        let mut by_seqno = stream.seqno + gap;
        let mut mutation = dcp::Mutation {
            rev_seqno: self.dice.u64(0..9),
            flags: self.dice.u32(..),
            expiration: self.dice.u32(0..2),
            nru: self.dice.u8(..),
            ..dcp::Mutation::default()
        };
        let mut datatype = Datatype(u8::from(self.dice.u32(0..300) == 0));
        let len = if self.dice.u32(0..300) == 0 { self.dice.usize(100_000..200_000) } else { self.dice.usize(0..90) };
        let value = vec![b'v'; len];
        if wrong {
            match self.dice.u32(0..8) {
                0 => by_seqno = stream.seqno,
                1 => by_seqno = stream.seqno.saturating_sub(5),
                2 => by_seqno = stream.end + 3,
                3 => mutation.nmeta = 1,
                4 => datatype = Datatype([2, 4, 8][self.dice.usize(0..3)]),
                5 => vbucket += 1,
                6 => opaque = Opaque([9; 4]),
                _ => {}
            }
        }
        if by_seqno > stream.seqno {
            stream.seqno = by_seqno;
        }
        mutation.by_seqno = by_seqno;
        let mut frame =
            mutation.request(vbucket, opaque).cas(self.dice.u64(..)).datatype(datatype).key(key).value(value);
        if wrong && self.dice.u32(0..4) == 0 {
            frame = frame.extras(vec![0; 30]);
        }
        if wrong && self.dice.u32(0..6) == 0 {
            frame = frame.stream_id(Some(5));
        }
        frame.write(to);
    }

    fn other(&mut self, at: usize, to: &mut Vec<u8>) {
        let key = self.key(at);
        let stream = &mut self.streams[at];
        let (vbucket, opaque, cas) = (stream.vbucket, stream.opaque, 1);
        stream.seqno += 1;
        let by_seqno = stream.seqno;
        let frame = match self.dice.u32(0..9) {
            0 => dcp::Deletion::v2(by_seqno, 1, 0).request(vbucket, opaque).cas(cas).key(key),
            1 => {
                let prepare = dcp::Prepare { by_seqno, rev_seqno: 1, durability_level: 1, ..dcp::Prepare::default() };
                prepare.request(vbucket, opaque).cas(cas).key(key)
            }
            2 => {
                let commit = dcp::Commit { prepared_seqno: by_seqno - 1, commit_seqno: by_seqno };
                commit.request(vbucket, opaque).key(key)
            }
            3 => dcp::SeqnoAdvanced { by_seqno }.request(vbucket, opaque),
            4 => {
                let collection_id = [8, 300, 70_000][self.dice.usize(0..3)];
                let (body, event) = if self.dice.bool() {
                    let event = dcp::CollectionEvent { manifest_uid: by_seqno, collection_id, ..Default::default() };
                    (SystemEventBody::Collection(event), dcp::SystemEvent::BEGIN_COLLECTION)
                } else {
                    let (manifest_uid, scope_id) = (by_seqno, 0);
                    let system_collection = false;
                    let dropped =
                        SystemEventBody::DroppedCollection { manifest_uid, scope_id, collection_id, system_collection };
                    (dropped, dcp::SystemEvent::END_COLLECTION)
                };
                let event = dcp::SystemEvent { by_seqno, event, version: 0, body };
                event.request(b"c", vbucket, opaque)
            }
            5 => dcp::OsoSnapshot { flags: self.dice.u32(1..3) }.request(vbucket, opaque),
            6 => FrameBuilder::request(Opcode::DCP_NOOP).opaque(opaque),
            7 => dcp::StreamEnd { end_reason: 0 }.request(vbucket, opaque),
            _ => FrameBuilder::request(Opcode::DCP_SET_VBUCKET_STATE).vbucket(vbucket).opaque(opaque).extras([1]),
        };
        frame.write(to);
    }

    /// What it says next.
    pub fn says(&mut self, frames: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut at = self.dice.usize(0..self.streams.len());
        for _ in 0..frames {
            if self.dice.u32(0..150) == 0 {
                at = self.dice.usize(0..self.streams.len());
            }
            match self.dice.u32(0..self.others) {
                0 => self.other(at, &mut bytes),
                _ if self.streams[at].is_at_end() => self.marker(at, &mut bytes),
                _ => self.mutation(at, &mut bytes),
            }
        }
        bytes
    }
}

/// What is said before the streams are opened: each with whether the consumer says it.
pub fn opening(dice: &mut Rng, collections: bool) -> Vec<(bool, Bytes)> {
    let mut said = Vec::new();
    let consumer = true;
    if collections {
        let features = vec![dcp::Feature::COLLECTIONS, dcp::Feature::XATTR, dcp::Feature::SNAPPY];
        let hello = dcp::Hello { agent: "test".to_owned(), features: features.clone() };
        said.push((consumer, hello.request(Opaque([1; 4])).build()));
        said.push((!consumer, dcp::HelloResponse { features }.response(Opaque([1; 4])).build()));
    }
    let open = dcp::Open { name: "n".to_owned(), seqno: 0, flags: dcp::Open::PRODUCER, consumer_name: None };
    said.push((consumer, open.request(Opaque([2; 4])).build()));
    said.push((!consumer, dcp::response(Opcode::DCP_OPEN, Status::SUCCESS, Opaque([2; 4])).build()));
    let mut control = |key: &str, value: String| {
        let control = dcp::Control { key: key.to_owned(), value };
        said.push((consumer, control.request(Opaque([3; 4])).build()));
        said.push((!consumer, dcp::response(Opcode::DCP_CONTROL, Status::SUCCESS, Opaque([3; 4])).build()));
    };
    if dice.bool() {
        control("connection_buffer_size", [20_000, 200_000, 10_000_000][dice.usize(0..3)].to_string());
    }
    if dice.bool() {
        control("enable_noop", "true".to_owned());
        control("set_noop_interval", "1".to_owned());
    }
    said
}

/// A stream is opened.
pub fn stream_req(vbucket: u16, opaque: Opaque) -> [(bool, Bytes); 2] {
    let request = dcp::StreamReq { end_seqno: u64::MAX, vb_uuid: 1, ..dcp::StreamReq::default() };
    let log = vec![dcp::FailoverEntry { vb_uuid: 1, seqno: 0 }];
    [
        (true, request.request(vbucket, opaque).build()),
        (false, dcp::StreamReqResponse::FailoverLog(log).response(opaque).build()),
    ]
}
