//! Numbers that nobody means, in every attribute of every toxic: each is refused with a line, or done without harm to what
//! passes it.

use std::time::Duration;

use bytes::Bytes;

use super::body;
use super::toxics::Asked;
use crate::Timestamp;
use crate::api::limits::MAX_MILLIS;
use crate::engine::Engine;
use crate::engine::Gate;
use crate::engine::Output;
use crate::engine::Standing;
use crate::toxic::Kind;
use crate::toxic::Toxic;

const ATTRIBUTES: [(&str, &[&str]); 8] = [
    ("latency", &["latency", "jitter"]),
    ("bandwidth", &["rate"]),
    ("slow_close", &["delay"]),
    ("timeout", &["timeout"]),
    ("reset_peer", &["timeout"]),
    ("slicer", &["average_size", "size_variation", "delay"]),
    ("limit_data", &["bytes"]),
    ("noop", &["anything"]),
];

/// As they stand in a body.
const NUMBERS: [&str; 32] = [
    "0",
    "-0",
    "-0.0",
    "1",
    "2",
    "-1",
    "0.5",
    "1.0",
    "1e0",
    "1e3",
    "1e18",
    "1e19",
    "1e308",
    "-1e308",
    "1e-400",
    "1e400",
    "NaN",
    "Infinity",
    "0x10",
    "31536000000",
    "31536000001",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "\"5\"",
    "null",
    "true",
    "[1]",
    "{\"a\":1}",
];

