use std::net::SocketAddr;

use crate::Timestamp;
use crate::journal::How;
use crate::journal::Side;

use super::What;
use super::half::Delivery;
use super::half::Half;
use super::packet::Segment;

/// One TCP connection: two directions, and how far each is closed.
///
/// ```text
///   end:   open --FIN--> finished --RST--> reset
///            \------------RST-------------/
/// ```
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) number: u32,
    /// Whether the tool itself has recorded it: nothing comes out of order then, so what is missing is missing.
    pub(super) is_own: bool,
    dialler: End,
    upstream: End,
}

#[derive(Debug)]
struct End {
    addr: SocketAddr,
    sent: Half,
    /// The sequence number of its SYN.
    syn: Option<u32>,
    reset: bool,
}

impl Connection {
    pub(super) fn new(number: u32, dialler: SocketAddr, upstream: SocketAddr) -> Self {
        let end = |addr| End { addr, sent: Half::default(), syn: None, reset: false };
        Self { number, is_own: false, dialler: end(dialler), upstream: end(upstream) }
    }

    /// Whether this SYN belongs to this connection: it is its own, or one sent again.
    pub(super) fn owns_syn(&self, segment: &Segment<'_>) -> bool {
        let (sender, receiver) = match self.side_of(segment.from) {
            Side::Dialler => (&self.dialler, &self.upstream),
            Side::Upstream => (&self.upstream, &self.dialler),
        };
        match sender.syn {
            Some(syn) => syn == segment.seq,
            // The answer to a SYN that was seen, or the SYN of an answer that was seen before it.
            None => {
                sender.sent.begins_at(segment.seq.wrapping_add(1))
                    || (receiver.syn.is_some() && !sender.sent.has_begun() && !self.is_over())
            }
        }
    }

    /// Whether nothing more is to be expected.
    pub(super) const fn is_over(&self) -> bool {
        (self.dialler.sent.has_ended() && self.upstream.sent.has_ended()) || self.dialler.reset || self.upstream.reset
    }

    /// Takes in one packet.
    pub(super) fn packet(&mut self, at: Timestamp, segment: &Segment<'_>, out: &mut dyn FnMut(What<'_>)) {
        let from = self.side_of(segment.from);
        let (sender, receiver) = match from {
            Side::Dialler => (&mut self.dialler, &mut self.upstream),
            Side::Upstream => (&mut self.upstream, &mut self.dialler),
        };
        let first = segment.seq.wrapping_add(u32::from(segment.syn));
        if segment.syn {
            sender.syn = Some(segment.seq);
            sender.sent.begin(first);
        }
        if let Some(ack) = segment.ack {
            // The SYN+ACK names the first byte of the one who dialled; the packet that answers it, that of the other.
            if segment.syn || sender.sent.begins_at(first) && sender.syn.is_some() {
                receiver.sent.begin(ack);
            }
            receiver.sent.acknowledged(ack);
        }
        if !segment.payload.is_empty() || segment.missing > 0 || segment.fin {
            let mut tell = |offset, delivery: Delivery<'_>| out(what(from, offset, delivery));
            sender.sent.segment(first, segment.payload, segment.missing, segment.fin, &mut tell);
        }
        if segment.rst && !sender.reset {
            sender.reset = true;
            sender.sent.flush(&mut |offset, delivery| out(what(from, offset, delivery)));
            out(What::Closed { from, how: How::Reset });
        }
        if self.is_own {
            sender.sent.flush(&mut |offset, delivery| out(what(from, offset, delivery)));
            receiver.sent.flush(&mut |offset, delivery| out(what(from.other(), offset, delivery)));
            return;
        }
        sender.sent.settle(at, &mut |offset, delivery| out(what(from, offset, delivery)));
        receiver.sent.settle(at, &mut |offset, delivery| out(what(from.other(), offset, delivery)));
    }

    /// Nothing more will come.
    pub(super) fn finish(&mut self, out: &mut dyn FnMut(What<'_>)) {
        self.dialler.sent.flush(&mut |offset, delivery| out(what(Side::Dialler, offset, delivery)));
        self.upstream.sent.flush(&mut |offset, delivery| out(what(Side::Upstream, offset, delivery)));
        out(What::Ended);
    }

    pub(super) fn side_of(&self, addr: SocketAddr) -> Side {
        if addr == self.dialler.addr { Side::Dialler } else { Side::Upstream }
    }
}

const fn what(from: Side, offset: u64, delivery: Delivery<'_>) -> What<'_> {
    match delivery {
        Delivery::Data(bytes) => What::Data { from, bytes },
        Delivery::Gap(bytes) => What::Gap { from, offset, bytes },
        Delivery::End => What::Closed { from, how: How::Fin },
    }
}
