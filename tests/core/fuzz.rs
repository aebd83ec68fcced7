//! The fuzz targets as plain tests: on the corpus, and on seeds made from the vectors and the captures.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;

use dcproxy::capture as captures;
use dcproxy::capture::What;
use dcproxy::journal::How;
use dcproxy::journal::Side;

#[path = "../../fuzz/targets.rs"]
#[allow(clippy::cast_possible_truncation)]
mod targets;

/// Larger seeds teach a fuzzer nothing that smaller ones do not.
const LONGEST: usize = 4_096;

const FILTERS: [&str; 10] = [
    "dcp.opcode == prepare && dcp.vbucket in {0..3} && dcp.seqno > 100 || frame.conn == 2",
    "!(dcp.status == key_enoent) and dcp.response",
    "dcp.key contains \"a\\\"b\" || dcp.key matches \"^x.*[0-9]+$\"",
    "couchbase.opcode in {0x57 0x58, 96}",
    "dcp.flags & 0x02",
    "dcp.opaque == 0x00000001 or not frame.malformed",
    "frame.time >= \"2026-11-25 10:00:00\"",
    "dcp.nonsense == 3",
    "dcp.vbucket == ",
    "((((dcp.cas != 18446744073709551615))))",
];

fn dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Inputs for each target that are right as they are.
fn seeds() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let mut seeds: BTreeMap<&str, Vec<Vec<u8>>> = targets::ALL.iter().map(|(name, _)| (*name, Vec::new())).collect();
    let vectors: serde_json::Value = serde_json::from_str(include_str!("../data/vectors.json")).unwrap();
    for list in ["vectors", "malformed", "unknown"] {
        for vector in vectors[list].as_array().unwrap() {
            let bytes = hex::decode(vector["hex"].as_str().unwrap()).unwrap();
            for negotiated in [0, 0x3f] {
                seeds.get_mut("message").unwrap().push([&[negotiated], &bytes[..]].concat());
            }
        }
    }
    let mut captures: Vec<_> = fs::read_dir(dir("captures")).unwrap().map(|entry| entry.unwrap().path()).collect();
    captures.retain(|path| path.to_string_lossy().contains(".pcap"));
    captures.sort();
    for path in captures.iter().step_by(6) {
        let mut conversations: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        captures::read(File::open(path).unwrap(), &mut |event| {
            let conversation = conversations.entry(event.conn).or_default();
            let (control, bytes) = match event.what {
                What::Data { from, bytes } => (u8::from(from == Side::Upstream), bytes),
                What::Closed { from, how } => {
                    (0xf0 | u8::from(from == Side::Upstream) | u8::from(how == How::Reset) << 1, &[][..])
                }
                What::Gap { .. } | What::Opened { .. } | What::Comment { .. } | What::Ended => return,
            };
            if conversation.len() + bytes.len() < LONGEST {
                conversation.push(control);
                conversation.extend(u16::try_from(bytes.len()).unwrap_or_default().to_be_bytes());
                conversation.extend(bytes);
            }
        })
        .unwrap();
        for conversation in conversations.into_values().take(8) {
            seeds.get_mut("framing").unwrap().push(conversation.clone());
            seeds.get_mut("judge").unwrap().push(conversation);
        }
        let file = fs::read(path).unwrap();
        seeds.get_mut("capture").unwrap().push(file[..file.len().min(LONGEST)].to_vec());
        if !path.to_string_lossy().ends_with(".gz") {
            let packets = file[24..].chunks(300).take(3).map(|bytes| [&[1], &bytes[16..]].concat());
            seeds.get_mut("packet").unwrap().extend(packets);
        }
    }
    for (text, message) in FILTERS.iter().zip(seeds["message"].clone()) {
        seeds.get_mut("filter").unwrap().push([text.as_bytes(), b"\n", &message[1..]].concat());
    }
    let in_order = (0..40_u16).flat_map(|n| [0, (n >> 8) as u8, (n * 5) as u8, 5, 0]);
    let reversed = (0..40_u16).rev().flat_map(|n| [1, (n >> 8) as u8, (n * 5) as u8, 7, 0x80]);
    seeds.get_mut("reassembly").unwrap().extend([in_order.collect::<Vec<_>>(), reversed.collect()]);
    seeds
}

fn corpus(target: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(dir("fuzz/corpus").join(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn run(target: &str) {
    let (_, function) = targets::ALL.iter().find(|(name, _)| *name == target).unwrap();
    let seeds = &seeds()[target];
    assert!(!seeds.is_empty());
    seeds.iter().for_each(|seed| function(seed));
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "fuzz/corpus/{target} is empty");
    for path in corpus {
        println!("{}", path.display());
        function(&fs::read(path).unwrap());
    }
}

#[test]
fn every_target_has_a_fuzzer_and_a_test() {
    let source = include_str!("fuzz.rs");
    for (name, _) in targets::ALL {
        assert!(source.contains(&format!("fn {name}()")), "{name} has no test");
        let fuzzer = fs::read_to_string(dir("fuzz/fuzz_targets").join(format!("{name}.rs"))).unwrap();
        assert!(fuzzer.contains(&format!("targets::{name}(")), "{name}");
    }
}

#[test]
fn capture() {
    run("capture");
}

#[test]
fn packet() {
    run("packet");
}

#[test]
fn reassembly() {
    run("reassembly");
}

#[test]
fn framing() {
    run("framing");
}

#[test]
fn message() {
    run("message");
}

#[test]
fn judge() {
    run("judge");
}

#[test]
fn filter() {
    run("filter");
}

/// Writes the seeds to where the fuzzer begins: `DCPROXY_FUZZ_SEEDS=DIR cargo test --test core fuzz -- --ignored`.
#[test]
#[ignore = "writes files"]
fn write_seeds() {
    let to = PathBuf::from(std::env::var_os("DCPROXY_FUZZ_SEEDS").expect("DCPROXY_FUZZ_SEEDS names a folder"));
    for (target, seeds) in seeds() {
        fs::create_dir_all(to.join(target)).unwrap();
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(to.join(target).join(format!("seed-{number}")), seed).unwrap();
        }
    }
}
