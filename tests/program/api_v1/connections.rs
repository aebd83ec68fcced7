use std::time::Instant;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{Bench, PROMPT};
use crate::support::{fill, frames, loopback, read_out, receive, run, send, within};

#[test]
fn a_connection_tells_its_roles_what_was_agreed_on_and_its_streams() {
    run(async {
        let bench = Bench::start(None).await;
        bench.consume();
        let one = bench.streaming().await;
        assert_eq!((&one["name"], &one["producer"]), (&json!("orders"), &json!("upstream")), "{one}");
        assert_eq!(one["answered"], true);
        assert_eq!(
            (&one["edges"]["upstream"]["role"], &one["edges"]["dialler"]["role"]),
            (&json!("producer"), &json!("consumer"))
        );
        assert!(one["negotiated"]["agreed"].as_array().expect("a list").contains(&json!("collections")), "{one}");
        assert_eq!(one["negotiated"]["controls"]["enable_noop"]["state"], "accepted");
        let flow = &one["edges"]["upstream"]["flow_control"];
        assert!(flow["window"].as_u64() > Some(0) && flow["charged"].as_u64() > Some(0), "{flow}");
        let edges = [&one["edges"]["dialler"], &one["edges"]["upstream"]];
        assert!(
            edges
                .iter()
                .all(|edge| edge["bytes"]["to"].as_u64() > Some(0) && edge["frames"]["from"].as_u64() > Some(0))
        );
        let streams = &one["streams"];
        assert_eq!(
            (&streams["edge"], &streams["total"], &streams["next"]),
            (&json!("upstream"), &json!(4), &json!(null))
        );
        let first = &streams["streams"][0];
        assert_eq!((&first["vbucket"], &first["state"]), (&json!(0), &json!("open")), "{first}");
        assert!(first["opaque"].as_str().is_some_and(|opaque| opaque.starts_with("0x") && opaque.len() == 10));
        assert!(first["last_seqno"].as_u64() > Some(0) && !first["snapshot"].is_null());
        bench.end().await;
    });
}

#[test]
fn streams_and_connections_come_in_pages() {
    run(async {
        let upstream = loopback().await;
        let bench = Bench::facing(&upstream).await;
        let mut kept = Vec::new();
        for _ in 0..5 {
            kept.push(bench.pair(&upstream).await);
        }
        let path = "/dcp/v1/proxies/p/connections";
        bench.until(path, |all| all["total"] == 5).await;
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = bench.get(&format!("{path}?limit=2{after}")).await;
            seen.extend(page["connections"].as_array().expect("a list").iter().map(|one| one["id"].clone()));
            let Some(next) = page["next"].as_u64() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(seen, [1, 2, 3, 4, 5].map(|id| json!(id)));
        for bad in ["?limit=0", "?limit=1001", "?limit=x", "?after=-1", "?after=%ff", "?page=1", "?limit=1&limit=2"] {
            let (status, error) = bench.ask("GET", &format!("{path}{bad}"), "").await;
            assert_eq!((status, &error["status"]), (400, &json!(400)), "{bad}");
        }
        bench.end().await;
        let bench = Bench::start(None).await;
        bench.consume();
        let id = bench.streaming().await["id"].as_u64().expect("a number");
        let one = bench.get(&format!("{path}/{id}?limit=3&edge=dialler")).await;
        assert_eq!((&one["streams"]["next"], &one["streams"]["edge"]), (&json!("2"), &json!("dialler")));
        let one = bench.get(&format!("{path}/{id}?limit=3&after=2")).await;
        assert_eq!((&one["streams"]["next"], &one["streams"]["streams"][0]["vbucket"]), (&json!(null), &json!(3)));
        bench.end().await;
    });
}

#[test]
fn a_connection_is_closed_towards_both_ends_though_nobody_reads() {
    run(async {
        let upstream = loopback().await;
        let bench = Bench::facing(&upstream).await;
        let (mut dialler, mut node) = bench.pair(&upstream).await;
        let (mut other, mut other_node) = bench.pair(&upstream).await;
        fill(&mut node, 1 << 30).await;
        let path = "/dcp/v1/proxies/p/connections";
        assert_eq!(bench.ask("DELETE", &format!("{path}/1"), "").await, (200, json!({ "closed": 1 })));
        read_out(&mut dialler).await;
        within(PROMPT, async { while node.write(&[0; 1 << 16]).await.is_ok() {} }).await;
        bench.until(path, |all| all["total"] == 1).await;
        assert_eq!(bench.ask("DELETE", &format!("{path}/1"), "").await.0, 404);
        assert_eq!(bench.ask("GET", &format!("{path}/x"), "").await.0, 400);
        other.write_all(b"still there").await.expect("written");
        let mut got = [0; 11];
        other_node.read_exact(&mut got).await.expect("read");
        assert_eq!(&got, b"still there");
        bench.end().await;
    });
}

#[test]
fn a_consumer_that_does_not_read_keeps_no_answer() {
    run(async {
        let upstream = loopback().await;
        let bench = Bench::facing(&upstream).await;
        let (_dialler, mut node) = bench.pair(&upstream).await;
        fill(&mut node, 1 << 30).await;
        for path in ["/dcp/v1/proxies/p/connections", "/dcp/v1/proxies/p/connections/1", "/dcp/v1/proxies"] {
            let begun = Instant::now();
            let value = bench.get(path).await;
            assert!(begun.elapsed() < PROMPT, "{path} took {:?}", begun.elapsed());
            assert!(value["answered"] != false && value["connections"][0]["answered"] != false, "{value}");
        }
        let (status, verdict) = bench.ask("POST", "/dcp/v1/proxies/p/verdict", "").await;
        assert_eq!((status, &verdict["verdict"]), (200, &json!("inconclusive")));
        bench.end().await;
    });
}

#[test]
fn a_flood_keeps_no_answer_and_no_question_keeps_the_flood() {
    run(async {
        let upstream = loopback().await;
        let bench = Bench::facing(&upstream).await;
        let (mut dialler, mut node) = bench.pair(&upstream).await;
        let (pattern, total) = (frames(1), 30_000_000);
        // Listeners that read nothing, and ask for everything.
        let mut deaf = Vec::new();
        for _ in 0..4 {
            deaf.push(bench.follow("").await);
        }
        let asking = async {
            loop {
                let begun = Instant::now();
                let value = bench.get("/dcp/v1/proxies/p/connections").await;
                assert!(begun.elapsed() < PROMPT, "it took {:?}", begun.elapsed());
                assert_eq!(value["connections"][0]["answered"], true);
            }
        };
        let flowing = async {
            let (sent, ()) =
                tokio::join!(send(&mut node, &pattern, total, 1), receive(&mut dialler, &pattern, total, 2));
            sent.expect("sent");
        };
        tokio::select! {
            () = flowing => {}
            () = asking => {}
        }
        assert!(timeout(PROMPT, bench.get("/dcp/v1/proxies/p")).await.is_ok());
        bench.end().await;
    });
}
