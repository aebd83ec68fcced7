use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::Bench;
use crate::support::run;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn document() -> Value {
    serde_json::from_str(include_str!("../../../src/api/v1/openapi.json")).expect("JSON")
}

/// The routes of the sources: a path, and what methods are called behind it.
fn routes(source: &str, to: &mut BTreeSet<(String, String)>) {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    // A path that others name too is a constant.
    let path = code.split_once("const PATH: &str = ").and_then(|(_, behind)| behind.split_once(';'));
    let code = path.map_or_else(|| code.to_owned(), |(path, _)| code.replace("route(PATH,", &format!("route({path},")));
    let mut pieces = code.split("\"/");
    pieces.next();
    for piece in pieces {
        let Some((path, behind)) = piece.split_once('"') else { continue };
        let Some(mut behind) = behind.trim_start().strip_prefix(',').map(str::trim_start) else { continue };
        while let Some((method, rest)) = METHODS.iter().find_map(|method| {
            let rest = behind.strip_prefix('.').unwrap_or(behind).strip_prefix(method)?.strip_prefix('(')?;
            Some((*method, rest))
        }) {
            to.insert((format!("/{path}"), method.to_owned()));
            behind = rest.split_once(')').map_or("", |(_, behind)| behind).trim_start();
        }
    }
}

fn of_sources(folder: &Path, to: &mut BTreeSet<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            of_sources(&path, to);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            routes(&std::fs::read_to_string(&path).expect("text"), to);
        }
    }
}

#[test]
fn every_route_is_in_the_document_and_nothing_else() {
    let mut found = BTreeSet::new();
    of_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api"), &mut found);
    assert!(found.len() > 20, "routes are found: {found:?}");
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    let told: BTreeSet<_> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = METHODS.iter().filter(|method| methods.get(**method).is_some());
            methods.map(|method| (path.clone(), (*method).to_owned())).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(told.difference(&found).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "told, and not there");
    assert_eq!(found.difference(&told).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "there, and not told");
}

