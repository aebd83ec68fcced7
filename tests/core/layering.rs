//! The arrows between the modules of `src/` and what the core may not touch, held by a look at the text.
//! Tests are free: at the foot of a file, in a file `tests.rs`, in a folder `tests/`.

use std::fs;
use std::path::Path;

/// Each module, and the siblings that it may name. `net` and `api` drive the core: they may name all but `cli`, which may name all.
const ARROWS: &str = "
    timestamp ->
    units ->
    wire ->
    dcp -> wire
    era -> wire dcp
    journal -> wire dcp
    verdict -> journal
    session -> wire dcp era journal
    engine -> wire dcp era journal session
    cluster -> wire dcp journal engine
    fault -> units wire dcp era journal session engine
    invariant -> wire dcp journal session verdict
    filter -> wire dcp journal session
    scenario -> units wire dcp era journal session engine fault invariant filter verdict report
    toxic -> units wire dcp journal engine fault filter scenario
    node -> wire dcp era
    bridge -> wire dcp journal session engine node
    capture -> wire dcp journal session
    report -> verdict
    stage -> journal engine scenario
    replay -> wire dcp era journal session engine scenario stage verdict report node capture
    probe -> wire dcp era journal session engine fault scenario stage verdict report node
    search -> units wire dcp era journal session engine fault filter scenario probe verdict report node stage
    net -> all but cli
    api -> all but cli
    cli -> all
";
const TOKIO: &[&str] = &["tokio"];
const PRINTING: &[&str] = &["println!", "print!", "eprintln!", "eprint!", "dbg!", "io::stdout", "io::stderr"];
const NOT_FOR_THE_CORE: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "std::thread",
    "thread::",
    "HashMap",
    "HashSet",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
];

#[test]
fn every_module_keeps_to_its_layer() {
    let mut files = Vec::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut files);
    let breaches: Vec<String> = files.iter().flat_map(|(path, text)| breaches(path, text)).collect();
    assert!(files.len() > 10, "only {} files found in src/", files.len());
    assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
}

#[test]
fn a_planted_breach_of_each_kind_is_caught() {
    let caught = |path: &str, text: &str| breaches(path, text).len();
    let planted = [
        ("wire/frame.rs", "use crate::dcp::Message;"),
        ("wire/mod.rs", "use super::dcp::Message;"),
        ("wire/frame.rs", "use super::super::dcp::Message;"),
        ("journal.rs", "use super::session::Session;"),
        ("fault/truncate.rs", "use crate::{Timestamp, scenario::Judge};"),
        ("engine/mod.rs", "fn f(v: &crate::verdict::Finding) {}"),
        ("net/link.rs", "crate::cli::announce();"),
        ("api/health.rs", "use crate::cli::output;"),
        ("api/mod.rs", "eprintln!(\"listening\");"),
        ("node/mod.rs", "use crate::api::Api;"),
        ("tls/mod.rs", "//! A module without arrows."),
        ("scenario/judge.rs", "tokio::spawn(f());"),
        ("cli/proxy.rs", "use tokio::net::TcpStream;"),
        ("capture/mod.rs", "use std::net::TcpStream;"),
        ("net/dial.rs", "println!(\"dialling\");"),
        ("report/text.rs", "let out = std::io::stdout();"),
        ("engine/mod.rs", "let now = Instant::now();"),
        ("node/mod.rs", "let now = std::time::SystemTime::now();"),
        ("session/mod.rs", "use std::collections::HashMap;"),
        ("capture/pcap.rs", "std::thread::spawn(f);"),
    ];
    for (path, text) in planted {
        assert_eq!(caught(path, text), 1, "{path}: {text}");
    }
    let legal = [
        (
            "dcp/mutation.rs",
            "use crate::wire::Frame; // crate::session is told later\nuse super::Message;\nuse crate::Timestamp;",
        ),
        (
            "wire/mod.rs",
            "mod field {\n    use super::Field;\n}\n#[cfg(test)]\nmod tests {\n    use crate::dcp::Message;\n}",
        ),
        ("node/tests/peer.rs", "use crate::session::Session;"),
        ("net/link.rs", "let now = std::time::SystemTime::now(); tokio::spawn(f());"),
        ("api/mod.rs", "use tokio::net::TcpListener; use crate::net::Health;"),
        ("cli/mod.rs", "println!(); crate::net::serve();"),
    ];
    for (path, text) in legal {
        assert_eq!(breaches(path, text), [""; 0], "{path}");
    }
}

fn sources(folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("src/ is readable") {
        let path = entry.expect("src/ is readable").path();
        if path.is_dir() {
            sources(&path, files);
        } else {
            let name = path.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).expect("it is below src/");
            files.push((name.display().to_string(), fs::read_to_string(&path).expect("a source is text")));
        }
    }
}

fn breaches(path: &str, text: &str) -> Vec<String> {
    let module = path.split('/').next().unwrap_or(path).trim_end_matches(".rs");
    let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
    if ["lib", "main"].contains(&module) || is_test {
        return Vec::new();
    }
    let Some(arrows) = ARROWS.lines().find_map(|line| line.trim().strip_prefix(module)?.trim().strip_prefix("->"))
    else {
        return vec![format!("src/{path}: module {module} has no arrows in tests/core/layering.rs")];
    };
    let may_name = |name: &str| match arrows.trim() {
        "all" => true,
        "all but cli" => name != "cli",
        names => names.split(' ').any(|one| one == name),
    };
    let drives = ["net", "api"].contains(&module);
    let prints = module == "cli";
    // How many `super::` lead from this file to the crate.
    let depth = path.split('/').count() - usize::from(path.ends_with("mod.rs"));
    let root = "super::".repeat(depth);
    let mut found = Vec::new();
    let body = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    for (number, line) in body.lines().enumerate() {
        let code = line.split("//").next().unwrap_or(line);
        let mut breach = |what: String| found.push(format!("src/{path}:{}: {what}: {}", number + 1, line.trim()));
        let mut prefixes = vec!["crate::"];
        if !line.starts_with(' ') {
            prefixes.push(&root);
        }
        for name in prefixes.into_iter().flat_map(|prefix| named(code, prefix)) {
            if name != module && !may_name(name) && name.starts_with(|c: char| c.is_ascii_lowercase()) {
                breach(format!("{module} may not name {name}"));
            }
        }
        for (words, free, whose) in [
            (TOKIO, drives, "for net/ and api/ alone"),
            (PRINTING, prints, "for cli/ alone"),
            (NOT_FOR_THE_CORE, drives || prints, "not for the core"),
        ] {
            if let Some(word) = words.iter().find(|word| !free && mentions(code, word)) {
                breach(format!("{word} is {whose}"));
            }
        }
    }
    found
}

/// The modules that `code` names after `prefix`, alone or in braces.
fn named<'a>(code: &'a str, prefix: &str) -> Vec<&'a str> {
    let word = |text: &'a str| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(text);
    let starts = code.match_indices(prefix).filter(|(at, _)| {
        let before = code.get(..*at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$')
    });
    starts
        .map(|(at, _)| code.get(at + prefix.len()..).unwrap_or_default())
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(list) => list.split(',').map(|part| word(part.trim())).collect(),
            None => vec![word(rest)],
        })
        .filter(|name| *name != "super")
        .collect()
}

/// Whether `code` has `word` with nothing of a longer name before or after it.
fn mentions(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        let before = code.get(..at).and_then(|text| text.chars().next_back());
        let after = code.get(at + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(part) && (word.ends_with(':') || !after.is_some_and(part))
    })
}