/// The toxic of a body; what is refused is told shortly.
fn toxic(kind: &str, toxicity: &str, attributes: &str) -> Option<Toxic> {
    let body = format!(r#"{{"type": "{kind}", "toxicity": {toxicity}, "attributes": {{{attributes}}}}}"#);
    let read = Asked::read(body.as_bytes()).and_then(|asked| asked.beside(&[]));
    read.map_err(|refused| {
        assert!(refused.status.as_u16() == 400 && refused.said.len() < 300, "{body}: {refused:?}");
        assert!(refused.said.contains("expected") && refused.said.contains("found"), "{body}: {refused:?}");
    })
    .ok()
}

/// Every toxic that is taken with these numbers in its attributes.
fn taken() -> Vec<Toxic> {
    let mut taken = Vec::new();
    for (kind, names) in ATTRIBUTES {
        for (which, name) in names.iter().enumerate() {
            for number in NUMBERS {
                // The others are ordinary, or as extreme as may be.
                for other in ["7", "9223372036854775807", "31536000000000"] {
                    let attributes = names
                        .iter()
                        .enumerate()
                        .map(|(at, name)| format!("\"{name}\": {}", if at == which { number } else { other }));
                    taken.extend(toxic(kind, "1", &attributes.collect::<Vec<_>>().join(",")));
                }
                // And the others are not there.
                taken.extend(toxic(kind, "1", &format!("\"{name}\": {number}")));
            }
        }
    }
    taken
}

#[test]
fn a_duration_is_a_year_at_most_and_every_number_is_whole_and_not_below_nothing() {
    for (kind, names) in ATTRIBUTES.iter().filter(|(kind, _)| *kind != "noop") {
        for name in *names {
            for (number, fine) in
                [("-1", false), ("0.5", false), ("1e19", false), ("NaN", false), ("\"5\"", false), ("3", true)]
            {
                let others = if *kind == "slicer" && *name != "average_size" { ",\"average_size\": 5" } else { "" };
                let found = toxic(kind, "1", &format!("\"{name}\": {number}{others}")).is_some();
                assert_eq!(found, fine, "{kind} {name} {number}");
            }
        }
    }
    for toxic in taken() {
        let durations = match toxic.kind {
            Kind::Bytes(Gate::Latency { latency, jitter }) => vec![latency, jitter],
            Kind::Bytes(Gate::SlowClose { delay } | Gate::Slicer { delay, .. }) => vec![delay],
            Kind::Bytes(Gate::Timeout { after }) => after.into_iter().collect(),
            Kind::Bytes(Gate::ResetPeer { after }) => vec![after],
            Kind::Bytes(Gate::Bandwidth { .. } | Gate::LimitData { .. }) | Kind::Nothing | Kind::Dcp(_) => vec![],
        };
        assert!(durations.iter().all(|duration| *duration <= Duration::from_millis(MAX_MILLIS)), "{toxic:?}");
    }
}

#[test]
fn a_toxicity_is_a_number_that_draws_can_be_compared_with() {
    for number in NUMBERS {
        let Some(toxic) = toxic("noop", number, "") else { continue };
        assert!(toxic.toxicity.is_finite(), "{number}");
        let had = (0..100).filter(|&connection| toxic.is_had_by(1, connection)).count();
        match toxic.toxicity {
            toxicity if toxicity <= 0.0 => assert_eq!(had, 0, "{number}"),
            toxicity if toxicity >= 1.0 => assert_eq!(had, 100, "{number}"),
            _ => assert!(had < 100, "{number}"),
        }
    }
    assert!(toxic("noop", "1e39", "").is_none() && toxic("noop", "\"1\"", "").is_none());
}

/// An engine, and what its driver keeps of it.
struct Driven {
    engine: Engine<()>,
    now: Timestamp,
    alarm: Option<Timestamp>,
    written: Vec<u8>,
}

impl Driven {
    /// Does what the engine asks for until it has nothing more to do, but not endlessly.
    fn drain(&mut self) {
        for _ in 0..50 {
            while let Some(output) = self.engine.poll() {
                match output {
                    Output::Write { bytes, .. } => self.written.extend_from_slice(&bytes),
                    Output::Wait(at) => self.alarm = at,
                    Output::Close { .. } => {}
                }
            }
            let Some(at) = self.alarm.take() else { return };
            self.now = at.max(self.now);
            self.engine.wakeup(self.now);
        }
    }
}

#[test]
fn whatever_is_taken_harms_nothing_that_passes_it_at_any_time() {
    let bytes = Bytes::from((0..=255).collect::<Vec<u8>>());
    let taken = taken();
    assert!(taken.len() > 100, "{} toxics", taken.len());
    for (toxic, next) in taken.iter().zip(taken.iter().cycle().skip(1)) {
        let (Kind::Bytes(gate), stream) = (&toxic.kind, toxic.stream.to()) else { continue };
        let standing = |gate: &Gate| Standing { name: "it".to_owned(), seed: u64::MAX, gate: gate.clone() };
        for now in [Timestamp(0), Timestamp(1_800_000_000_000_000_000), Timestamp(u64::MAX - 1)] {
            let mut it = Driven { engine: Engine::new(None, (), 1), now, alarm: None, written: Vec::new() };
            it.engine.gates(stream, &[standing(gate)], it.now);
            it.engine.feed(stream.other(), bytes.clone(), it.now);
            it.drain();
            // A change in the middle of it, and back.
            if let Kind::Bytes(next) = &next.kind {
                let next = Standing { name: "next".to_owned(), ..standing(next) };
                it.engine.gates(stream, &[standing(gate), next], it.now);
                it.drain();
            }
            it.engine.gates(stream, &[], it.now);
            it.drain();
            let is_lossy = |kind: &Kind| {
                matches!(kind, Kind::Bytes(Gate::Timeout { .. } | Gate::ResetPeer { .. } | Gate::LimitData { .. }))
            };
            assert!(bytes.starts_with(&it.written), "{toxic:?} then {next:?}: {:?}", it.written);
            if !is_lossy(&toxic.kind) && !is_lossy(&next.kind) {
                assert_eq!(it.written, bytes, "{toxic:?} then {next:?} at {now:?}");
            }
        }
    }
}

#[test]
fn json_is_as_deep_as_any_body_needs_and_no_deeper() {
    let nested = |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        assert!(body::value(nested(open, close, 100).as_bytes()).is_ok());
        // Also as many as a body has room for.
        for depth in [1_000, 300_000] {
            let refused = body::value(nested(open, close, depth).as_bytes()).expect_err("too deep");
            assert!(refused.said.contains("recursion limit"), "{}", refused.said);
        }
    }
}
