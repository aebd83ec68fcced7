//! The two ends between which a relay stands, and what they measure.
//!
//! The sink dials, as a consumer does: DCP_OPEN, a STREAM_REQ; the source answers and sends mutations without an end, until the sink
//! has had enough. Both count, and the sink looks at the seqno of every frame: a frame that is lost, doubled or changed ends the run.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// How much is written at once, at least; and read, at most.
const BLOCK: usize = 256 * 1024;
const HEADER: usize = 24;
const EXTRAS: usize = 31;
const KEY: &[u8] = b"key-000000";

/// What a source sends on each connection.
#[derive(Clone, Copy, Debug)]
pub enum Talk {
    /// Mutations with values of so many bytes, without an end.
    Bulk { value: usize },
    /// The answer to each no-op.
    Echo,
}

/// A producer of our own, for as long as it is not dropped.
pub struct Source {
    pub address: SocketAddr,
    /// For each connection that has ended: who dialled it, and how many bytes and frames it was sent.
    pub sent: Arc<Mutex<Vec<Sent>>>,
    over: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub peer: SocketAddr,
    pub bytes: u64,
    pub frames: u64,
}

impl Source {
    pub fn start(talk: Talk) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let (sent, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (told, stopped) = (Arc::clone(&sent), Arc::clone(&over));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let told = Arc::clone(&told);
                // Five thousand of them must fit.
                let serving = thread::Builder::new().stack_size(128 * 1024);
                serving
                    .spawn(move || {
                        // An end that goes away in the middle is the sink's to tell of.
                        if let Ok(sent) = serve(stream, talk) {
                            told.lock().expect("no panic").push(sent);
                        }
                    })
                    .expect("a thread");
            }
        });
        Ok(Self { address, sent, over })
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        TcpStream::connect(self.address).ok();
    }
}

fn header(magic: u8, opcode: u8, extras: usize, key: usize, value: usize) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = magic;
    header[1] = opcode;
    header[2..4].copy_from_slice(&(key as u16).to_be_bytes());
    header[4] = extras as u8;
    header[8..12].copy_from_slice(&((extras + key + value) as u32).to_be_bytes());
    header
}

const REQUEST: u8 = 0x80;
const RESPONSE: u8 = 0x81;
const NOOP: u8 = 0x0a;
const OPEN: u8 = 0x50;
const STREAM_REQ: u8 = 0x53;
const MARKER: u8 = 0x56;
const MUTATION: u8 = 0x57;

fn frame(header: [u8; HEADER], body: &[&[u8]]) -> Vec<u8> {
    let mut frame = header.to_vec();
    body.iter().for_each(|part| frame.extend_from_slice(part));
    frame
}

fn body_len(header: &[u8]) -> usize {
    u32::from_be_bytes([header[8], header[9], header[10], header[11]]) as usize
}

/// Reads one frame.
fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; HEADER];
    stream.read_exact(&mut frame)?;
    let body = body_len(&frame);
    frame.resize(HEADER + body, 0);
    stream.read_exact(&mut frame[HEADER..])?;
    Ok(frame)
}

fn serve(mut stream: TcpStream, talk: Talk) -> io::Result<Sent> {
    stream.set_nodelay(true)?;
    let mut sent = Sent { peer: stream.peer_addr()?, bytes: 0, frames: 0 };
    let mut write = |stream: &mut TcpStream, bytes: &[u8], frames: u64| {
        sent.bytes += bytes.len() as u64;
        sent.frames += frames;
        stream.write_all(bytes)
    };
    loop {
        let request = match read_frame(&mut stream) {
            Ok(request) => request,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(sent),
            Err(error) => return Err(error),
        };
        match (talk, request[1]) {
            (Talk::Bulk { value }, STREAM_REQ) => {
                let failover_log = [[0; 7].as_slice(), &[1], &[0; 8]].concat();
                let mut answer = header(RESPONSE, STREAM_REQ, 0, 0, failover_log.len());
                answer[12..16].copy_from_slice(&request[12..16]);
                write(&mut stream, &frame(answer, &[&failover_log]), 1)?;
                let mut marker = header(REQUEST, MARKER, 20, 0, 0);
                marker[12..16].copy_from_slice(&request[12..16]);
                let extras = [&1_u64.to_be_bytes()[..], &(u64::MAX >> 1).to_be_bytes(), &2_u32.to_be_bytes()];
                write(&mut stream, &frame(marker, &extras), 1)?;
                let mut block = Mutations::new(value, &request[12..16]);
                // The sink says that it has enough by closing its direction.
                let mut one = [0; 1];
                stream.set_nonblocking(true)?;
                while !matches!(stream.peek(&mut one), Ok(0)) {
                    stream.set_nonblocking(false)?;
                    let frames = block.next();
                    write(&mut stream, &block.bytes, frames)?;
                    stream.set_nonblocking(true)?;
                }
                return Ok(sent);
            }
            (_, opcode) => {
                let mut answer = header(RESPONSE, opcode, 0, 0, 0);
                answer[12..16].copy_from_slice(&request[12..16]);
                write(&mut stream, &answer, 1)?;
            }
        }
    }
}

