use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Bench, asked};
use crate::support::{loopback, run};

const VERDICT: &str = "/dcp/v1/proxies/p/verdict";

fn valid(report: &Value) {
    let schema: Value = serde_json::from_str(include_str!("../../../docs/report.schema.json")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<_> = validator.iter_errors(report).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn a_verdict_is_of_those_that_are_open_and_of_those_that_have_ended() {
    run(async {
        let bench = Bench::start(None).await;
        let (status, report) = bench.ask("POST", VERDICT, "").await;
        assert_eq!((status, &report["verdict"]), (200, &json!("inconclusive")), "no evidence, no pass: {report}");
        bench.consume();
        let first = bench.streaming().await["id"].clone();
        let (status, report) = bench.ask("POST", VERDICT, "").await;
        assert_eq!((status, &report["verdict"]), (200, &json!("pass")), "{report}");
        assert_eq!((&report["connections"][0]["name"], &report["seed"]), (&json!("orders"), &json!(7)));
        valid(&report);
        bench.ask("DELETE", &format!("/dcp/v1/proxies/p/connections/{first}"), "").await;
        bench.until("/dcp/v1/proxies/p", |proxy| proxy["connections"]["ended"] == 1).await;
        bench.consume();
        bench.streaming().await;
        let (_, report) = bench.ask("POST", VERDICT, "").await;
        assert_eq!(report["connections"].as_array().map(Vec::len), Some(2));
        assert_eq!(bench.ask("DELETE", VERDICT, "").await, (200, json!({ "forgotten": 1 })));
        let (_, report) = bench.ask("POST", VERDICT, "").await;
        assert_eq!(report["connections"].as_array().map(Vec::len), Some(1));
        let ended = bench.end().await;
        assert_eq!(ended.connections.len(), 1, "what was forgotten is in no report");
    });
}

#[test]
fn a_verdict_is_written_as_it_is_asked_for() {
    run(async {
        let bench = Bench::start(None).await;
        bench.consume();
        bench.streaming().await;
        let (_, content_type, body) = bench.ask_as("POST", &format!("{VERDICT}?format=junit"), "", "").await;
        assert!(content_type.starts_with("application/xml") && body.contains("<testsuites"), "{content_type}: {body}");
        let (_, content_type, body) = bench.ask_as("POST", &format!("{VERDICT}?format=text"), "", "").await;
        assert!(
            content_type.starts_with("text/plain") && body.to_lowercase().contains("pass"),
            "{content_type}: {body}"
        );
        for bad in ["?format=html", "?settle=1", "?settle=1ms", "?settle=2h", "?x=1"] {
            assert_eq!(bench.ask("POST", &format!("{VERDICT}{bad}"), "").await.0, 400, "{bad}");
        }
        assert_eq!(bench.ask("POST", "/dcp/v1/proxies/q/verdict", "").await.0, 404);
        assert_eq!(bench.ask("GET", VERDICT, "").await.0, 405);
        bench.end().await;
    });
}

#[test]
fn one_verdict_at_a_time_and_it_waits_as_long_as_is_asked() {
    run(async {
        let bench = Bench::start(None).await;
        bench.consume();
        bench.streaming().await;
        let begun = Instant::now();
        let (api, path) = (bench.api.address(), format!("{VERDICT}?settle=1500ms"));
        let first = tokio::spawn(async move { asked(api, "POST", &path, "", "").await });
        let second = loop {
            let (status, answer) = bench.ask("POST", VERDICT, "").await;
            if status == 409 || first.is_finished() {
                break (status, answer);
            }
        };
        assert_eq!(second.0, 409, "{second:?}");
        assert_eq!(first.await.expect("an answer").0, 200);
        assert!(begun.elapsed().as_millis() >= 1500);
        assert_eq!(bench.ask("POST", VERDICT, "").await.0, 200);
        bench.end().await;
    });
}

#[test]
fn seeds_are_those_of_the_connections_to_come() {
    run(async {
        let upstream = loopback().await;
        let bench = Bench::facing(&upstream).await;
        let path = "/dcp/v1/proxies/p/seed";
        assert_eq!(bench.get(path).await, json!({ "seed": 7 }));
        assert_eq!(
            bench.ask("PUT", path, r#"{"seed": 18446744073709551615}"#).await,
            (200, json!({ "seed": u64::MAX }))
        );
        let (_, report) = bench.ask("POST", VERDICT, "").await;
        assert_eq!(report["seed"], json!(u64::MAX));
        let (status, drawn) = bench.ask("PUT", path, r#"{"seed": "random"}"#).await;
        assert_eq!(status, 200);
        assert_eq!(bench.get(path).await, drawn);
        for bad in ["", "{}", r#"{"seed": -1}"#, r#"{"seed": 1.5}"#, r#"{"seed": "x"}"#, r#"{"seed": 1, "x": 2}"#, "[]"]
        {
            assert_eq!(bench.ask("PUT", path, bad).await.0, 400, "{bad}");
        }
        let seed = drawn["seed"].as_u64();
        drop(bench.pair(&upstream).await);
        bench.until("/dcp/v1/proxies/p", |proxy| proxy["connections"]["ended"] == 1).await;
        assert_eq!(bench.end().await.seed, seed);
    });
}
