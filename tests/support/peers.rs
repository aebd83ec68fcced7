//! A small producer and a small consumer that keep the books: windows, seqnos, what was answered to what.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::collections::BTreeMap;

use dcproxy::dcp;
use dcproxy::dcp::{Message, StreamReqResponse};
use dcproxy::journal::How;
use dcproxy::wire::{Frame, FrameBuilder, Opaque, Opcode, Status};

use super::stage::*;

/// What a producer has, and how it behaves.
#[derive(Clone, Debug)]
pub struct Habits {
    /// Seqnos of each vbucket.
    pub items: u64,
    /// Seqnos of each snapshot.
    pub snapshot: u64,
    /// Messages of a stream that go out before it is another one's turn.
    pub batch: usize,
    /// Whether `send_stream_end_on_client_close_stream` was agreed on.
    pub ends_on_close: bool,
    /// The window; 0 for none.
    pub window: u32,
}

#[derive(Clone, Copy, Debug)]
struct Sending {
    vbucket: u16,
    opaque: Opaque,
    last: u64,
    snapshot_end: u64,
    /// Whether a snapshot has begun.
    begun: bool,
}

/// Something that the producer got, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Got {
    /// A response to a message of a stream.
    Orphan(Opcode, Status, Opaque),
    /// A plain NOOP, which it answers.
    Noop,
}

/// A producer.
#[derive(Debug)]
pub struct Producer {
    pub habits: Habits,
    pub window: u32,
    pub outstanding: i64,
    pub over_acked: i64,
    pub narrowest: u32,
    pub got: Vec<(u64, Got)>,
    pub closed: Vec<u16>,
    pub requested: Vec<u16>,
    streams: Vec<Sending>,
    turn: usize,
}

/// The message with a seqno of a vbucket.
pub fn item(vbucket: u16, opaque: Opaque, seqno: u64) -> FrameBuilder {
    match seqno % 8 {
        1 => system_event(vbucket, opaque, seqno),
        2 => mutation(vbucket, opaque, seqno),
        3 => deletion(vbucket, opaque, seqno),
        4 => expiration(vbucket, opaque, seqno),
        5 | 7 => prepare(vbucket, opaque, seqno),
        6 => commit(vbucket, opaque, seqno),
        _ => abort(vbucket, opaque, seqno),
    }
}

impl Producer {
    pub fn new(habits: Habits) -> Self {
        Self {
            window: habits.window,
            narrowest: habits.window,
            habits,
            outstanding: 0,
            over_acked: 0,
            got: Vec::new(),
            closed: Vec::new(),
            requested: Vec::new(),
            streams: Vec::new(),
            turn: 0,
        }
    }

