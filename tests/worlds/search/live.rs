//! The search over sockets, and the scenario that it writes: repeated by `fuzz --scenario` and by the proxy.

use std::net::Ipv4Addr;
use std::time::Duration;

use dcproxy::net;
use dcproxy::net::Rehearsal;
use dcproxy::net::SearchRun;
use dcproxy::net::Shutdown;
use dcproxy::net::Target;
use dcproxy::node::Config;
use dcproxy::node::Node;
use dcproxy::probe::Access;
use dcproxy::scenario::Scenario;
use dcproxy::search::Search;
use dcproxy::verdict::Verdict;
use tokio::net::TcpListener;

fn node(quirk: &str) -> Config {
    Config { items: 600, quirks: [quirk.parse().expect("a quirk")].into(), ..Config::default() }
}

async fn run(config: Config, run: impl FnOnce(SearchRun) -> SearchRun) -> Result<(Search, Vec<String>), String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let target = Target::from(listener.local_addr().expect("it is bound"));
    let access =
        Access { login: Some((config.user.clone(), config.password.clone()).into()), bucket: config.bucket.clone() };
    let run = run(SearchRun {
        target: target.into(),
        access,
        era: None,
        seed: 1,
        schedules: 20,
        vbuckets: None,
        again: Vec::new(),
        destructive: false,
        jobs: 8,
        connect_timeout: Duration::from_secs(10),
        timeout: Some(Duration::from_secs(120)),
        salt: 1,
    });
    let (embedded, outside) = (Shutdown::new(), Shutdown::new());
    let stopping = embedded.clone();
    let serving = tokio::spawn(async move { net::serve_node([listener], Node::new(config), &stopping).await });
    let outcome = net::search(&run, &outside, &mut |_, _| {}).await;
    embedded.stop(net::Stop::Now);
    serving.await.expect("the node");
    outcome
}

#[test]
fn what_is_found_live_fails_again_from_its_file() {
    net::block_on(async {
        let (search, errors) = run(node("mb-35287"), |run| run).await.expect("a search");
        assert_eq!(errors, [""; 0]);
        let found = search.found().expect("the quirk is found");
        assert_eq!((found.failure.id.as_str(), found.again), ("connection-kept", Some(true)), "{:?}", search.tally());
        let text = found.minimal.to_toml();
        let scenario = Scenario::parse(&text).expect("it is written as it is read");

        let (again, _) =
            run(node("mb-35287"), |run| SearchRun { again: vec![scenario.clone()], ..run }).await.expect("again");
        assert_eq!(again.found().expect("it fails again").failure.id, found.failure.id, "{text}");
        let (healthy, _) =
            run(node_without(), |run| SearchRun { again: vec![scenario.clone()], ..run }).await.expect("again");
        assert_eq!((healthy.found(), healthy.tally().passed), (None, 1), "{text}\n{:?}", healthy.tally());

        let mut rehearsal = Rehearsal::new(node("mb-35287"), scenario.clone());
        rehearsal.plan.messages = scenario.messages.iter().copied().collect();
        (rehearsal.plan.era, rehearsal.plan.seed) = (scenario.era, scenario.seed.unwrap_or_default());
        let report = rehearsal.run().await.expect("sockets").report;
        let findings = report.connections.iter().flat_map(|connection| &connection.findings);
        let failed: Vec<&str> = findings.filter(|it| it.verdict == Verdict::Fail).map(|it| &*it.id).collect();
        assert_eq!(failed, [found.failure.id.as_str()], "{text}");
    })
    .expect("a runtime");
}

fn node_without() -> Config {
    Config { items: 600, ..Config::default() }
}

/// Each takeover has a vbucket of its own, as the producer has lost those before: all come to their end.
#[test]
fn vbuckets_are_taken_over_only_where_that_is_allowed() {
    net::block_on(async {
        let vbuckets = Some((0..3).collect());
        let allowed = |run: SearchRun| SearchRun { destructive: true, schedules: 12, vbuckets, ..run };
        let interval = Some(Duration::from_millis(500));
        let config = Config { items: 200, vbuckets: 40, interval, ..Config::default() };
        let (search, errors) = run(config.clone(), allowed).await.expect("a search");
        assert_eq!((errors, search.found()), (Vec::new(), None), "{:?}", search.tally());
        let taken = search.taken_over();
        assert!(taken.len() > 1 && taken.iter().all(|vbucket| (3..40).contains(vbucket)), "{taken:?}");
        assert!(taken.is_sorted_by(|one, other| one < other), "{taken:?}");

        let scenario = Scenario::named("stray-marker-ack").expect("it is in the catalogue");
        let again = |run: SearchRun| SearchRun { again: vec![scenario], ..run };
        let error = run(config, again).await.expect_err("it is not allowed");
        assert!(error.contains("expected --destructive with scenario 'stray-marker-ack'"), "{error}");
    })
    .expect("a runtime");
}

#[test]
fn a_wrong_password_is_an_error_that_says_so() {
    net::block_on(async {
        let wrong = |run: SearchRun| {
            let login = Some(("Administrator".to_owned(), "wrong".to_owned()).into());
            SearchRun { access: Access { login, ..run.access.clone() }, ..run }
        };
        let error = run(node_without(), wrong).await.expect_err("nobody is let in");
        assert!(error.contains("AuthError") && !error.contains("wrong"), "{error}");
    })
    .expect("a runtime");
}