/// Whether an answer is what the document says of it.
fn check(document: &Value, path: &str, method: &str, status: u16, content_type: &str, body: &str) {
    let operation = &document["paths"][path][method];
    assert!(operation.is_object(), "{method} {path} is in the document");
    let responses = &operation["responses"];
    let mut response = responses.get(status.to_string()).unwrap_or(&responses["default"]);
    if let Some(name) = response["$ref"].as_str().and_then(|name| name.strip_prefix("#/")) {
        response = name.split('/').fold(document, |value, key| &value[key]);
    }
    let place = format!("{method} {path}, {status}");
    let Some(content) = response["content"].as_object() else {
        return assert_eq!(body, "", "{place}: no body is told of");
    };
    let schema = content.get(content_type).map(|content| &content["schema"]);
    let schema =
        schema.unwrap_or_else(|| panic!("{place}: expected one of {:?}, found {content_type}", content.keys()));
    if !content_type.starts_with("application/json") {
        return;
    }
    let schema = json!({ "components": document["components"], "allOf": [schema] });
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let body: Value = serde_json::from_str(body).expect("JSON");
    let errors: Vec<_> =
        validator.iter_errors(&body).map(|error| format!("{error} at {}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{place}: {errors:?} in {body}");
}

#[test]
fn answers_are_what_the_document_says() {
    run(async {
        let folder = tempfile::tempdir().expect("a folder");
        let bench = Bench::start(Some(folder.path())).await;
        bench.consume();
        bench.streaming().await;
        let document = document();
        let scenario = "name = 'mine'\nabout = 'x'\n[[steps]]\nname = 'one'\ndo = { close_stream = {} }\n";
        let mut asked = BTreeSet::new();
        // What is asked: the path with its names, a query, the body and its type.
        for (method, path, query, content_type, body) in [
            ("get", "/healthz", "", "", ""),
            ("get", "/metrics", "", "", ""),
            ("get", "/version", "", "", ""),
            ("get", "/proxies", "", "", ""),
            ("post", "/proxies", "", "", "{}"),
            ("post", "/proxies", "", "", r#"{"name": "q", "upstream": "localhost:1"}"#),
            ("post", "/populate", "", "", "[]"),
            ("post", "/populate", "", "", "[{}]"),
            ("get", "/proxies/{proxy=p}", "", "", ""),
            ("get", "/proxies/{proxy=q}", "", "", ""),
            ("post", "/proxies/{proxy=q}", "", "", "{}"),
            ("patch", "/proxies/{proxy=q}", "", "", "{}"),
            ("delete", "/proxies/{proxy=q}", "", "", ""),
            ("get", "/proxies/{proxy=p}/toxics", "", "", ""),
            ("post", "/proxies/{proxy=p}/toxics", "", "", r#"{"type": "latency", "attributes": {"latency": 1}}"#),
            ("post", "/proxies/{proxy=p}/toxics", "", "", r#"{"type": "latency"}"#),
            ("post", "/proxies/{proxy=p}/toxics", "", "", r#"{"type": "lateness"}"#),
            (
                "post",
                "/proxies/{proxy=p}/toxics",
                "",
                "",
                r#"{"type": "limit_data", "toxicity": 0.25, "stream": "upstream"}"#,
            ),
            ("get", "/proxies/{proxy=p}/toxics", "", "", ""),
            ("get", "/proxies/{proxy=p}", "", "", ""),
            ("get", "/proxies", "", "", ""),
            ("get", "/dcp/v1/proxies/{proxy=p}", "", "", ""),
            ("get", "/proxies/{proxy=p}/toxics/{toxic=latency_downstream}", "", "", ""),
            ("get", "/proxies/{proxy=p}/toxics/{toxic=x}", "", "", ""),
            ("post", "/proxies/{proxy=p}/toxics/{toxic=latency_downstream}", "", "", r#"{"toxicity": 0.5}"#),
            (
                "patch",
                "/proxies/{proxy=p}/toxics/{toxic=latency_downstream}",
                "",
                "",
                r#"{"attributes": {"jitter": 1}}"#,
            ),
            ("patch", "/proxies/{proxy=p}/toxics/{toxic=latency_downstream}", "", "", r#"{"toxicity": "x"}"#),
            ("delete", "/proxies/{proxy=p}/toxics/{toxic=latency_downstream}", "", "", ""),
            ("delete", "/proxies/{proxy=p}/toxics/{toxic=latency_downstream}", "", "", ""),
            ("post", "/reset", "", "", ""),
            ("get", "/dcp/v1/openapi.json", "", "", ""),
            ("get", "/dcp/v1/openapi.json", "?x=1", "", ""),
            ("get", "/dcp/v1/scenarios", "", "", ""),
            ("get", "/dcp/v1/scenarios/{name=mb-35287}", "", "", ""),
            ("get", "/dcp/v1/scenarios/{name=nothing}", "", "", ""),
            ("get", "/dcp/v1/proxies", "", "", ""),
            ("get", "/dcp/v1/proxies/{proxy=p}", "", "", ""),
            ("get", "/dcp/v1/proxies/{proxy=nothing}", "", "", ""),
            ("get", "/dcp/v1/proxies/{proxy=p}/connections", "?limit=1", "", ""),
            ("get", "/dcp/v1/proxies/{proxy=p}/connections", "?limit=0", "", ""),
            ("get", "/dcp/v1/proxies/{proxy=p}/connections/{id=1}", "?edge=dialler", "", ""),
            ("get", "/dcp/v1/proxies/{proxy=p}/connections/{id=99}", "", "", ""),
            ("get", "/dcp/v1/proxies/{proxy=p}/journal", "?filter=x", "", ""),
            ("get", "/dcp/v1/proxies/{proxy=p}/seed", "", "", ""),
            ("put", "/dcp/v1/proxies/{proxy=p}/seed", "", "", r#"{"seed": "random"}"#),
            ("put", "/dcp/v1/proxies/{proxy=p}/seed", "", "", r#"{"seed": "no"}"#),
            ("get", "/dcp/v1/proxies/{proxy=p}/recording", "", "", ""),
            ("put", "/dcp/v1/proxies/{proxy=p}/recording", "", "", r#"{"file": "a.pcapng"}"#),
            ("put", "/dcp/v1/proxies/{proxy=p}/recording", "", "", r#"{"file": "b.pcapng"}"#),
            ("put", "/dcp/v1/proxies/{proxy=p}/recording", "", "", r#"{"file": "/b"}"#),
            ("delete", "/dcp/v1/proxies/{proxy=p}/recording", "", "", ""),
            ("delete", "/dcp/v1/proxies/{proxy=p}/recording", "", "", ""),
            ("post", "/dcp/v1/proxies/{proxy=p}/verdict", "", "", ""),
            ("post", "/dcp/v1/proxies/{proxy=p}/verdict", "?format=junit", "", ""),
            ("post", "/dcp/v1/proxies/{proxy=p}/verdict", "?format=text", "", ""),
            ("post", "/dcp/v1/proxies/{proxy=p}/verdict", "?format=x", "", ""),
            ("delete", "/dcp/v1/proxies/{proxy=p}/verdict", "", "", ""),
            ("put", "/dcp/v1/proxies/{proxy=p}/scenarios/{name=mb-35287}", "", "", ""),
            ("put", "/dcp/v1/proxies/{proxy=p}/scenarios/{name=mb-35287}", "", "", ""),
            ("put", "/dcp/v1/proxies/{proxy=p}/scenarios/{name=mb-35287}", "", "application/toml", scenario),
            ("put", "/dcp/v1/proxies/{proxy=p}/scenarios/{name=mine}", "", "application/toml", "nme = 1"),
            ("post", "/dcp/v1/proxies/{proxy=p}/scenarios", "", "application/toml", scenario),
            ("post", "/dcp/v1/proxies/{proxy=p}/scenarios", "", "application/toml", scenario),
            ("post", "/dcp/v1/proxies/{proxy=p}/scenarios", "", "", "{"),
            ("get", "/dcp/v1/proxies/{proxy=p}/scenarios", "", "", ""),
            ("get", "/dcp/v1/proxies/{proxy=p}/scenarios/{name=mine}", "", "", ""),
            ("get", "/dcp/v1/proxies/{proxy=p}/scenarios/{name=nothing}", "", "", ""),
            ("delete", "/dcp/v1/proxies/{proxy=p}/scenarios/{name=mine}", "", "", ""),
            ("delete", "/dcp/v1/proxies/{proxy=p}/scenarios/{name=mine}", "", "", ""),
            ("delete", "/dcp/v1/proxies/{proxy=p}/scenarios", "", "", ""),
            ("delete", "/dcp/v1/proxies/{proxy=p}/connections/{id=1}", "", "", ""),
            ("delete", "/dcp/v1/proxies/{proxy=p}/connections/{id=x}", "", "", ""),
        ] {
            // `{proxy=p}` is `{proxy}` in the document, and `p` in the request.
            let (mut told, mut real) = (String::new(), String::new());
            for piece in path.split_inclusive('}') {
                let (plain, name) = piece.split_once('{').unwrap_or((piece, ""));
                told.push_str(plain);
                real.push_str(plain);
                if let Some((name, value)) = name.trim_end_matches('}').split_once('=') {
                    told.push_str(&format!("{{{name}}}"));
                    real.push_str(value);
                }
            }
            let (status, found_type, answer) =
                bench.ask_as(&method.to_uppercase(), &format!("{real}{query}"), content_type, body).await;
            check(&document, &told, method, status, &found_type, &answer);
            asked.insert((told, method));
        }
        let all = document["paths"].as_object().expect("paths");
        for (path, methods) in all {
            for method in METHODS.iter().filter(|method| methods.get(**method).is_some()) {
                assert!(asked.contains(&(path.clone(), *method)), "{method} {path} is asked");
            }
        }
        bench.end().await;
    });
}
