//! Laws L1, L2 and L4 with TLS on either edge: what `proxy.rs` holds for plain sockets.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use crate::pairs;
use crate::support::tls::{End, SEALED, Sealed};
use crate::support::{PATIENCE, frames, random_bytes, read_out, receive, relay, run, send, soak_bytes, within};
use bytes::Bytes;
use dcproxy::Timestamp;
use dcproxy::engine::Output;
use dcproxy::journal::{How, Side};
use dcproxy::net::{Core, Ending};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Law L1: the bytes out are the bytes in, both ways at once, to the FIN of each.
#[test]
fn bytes_cross_both_ways_at_once() {
    run(async {
        for (edges, version) in SEALED.into_iter().zip([&TLS13, &TLS12, &TLS13]) {
            let (down, up, total) = (random_bytes(1), frames(2), soak_bytes(6_000_000));
            let mut sealed = Sealed::start(edges, version, |_| {}, relay).await;
            let (dialler, upstream) = sealed.pair().await;
            let (mut dialler_reads, mut dialler_writes) = tokio::io::split(dialler);
            let (mut upstream_reads, mut upstream_writes) = tokio::io::split(upstream);
            tokio::join!(
                async {
                    send(&mut upstream_writes, &down, total, 1).await.expect("sent");
                    upstream_writes.shutdown().await.expect("closed");
                },
                async {
                    send(&mut dialler_writes, &up, total, 2).await.expect("sent");
                    dialler_writes.shutdown().await.expect("closed");
                },
                async {
                    receive(&mut dialler_reads, &down, total, 3).await;
                    assert_eq!(dialler_reads.read(&mut [0]).await.expect("a FIN, announced"), 0);
                },
                async {
                    receive(&mut upstream_reads, &up, total, 4).await;
                    assert_eq!(upstream_reads.read(&mut [0]).await.expect("a FIN, announced"), 0);
                },
            );
            assert_eq!(sealed.proxy.endings.recv().await, Some(Ending::Closed));
        }
    });
}

/// Law L1: nothing waits for the rest of its frame.
#[test]
fn a_partial_frame_is_relayed_at_once() {
    run(async {
        for edges in SEALED {
            let sealed = Sealed::start(edges, &TLS13, |_| {}, relay).await;
            let (mut dialler, mut upstream) = sealed.pair().await;
            for byte in &frames(3)[..40] {
                for _ in 0..2 {
                    dialler.write_u8(*byte).await.expect("written");
                    dialler.flush().await.expect("flushed");
                    assert_eq!(within(Duration::from_secs(5), upstream.read_u8()).await.expect("read"), *byte);
                    std::mem::swap(&mut dialler, &mut upstream);
                }
            }
        }
    });
}

/// Law L1: what comes in one segment with the last word of the handshake, to a FIN, is not left lying.
#[test]
fn what_comes_with_the_end_of_the_handshake_is_relayed() {
    run(async {
        for closes in [false, true] {
            let mut sealed = Sealed::start((true, false), &TLS13, |_| {}, relay).await;
            let name = ServerName::try_from("localhost").expect("a name");
            let mut client = ClientConnection::new(sealed.client(), name).expect("it begins");
            let mut stream = TcpStream::connect(sealed.proxy.address).await.expect("connected");
            while client.is_handshaking() {
                let mut records = Vec::new();
                client.write_tls(&mut records).expect("written");
                stream.write_all(&records).await.expect("sent");
                let mut answer = [0; 4096];
                let len = stream.read(&mut answer).await.expect("answered");
                let mut answer = &answer[..len];
                while !answer.is_empty() {
                    client.read_tls(&mut answer).expect("room");
                    client.process_new_packets().expect("the handshake");
                }
            }
            std::io::Write::write_all(&mut client.writer(), b"at once").expect("taken");
            if closes {
                client.send_close_notify();
            }
            let mut records = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut records).expect("written");
            }
            stream.write_all(&records).await.expect("sent");
            let mut upstream = sealed.proxy.upstream.accept().await.expect("dialled").0;
            let mut came = [0; 7];
            within(PATIENCE, upstream.read_exact(&mut came)).await.expect("relayed");
            assert_eq!(&came, b"at once");
            if closes {
                assert_eq!(within(PATIENCE, read_out(&mut upstream)).await, (Vec::new(), None));
                upstream.shutdown().await.expect("a FIN");
                assert_eq!(sealed.proxy.endings.recv().await, Some(Ending::Closed));
            }
        }
    });
}

/// Law L4: a FIN crosses, announced as such; the other direction goes on, then its FIN crosses.
#[test]
fn a_half_close_crosses() {
    run(async {
        for (edges, version) in SEALED.into_iter().flat_map(|edges| VERSIONS.map(|version| (edges, version))) {
            for swapped in [false, true] {
                let mut sealed = Sealed::start(edges, version, |_| {}, relay).await;
                let (mut first, mut second) = sealed.pair().await;
                if swapped {
                    (first, second) = (second, first);
                }
                pairs::half_close((first, second), 500_000).await;
                assert_eq!(sealed.proxy.endings.recv().await, Some(Ending::Closed));
            }
        }
    });
}

/// Law L4: a FIN that nobody announced crosses as a FIN.
#[test]
fn a_close_without_close_notify_is_a_fin() {
    run(async {
        let mut sealed = Sealed::start((true, true), &TLS13, |_| {}, relay).await;
        let (mut dialler, mut upstream) = sealed.pair().await;
        dialler.write_all(b"the last").await.expect("written");
        dialler.flush().await.expect("flushed");
        let mut came = [0; 8];
        upstream.read_exact(&mut came).await.expect("read");
        let End::Tls(mut dialler) = dialler else { panic!("plain") };
        dialler.get_mut().0.shutdown().await.expect("a FIN");
        assert_eq!(read_out(&mut upstream).await, (Vec::new(), None));
        upstream.shutdown().await.expect("a FIN");
        assert_eq!(sealed.proxy.endings.recv().await, Some(Ending::Closed));
    });
}

