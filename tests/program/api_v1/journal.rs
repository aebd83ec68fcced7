use dcproxy::wire::{FrameBuilder, Opcode};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::{Bench, PROMPT};
use crate::support::{loopback, receive, run, send, within};

#[test]
fn the_journals_tail_tells_frames_as_decode_does_and_no_key() {
    run(async {
        let bench = Bench::start(None).await;
        let mut tail = bench.follow("?filter=dcp.opcode%20%3D%3D%20mutation&edge=upstream&events=frame").await;
        bench.consume();
        for _ in 0..50 {
            let (event, said) = tail.event().await.expect("an event");
            if event == "lost" {
                continue;
            }
            assert_eq!((&*event, &said["opcode"]), ("frame", &json!("DCP_MUTATION")), "{said}");
            assert_eq!(
                (&said["edge"], &said["direction"], &said["origin"]),
                (&json!("upstream"), &json!("from"), &json!("peer"))
            );
            assert_eq!((&said["from"], &said["conn"]), (&json!("producer"), &json!(1)));
            assert!(said["by_seqno"].as_u64() > Some(0) && said["collection_id"].is_u64(), "{said}");
            assert!(said.get("key").is_none() && said.get("value").is_none(), "{said}");
        }
        let (status, error) = bench.ask("GET", "/dcp/v1/proxies/p/journal?filter=dcp.opcod", "").await;
        assert_eq!(status, 400);
        assert!(
            error["error"].as_str().is_some_and(|error| error.contains("column") && error.contains("dcp.opcode")),
            "{error}"
        );
        for bad in ["?events=frames", "?connection=x", "?edge=left"] {
            assert_eq!(bench.ask("GET", &format!("/dcp/v1/proxies/p/journal{bad}"), "").await.0, 400, "{bad}");
        }
        bench.end().await;
    });
}

#[test]
fn what_a_listener_has_no_room_for_is_told_with_its_count() {
    run(async {
        let upstream = loopback().await;
        let bench = Bench::facing(&upstream).await;
        let (mut dialler, mut node) = bench.pair(&upstream).await;
        let mut tail = bench.follow("?edge=upstream&events=frame,framing_lost,closed").await;
        // More than the buffers of the sockets between have room for, as nobody reads meanwhile.
        let (pattern, total) = (FrameBuilder::request(Opcode::NOOP).build(), 125_000 * 24);
        let (sent, ()) = tokio::join!(send(&mut node, &pattern, total, 1), receive(&mut dialler, &pattern, total, 2));
        sent.expect("sent");
        let crossed = bench.get("/dcp/v1/proxies/p/connections/1").await["edges"]["upstream"]["frames"]["from"].clone();
        let crossed = crossed.as_u64().expect("a number");
        let (mut told, mut lost) = (0, 0);
        while told + lost < crossed {
            let (event, said) = tail.event().await.expect("an event");
            match &*event {
                "frame" => told += 1,
                "lost" => lost += said["lost"].as_u64().expect("a number"),
                _ => panic!("{event}: {said}"),
            }
        }
        assert_eq!(told + lost, crossed, "{told} told, {lost} lost");
        assert!(lost > 0, "so many have no room: {told} told");
        node.shutdown().await.expect("a FIN");
        assert_eq!(tail.event().await.expect("an event").0, "closed");
        bench.end().await;
    });
}

#[test]
fn a_tail_ends_with_its_proxy_and_with_the_tool() {
    run(async {
        let upstream = loopback().await;
        let bench = Bench::facing(&upstream).await;
        let mut tail = bench.follow("").await;
        bench.proxy.journal().end();
        assert!(within(PROMPT, tail.event()).await.is_none());
        assert_eq!(bench.ask("GET", "/dcp/v1/proxies/p/journal", "").await.0, 404);
        bench.end().await;
        let bench = Bench::facing(&upstream).await;
        let mut tail = bench.follow("").await;
        drop(bench.api);
        assert!(within(PROMPT, tail.event()).await.is_none());
    });
}

#[test]
fn no_more_than_a_bounded_number_listens() {
    run(async {
        let upstream = loopback().await;
        let bench = Bench::facing(&upstream).await;
        let mut tails = Vec::new();
        for _ in 0..16 {
            tails.push(bench.follow("").await);
        }
        assert_eq!(bench.ask("GET", "/dcp/v1/proxies/p/journal", "").await.0, 429);
        tails.pop();
        within(PROMPT, async {
            while bench.proxy.journal().listeners() == 16 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        tails.push(bench.follow("").await);
        bench.end().await;
    });
}
