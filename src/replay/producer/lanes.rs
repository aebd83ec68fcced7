//! What is sent, stream by stream.

use super::Phase;
use super::Producer;
use crate::Timestamp;
use crate::dcp;
use crate::dcp::Message;
use crate::dcp::StreamEnd;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;

/// A stream of the recording, as it is sent live.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    pub(super) state: State,
    pub(super) opaque: Opaque,
    /// What the live consumer has already, and where it wants to stop.
    pub(super) start_seqno: u64,
    pub(super) end_seqno: u64,
    /// The next message: index into the recorded stream's.
    pub(super) next: usize,
    /// Whether the live consumer closed the stream.
    pub(super) closed: bool,
    /// Since when nothing but time has kept the next message back.
    pub(super) ready: Option<Timestamp>,
}

/// Where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum State {
    /// The live consumer has not requested it.
    #[default]
    Awaited,
    /// Its messages are sent.
    Open,
    /// All was sent, or it was refused.
    Over,
}

/// What keeps the next message of a lane back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Held {
    /// Time, till then.
    Till(Timestamp),
    /// The live consumer's window is full.
    Window,
    /// The live consumer owes an answer to this line.
    Answer(usize),
    /// The live consumer has not closed the stream, as the recorded one had.
    Close,
}

impl Producer {
    /// Sends what may be sent, until about `budget` bytes wait.
    pub(super) fn send(&mut self, budget: usize, now: Timestamp) {
        while self.phase != Phase::Closed && self.talk.waiting() < budget {
            let open = (0..self.lanes.len()).filter(|&at| self.lanes.get(at).is_some_and(|it| it.state == State::Open));
            let heads = open.collect::<Vec<_>>().into_iter().filter_map(|at| {
                let line = self.head(at)?;
                (self.held(at, line, now).is_none()).then_some((line, at))
            });
            let next = heads.min();
            let of_connection = self.connection_head(now);
            match (next, of_connection) {
                (Some((line, _)), Some(other)) if other < line => self.send_of_connection(other, now),
                (Some((line, lane)), _) => self.send_of_lane(lane, line, now),
                (None, Some(other)) => self.send_of_connection(other, now),
                (None, None) => return,
            }
            self.progress = now;
        }
    }

    /// The next line of a lane that is not passed over; ends the lane where there is none.
    fn head(&mut self, at: usize) -> Option<usize> {
        loop {
            let recorded = self.script.streams.get(at)?;
            let lane = self.lanes.get_mut(at)?;
            let Some(&index) = recorded.messages.get(lane.next) else {
                lane.state = State::Over;
                return None;
            };
            let line = self.script.lines.get(index)?;
            let known = match (&line.message.as_deref(), line.seqno) {
                (Some(Message::SnapshotMarker(marker)), _) => {
                    marker.end_seqno <= lane.start_seqno && lane.start_seqno > 0
                }
                (_, Some(seqno)) => seqno <= lane.start_seqno,
                _ => false,
            };
            if !known {
                return Some(index);
            }
            lane.next += 1;
            lane.ready = None;
        }
    }

    pub(super) fn held(&mut self, at: usize, line: usize, now: Timestamp) -> Option<Held> {
        let held = self.held_but_for_time(at, line);
        let gap = self.lane_gap(at, line);
        let lane = self.lanes.get_mut(at)?;
        if held.is_some() {
            lane.ready = None;
            return held;
        }
        let till = *lane.ready.get_or_insert(now) + gap;
        (till > now).then_some(Held::Till(till))
    }

    pub(super) fn held_but_for_time(&self, at: usize, index: usize) -> Option<Held> {
        let (recorded, lane, line) = (self.script.streams.get(at)?, self.lanes.get(at)?, self.line(index)?);
        let owed = self.pending.values().flatten().copied().find(|&asked| {
            self.line(asked)
                .is_some_and(|asked| asked.stream == Some(at) && asked.answered.is_some_and(|answer| answer < index))
        });
        if let Some(asked) = owed {
            return Some(Held::Answer(asked));
        }
        let was_closed = recorded.close.is_some_and(|close| close < index);
        if line.header.opcode == Opcode::DCP_STREAM_END && was_closed && !lane.closed {
            return Some(Held::Close);
        }
        (dcp::charge(&line.header) > 0 && !self.flow.may_send(self.window)).then_some(Held::Window)
    }