    /// Takes a frame in and says what it says to that.
    pub fn take(&mut self, bytes: &[u8], ms: u64) -> Vec<FrameBuilder> {
        let frame = Frame::whole(bytes).expect("a frame");
        let (header, message) = (*frame.header(), dcp::decode(&frame, &AGREED).expect("well-formed"));
        if let Some(status) = header.status() {
            if dcp::is_stream_message(header.opcode) {
                self.got.push((ms, Got::Orphan(header.opcode, status, header.opaque)));
            }
            return Vec::new();
        }
        let answer = |status| FrameBuilder::response(header.opcode, status).opaque(header.opaque);
        let vbucket = header.vbucket_or_status;
        match message {
            Message::BufferAck(ack) => {
                self.outstanding -= i64::from(ack.bytes_to_ack);
                self.over_acked += (-self.outstanding).max(0);
                self.outstanding = self.outstanding.max(0);
                Vec::new()
            }
            Message::StreamReq(request) => {
                self.requested.push(vbucket);
                if self.streams.iter().any(|stream| stream.vbucket == vbucket) {
                    return vec![answer(Status::KEY_EEXISTS)];
                }
                let last = request.start_seqno;
                let snapshot_end = if request.snap_end_seqno > last { request.snap_end_seqno } else { last };
                let begun = snapshot_end > last;
                self.streams.push(Sending { vbucket, opaque: header.opaque, last, snapshot_end, begun });
                let mut said = vec![stream_opened(header.opaque)];
                if begun {
                    said.push(self.charged(marker(vbucket, header.opaque, request.snap_start_seqno, snapshot_end)));
                }
                said
            }
            Message::CloseStream(_) => {
                let Some(at) = self.streams.iter().position(|stream| stream.vbucket == vbucket) else {
                    return vec![answer(Status::KEY_ENOENT)];
                };
                self.closed.push(vbucket);
                let stream = self.streams.remove(at);
                let mut said = vec![answer(Status::SUCCESS)];
                if self.habits.ends_on_close {
                    said.push(self.charged(stream_end(vbucket, stream.opaque, dcp::StreamEnd::CLOSED)));
                }
                said
            }
            Message::Control(control) => {
                self.window = control.value.parse().expect("only the window is changed");
                self.narrowest = self.narrowest.min(self.window);
                vec![answer(Status::SUCCESS)]
            }
            Message::Noop(_) => {
                self.got.push((ms, Got::Noop));
                vec![answer(Status::SUCCESS)]
            }
            Message::SeqnoAck(_) => Vec::new(),
            Message::Version(_) => vec![dcp::VersionResponse { version: "7.0.5-7659".into() }.response(header.opaque)],
            other => panic!("not expected: {other:?}"),
        }
    }

    /// Its next messages, as far as its window lets it.
    pub fn next(&mut self) -> Vec<FrameBuilder> {
        let mut said = Vec::new();
        self.turn += 1;
        let count = self.streams.len();
        if count == 0 {
            return said;
        }
        let at = self.turn % count;
        for _ in 0..self.habits.batch {
            if self.window > 0 && self.outstanding >= i64::from(self.window) {
                break;
            }
            let mut stream = self.streams[at];
            if stream.last >= self.habits.items {
                break;
            }
            let frame = if stream.last >= stream.snapshot_end {
                stream.snapshot_end = (stream.last + self.habits.snapshot).min(self.habits.items);
                let first = stream.last + u64::from(std::mem::replace(&mut stream.begun, true));
                marker(stream.vbucket, stream.opaque, first, stream.snapshot_end)
            } else {
                stream.last += 1;
                item(stream.vbucket, stream.opaque, stream.last)
            };
            self.streams[at] = stream;
            said.push(self.charged(frame));
        }
        said
    }

    fn charged(&mut self, frame: FrameBuilder) -> FrameBuilder {
        if self.window > 0 {
            self.outstanding += i64::from(charge(&frame));
        }
        frame
    }

    /// Every burst of alike orphaned responses, with the time of the last of them, and whether a NOOP that came at least
    /// 150 ms later followed it.
    pub fn bursts(&self) -> Vec<(Opcode, Status, u64, bool)> {
        let mut all: Vec<(Opcode, Status, u64, bool)> = Vec::new();
        for (ms, got) in &self.got {
            match (got, all.last_mut()) {
                (Got::Noop, Some(last)) => last.3 |= *ms >= last.2 + 150,
                (Got::Noop, None) => {}
                (Got::Orphan(opcode, status, _), Some(last)) if (last.0, last.1) == (*opcode, *status) && !last.3 => {
                    last.2 = *ms;
                }
                (Got::Orphan(opcode, status, _), _) => all.push((*opcode, *status, *ms, false)),
            }
        }
        all
    }
}

/// A consumer.
#[derive(Debug, Default)]
pub struct Consumer {
    /// Acknowledges when that much is owed; 0 for never.
    pub acks_at: u32,
    /// Requests a stream again when it ends.
    pub comes_back: bool,
    pub owed: u32,
    /// The seqnos that it got, by vbucket.
    pub seqnos: BTreeMap<u16, Vec<u64>>,
    /// STREAM_ENDs that it got, by vbucket.
    pub ends: BTreeMap<u16, Vec<u32>>,
    /// STREAM_REQs that were answered with Success.
    pub opened: u32,
    pub positions: BTreeMap<u16, (u64, u64)>,
    pub next_opaque: u32,
    /// Closes, in that way, once it has got so many frames.
    pub leaves: Option<(usize, How)>,
    /// Whether it has closed: it says nothing more then.
    pub has_left: bool,
    pub frames: usize,
}

