use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use dcproxy::Timestamp;
use dcproxy::journal::How;

use super::dice::Dice;
use super::world::Peer;
use super::world::START;
use super::world::Said;

/// An end that says what the dice say, and keeps what it hears.
#[derive(Debug)]
pub(crate) struct Babbler {
    /// All that it wants to say.
    pub(crate) says: Vec<u8>,
    /// How it ends its direction once all is said; `None`: only once the other end has.
    pub(crate) ends: Option<How>,
    /// What it has heard.
    pub(crate) heard: Vec<u8>,
    /// How what it heard ended.
    pub(crate) heard_end: Vec<How>,
    /// How its own direction ended.
    pub(crate) ended: Option<How>,
    said: usize,
    dice: Dice,
    queue: VecDeque<Said>,
}

impl Babbler {
    pub(crate) fn new(mut dice: Dice, longest: usize) -> Self {
        let len = dice.size(0..longest);
        let says = if dice.once_in(2) { dice.bytes(len) } else { frames(&mut dice, len) };
        let ends = *dice.pick(&[Some(How::Fin), Some(How::Fin), Some(How::Reset), None]);
        let queue = VecDeque::from([Said::Wait(Some(START))]);
        Self { says, ends, heard: Vec::new(), heard_end: Vec::new(), ended: None, said: 0, dice, queue }
    }

    fn end(&mut self, how: How) {
        if self.ended.is_none() {
            self.ended = Some(how);
            self.queue.push_back(Said::Close(how));
        }
    }
}

impl Peer for Babbler {
    fn feed(&mut self, bytes: Bytes, _: Timestamp) {
        assert!(self.heard_end.is_empty(), "bytes came after {:?}", self.heard_end);
        self.heard.extend(&bytes);
    }

    fn closed(&mut self, how: How, _: Timestamp) {
        self.heard_end.push(how);
        if how == How::Reset {
            self.ended.get_or_insert(How::Reset);
            self.queue.clear();
        } else if self.ends.is_none() && self.said == self.says.len() {
            self.end(How::Fin);
        }
    }

    fn wakeup(&mut self, now: Timestamp) {
        if self.ended.is_some() {
            return;
        }
        let len = self.dice.size(1..4_000).min(self.says.len() - self.said);
        self.queue.push_back(Said::Write(Bytes::copy_from_slice(&self.says[self.said..self.said + len])));
        self.said += len;
        if self.said < self.says.len() {
            self.queue.push_back(Said::Wait(Some(now + Duration::from_micros(self.dice.of(0..500)))));
        } else if let Some(how) = self.ends {
            self.end(how);
        } else if !self.heard_end.is_empty() {
            self.end(How::Fin);
        }
    }

    fn poll(&mut self) -> Option<Said> {
        self.queue.pop_front()
    }
}

/// The longest body of all but a few frames.
pub(crate) const LONG: usize = 20_000;

/// Frames of all magics and opcodes, known or not, and at times the first part of one as the last.
fn frames(dice: &mut Dice, len: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < len {
        let body = match dice.of(0..1_000) {
            0 => dice.size(100_000..180_000),
            1..30 => dice.size(0..LONG),
            _ => dice.size(0..200),
        };
        let start = all.len();
        all.extend(dice.bytes(24 + body));
        all[start] = *dice.pick(&[0x80, 0x81, 0x08, 0x18, 0x82, 0x83]);
        if dice.once_in(2) {
            all[start + 1] = u8::try_from(dice.of(0x50..0x68)).expect("it is a byte");
        }
        // Lengths that fit the body, or not: a frame whose parts are longer than it is relayed too.
        let part = body.min(200) / if dice.once_in(10) { 1 } else { 3 };
        all[start + 2..start + 4].copy_from_slice(&u16::try_from(part).expect("it is small").to_be_bytes());
        all[start + 4] = u8::try_from(part).expect("it is small");
        all[start + 8..start + 12].copy_from_slice(&u32::try_from(body).expect("it is small").to_be_bytes());
    }
    if dice.once_in(2) {
        all.truncate(len);
    }
    all
}
