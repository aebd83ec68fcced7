use dcproxy::toxic::{Kind, Stream, Toxic, dcp};
use serde_json::{Value, json};

use super::Bench;
use crate::support::{PATIENCE, run, within};

/// A toxic of the producer's words.
fn toxic(kind: &str, attributes: &Value) -> Toxic {
    let step = dcp::read(kind, attributes.as_object().expect("attributes")).expect("they are right");
    Toxic { name: "cut".to_owned(), stream: Stream::Downstream, toxicity: 1.0, kind: Kind::Dcp(Box::new(step)) }
}

#[test]
fn a_stream_of_a_consumer_that_is_there_for_long_is_closed_and_the_producer_judged() {
    run(async {
        let bench = Bench::start(None).await;
        bench.consume();
        bench.streaming().await;
        let attributes = json!({ "when": "dcp.opcode == mutation", "times": 1 });
        bench.proxy.order(|orders| orders.toxics.push(toxic("dcp_close_stream", &attributes)));
        let open = bench.proxy.connections().into_values().next().expect("it is open");
        let fired = || async { open.handle.visit(|core, _| core.verdict_now().connection.steps.len()).await };
        within(PATIENCE, async {
            while fired().await.expect("the link is there") == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let (status, report) = bench.ask("POST", "/dcp/v1/proxies/p/verdict", "").await;
        assert_eq!((status, &report["verdict"]), (200, &json!("pass")), "{report}");
        let connection = &report["connections"][0];
        assert_eq!((&connection["steps"][0]["step"], &connection["steps"][0]["fired"]), (&json!("cut"), &json!(1)));
        let kept = connection["findings"].as_array().expect("findings").iter();
        let kept: Vec<_> = kept.filter(|finding| finding["id"] == "connection-kept").collect();
        assert!(kept.iter().any(|finding| finding["verdict"] == "pass"), "{report}");
        assert!(connection["orphans_total"].as_u64().is_some_and(|orphans| orphans > 0), "{report}");
        // What is removed and there again begins anew.
        bench.proxy.order(|orders| orders.toxics.clear());
        bench.proxy.order(|orders| orders.toxics.push(toxic("dcp_close_stream", &attributes)));
        within(PATIENCE, async {
            while fired().await.expect("the link is there") == 1
                && open.handle.visit(|core, _| core.verdict_now().connection.steps[0].fired).await == Some(1)
            {
                tokio::task::yield_now().await;
            }
        })
        .await;
        bench.end().await;
    });
}