    /// The recorded time between a message and what it followed: the one before it, or the answer to the stream's request.
    pub(super) fn lane_gap(&self, at: usize, index: usize) -> std::time::Duration {
        let before = self.script.streams.get(at).and_then(|recorded| {
            let place = recorded.messages.partition_point(|&message| message < index);
            let previous = place.checked_sub(1).and_then(|place| recorded.messages.get(place)).copied();
            previous.or_else(|| self.line(recorded.request)?.answered)
        });
        let since = before.and_then(|before| self.line(before)).map(|line| line.at);
        let gap = self.line(index).zip(since).map(|(line, since)| line.at.since(since));
        self.options.speed.gap(gap.unwrap_or_default())
    }

    fn send_of_lane(&mut self, at: usize, index: usize, now: Timestamp) {
        let Some(line) = self.script.lines.get(index) else { return };
        let (header, seqno) = (line.header, line.seqno);
        let Some(lane) = self.lanes.get_mut(at) else { return };
        let opaque = lane.opaque;
        if seqno.is_some_and(|seqno| seqno > lane.end_seqno) {
            return self.end_lane(at, StreamEnd::OK);
        }
        lane.next += 1;
        lane.ready = None;
        if header.opcode == Opcode::DCP_STREAM_END {
            lane.state = State::Over;
        }
        self.flow.charge(dcp::charge(&header));
        self.say_line(index, opaque);
        if let Some(lane) = self.lanes.get_mut(at)
            && lane.state == State::Open
        {
            lane.ready = Some(now);
        }
    }

    /// Ends a stream where the recording did not.
    pub(super) fn end_lane(&mut self, at: usize, reason: u32) {
        let Some(recorded) = self.script.streams.get(at) else { return };
        let Some(lane) = self.lanes.get_mut(at) else { return };
        lane.state = State::Over;
        let end = FrameBuilder::request(Opcode::DCP_STREAM_END)
            .vbucket(recorded.vbucket)
            .opaque(lane.opaque)
            .extras(reason.to_be_bytes())
            .stream_id(recorded.stream_id);
        self.talk.say(&end);
        self.flow.charge(28);
    }

    /// The next request of the connection itself, if it may go.
    fn connection_head(&mut self, now: Timestamp) -> Option<usize> {
        self.held_of_connection(now).is_none().then(|| self.of_connection.front().copied()).flatten()
    }

    /// What keeps the next request of the connection back; nothing where there is none.
    pub(super) fn held_of_connection(&mut self, now: Timestamp) -> Option<Held> {
        loop {
            let index = self.of_connection.front().copied()?;
            let line = self.line(index)?;
            if line.header.opcode == Opcode::DCP_NOOP && self.opened && self.connection_is_set_up() && !self.noop {
                // The live consumer did not ask for no-ops.
                self.of_connection.pop_front();
                self.connection_ready = None;
                continue;
            }
            if !self.opened || line.header.opcode == Opcode::DCP_NOOP && !self.noop {
                return Some(Held::Answer(index));
            }
            let owed = self.pending.values().flatten().copied().find(|&asked| {
                self.line(asked)
                    .is_some_and(|asked| asked.stream.is_none() && asked.answered.is_some_and(|answer| answer < index))
            });
            if let Some(asked) = owed {
                self.connection_ready = None;
                return Some(Held::Answer(asked));
            }
            let gap = self.connection_gap(index);
            let till = *self.connection_ready.get_or_insert(now) + gap;
            return (till > now).then_some(Held::Till(till));
        }
    }

    /// Whether the live consumer has gone on to its streams.
    fn connection_is_set_up(&self) -> bool {
        self.lanes.iter().any(|lane| lane.state != State::Awaited)
    }

    pub(super) fn connection_gap(&self, index: usize) -> std::time::Duration {
        let before = self.script.lines.get(..index).unwrap_or_default();
        let previous = before.iter().rfind(|line| {
            line.header.is_request()
                && line.stream.is_none()
                && (line.from == crate::journal::Role::Producer || line.header.opcode == Opcode::DCP_CONTROL)
        });
        let gap = self.line(index).zip(previous).map(|(line, previous)| line.at.since(previous.at));
        self.options.speed.gap(gap.unwrap_or_default())
    }

    fn send_of_connection(&mut self, index: usize, now: Timestamp) {
        self.of_connection.pop_front();
        self.connection_ready = Some(now);
        if let Some(opaque) = self.line(index).map(|line| line.header.opaque) {
            self.say_line(index, opaque);
        }
    }
}
