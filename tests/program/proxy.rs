//! Laws L1, L2 and L4 at real sockets: few tests, on loopback, on free ports.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::pairs;
use crate::support::{
    PATIENCE, Proxy, fill, frames, random_bytes, read_out, receive, relay, run, send, soak_bytes, within,
};
use bytes::Bytes;
use dcproxy::Timestamp;
use dcproxy::engine::{Engine, Output};
use dcproxy::journal::{How, Side};
use dcproxy::net::{Core, Ending, Progress, Stop};
use dcproxy::wire::{FrameBuilder, Opcode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// A core for tests of the link itself: what a closure makes of each event.
struct Scripted<F> {
    script: F,
    outputs: VecDeque<Output>,
    progress: Progress,
}

enum Event {
    Fed(Side, Bytes),
    Closed,
    Wakeup,
    Paused(Side, bool),
    Settle,
}

fn scripted<F: FnMut(Event, Timestamp, &mut VecDeque<Output>) -> Progress + Send + 'static>(script: F) -> Scripted<F> {
    Scripted { script, outputs: VecDeque::new(), progress: Progress::Armed }
}

impl<F: FnMut(Event, Timestamp, &mut VecDeque<Output>) -> Progress + Send + 'static> Core for Scripted<F> {
    fn feed(&mut self, from: Side, bytes: Bytes, now: Timestamp) {
        self.progress = (self.script)(Event::Fed(from, bytes), now, &mut self.outputs);
    }

    fn closed(&mut self, _: Side, _: How, now: Timestamp) {
        self.progress = (self.script)(Event::Closed, now, &mut self.outputs);
    }

    fn wakeup(&mut self, now: Timestamp) {
        self.progress = (self.script)(Event::Wakeup, now, &mut self.outputs);
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn paused(&mut self, from: Side, paused: bool, now: Timestamp) {
        self.progress = (self.script)(Event::Paused(from, paused), now, &mut self.outputs);
    }

    fn settle(&mut self, now: Timestamp) {
        self.progress = (self.script)(Event::Settle, now, &mut self.outputs);
    }

    fn progress(&self) -> Progress {
        self.progress
    }
}

async fn crosses(down: Vec<u8>, up: Vec<u8>, total: u64) {
    crosses_by(relay, down, up, total).await;
}

async fn crosses_by<C: Core>(core: impl FnMut(u64) -> C + Send + 'static, down: Vec<u8>, up: Vec<u8>, total: u64) {
    let mut proxy = Proxy::start(|_| {}, core).await;
    let (dialler, upstream) = proxy.pair().await;
    let (mut dialler_reads, mut dialler_writes) = dialler.into_split();
    let (mut upstream_reads, mut upstream_writes) = upstream.into_split();
    let half = total / 2;
    let (sent_down, sent_up, (), ()) = tokio::join!(
        async {
            let sent = send(&mut upstream_writes, &down, half, 1).await;
            upstream_writes.shutdown().await.and(sent)
        },
        async {
            let sent = send(&mut dialler_writes, &up, half, 2).await;
            dialler_writes.shutdown().await.and(sent)
        },
        async {
            receive(&mut dialler_reads, &down, half, 3).await;
            assert_eq!(dialler_reads.read(&mut [0]).await.expect("a FIN"), 0);
        },
        async {
            receive(&mut upstream_reads, &up, half, 4).await;
            assert_eq!(upstream_reads.read(&mut [0]).await.expect("a FIN"), 0);
        },
    );
    sent_down.and(sent_up).expect("sent");
    assert_eq!(proxy.endings.recv().await, Some(Ending::Closed));
}

/// Law L1: with nothing armed, the bytes out are the bytes in.
#[test]
fn random_bytes_cross_both_ways_at_once() {
    run(crosses(random_bytes(1), random_bytes(2), soak_bytes(100_000_000) / 2));
}

/// Law L1, for bytes that the tool understands.
#[test]
fn frames_cross_both_ways_at_once() {
    run(crosses(frames(1), frames(2), soak_bytes(100_000_000) / 2));
}

