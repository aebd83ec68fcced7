use serde_json::json;

use super::Bench;
use crate::support::{loopback, run};

const TOML: &str = "name = 'mine'\nabout = 'a test'\n[[steps]]\nname = 'one'\ndo = { close_stream = {} }\n";

#[test]
fn a_scenario_is_armed_by_name_or_by_body_and_disarmed() {
    run(async {
        let upstream = loopback().await;
        let bench = Bench::facing(&upstream).await;
        let path = "/dcp/v1/proxies/p/scenarios";
        assert_eq!(bench.get(path).await, json!({ "scenarios": [] }));
        let (status, armed) = bench.ask("PUT", &format!("{path}/orphaned-responses"), "").await;
        assert_eq!((status, &armed["by"], &armed["number"]), (201, &json!("api"), &json!(1)));
        // Again is anew: with another number.
        let (status, armed) = bench.ask("PUT", &format!("{path}/orphaned-responses"), "").await;
        assert_eq!((status, &armed["number"]), (200, &json!(2)));
        assert_eq!(bench.ask("POST", path, r#"{"name": "orphaned-responses"}"#).await.0, 409);
        assert_eq!(bench.ask("POST", path, r#"{"name": "rollback-storm"}"#).await.0, 201);
        let (status, _, body) = bench.ask_as("POST", path, "application/toml", TOML).await;
        assert_eq!(status, 201, "{body}");
        let orders = bench.proxy.orders();
        let wanted: Vec<_> = orders.scenarios.iter().map(|(number, scenario)| (*number, &*scenario.name)).collect();
        assert_eq!(wanted, [(2, "orphaned-responses"), (4, "rollback-storm"), (5, "mine")]);
        // The same as JSON, as it is shown.
        let shown = bench.get(&format!("{path}/mine")).await;
        let (status, armed) = bench.ask("PUT", &format!("{path}/mine"), &shown["scenario"].to_string()).await;
        assert_eq!((status, &armed["steps"]), (200, &json!(["one"])));
        let proxy = bench.get("/dcp/v1/proxies/p").await;
        assert_eq!((&proxy["armed"], &proxy["scenarios"][2]), (&json!(true), &json!("mine")));
        assert_eq!(bench.ask("DELETE", &format!("{path}/mine"), "").await, (200, json!({ "disarmed": ["mine"] })));
        assert_eq!(bench.ask("DELETE", &format!("{path}/mine"), "").await.0, 404);
        let (_, all) = bench.ask("DELETE", path, "").await;
        assert_eq!(all["disarmed"], json!(["orphaned-responses", "rollback-storm"]));
        assert!(bench.proxy.orders().scenarios.is_empty());
        bench.end().await;
    });
}

#[test]
fn what_is_wrong_with_a_scenario_is_told_with_its_place_and_no_file_is_read() {
    run(async {
        let upstream = loopback().await;
        let bench = Bench::facing(&upstream).await;
        let path = "/dcp/v1/proxies/p/scenarios";
        let bad = TOML.replace("close_stream", "close_steam");
        let (status, _, body) = bench.ask_as("POST", path, "application/toml", &bad).await;
        let error: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, &error["line"], &error["column"]), (400, &json!(5), &json!(8)), "{error}");
        let (status, error) = bench.ask("POST", path, "{\"name\": \"x\",\n \"step\": []}").await;
        assert_eq!((status, &error["line"], &error["status"]), (400, &json!(2), &json!(400)), "{error}");
        let (status, _, _) = bench.ask_as("POST", path, "image/png", TOML).await;
        assert_eq!(status, 415);
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), TOML).expect("written");
        let name = file.path().to_string_lossy().into_owned();
        for name in [&*name, "mine", "orphaned-response"] {
            let (status, error) = bench.ask("POST", path, &json!({ "name": name }).to_string()).await;
            assert_eq!(status, 404, "{error}");
            assert!(error["error"].as_str().is_some_and(|error| error.contains("orphaned-responses")), "{error}");
        }
        let escaped = name.replace('/', "%2F");
        assert_eq!(bench.ask("PUT", &format!("{path}/{escaped}"), "").await.0, 404);
        assert_eq!(bench.ask("PUT", &format!("{path}/other"), &json!({ "name": "mine" }).to_string()).await.0, 400);
        assert!(bench.proxy.orders().scenarios.is_empty());
        let catalogue = bench.get("/dcp/v1/scenarios").await;
        assert_eq!(catalogue["scenarios"][0]["name"], "orphaned-responses");
        let one = bench.get("/dcp/v1/scenarios/orphaned-responses").await;
        assert!(one["toml"].as_str().is_some_and(|toml| toml.contains("orphaned-responses")));
        bench.end().await;
    });
}
