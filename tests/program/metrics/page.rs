//! docs/METRICS.md names all there is, and nothing else; dashboard and alerts ask for nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::{LIVELY, ODD};

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/METRICS.md"));
const BOARD: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/grafana/dcproxy.json"));
/// What the lively run has no series of.
const QUIET: &[&str] = &["dcproxy_findings_total"];

/// The rows of the page's tables: name, type, labels.
fn rows() -> BTreeMap<&'static str, (&'static str, BTreeSet<&'static str>)> {
    let cells = |line: &'static str| line.trim_matches('|').split(" | ").map(str::trim).collect::<Vec<_>>();
    let rows = PAGE.lines().filter(|line| line.starts_with("| `")).map(cells);
    let mut named = BTreeMap::new();
    for cells in rows {
        let [name, kind, labels, meaning] = cells[..] else { panic!("four cells: {cells:?}") };
        assert!(meaning.len() > 10, "{name} is explained");
        let labels = labels.split(", ").filter(|label| *label != "–").map(|label| label.trim_matches('`')).collect();
        assert!(named.insert(name.trim_matches('`'), (kind, labels)).is_none(), "{name} is there twice");
    }
    named
}

#[test]
fn the_page_names_every_metric_with_its_type_and_labels_and_no_other() {
    let text = &LIVELY.plain;
    let rows = rows();
    let types: BTreeMap<_, _> = rows.iter().map(|(name, (kind, _))| (*name, *kind)).collect();
    let told: BTreeMap<_, _> = text.types.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
    assert_eq!(types, told);
    let mut seen = BTreeSet::new();
    for sample in &text.samples {
        let name = text.family(&sample.name);
        let labels: BTreeSet<_> = sample.labels.keys().map(String::as_str).filter(|label| *label != "le").collect();
        assert_eq!(rows[name].1, labels, "{name}");
        seen.insert(name);
    }
    let unseen: Vec<_> = rows.keys().filter(|name| !seen.contains(*name)).collect();
    assert_eq!(unseen, QUIET.iter().collect::<Vec<_>>(), "the run is to show all others");
}

#[test]
fn names_types_and_helps_are_as_the_conventions_say() {
    let text = &LIVELY.plain;
    for (name, kind) in &text.types {
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        let unit = name.trim_end_matches("_total");
        assert!(!["_ms", "_us", "_kb", "_millis", "_percent"].iter().any(|bad| unit.ends_with(bad)), "{name}");
        assert!(text.helps.get(name).is_some_and(|help| help.ends_with('.')), "{name} is explained");
        assert!(["dcproxy_", "process_", "toxiproxy_"].iter().any(|prefix| name.starts_with(prefix)), "{name}");
    }
    assert_eq!(text.types.len(), text.helps.len());
}

#[test]
fn open_metrics_says_the_same_and_ends() {
    let lively = &*LIVELY;
    let lines: Vec<_> = lively.open_metrics.lines().collect();
    assert_eq!(lines.last(), Some(&"# EOF"));
    let types = lines.iter().filter(|line| line.starts_with("# TYPE ")).count();
    assert_eq!(types, lively.plain.types.len());
    assert!(
        lines.contains(&"# TYPE dcproxy_received_bytes counter")
            && lines.contains(&"# UNIT dcproxy_received_bytes bytes")
    );
    let odd = ODD.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    assert!(lines.contains(&format!("dcproxy_connections{{proxy=\"{odd}\"}} 0").as_str()));
    assert!(lines.contains(&format!("dcproxy_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")).as_str()));
}

/// The metrics that a text asks for.
fn asked_for(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| ["dcproxy_", "process_", "toxiproxy_"].iter().any(|start| word.starts_with(start))).collect()
}

fn assert_all_exist(names: &BTreeSet<&str>, whose: &str) {
    let text = &LIVELY.plain;
    let missing: Vec<_> = names.iter().filter(|name| !text.types.contains_key(text.family(name))).collect();
    assert!(missing.is_empty(), "{whose}: {missing:?}");
}

#[test]
fn the_dashboard_asks_only_for_what_there_is_and_for_most_of_it() {
    let board: serde_json::Value = serde_json::from_str(BOARD).expect("JSON");
    let panels = board["panels"].as_array().expect("panels");
    let mut names = BTreeSet::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().expect("a title");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            let expr = target["expr"].as_str().expect("a query");
            let asked = asked_for(expr);
            assert!(!asked.is_empty(), "{title}: {expr}");
            assert_all_exist(&asked, title);
            let of_proxy = asked.iter().any(|name| name.starts_with("dcproxy_") && !OF_THE_PROCESS.contains(name));
            assert_eq!(expr.contains("proxy=~\"$proxy\""), of_proxy, "{title}: {expr}");
            names.extend(asked);
        }
    }
    let variables = board["templating"]["list"].as_array().expect("variables");
    let of = |name: &str| variables.iter().find(|variable| variable["name"] == name).expect("it is there");
    assert_eq!(
        (of("datasource")["type"].as_str(), of("datasource")["query"].as_str()),
        (Some("datasource"), Some("prometheus"))
    );
    assert_eq!(of("proxy")["definition"], "label_values(dcproxy_connections, proxy)");
    assert!(names.len() >= 25, "{}: {names:?}", names.len());
}

const OF_THE_PROCESS: &[&str] = &[
    "dcproxy_build_info",
    "dcproxy_uptime_seconds",
    "dcproxy_proxies",
    "dcproxy_reloads_total",
    "dcproxy_api_requests_total",
];

#[test]
fn the_alerts_of_the_page_ask_only_for_what_there_is() {
    let blocks = PAGE.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let exprs: Vec<_> =
        blocks.flat_map(|(block, _)| block.lines().filter_map(|line| line.trim().strip_prefix("expr: "))).collect();
    assert!(exprs.len() >= 6, "{exprs:?}");
    for expr in exprs {
        let asked = asked_for(expr);
        assert!(!asked.is_empty(), "{expr}");
        assert_all_exist(&asked, expr);
    }
}
