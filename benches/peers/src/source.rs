//! A producer of our own. Whoever dials says in the name of its DCP_OPEN what is wanted: `bulk/VALUE/STREAMS/BLOCK` for mutations
//! without an end until a NOOP comes, `thread` for round trips with a thread for this connection alone, anything else for round trips in one
//! loop for all.

use std::io;
use std::io::IoSlice;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;

use nix::sys::socket::MsgFlags;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::sync::oneshot;

use super::flood::Flood;
use super::wire;
use super::wire::HEADER;

/// It ends, with its loop, when it is dropped.
pub(crate) struct Source {
    pub(crate) address: SocketAddr,
    pub(crate) told: Arc<Told>,
    over: Option<oneshot::Sender<()>>,
}

/// What it has done so far.
#[derive(Default)]
pub(crate) struct Told {
    /// Who dialled it.
    peers: Mutex<Vec<SocketAddr>>,
    bytes: AtomicU64,
    frames: AtomicU64,
}

impl Told {
    /// The addresses of those who dialled and said something.
    pub(crate) fn peers(&self) -> Vec<SocketAddr> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes and frames that were sent on all connections together.
    pub(crate) fn sent(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::SeqCst), self.frames.load(Ordering::SeqCst))
    }

    /// Before they are sent, so that whoever has the last of them finds all counted.
    fn sends(&self, bytes: usize, frames: u64) {
        self.bytes.fetch_add(bytes as u64, Ordering::SeqCst);
        self.frames.fetch_add(frames, Ordering::SeqCst);
    }
}

impl Source {
    pub(crate) fn start() -> io::Result<Self> {
        let (told, (over, stop)) = (Arc::new(Told::default()), oneshot::channel());
        let telling = Arc::clone(&told);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
            socket.listen(8192)
        })?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            runtime.block_on(async {
                let accepting = async {
                    while let Ok((stream, peer)) = listener.accept().await {
                        // An end that goes away in the middle is the other end's to tell of.
                        tokio::spawn(greet(stream, peer, Arc::clone(&telling)));
                    }
                };
                tokio::select! { () = accepting => {} _ = stop => {} }
            });
        });
        Ok(Self { address, told, over: Some(over) })
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.over.take().map(|over| over.send(()));
    }
}

async fn greet(mut stream: tokio::net::TcpStream, peer: SocketAddr, told: Arc<Told>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut header = [0; HEADER];
    let mut body = Vec::new();
    loop {
        stream.read_exact(&mut header).await?;
        body.resize(wire::body_len(&header), 0);
        stream.read_exact(&mut body).await?;
        if header[1] == wire::OPEN {
            told.peers.lock().unwrap_or_else(PoisonError::into_inner).push(peer);
            let name = String::from_utf8_lossy(&body[8..8 + wire::key_len(&header)]).into_owned();
            if name == "thread" || name.starts_with("bulk/") {
                let stream = stream.into_std()?;
                stream.set_nonblocking(false)?;
                thread::Builder::new().stack_size(256 * 1024).spawn(move || serve(stream, &header, &name, &told))?;
                return Ok(());
            }
        }
        if header[1] == wire::NOOP {
            told.sends(HEADER, 1);
            header[0] = wire::RESPONSE;
            stream.write_all(&header).await?;
        } else {
            let (bytes, frames) = reply(&header);
            told.sends(bytes.len(), frames);
            stream.write_all(&bytes).await?;
        }
    }
}

/// The answer, and how many frames that is; to a STREAM_REQ with a first snapshot, whole.
fn reply(request: &[u8]) -> (Vec<u8>, u64) {
    if request[1] != wire::STREAM_REQ {
        return (wire::answer(request, &[]), 1);
    }
    let mut flood = Flood::new(64, 1, 1);
    let mut bytes = wire::answer(request, &wire::failover_log());
    bytes.extend(wire::marker(wire::vbucket(request), 0, 3));
    for _ in 0..3 {
        flood.next();
        bytes.extend_from_slice(&flood.bytes);
    }
    (bytes, 5)
}

/// On a thread of its own, from the answer to its DCP_OPEN on.
fn serve(mut stream: TcpStream, opened: &[u8; HEADER], name: &str, told: &Told) -> io::Result<()> {
    let mut numbers = name.split('/').skip(1).map_while(|number| number.parse().ok());
    let bulk = numbers.next().zip(numbers.next()).zip(numbers.next());
    let (bytes, frames) = reply(opened);
    told.sends(bytes.len(), frames);
    stream.write_all(&bytes)?;
    let mut header = [0; HEADER];
    let mut rest = [0; 64];
    let mut asked = 0;
    loop {
        stream.read_exact(&mut header)?;
        let body = rest.get_mut(..wire::body_len(&header)).ok_or(io::ErrorKind::InvalidData)?;
        stream.read_exact(body)?;
        match bulk {
            Some(((value, streams), block)) if header[1] == wire::STREAM_REQ => {
                let answer = wire::answer(&header, &wire::failover_log());
                told.sends(answer.len(), 1);
                stream.write_all(&answer)?;
                asked += 1;
                if asked == streams {
                    flood(&mut stream, Flood::new(value, streams as u64, block), told)?;
                }
            }
            _ if header[1] == wire::NOOP => {
                told.sends(HEADER, 1);
                header[0] = wire::RESPONSE;
                stream.write_all(&header)?;
            }
            _ => {
                let (bytes, frames) = reply(&header);
                told.sends(bytes.len(), frames);
                stream.write_all(&bytes)?;
            }
        }
    }
}

/// Until the consumer says something.
fn flood(stream: &mut TcpStream, mut flood: Flood, told: &Told) -> io::Result<()> {
    let mut one = [0; 1];
    let look = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    while nix::sys::socket::recv(stream.as_raw_fd(), &mut one, look).is_err() {
        let frames = flood.next();
        told.sends(flood.markers.len() + flood.bytes.len(), frames);
        let mut parts = [IoSlice::new(&flood.markers), IoSlice::new(&flood.bytes)];
        let mut parts = &mut parts[..];
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let written = stream.write_vectored(parts)?;
            IoSlice::advance_slices(&mut parts, written);
        }
    }
    Ok(())
}