/// An engine, and whether reading has ever been paused.
struct Watched {
    engine: Engine<()>,
    paused: watch::Sender<bool>,
}

impl Core for Watched {
    fn passes(&mut self, from: Side, _: &Bytes) -> bool {
        self.engine.passes(from)
    }

    fn feed(&mut self, from: Side, bytes: Bytes, now: Timestamp) {
        self.engine.feed(from, bytes, now);
    }

    fn closed(&mut self, from: Side, how: How, now: Timestamp) {
        self.engine.closed(from, how, now);
    }

    fn wakeup(&mut self, now: Timestamp) {
        self.engine.wakeup(now);
    }

    fn poll(&mut self) -> Option<Output> {
        self.engine.poll()
    }

    fn paused(&mut self, from: Side, paused: bool, now: Timestamp) {
        self.paused.send_if_modified(|was| paused && !std::mem::replace(was, true));
        self.engine.paused(from, paused, now);
    }
}

/// Long values, with short frames between some of them.
fn long_values(seed: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, len) in [4_000_000, 1_048_576, 200_000, 3_000_001, 150_000].into_iter().enumerate() {
        let value = random_bytes(seed + at as u64).into_iter().cycle().take(len).collect::<Vec<_>>();
        let long = FrameBuilder::request(Opcode::DCP_MUTATION).vbucket(3).extras([1; 31]).key("long");
        long.value(value).write(&mut bytes);
        for _ in 0..at {
            FrameBuilder::request(Opcode::DCP_NOOP).write(&mut bytes);
        }
    }
    bytes
}

/// Law L1, for values that nobody looks at.
#[test]
fn long_values_cross_both_ways_at_once() {
    run(crosses_by(relay, long_values(1), long_values(2), soak_bytes(100_000_000)));
}

/// Law L4, in the midst of a long value.
#[test]
fn a_half_close_and_a_reset_cross_within_a_long_value() {
    run(async {
        for how in [How::Fin, How::Reset] {
            let mut proxy = Proxy::start(|_| {}, relay).await;
            let (mut first, mut second) = proxy.pair().await;
            let sent = [long_values(5), long_values(6)[..2_000_000].to_vec()].concat();
            let (read, ()) = tokio::join!(
                async {
                    let mut bytes = vec![0; sent.len()];
                    second.read_exact(&mut bytes).await.expect("read");
                    bytes
                },
                async { first.write_all(&sent).await.expect("written") }
            );
            assert!(read == sent);
            if how == How::Reset {
                first.set_zero_linger().expect("set");
                drop(first);
                assert_eq!(read_out(&mut second).await, (Vec::new(), Some(ErrorKind::ConnectionReset)));
            } else {
                first.shutdown().await.expect("a FIN");
                assert_eq!(read_out(&mut second).await, (Vec::new(), None));
                let (came, ()) = tokio::join!(read_out(&mut first), async {
                    second.write_all(&sent).await.expect("written");
                    drop(second);
                });
                assert!(came == (sent, None));
            }
            assert_eq!(within(PATIENCE, proxy.endings.recv()).await, Some(Ending::Closed));
        }
    });
}

/// Law L2, for such values: what waits for a reader that has stopped is bounded, a pause is told, and then all of it comes.
#[test]
fn a_stalled_reader_of_long_values_stops_them_and_gets_all_of_them() {
    run(async {
        let paused = watch::Sender::default();
        let mut told = paused.subscribe();
        let mut proxy = Proxy::start(|_| {}, move |_| Watched { engine: relay(0), paused: paused.clone() }).await;
        let (mut stalled, mut writer) = proxy.pair().await;
        let bytes = long_values(9);
        let total = 40 * bytes.len() as u64;
        let (sent, ()) = tokio::join!(
            async {
                let sent = send(&mut writer, &bytes, total, 1).await;
                writer.shutdown().await.and(sent)
            },
            async {
                within(PATIENCE, told.wait_for(|paused| *paused)).await.expect("a pause");
                receive(&mut stalled, &bytes, total, 2).await;
                assert_eq!(read_out(&mut stalled).await, (Vec::new(), None));
            }
        );
        sent.expect("sent");
        drop(stalled);
        assert_eq!(within(PATIENCE, proxy.endings.recv()).await, Some(Ending::Closed));
    });
}