/// Law L4: a RST crosses as a RST, after the bytes before it.
#[test]
fn a_reset_crosses_after_the_bytes_before_it() {
    run(async {
        for edges in SEALED {
            for swapped in [false, true] {
                let mut sealed = Sealed::start(edges, &TLS13, |_| {}, relay).await;
                let (mut first, mut second) = sealed.pair().await;
                if swapped {
                    (first, second) = (second, first);
                }
                first.write_all(b"the last").await.expect("written");
                first.flush().await.expect("flushed");
                let mut seen = [0; 8];
                second.read_exact(&mut seen).await.expect("read");
                first.reset();
                assert_eq!(read_out(&mut second).await, (Vec::new(), Some(ErrorKind::ConnectionReset)));
                assert_eq!(sealed.proxy.endings.recv().await, Some(Ending::Closed));
            }
        }
    });
}

/// Records that are none end the connection at both ends, as a reset, after what came before.
#[test]
fn broken_records_end_the_connection_after_the_bytes_before_them() {
    run(async {
        let mut sealed = Sealed::start((true, false), &TLS13, |_| {}, relay).await;
        let (dialler, mut upstream) = sealed.pair().await;
        let End::Tls(mut dialler) = dialler else { panic!("plain") };
        let TlsStream::Client(dialler) = &mut *dialler else { panic!("a server") };
        let (stream, tls) = dialler.get_mut();
        std::io::Write::write_all(&mut tls.writer(), b"before").expect("taken");
        let mut records = Vec::new();
        tls.write_tls(&mut records).expect("written");
        // An application record of four bytes that no key opens.
        records.extend([0x17, 3, 3, 0, 4, 1, 2, 3, 4]);
        stream.write_all(&records).await.expect("written");
        assert_eq!(read_out(&mut upstream).await, (b"before".to_vec(), Some(ErrorKind::ConnectionReset)));
        assert_eq!(sealed.proxy.endings.recv().await, Some(Ending::Closed));
    });
}

/// `[Truncate(n), Close(Reset)]`: the bytes come first, more than the socket and TLS hold, to a reader that is slow.
#[test]
fn a_reset_of_the_tools_own_waits_for_what_was_written() {
    const TOTAL: usize = 8_000_000;

    struct Resets(Vec<Output>);
    impl Core for Resets {
        fn feed(&mut self, from: Side, _: Bytes, _: Timestamp) {
            let to = from.other();
            self.0.push(Output::Close { side: from, how: How::Reset });
            self.0.push(Output::Close { side: to, how: How::Reset });
            self.0.push(Output::Write { to, bytes: Bytes::from(vec![7; TOTAL]) });
        }
        fn closed(&mut self, _: Side, _: How, _: Timestamp) {}
        fn wakeup(&mut self, _: Timestamp) {}
        fn poll(&mut self) -> Option<Output> {
            self.0.pop()
        }
    }
    run(async {
        let mut sealed =
            Sealed::start((true, true), &TLS13, |options| options.limits.grace = PATIENCE, |_| Resets(Vec::new()))
                .await;
        let (mut dialler, mut upstream) = sealed.pair().await;
        upstream.write_all(b"go").await.expect("written");
        upstream.flush().await.expect("flushed");
        assert_eq!(read_out(&mut upstream).await, (Vec::new(), Some(ErrorKind::ConnectionReset)));
        let (bytes, error) = read_out(&mut dialler).await;
        assert_eq!((bytes.len(), error), (TOTAL, Some(ErrorKind::ConnectionReset)));
        assert_eq!(sealed.proxy.endings.recv().await, Some(Ending::Closed));
    });
}

/// Laws L2 and L4: a reader that stops stops its own direction only, what waits for it is bounded, and it goes on where it
/// stopped.
#[test]
fn a_stalled_reader_stops_its_own_direction_only() {
    run(async {
        for edges in SEALED {
            let sealed = Sealed::start(edges, &TLS13, |_| {}, relay).await;
            pairs::stalled_reader(sealed.pair().await, 30_000_000, 3_000_000).await;
        }
    });
}

/// A client that does not speak TLS, does not trust the certificate or only looks whether the port is open counts for nothing,
/// also where one connection is to be served.
#[test]
fn a_failed_handshake_of_a_dialler_does_not_count() {
    run(async {
        let sealed = Sealed::start((true, false), &TLS13, |options| options.once = true, relay).await;
        let mut plain = TcpStream::connect(sealed.proxy.address).await.expect("connected");
        plain.write_all(&frames(1)[..24]).await.expect("written");
        let (bytes, _) = within(PATIENCE, read_out(&mut plain)).await;
        assert_eq!(bytes, [0x15, 3, 3, 0, 2, 2, 70], "it is turned away with an alert");
        drop(TcpStream::connect(sealed.proxy.address).await.expect("connected"));
        let other = Sealed::start((true, false), &TLS13, |_| {}, relay).await;
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TcpStream::connect(sealed.proxy.address).await.expect("connected");
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&other.client()));
        connector.connect(name, stream).await.expect_err("another CA's certificate");
        let (mut dialler, mut upstream) = within(PATIENCE, sealed.pair()).await;
        dialler.write_all(b"x").await.expect("written");
        dialler.flush().await.expect("flushed");
        assert_eq!(upstream.read_u8().await.expect("relayed"), b'x');
        drop((dialler, upstream));
        let summary = sealed.proxy.summary.await.expect("ended");
        assert_eq!((summary.accepted, summary.failed_dial.map(|error| error.to_string())), (4, None));
    });
}
