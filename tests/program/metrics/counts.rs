//! The counts are those of the report, to the last frame.

use std::collections::BTreeMap;

use super::{LIVELY, ODD};
use dcproxy::report::OrphanOrigin;

const TRIED: (&str, &str) = ("proxy", "tried");

#[test]
fn frames_orphans_steps_and_verdicts_are_what_the_report_says() {
    let lively = &*LIVELY;
    let [connection] = &lively.report.connections[..] else { panic!("one connection: {:?}", lively.report) };
    let text = &lively.plain;
    let said = |name, direction| text.sum(name, &[TRIED, ("direction", direction), ("origin", "peer")]);
    assert_eq!(said("dcproxy_frames_received_total", "downstream"), connection.frames.producer as f64);
    assert_eq!(said("dcproxy_frames_sent_total", "upstream"), connection.frames.consumer as f64);
    assert!(connection.frames.producer > 1_000);

    let mut orphans = BTreeMap::new();
    for orphan in &connection.orphans {
        let origin = match orphan.origin {
            OrphanOrigin::Injected => "injected",
            OrphanOrigin::Consumer => "consumer",
        };
        *orphans.entry((orphan.message.as_str(), orphan.status.as_str(), origin)).or_insert(0.0) += 1.0;
    }
    let label = |labels: &'static BTreeMap<String, String>, name: &str| labels[name].as_str();
    let told: BTreeMap<_, _> = text
        .series("dcproxy_orphaned_responses_total", &[TRIED])
        .map(|sample| {
            let of = |name| label(&sample.labels, name);
            ((of("message"), of("status"), of("origin")), sample.value)
        })
        .collect();
    assert!(orphans.len() >= 5, "{orphans:?}");
    assert_eq!(told, orphans);
    assert_eq!(lively.reading.orphans.values().sum::<u64>(), connection.orphans_total);

    let mut steps = BTreeMap::new();
    for step in connection.steps.iter().filter(|step| step.fired > 0) {
        *steps.entry(step.step.as_str()).or_insert(0.0) += step.fired as f64;
    }
    let fired = text.series("dcproxy_faults_fired_total", &[TRIED]);
    let fired: BTreeMap<_, _> = fired.map(|sample| (label(&sample.labels, "step"), sample.value)).collect();
    assert!(!steps.is_empty() && fired == steps, "{fired:?}, {steps:?}");
    assert!(text.series("dcproxy_faults_fired_total", &[("fault", "close_stream")]).next().is_some());

    let verdict = connection.verdict.as_str();
    let verdicts = text.series("dcproxy_verdicts_total", &[TRIED]).collect::<Vec<_>>();
    assert_eq!((verdicts.len(), verdicts[0].value), (1, 1.0));
    assert_eq!((label(&verdicts[0].labels, "verdict"), label(&verdicts[0].labels, "occasion")), (verdict, "ended"));
}

#[test]
fn bytes_recordings_and_failed_dials_are_counted() {
    let lively = &*LIVELY;
    let text = &lively.plain;
    for direction in ["upstream", "downstream"] {
        let labels = [TRIED, ("direction", direction)];
        let (received, sent) =
            (text.sum("dcproxy_received_bytes_total", &labels), text.sum("dcproxy_sent_bytes_total", &labels));
        // Every byte was part of a frame; the run may end inside one, and before the last are written.
        let framed = |way| text.sum(&format!("dcproxy_frames_{way}_bytes_total"), &labels);
        let (unframed, unsent) = (received - framed("received"), framed("sent") - sent);
        assert!(unframed.abs() < 65_536.0 && unsent.abs() < 65_536.0, "{unframed}, {unsent}");
        assert_eq!(received, text.sum("toxiproxy_proxy_received_bytes_total", &labels));
        assert_eq!(sent, text.sum("toxiproxy_proxy_sent_bytes_total", &labels));
        let reads = text.sum("dcproxy_relay_latency_seconds_count", &labels);
        assert!(received > 1_000.0 && reads > 4.0, "{received} bytes in {reads} reads");
    }
    let recording = lively.report.recording.as_ref().expect("it was recorded");
    assert_eq!(text.sum("dcproxy_recorded_frames_total", &[TRIED]), recording.frames as f64);
    assert_eq!(text.sum("dcproxy_recording_lost_frames_total", &[TRIED]), recording.lost_frames as f64);
    let unreachable = ("proxy", "unreachable");
    assert_eq!(text.sum("dcproxy_dials_failed_total", &[unreachable, ("reason", "refused")]), 1.0);
    let connections = ["accepted", "opened", "closed"].map(|what| {
        let name = format!("dcproxy_connections_{what}_total");
        (text.sum(&name, &[TRIED]), text.sum(&name, &[unreachable]))
    });
    assert_eq!(connections, [(1.0, 1.0), (1.0, 0.0), (1.0, 0.0)]);
    assert_eq!(text.sum("dcproxy_connections", &[]), 0.0);
    assert_eq!(text.series("dcproxy_connections", &[("proxy", ODD)]).count(), 1);
}

#[test]
fn no_counter_goes_down_while_it_is_scraped() {
    let lively = &*LIVELY;
    let scrapes: Vec<_> = lively.meanwhile.iter().chain([&lively.plain]).collect();
    assert!(scrapes.len() > 10, "{} scrapes", scrapes.len());
    let mut streams = 0.0_f64;
    for pair in scrapes.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        streams = streams.max(before.sum("dcproxy_streams", &[TRIED, ("state", "open"), ("edge", "upstream")]));
        let is_counter = |name: &str| matches!(before.types[before.family(name)].as_str(), "counter" | "histogram");
        for sample in before.samples.iter().filter(|sample| is_counter(&sample.name)) {
            let now = after.samples.iter().find(|now| (&now.name, &now.labels) == (&sample.name, &sample.labels));
            let now = now.unwrap_or_else(|| panic!("it is gone: {sample:?}"));
            assert!(now.value >= sample.value, "{sample:?} became {now:?}");
        }
    }
    assert!(streams >= 4.0, "a node of four vbuckets was seen with {streams} streams");
}