/// Law L1: nothing waits for the rest of its frame.
#[test]
fn a_partial_frame_is_relayed_at_once() {
    run(async {
        let proxy = Proxy::start(|_| {}, relay).await;
        let (mut dialler, mut upstream) = proxy.pair().await;
        for byte in &frames(3)[..80] {
            for _ in 0..2 {
                dialler.write_u8(*byte).await.expect("written");
                assert_eq!(within(Duration::from_secs(5), upstream.read_u8()).await.expect("read"), *byte);
                std::mem::swap(&mut dialler, &mut upstream);
            }
        }
    });
}

/// Law L4: a FIN crosses, the other direction goes on, then its FIN crosses.
#[test]
fn a_half_close_crosses() {
    run(async {
        for swapped in [false, true] {
            let mut proxy = Proxy::start(|_| {}, relay).await;
            let (mut first, mut second) = proxy.pair().await;
            if swapped {
                (first, second) = (second, first);
            }
            pairs::half_close((first, second), 3_000_000).await;
            assert_eq!(proxy.endings.recv().await, Some(Ending::Closed));
        }
    });
}

/// Law L4: a RST crosses as a RST, after the bytes before it.
#[test]
fn a_reset_crosses_after_the_bytes_before_it() {
    run(async {
        for swapped in [false, true] {
            let mut proxy = Proxy::start(|_| {}, relay).await;
            let (mut first, mut second) = proxy.pair().await;
            if swapped {
                (first, second) = (second, first);
            }
            first.write_all(b"the last").await.expect("written");
            // Until then the reset could overtake them on their way into the proxy, which loses bytes without a proxy too.
            let mut seen = [0; 8];
            second.read_exact(&mut seen).await.expect("read");
            first.set_zero_linger().expect("set");
            drop(first);
            assert_eq!(read_out(&mut second).await, (Vec::new(), Some(ErrorKind::ConnectionReset)));
            assert_eq!(proxy.endings.recv().await, Some(Ending::Closed));
        }
    });
}

