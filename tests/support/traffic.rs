//! Captures as large as wanted of traffic as it is: the embedded node and this project's own client talk, some dozens of
//! connections at once, and what they say is put into TCP/IP packets with right check sums.
#![allow(dead_code, unreachable_pub, reason = "each user needs a part")]

use std::io;
use std::io::Write;
use std::time::Duration;

use dcproxy::Timestamp;
use dcproxy::era::Era;
use dcproxy::node::consumer::{Client, ClientConfig, End, Output};
use dcproxy::node::{Config, Connection, Node};
use dcproxy::wire::{Deframer, MAX_FRAME_LEN, Piece};
use etherparse::{PacketBuilder, TcpOptionElement};

/// What is to be made. The same options make the same bytes.
#[derive(Clone, Debug)]
pub struct Options {
    pub seed: u64,
    /// The file ends with the packet that makes it so long; connections that are open then stay so.
    pub bytes: u64,
    /// Connections that are open at any time; each that is done is followed by another.
    pub at_once: u16,
    /// Seqnos of each vbucket. A connection streams a few vbuckets, about 250 bytes a seqno.
    pub items: u64,
    /// The most payload that a segment has; `None` mixes Ethernet's, jumbo frames' and loopback's.
    pub segment: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 1, bytes: 64 * 1024 * 1024, at_once: 32, items: 4000, segment: None }
    }
}

/// What was made.
#[derive(Clone, Copy, Default, Debug)]
pub struct Made {
    /// Bytes of the file.
    pub bytes: u64,
    pub packets: u64,
    pub connections: u32,
    /// Frames that are whole in the file.
    pub frames: u64,
    /// Bytes of all segments' payloads.
    pub payload: u64,
}

/// Writes a pcap file (nanoseconds, Ethernet).
///
/// # Errors
/// Those of `out`.
pub fn write(options: &Options, out: &mut impl Write) -> io::Result<Made> {
    let mut file = File::new(out, options.bytes)?;
    let nodes = ERAS.map(|era| {
        let items = options.items.max(100);
        let (seed, vbuckets, interval) = (options.seed, VBUCKETS, None);
        Node::new(Config { era, seed, items, interval, vbuckets, ..Config::default() })
    });
    let mut talks: Vec<Talk> = Vec::new();
    while file.has_room() {
        while talks.len() < usize::from(options.at_once.max(1)) {
            file.made.connections += 1;
            talks.push(Talk::open(file.made.connections, &nodes, options, &mut file)?);
        }
        let mut idle = true;
        for talk in &mut talks {
            idle &= !talk.turn(&mut file)?;
        }
        talks.retain(|talk| !talk.over);
        if idle {
            file.now = file.now + Duration::from_millis(5);
        }
    }
    file.out.flush()?;
    Ok(file.made)
}

const ERAS: [Era; 3] = [Era::V7_0, Era::V6_6, Era::V6_5];
const VBUCKETS: u16 = 64;
/// Bytes of a connection that go out before it is another one's turn.
const TURN: usize = 24 * 1024;
const SEGMENTS: [usize; 4] = [1448, 1448, 8948, 32_741];

const SYN: u8 = 0x02;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// The file that is written, and the time in it.
struct File<'o, W> {
    out: &'o mut W,
    limit: u64,
    made: Made,
    now: Timestamp,
    packet: Vec<u8>,
}

impl<'o, W: Write> File<'o, W> {
    fn new(out: &'o mut W, limit: u64) -> io::Result<Self> {
        let mut header = Vec::new();
        header.extend(0xa1b2_3c4d_u32.to_le_bytes());
        header.extend([2, 0, 4, 0]);
        header.extend([0; 8]);
        header.extend(262_144_u32.to_le_bytes());
        header.extend(1_u32.to_le_bytes());
        out.write_all(&header)?;
        let made = Made { bytes: header.len() as u64, ..Made::default() };
        Ok(Self { out, limit, made, now: Timestamp(1_700_000_000_000_000_000), packet: Vec::new() })
    }

    const fn has_room(&self) -> bool {
        self.made.bytes < self.limit
    }

    /// Writes what `self.packet` holds, a few microseconds after the one before.
    fn record(&mut self, payload: usize) -> io::Result<()> {
        self.now = self.now + Duration::from_nanos(2_000 + 8 * payload as u64);
        let (seconds, nanos) = (self.now.0 / 1_000_000_000, self.now.0 % 1_000_000_000);
        let len = self.packet.len() as u32;
        let mut header = [0; 16];
        for (field, value) in header.chunks_exact_mut(4).zip([seconds as u32, nanos as u32, len, len]) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        self.out.write_all(&header)?;
        self.out.write_all(&self.packet)?;
        self.made.bytes += (header.len() + self.packet.len()) as u64;
        self.made.packets += 1;
        self.made.payload += payload as u64;
        Ok(())
    }
}

/// One end of a connection, as its packets show it.
struct Edge {
    host: u8,
    port: u16,
    /// The sequence number of its next byte.
    seq: u32,
    frames: Deframer,
}

/// One connection.
struct Talk {
    client: Client,
    node: Connection,
    consumer: Edge,
    producer: Edge,
    ip_v6: bool,
    segment: usize,
    /// Segments that the receiver has not acknowledged.
    unacknowledged: u32,
    waits_for: Option<Timestamp>,
    over: bool,
}