/// A run of mutations that is sent again and again, with other seqnos.
struct Mutations {
    bytes: Vec<u8>,
    len: usize,
    seqno: u64,
}

impl Mutations {
    fn new(value: usize, opaque: &[u8]) -> Self {
        let mut head = header(REQUEST, MUTATION, EXTRAS, KEY.len(), value);
        head[12..16].copy_from_slice(opaque);
        head[16..24].copy_from_slice(&7_u64.to_be_bytes());
        let mut extras = [0; EXTRAS];
        extras[8..16].copy_from_slice(&1_u64.to_be_bytes());
        let one = frame(head, &[&extras, KEY, &vec![b'v'; value]]);
        let len = one.len();
        Self { bytes: one.repeat(BLOCK.div_ceil(len)), len, seqno: 0 }
    }

    /// Makes it the next run: how many frames that is.
    fn next(&mut self) -> u64 {
        let before = self.seqno;
        for frame in self.bytes.chunks_exact_mut(self.len) {
            self.seqno += 1;
            frame[HEADER..HEADER + 8].copy_from_slice(&self.seqno.to_be_bytes());
        }
        self.seqno - before
    }
}

/// What the sinks of a bulk transfer got, together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Got {
    /// Bytes while time was taken.
    pub measured: u64,
    /// How long that was.
    pub seconds: f64,
    /// In all.
    pub bytes: u64,
    pub frames: u64,
}

/// Receives from so many connections at once; time is taken once all of them flow.
pub fn receive(at: SocketAddr, connections: usize, time: Duration) -> io::Result<Got> {
    let warm = Duration::from_millis(200);
    let all_flow = Arc::new(Barrier::new(connections));
    let sinks: Vec<_> = (0..connections)
        .map(|_| {
            let all_flow = Arc::clone(&all_flow);
            thread::spawn(move || sink(at, &all_flow, warm, time))
        })
        .collect();
    let mut all = Got::default();
    for sink in sinks {
        let got = sink.join().map_err(|_| io::Error::other("a sink has panicked"))??;
        all.measured += got.measured;
        all.seconds += got.seconds / connections as f64;
        all.bytes += got.bytes;
        all.frames += got.frames;
    }
    Ok(all)
}

fn sink(at: SocketAddr, all_flow: &Barrier, warm: Duration, time: Duration) -> io::Result<Got> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_nodelay(true)?;
    let mut got = Got::default();
    let name = b"bench";
    let open = frame(header(REQUEST, OPEN, 8, name.len(), 0), &[&[0, 0, 0, 0, 0, 0, 0, 1], name]);
    stream.write_all(&open)?;
    let answer = read_frame(&mut stream)?;
    (got.bytes, got.frames) = (answer.len() as u64, 1);
    let mut request = header(REQUEST, STREAM_REQ, 48, 0, 0);
    request[12..16].copy_from_slice(b"strm");
    let mut extras = [0; 48];
    extras[16..24].copy_from_slice(&u64::MAX.to_be_bytes());
    stream.write_all(&frame(request, &[&extras]))?;

    let mut walk = Walk::default();
    let mut buffer = vec![0; BLOCK];
    let mut read = |stream: &mut TcpStream, got: &mut Got| -> io::Result<usize> {
        let len = stream.read(&mut buffer)?;
        got.bytes += len as u64;
        got.frames += walk.over(&buffer[..len])?;
        Ok(len)
    };
    read(&mut stream, &mut got)?;
    all_flow.wait();
    let until = |stream: &mut TcpStream, got: &mut Got, end: Instant| -> io::Result<()> {
        while Instant::now() < end {
            if read(stream, got)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    };
    let mut until = until;
    until(&mut stream, &mut got, Instant::now() + warm)?;
    let (began, before) = (Instant::now(), got.bytes);
    until(&mut stream, &mut got, began + time)?;
    got.seconds = began.elapsed().as_secs_f64();
    got.measured = got.bytes - before;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut rest = vec![0; BLOCK];
    loop {
        let len = stream.read(&mut rest)?;
        if len == 0 {
            return Ok(got);
        }
        got.bytes += len as u64;
        got.frames += walk.over(&rest[..len])?;
    }
}