impl Consumer {
    /// Requests a vbucket from where it is.
    pub fn request(&mut self, vbucket: u16) -> FrameBuilder {
        let (start_seqno, snap_end_seqno) = self.positions.get(&vbucket).copied().unwrap_or_default();
        self.next_opaque += 1;
        let opaque = op(0x100 + self.next_opaque);
        let snap_start_seqno = start_seqno;
        let end_seqno = u64::MAX;
        dcp::StreamReq { start_seqno, end_seqno, vb_uuid: 7, snap_start_seqno, snap_end_seqno, ..Default::default() }
            .request(vbucket, opaque)
    }

    /// Takes a frame in and says what it says to that.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<FrameBuilder> {
        let frame = Frame::whole(bytes).expect("a frame");
        let (header, message) = (*frame.header(), dcp::decode(&frame, &AGREED).expect("well-formed"));
        let vbucket = header.vbucket_or_status;
        let mut said = Vec::new();
        self.owed += dcp::charge(&header);
        match message {
            Message::StreamReqResponse(StreamReqResponse::FailoverLog(_)) => self.opened += 1,
            Message::SnapshotMarker(marker) => {
                self.positions.entry(vbucket).or_default().1 = marker.end_seqno;
            }
            Message::StreamEnd(end) => {
                self.ends.entry(vbucket).or_default().push(end.end_reason);
                if self.comes_back {
                    said.push(self.request(vbucket));
                }
            }
            ref item if item.by_seqno().is_some() => {
                let seqno = item.by_seqno().expect("it has one");
                self.seqnos.entry(vbucket).or_default().push(seqno);
                self.positions.entry(vbucket).or_default().0 = seqno;
            }
            other => panic!("not expected: {header:?} {other:?}"),
        }
        if self.acks_at > 0 && self.owed >= self.acks_at {
            said.extend(self.ack());
        }
        said
    }

    /// Acknowledges all that is owed.
    pub fn ack(&mut self) -> Option<FrameBuilder> {
        let owed = std::mem::take(&mut self.owed);
        (owed > 0 && self.acks_at > 0).then(|| buffer_ack(owed))
    }
}

/// Lets the two talk through the tool until it has settled and nothing is under way, `most_ms` at the most.
pub fn talk(stage: &mut Stage, consumer: &mut Consumer, producer: &mut Producer, most_ms: u64) {
    let begin = stage.ms();
    while stage.ms() < begin + most_ms {
        let mut moved = false;
        for frame in stage.frames_at(PRODUCER) {
            moved = true;
            for said in producer.take(&frame, stage.ms()) {
                stage.p(said);
            }
        }
        for frame in stage.frames_at(CONSUMER) {
            moved = true;
            consumer.frames += 1;
            if consumer.has_left {
                continue;
            }
            for said in consumer.take(&frame) {
                stage.c(said);
            }
            if let Some((_, how)) = consumer.leaves.filter(|(after, _)| *after <= consumer.frames) {
                consumer.has_left = true;
                consumer.acks_at = 0;
                stage.closed(CONSUMER, how);
            }
        }
        for said in producer.next() {
            moved = true;
            stage.p(said);
        }
        if !moved {
            if stage.engine.is_settled() {
                break;
            }
            // A consumer acknowledges what it has after a while.
            if let Some(ack) = consumer.ack() {
                stage.c(ack);
            }
            stage.wait_ms(5);
        }
    }
    if let Some(ack) = consumer.ack() {
        stage.c(ack);
        for frame in stage.frames_at(PRODUCER) {
            producer.take(&frame, stage.ms());
        }
    }
}