/// Law L4: a reset that comes after the end's own FIN, when nothing is read from it any more, crosses too.
#[test]
fn a_reset_after_a_half_close_crosses() {
    run(async {
        let mut proxy = Proxy::start(|_| {}, relay).await;
        let (mut first, mut second) = proxy.pair().await;
        first.shutdown().await.expect("a FIN");
        assert_eq!(read_out(&mut second).await, (Vec::new(), None));
        first.set_zero_linger().expect("set");
        drop(first);
        assert_eq!(within(PATIENCE, proxy.endings.recv()).await, Some(Ending::Closed));
        // Linux tells a socket that has had a FIN of a RST by EPIPE.
        let refused = loop {
            if let Err(error) = second.write_all(&[0; 1024]).await {
                break error.kind();
            }
        };
        assert!(matches!(refused, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{refused}");
    });
}

/// `[Truncate(10), Close(Reset)]`: the ten bytes come first.
#[test]
fn a_reset_of_the_tools_own_waits_for_what_was_written() {
    run(async {
        let mut proxy = Proxy::start(
            |_| {},
            |_| {
                scripted(|event, _, outputs| {
                    if let Event::Fed(from, bytes) = event {
                        outputs.push_back(Output::Write { to: from.other(), bytes: bytes.slice(..10) });
                        outputs.push_back(Output::Close { side: from.other(), how: How::Reset });
                        outputs.push_back(Output::Close { side: from, how: How::Reset });
                    }
                    Progress::Armed
                })
            },
        )
        .await;
        let (mut dialler, mut upstream) = proxy.pair().await;
        upstream.write_all(&frames(1)[..24]).await.expect("written");
        assert_eq!(read_out(&mut dialler).await, (frames(1)[..10].to_vec(), Some(ErrorKind::ConnectionReset)));
        assert_eq!(read_out(&mut upstream).await, (Vec::new(), Some(ErrorKind::ConnectionReset)));
        assert_eq!(proxy.endings.recv().await, Some(Ending::Closed));
    });
}

/// Law L4: an end that the tool has reset says nothing more; the core is told, so that the other end hears of it.
#[test]
fn a_reset_of_the_tools_own_at_one_end_is_told_to_the_core() {
    run(async {
        for (reset, swapped) in [(Side::Upstream, false), (Side::Dialler, true)] {
            let mut proxy = Proxy::start(
                |_| {},
                move |_| {
                    scripted(move |event, _, outputs| {
                        match event {
                            Event::Fed(..) => outputs.push_back(Output::Close { side: reset, how: How::Reset }),
                            Event::Closed => outputs.push_back(Output::Close { side: reset.other(), how: How::Reset }),
                            Event::Wakeup | Event::Paused(..) | Event::Settle => {}
                        }
                        Progress::Armed
                    })
                },
            )
            .await;
            let (mut other, mut torn) = proxy.pair().await;
            if swapped {
                (other, torn) = (torn, other);
            }
            other.write_all(b"x").await.expect("written");
            assert_eq!(read_out(&mut torn).await, (Vec::new(), Some(ErrorKind::ConnectionReset)));
            assert_eq!(read_out(&mut other).await, (Vec::new(), Some(ErrorKind::ConnectionReset)));
            assert_eq!(within(PATIENCE, proxy.endings.recv()).await, Some(Ending::Closed));
        }
    });
}

/// More than the socket buffers hold, and a reader that has not begun to read when the reset is asked for.
#[test]
fn a_reset_of_the_tools_own_waits_for_a_slow_reader() {
    const TOTAL: usize = 24_000_000;
    run(async {
        let mut proxy = Proxy::start(
            |options| options.limits.grace = PATIENCE,
            |_| {
                scripted(|event, _, outputs| {
                    if let Event::Fed(from, _) = event {
                        outputs.push_back(Output::Write { to: from.other(), bytes: Bytes::from(vec![7; TOTAL]) });
                        outputs.push_back(Output::Close { side: from.other(), how: How::Reset });
                        outputs.push_back(Output::Close { side: from, how: How::Reset });
                    }
                    Progress::Armed
                })
            },
        )
        .await;
        let (mut dialler, mut upstream) = proxy.pair().await;
        upstream.write_all(b"go").await.expect("written");
        assert_eq!(read_out(&mut upstream).await, (Vec::new(), Some(ErrorKind::ConnectionReset)));
        let (bytes, error) = read_out(&mut dialler).await;
        assert_eq!((bytes.len(), error), (TOTAL, Some(ErrorKind::ConnectionReset)));
        assert_eq!(proxy.endings.recv().await, Some(Ending::Closed));
    });
}

/// Law L4: a reader that reads nothing does not keep a reset from happening.
#[test]
fn a_reset_crosses_a_stalled_reader() {
    run(async {
        let mut proxy = Proxy::start(|options| options.limits.grace = Duration::from_millis(100), relay).await;
        let (dialler, mut upstream) = proxy.pair().await;
        fill(&mut upstream, 100_000_000).await;
        upstream.set_zero_linger().expect("set");
        drop(upstream);
        assert_eq!(within(PATIENCE, proxy.endings.recv()).await, Some(Ending::Closed));
        drop(dialler);
    });
}

/// Laws L2 and L4: a reader that stops stops its own direction only, and what waits for it is bounded.
#[test]
fn a_stalled_reader_stops_its_own_direction_only() {
    run(async {
        for swapped in [false, true] {
            let proxy = Proxy::start(|_| {}, relay).await;
            let (mut stalled, mut writer) = proxy.pair().await;
            if swapped {
                (stalled, writer) = (writer, stalled);
            }
            pairs::stalled_reader((stalled, writer), 100_000_000, 50_000_000).await;
        }
    });
}

/// Law L2: what the tool injects towards an end does not wait for what stalls from that end.
#[test]
fn an_injected_frame_passes_a_stalled_direction() {
    run(async {
        let proxy = Proxy::start(
            |_| {},
            |_| {
                scripted(|event, now, outputs| {
                    match event {
                        Event::Fed(Side::Upstream, bytes) => {
                            outputs.push_back(Output::Write { to: Side::Dialler, bytes });
                            outputs.push_back(Output::Wait(Some(now + Duration::from_millis(100))));
                        }
                        Event::Wakeup => {
                            outputs.push_back(Output::Write { to: Side::Upstream, bytes: Bytes::from_static(b"noop") });
                        }
                        Event::Fed(Side::Dialler, _) | Event::Closed | Event::Paused(..) | Event::Settle => {}
                    }
                    Progress::Armed
                })
            },
        )
        .await;
        let (_stalled, mut upstream) = proxy.pair().await;
        fill(&mut upstream, 100_000_000).await;
        let mut injected = [0; 4];
        within(PATIENCE, upstream.read_exact(&mut injected)).await.expect("read");
        assert_eq!(&injected, b"noop");
    });
}

/// Whoever judges an end's silence must know that it was not read from.
#[test]
fn a_pause_is_told_to_the_core() {
    run(async {
        let proxy = Proxy::start(
            |_| {},
            |_| {
                scripted(|event, _, outputs| {
                    let bytes = match event {
                        Event::Fed(Side::Upstream, bytes) => Output::Write { to: Side::Dialler, bytes },
                        Event::Paused(Side::Upstream, paused) => {
                            let told = if paused { &b"p"[..] } else { b"r" };
                            Output::Write { to: Side::Upstream, bytes: Bytes::from_static(told) }
                        }
                        Event::Closed => Output::Close { side: Side::Dialler, how: How::Fin },
                        Event::Settle => return Progress::Settled,
                        Event::Fed(..) | Event::Wakeup | Event::Paused(..) => return Progress::Armed,
                    };
                    outputs.push_back(bytes);
                    Progress::Armed
                })
            },
        )
        .await;
        let (mut dialler, mut upstream) = proxy.pair().await;
        fill(&mut upstream, 100_000_000).await;
        upstream.shutdown().await.expect("a FIN");
        read_out(&mut dialler).await;
        dialler.shutdown().await.expect("a FIN");
        proxy.shutdown.stop(Stop::Settle);
        let told = read_out(&mut upstream).await.0;
        assert!(told.len() >= 2 && told.chunks(2).all(|pair| pair == b"pr"), "{}", told.escape_ascii());
    });
}

/// A core that holds bytes back stops the reading like a queue does.
#[test]
fn held_bytes_are_bounded() {
    struct Holds(Vec<Bytes>);
    impl Core for Holds {
        fn feed(&mut self, _: Side, bytes: Bytes, _: Timestamp) {
            self.0.push(bytes);
        }
        fn closed(&mut self, _: Side, _: How, _: Timestamp) {}
        fn wakeup(&mut self, _: Timestamp) {}
        fn poll(&mut self) -> Option<Output> {
            None
        }
        fn held(&self, to: Side) -> usize {
            if to == Side::Dialler { self.0.iter().map(Bytes::len).sum() } else { 0 }
        }
    }
    run(async {
        let proxy = Proxy::start(|_| {}, |_| Holds(Vec::new())).await;
        let (_dialler, mut upstream) = proxy.pair().await;
        fill(&mut upstream, 100_000_000).await;
    });
}

/// Law L1: nobody waits for whoever looks on.
#[test]
fn what_goes_on_as_it_came_is_written_before_it_is_looked_at() {
    struct Looks(mpsc::Receiver<u8>);
    impl Core for Looks {
        fn feed(&mut self, _: Side, _: Bytes, _: Timestamp) {
            // Whoever looks on takes all the time in the world; the other end has the byte meanwhile.
            assert_eq!(self.0.recv_timeout(PATIENCE), Ok(b'x'));
        }
        fn passes(&mut self, _: Side, _: &Bytes) -> bool {
            true
        }
        fn closed(&mut self, _: Side, _: How, _: Timestamp) {}
        fn wakeup(&mut self, _: Timestamp) {}
        fn poll(&mut self) -> Option<Output> {
            None
        }
    }
    run(async {
        let (has_read, read) = mpsc::channel();
        let mut read = Some(read);
        let proxy = Proxy::start(|_| {}, move |_| Looks(read.take().expect("one connection"))).await;
        let (mut dialler, upstream) = proxy.pair().await;
        let mut upstream = upstream.into_std().expect("a socket");
        upstream.set_nonblocking(false).expect("it can wait");
        let reader = thread::spawn(move || {
            let mut byte = [0];
            upstream.read_exact(&mut byte).expect("a byte");
            has_read.send(byte[0]).expect("it is waited for");
            upstream
        });
        dialler.write_all(b"x").await.expect("written");
        reader.join().expect("no panic");
    });
}

/// A crash of a connection's task is told of, and harms nobody else.
#[test]
fn a_crash_is_told_of_and_harms_no_other_connection() {
    run(async {
        let mut proxy = Proxy::start(
            |_| {},
            |id| {
                scripted(move |event, _, outputs| {
                    assert!(id != 1, "the first one crashes");
                    if let Event::Fed(from, bytes) = event {
                        outputs.push_back(Output::Write { to: from.other(), bytes });
                    }
                    Progress::Unarmed
                })
            },
        )
        .await;
        let (mut dialler, _upstream) = proxy.pair().await;
        let (mut other, mut others_upstream) = proxy.pair().await;
        dialler.write_all(b"x").await.expect("written");
        assert_eq!(proxy.endings.recv().await, Some(Ending::Crashed("the first one crashes".to_owned())));
        read_out(&mut dialler).await;
        other.write_all(b"y").await.expect("written");
        assert_eq!(others_upstream.read_u8().await.expect("read"), b'y');
    });
}

/// SIGINT once: links with nothing armed end at once, others settle; nothing new is accepted.
#[test]
fn a_stop_waits_for_what_is_armed_until_it_has_settled() {
    run(async {
        let mut proxy = Proxy::start(
            |options| options.limits.settle = PATIENCE,
            |id| {
                scripted(move |event, now, outputs| match event {
                    Event::Settle if id == 2 => {
                        outputs.push_back(Output::Write { to: Side::Upstream, bytes: Bytes::from_static(b"last") });
                        outputs.push_back(Output::Wait(Some(now + Duration::from_millis(50))));
                        Progress::Armed
                    }
                    Event::Wakeup => {
                        outputs.push_back(Output::Write { to: Side::Upstream, bytes: Bytes::from_static(b" word") });
                        Progress::Settled
                    }
                    Event::Fed(from, bytes) => {
                        outputs.push_back(Output::Write { to: from, bytes });
                        Progress::Unarmed
                    }
                    Event::Closed | Event::Paused(..) | Event::Settle => Progress::Unarmed,
                })
            },
        )
        .await;
        let (mut unarmed, _unarmed_upstream) = proxy.pair().await;
        let (mut armed, mut armed_upstream) = proxy.pair().await;
        for started in [&mut unarmed, &mut armed] {
            started.write_all(b"x").await.expect("written");
            assert_eq!(started.read_u8().await.expect("read"), b'x');
        }
        proxy.shutdown.stop(Stop::Settle);
        assert_eq!(proxy.endings.recv().await, Some(Ending::Stopped));
        assert_eq!(proxy.endings.recv().await, Some(Ending::Stopped));
        assert_eq!(read_out(&mut armed_upstream).await.0, b"last word");
        assert_eq!(proxy.summary.await.expect("ended").accepted, 2);
        TcpStream::connect(proxy.address).await.expect_err("nobody listens any more");
    });
}

/// SIGINT twice.
#[test]
fn a_second_stop_waits_for_nothing() {
    run(async {
        let mut proxy = Proxy::start(
            |options| options.limits.settle = PATIENCE * 2,
            |_| {
                scripted(|event, _, outputs| {
                    if let Event::Fed(from, bytes) = event {
                        outputs.push_back(Output::Write { to: from, bytes });
                    }
                    Progress::Armed
                })
            },
        )
        .await;
        let (mut dialler, _upstream) = proxy.pair().await;
        dialler.write_all(b"x").await.expect("written");
        assert_eq!(dialler.read_u8().await.expect("read"), b'x');
        proxy.shutdown.stop(Stop::Settle);
        proxy.shutdown.stop(Stop::Now);
        assert_eq!(proxy.endings.recv().await, Some(Ending::Stopped));
        proxy.summary.await.expect("ended");
    });
}

/// `--once` with nothing armed: the first connection is the one, and nobody else is served.
#[test]
fn once_serves_one_connection() {
    run(async {
        let proxy = Proxy::start(|options| options.once = true, relay).await;
        let (dialler, upstream) = proxy.pair().await;
        drop((dialler, upstream));
        assert_eq!(proxy.summary.await.expect("ended").accepted, 1);
    });
}

/// `--once` with something armed serves whoever comes until the one connection is over; the others end with it.
#[test]
fn once_ends_with_the_connection_that_counts() {
    run(async {
        let mut proxy = Proxy::start_armed(|options| options.once = true, relay, Some(|id| id == 2)).await;
        let first = proxy.pair().await;
        let (mut counts, counts_upstream) = proxy.pair().await;
        let (mut third, mut third_upstream) = proxy.pair().await;
        drop(first);
        assert_eq!(proxy.endings.recv().await, Some(Ending::Closed));
        third.write_all(b"x").await.expect("still served");
        assert_eq!(third_upstream.read_u8().await.expect("still served"), b'x');
        counts.write_all(b"x").await.expect("still served");
        drop((counts, counts_upstream));
        assert_eq!(proxy.endings.recv().await, Some(Ending::Closed));
        assert_eq!(proxy.endings.recv().await, Some(Ending::Stopped));
        assert_eq!(proxy.summary.await.expect("ended").accepted, 3);
    });
}

/// `--once` with something armed ends when all has settled, though both ends stay.
#[test]
fn once_ends_when_all_has_settled() {
    run(async {
        let mut proxy = Proxy::start(
            |options| options.once = true,
            |_| {
                scripted(
                    |event, _, _| if matches!(event, Event::Fed(..)) { Progress::Settled } else { Progress::Armed },
                )
            },
        )
        .await;
        let (mut dialler, _upstream) = proxy.pair().await;
        dialler.write_all(b"x").await.expect("written");
        assert_eq!(proxy.endings.recv().await, Some(Ending::Settled));
        proxy.summary.await.expect("ended");
    });
}

/// A refused upstream closes the dialler, and is told of.
#[test]
fn a_refused_upstream_closes_the_dialler() {
    run(async {
        for once in [false, true] {
            let proxy = Proxy::start(|options| options.once = once, relay).await;
            let nobody = proxy.upstream.local_addr().expect("bound");
            drop(proxy.upstream);
            let mut dialler = TcpStream::connect(proxy.address).await.expect("connected");
            assert_eq!(read_out(&mut dialler).await, (Vec::new(), None));
            proxy.shutdown.stop(if once { Stop::No } else { Stop::Settle });
            let summary = proxy.summary.await.expect("ended");
            let told = summary.failed_dial.map(|error| error.to_string()).unwrap_or_default();
            assert!(told.starts_with(&format!("cannot connect to {nobody}: Connection refused")), "{told}");
        }
    });
}

/// `--timeout` ends everything.
#[test]
fn a_timeout_ends_everything() {
    run(async {
        let mut proxy = Proxy::start(
            |options| options.timeout = Some(Duration::from_millis(200)),
            |_| scripted(|_, _, _| Progress::Armed),
        )
        .await;
        let (_dialler, _upstream) = proxy.pair().await;
        assert_eq!(proxy.endings.recv().await, Some(Ending::Stopped));
        assert!(proxy.summary.await.expect("ended").timed_out);
    });
}