/// Walks over what comes, frame by frame, however it is cut.
#[derive(Default)]
struct Walk {
    /// Of a frame that has begun: its first bytes, up to its seqno.
    head: Vec<u8>,
    /// Bytes of it that are still to come behind those.
    skip: usize,
    seqno: u64,
}

impl Walk {
    /// How many frames have begun to be whole in these bytes.
    fn over(&mut self, mut bytes: &[u8]) -> io::Result<u64> {
        const HEAD: usize = HEADER + 8;
        let mut frames = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let len = self.skip.min(bytes.len());
                self.skip -= len;
                bytes = &bytes[len..];
                continue;
            }
            if self.head.is_empty() && bytes.len() >= HEAD {
                self.frame(&bytes[..HEAD])?;
                self.skip = HEADER + body_len(bytes);
                frames += 1;
                continue;
            }
            let len = (HEAD - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            if self.head.len() == HEAD {
                let head = std::mem::take(&mut self.head);
                self.frame(&head)?;
                self.skip = HEADER + body_len(&head) - HEAD;
                frames += 1;
            }
        }
        Ok(frames)
    }

    fn frame(&mut self, head: &[u8]) -> io::Result<()> {
        if head[1] != MUTATION {
            return Ok(());
        }
        let seqno = u64::from_be_bytes(head[HEADER..HEADER + 8].try_into().expect("eight bytes"));
        if seqno != self.seqno + 1 {
            return Err(io::Error::other(format!("expected seqno {}, found {seqno}", self.seqno + 1)));
        }
        self.seqno = seqno;
        Ok(())
    }
}

/// Round trips of no-ops, each in seconds, in the order of their length.
pub struct Trips(Vec<f64>);

impl Trips {
    /// That which so many of a hundred are no longer than.
    pub fn percentile(&self, percent: f64) -> f64 {
        let at = ((self.0.len() as f64 - 1.0) * percent / 100.0).round() as usize;
        self.0[at]
    }
}

/// Makes round trips for so long: one at a time, on each of the connections in turn.
pub fn ping(at: SocketAddr, connections: usize, time: Duration) -> io::Result<Trips> {
    let mut streams = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut stream = TcpStream::connect(at)?;
        stream.set_nodelay(true)?;
        trip(&mut stream, 0)?;
        streams.push(stream);
    }
    let mut trips = Vec::new();
    let began = Instant::now();
    for opaque in 1_u32.. {
        let at = opaque as usize % streams.len();
        let sent = Instant::now();
        if sent - began > time && opaque as usize > streams.len() {
            break;
        }
        trip(&mut streams[at], opaque)?;
        trips.push(sent.elapsed().as_secs_f64());
    }
    trips.sort_by(f64::total_cmp);
    Ok(Trips(trips))
}

fn trip(stream: &mut TcpStream, opaque: u32) -> io::Result<()> {
    let mut request = header(REQUEST, NOOP, 0, 0, 0);
    request[12..16].copy_from_slice(&opaque.to_be_bytes());
    stream.write_all(&request)?;
    let mut answer = [0; HEADER];
    stream.read_exact(&mut answer)?;
    let expected = (RESPONSE, opaque.to_be_bytes());
    let found = (answer[0], [answer[12], answer[13], answer[14], answer[15]]);
    if found == expected { Ok(()) } else { Err(io::Error::other("an answer to another request")) }
}

/// Connections set up and used once, a second.
pub fn set_ups(at: SocketAddr, time: Duration) -> io::Result<f64> {
    let began = Instant::now();
    let diallers: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || -> io::Result<u64> {
                let mut count = 0;
                while began.elapsed() < time {
                    let mut stream = TcpStream::connect(at)?;
                    stream.set_nodelay(true)?;
                    trip(&mut stream, 1)?;
                    count += 1;
                }
                Ok(count)
            })
        })
        .collect();
    let mut count = 0;
    for dialler in diallers {
        count += dialler.join().map_err(|_| io::Error::other("a dialler has panicked"))??;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}