impl Talk {
    fn open<W: Write>(number: u32, nodes: &[Node], options: &Options, file: &mut File<'_, W>) -> io::Result<Self> {
        let node = &nodes[number as usize % nodes.len()];
        let config = node.config();
        let first = number.wrapping_mul(7) as u16 % VBUCKETS;
        let vbuckets = (0..2 + number as u16 % 4).map(|n| (first + n) % VBUCKETS);
        let client = ClientConfig {
            login: Some((config.user.clone(), config.password.clone()).into()),
            name: format!("made-{number}"),
            snappy: number.is_multiple_of(3),
            window: (1 << 20) >> (number % 3),
            end: End::ToLatest,
            ..ClientConfig::new(config.era, vbuckets)
        };
        let edge = |host, port, seq| Edge { host, port, seq, frames: Deframer::new(MAX_FRAME_LEN) };
        let seq = (options.seed as u32 ^ number).wrapping_mul(0x9e37_79b1);
        let mut talk = Self {
            client: Client::new(client, file.now),
            node: Connection::new(node, file.now),
            consumer: edge(1 + (number / 20_000) as u8, 33_000 + (number % 20_000) as u16, seq),
            producer: edge(200 + (number % 3) as u8, 11_210, seq.rotate_left(16)),
            ip_v6: number.is_multiple_of(5),
            segment: options.segment.unwrap_or(SEGMENTS[number as usize % SEGMENTS.len()]).clamp(1, 60_000),
            unacknowledged: 0,
            waits_for: None,
            over: false,
        };
        talk.packet(true, SYN, b"", file)?;
        talk.packet(false, SYN | ACK, b"", file)?;
        talk.packet(true, ACK, b"", file)?;
        Ok(talk)
    }

    /// Both ends say what they have to say; whether they did.
    fn turn<W: Write>(&mut self, file: &mut File<'_, W>) -> io::Result<bool> {
        let mut said = false;
        if self.waits_for.is_some_and(|at| at <= file.now) {
            self.waits_for = None;
            self.client.wakeup(file.now);
        }
        if self.node.next_wakeup(file.now).is_some_and(|at| at <= file.now) {
            self.node.wakeup(file.now);
        }
        let mut closes = false;
        while let Some(output) = self.client.poll() {
            match output {
                Output::Write(bytes) => {
                    said = true;
                    self.send(true, &bytes, file)?;
                    self.node.feed(&bytes, file.now);
                }
                Output::Wait(at) => self.waits_for = at,
                Output::Close => closes = true,
            }
        }
        let mut bytes = Vec::new();
        if !closes {
            self.node.pull(&mut bytes, TURN, file.now);
        }
        if !bytes.is_empty() {
            said = true;
            self.send(false, &bytes, file)?;
            self.client.feed(&bytes, file.now);
        }
        if closes || self.node.closing().is_some() {
            said = true;
            self.over = true;
            self.packet(true, FIN | ACK, b"", file)?;
            self.packet(false, FIN | ACK, b"", file)?;
            self.packet(true, ACK, b"", file)?;
        }
        Ok(said)
    }

    /// Sends bytes in segments; the other end acknowledges every other one.
    fn send<W: Write>(&mut self, from_consumer: bool, bytes: &[u8], file: &mut File<'_, W>) -> io::Result<()> {
        let mut segments = bytes.chunks(self.segment).peekable();
        while let Some(segment) = segments.next() {
            let push = if segments.peek().is_none() { PSH } else { 0 };
            self.packet(from_consumer, ACK | push, segment, file)?;
            self.unacknowledged += 1;
            if self.unacknowledged >= 2 {
                self.unacknowledged = 0;
                self.packet(!from_consumer, ACK, b"", file)?;
            }
        }
        Ok(())
    }

    fn packet<W: Write>(
        &mut self,
        from_consumer: bool,
        flags: u8,
        payload: &[u8],
        file: &mut File<'_, W>,
    ) -> io::Result<()> {
        if !file.has_room() {
            return Ok(());
        }
        let (sender, receiver) =
            if from_consumer { (&mut self.consumer, &self.producer) } else { (&mut self.producer, &self.consumer) };
        let (from, to) = (sender.host, receiver.host);
        let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, from], [2, 0, 0, 0, 0, to]);
        let ip = if self.ip_v6 {
            let address = |host| [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host];
            ethernet.ipv6(address(from), address(to), 64)
        } else {
            ethernet.ipv4([10, 0, 0, from], [10, 0, 0, to], 64)
        };
        let mut tcp = ip.tcp(sender.port, receiver.port, sender.seq, 65_535);
        for (flag, with) in [(SYN, 0), (FIN, 1), (PSH, 2)] {
            if flags & flag != 0 {
                tcp = match with {
                    0 => tcp.syn(),
                    1 => tcp.fin(),
                    _ => tcp.psh(),
                };
            }
        }
        if flags & ACK != 0 {
            tcp = tcp.ack(receiver.seq);
        }
        let millis = (file.now.0 / 1_000_000) as u32;
        let times = [TcpOptionElement::Noop, TcpOptionElement::Noop, TcpOptionElement::Timestamp(millis, millis)];
        let tcp = tcp.options(&times).map_err(io::Error::other)?;
        file.packet.clear();
        tcp.write(&mut file.packet, payload).map_err(io::Error::other)?;
        let takes = u32::from(flags & (SYN | FIN) != 0);
        sender.seq = sender.seq.wrapping_add(payload.len() as u32).wrapping_add(takes);
        let mut input = payload;
        while let Some(piece) = sender.frames.next(&mut input) {
            file.made.frames += u64::from(matches!(piece, Piece::Frame(_)));
        }
        file.record(payload.len())
    }
}
