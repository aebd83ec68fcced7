//! Scrapes do not stop traffic, and traffic does not stop scrapes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Watched, api, scrape};
use crate::support::{fill, frames, loopback, receive, run, send, soak_bytes};
use dcproxy::net::control::Registry;

#[test]
fn traffic_floods_while_it_is_scraped_and_both_go_on() {
    run(async {
        let registry = Registry::default();
        let api = api(&registry).await;
        let upstream = loopback().await;
        let proxy = Watched::start(&registry, "flooded", upstream.local_addr().expect("bound")).await;
        let (mut dialler, mut served) = proxy.pair(&upstream).await;
        let total = soak_bytes(24 << 20);
        let pattern = Arc::new(frames(3));
        let over = Arc::new(AtomicBool::new(false));
        let (at, told) = (api.address(), Arc::clone(&over));
        let scraping = tokio::spawn(async move {
            let mut texts = Vec::new();
            while !told.load(Ordering::SeqCst) {
                texts.push(scrape(at).await);
            }
            texts
        });
        let sent = Arc::clone(&pattern);
        let sending = tokio::spawn(async move { send(&mut served, &sent, total, 1).await.map(|()| served) });
        receive(&mut dialler, &pattern, total, 2).await;
        let served = sending.await.expect("it ends").expect("written");
        over.store(true, Ordering::SeqCst);
        let texts = scraping.await.expect("it ends");
        let labels = [("proxy", "flooded"), ("direction", "downstream")];
        let received = |text: &super::Text| text.sum("dcproxy_received_bytes_total", &labels);
        let amid = texts.iter().map(received).filter(|&bytes| bytes > 0.0 && bytes < total as f64).count();
        assert!(amid >= 2, "{amid} of {} scrapes saw the flood under way", texts.len());
        drop((dialler, served));
        let text = loop {
            let text = scrape(at).await;
            if text.sum("dcproxy_connections_closed_total", &labels[..1]) > 0.0 {
                break text;
            }
        };
        for name in ["dcproxy_received_bytes_total", "dcproxy_sent_bytes_total"] {
            assert_eq!(text.sum(name, &labels), total as f64, "{name}");
        }
        assert!(text.sum("dcproxy_frames_received_total", &labels) > 100.0);
        proxy.end().await;
    });
}

#[test]
fn who_does_not_read_shows_as_bytes_that_wait_and_reading_that_is_paused() {
    run(async {
        let registry = Registry::default();
        let api = api(&registry).await;
        let upstream = loopback().await;
        let proxy = Watched::start(&registry, "slow", upstream.local_addr().expect("bound")).await;
        let (mut dialler, mut served) = proxy.pair(&upstream).await;
        let taken = fill(&mut served, 64 << 20).await;
        let labels = [("proxy", "slow"), ("direction", "downstream")];
        let read = async || {
            let text = scrape(api.address()).await;
            [
                "dcproxy_connections_paused",
                "dcproxy_queued_bytes",
                "dcproxy_read_pauses_total",
                "dcproxy_read_paused_seconds_total",
            ]
            .map(|name| text.sum(name, &labels))
        };
        let [paused, queued, pauses, first] = read().await;
        assert_eq!((paused, pauses), (1.0, 1.0));
        assert!(queued >= 256.0 * 1024.0 && first > 0.3, "{queued} bytes wait, for {first} s");
        let text = scrape(api.address()).await;
        let [received, sent] = ["received", "sent"].map(|way| text.sum(&format!("dcproxy_{way}_bytes_total"), &labels));
        assert_eq!(received - sent, queued, "what was read and not written waits");
        let [.., second] = read().await;
        assert!(second > first, "it goes on while nothing moves");
        let mut left = vec![0; usize::try_from(taken).expect("it fits")];
        tokio::io::AsyncReadExt::read_exact(&mut dialler, &mut left).await.expect("all comes");
        while read().await[..2] != [0.0, 0.0] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(read().await[3] >= second);
        proxy.end().await;
    });
}
