use super::{Service, pair, relays};
use crate::program::command;
use crate::support::{loopback, run};

#[test]
fn log_lines_are_json_objects_and_plain_lines_stay_plain() {
    run(async {
        let upstream = loopback().await;
        let target = upstream.local_addr().expect("bound").to_string();
        let args = ["--listen", "0", "--upstream", &target, "--log-format", "json"];
        let service = Service::start(&args, &[("RUST_LOG", "info")], 1);
        let mut through = pair(service.at(""), &upstream).await;
        let dialler = through.0.local_addr().expect("bound").to_string();
        assert!(relays(&mut through).await);
        service.signal("TERM");
        let (code, rest) = service.end();
        assert_eq!(code, Some(0), "{rest}");
        let lines: Vec<serde_json::Value> =
            rest.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect();
        let with = |message: &str| {
            lines.iter().find(|line| line["message"] == message).unwrap_or_else(|| panic!("no {message}: {rest}"))
        };
        let opened = with("connection opened");
        assert_eq!((&opened["level"], &opened["connection"]), (&"INFO".into(), &1.into()));
        assert_eq!((&opened["dialler"], &opened["upstream"]), (&dialler.into(), &target.into()));
        assert!(opened["timestamp"].is_string() && opened["target"] == "dcproxy::net::proxy", "{opened}");
        let closed = with("connection closed");
        assert_eq!((&closed["from_dialler"], &closed["from_upstream"]), (&24.into(), &24.into()));
        assert_eq!(closed["how"], "stopped");
    });
}

#[test]
fn every_command_takes_the_format_from_flag_and_environment() {
    let wrong = command(&["scenario", "list", "--log-format", "xml"]).output().expect("it runs");
    assert_eq!(wrong.status.code(), Some(2));
    let wrong = command(&["scenario", "list"]).env("DCPROXY_LOG_FORMAT", "xml").output().expect("it runs");
    assert_eq!(wrong.status.code(), Some(2));
    let right = command(&["--log-format", "json", "scenario", "list"]).output().expect("it runs");
    assert_eq!(right.status.code(), Some(0));
}
