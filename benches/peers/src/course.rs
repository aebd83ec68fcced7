//! What is measured, and how each measurement is made and checked.

use std::io;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use super::relay::Kind;
use super::relay::Place;
use super::relay::Relay;
use super::relay::Running;
use super::sink::Bulk;
use super::sink::Sinks;
use super::source::Source;
use super::table::Column;
use super::trips;

/// Something that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Bulk(Bulk),
    /// Round trips on so many connections; `busy`: beside a bulk transfer through the same relay.
    Ping {
        connections: usize,
        busy: Option<Bulk>,
    },
    SetUps,
}

const fn bulk(value: usize, connections: usize, streams: usize) -> What {
    What::Bulk(Bulk { value, connections, streams })
}

const fn ping(connections: usize) -> What {
    What::Ping { connections, busy: None }
}

const fn ping_beside(value: usize, connections: usize) -> What {
    What::Ping { connections: 1, busy: Some(Bulk { value, connections, streams: 1 }) }
}

/// All of it, by the names under which it is asked for.
pub(crate) const COURSE: [(&str, What); 14] = [
    ("bulk-64", bulk(64, 1, 1)),
    ("bulk-256", bulk(256, 1, 1)),
    ("bulk-4k", bulk(4096, 1, 1)),
    ("bulk-1m", bulk(1 << 20, 1, 1)),
    ("streams-1024", bulk(256, 1, 1024)),
    ("bulk-16x", bulk(4096, 16, 1)),
    ("bulk-256x", bulk(4096, 256, 1)),
    ("ping", ping(1)),
    ("ping-busy", ping_beside(4096, 1)),
    ("ping-busy-1m", ping_beside(1 << 20, 2)),
    ("ping-16x", ping(16)),
    ("ping-256x", ping(256)),
    ("ping-5000x", ping(5000)),
    ("setups", What::SetUps),
];

/// Round trips under way at once, where there are many connections; and connections that are set up at once.
const AT_ONCE: usize = 16;
const DIALLERS: usize = 4;

pub(crate) const RATE: &str = "Gbit/s";
pub(crate) const FRAMES: &str = "frames/s";
pub(crate) const P50: &str = "p50, us";
pub(crate) const P99: &str = "p99, us";
pub(crate) const P999: &str = "p99.9, us";
pub(crate) const UNRECORDED: &str = "not recorded, %";
pub(crate) const FAILED: &str = "failures";
pub(crate) const IDLE: &str = "KiB an idle connection";
pub(crate) const SET_UPS: &str = "connections/s";

impl What {
    pub(crate) fn title(self) -> String {
        match self {
            Self::Bulk(Bulk { value, connections, streams }) => {
                let of = |count: usize, what: &str| {
                    if count == 1 { format!("one {what}") } else { format!("{count} {what}s") }
                };
                format!(
                    "Bulk: values of {value} B, {}, {} on each",
                    of(connections, "connection"),
                    of(streams, "stream")
                )
            }
            Self::Ping { busy: Some(Bulk { value, connections, .. }), .. } => {
                format!(
                    "Round trips beside a bulk transfer of values of {value} B on each of {connections} connections"
                )
            }
            Self::Ping { connections: 1, .. } => "Round trips: one connection".to_owned(),
            Self::Ping { connections, .. } => format!("Round trips: {connections} connections, {AT_ONCE} at once"),
            Self::SetUps => format!("Set-ups: dial, DCP_OPEN, answer, close; {DIALLERS} at once"),
        }
    }

    pub(crate) fn columns(self) -> Vec<Column> {
        let yes = |name| Column { name, compared: true };
        let no = |name| Column { name, compared: false };
        match self {
            Self::Bulk(Bulk { connections, .. }) => {
                let last = if connections > 1 { "slowest / mean connection" } else { UNRECORDED };
                vec![yes(RATE), no(FRAMES), yes("CPU s/GB"), no("peak, MB"), no(last)]
            }
            Self::Ping { connections: 1, .. } => vec![yes(P50), yes(P99), yes(P999), no("peak, MB")],
            Self::Ping { .. } => {
                vec![
                    yes(P50),
                    yes(P99),
                    yes(P999),
                    no("trips/s"),
                    no(FAILED),
                    no(IDLE),
                    no("peak, MB"),
                    no("opening, s"),
                ]
            }
            Self::SetUps => vec![yes(SET_UPS), no("CPU us a connection")],
        }
    }

    /// Who is measured if nobody is named: not all of them everywhere, for a run is to end within minutes.
    pub(crate) fn is_usual(self, kind: Kind) -> bool {
        use Kind::*;
        match self {
            Self::Bulk(Bulk { connections: 1, streams: 1, .. }) | Self::Ping { connections: 1, busy: None } => true,
            Self::Bulk(_) => matches!(kind, Direct | Haproxy | Nginx | Tokio | Plain),
            Self::Ping { busy: Some(_), .. } => matches!(kind, Direct | Haproxy | Nginx | Tokio | Plain),
            Self::Ping { .. } => matches!(kind, Direct | Haproxy | Nginx | Toxiproxy | Tokio | Plain),
            Self::SetUps => !matches!(kind, HaproxyTuned | Recording),
        }
    }

    /// Open files that either program needs for it.
    pub(crate) fn files(self) -> u64 {
        match self {
            Self::Ping { connections, .. } => 2 * connections as u64 + 200,
            Self::Bulk(bulk) => 2 * bulk.connections as u64 + 200,
            Self::SetUps => 1000,
        }
    }

    /// One figure for each column.
    pub(crate) fn measure(self, relay: Relay, place: &Place, time: Duration) -> io::Result<Vec<f64>> {
        let source = Source::start()?;
        let running = Running::start(relay, source.address, place)?;
        match self {
            Self::Bulk(bulk) => measure_bulk(bulk, relay, &source, running, time),
            Self::Ping { connections: 1, busy } => {
                let mut beside = busy.map(|bulk| Sinks::start(running.address, bulk)).transpose()?;
                let mut trips = trips::one(running.address, time)?;
                if let Some(sinks) = &mut beside {
                    sinks.finish()?;
                }
                let used = running.used();
                check(relay, running, &source)?;
                let [p50, p99, p999] = [50.0, 99.0, 99.9].map(|percent| trips.percentile(percent) * 1e6);
                Ok(vec![p50, p99, p999, used.peak as f64 / 1e6])
            }
            Self::Ping { connections, .. } => {
                let before = running.used();
                let mut idle = None;
                let mut strangers = Ok(Vec::new());
                let trips = trips::many(running.address, connections, AT_ONCE.min(connections), time, || {
                    // What was needed for opening only may be given back.
                    thread::sleep(Duration::from_millis(300));
                    idle = Some(running.used());
                    strangers = running.strangers(&source.told.peers());
                });
                let mut trips = trips?;
                no_strangers(strangers?)?;
                let used = running.used();
                check(relay, running, &source)?;
                let [p50, p99, p999] = [50.0, 99.0, 99.9].map(|percent| trips.percentile(percent) * 1e6);
                let grown = idle.unwrap_or(before).memory.saturating_sub(before.memory) as f64 / 1024.0;
                let each = grown / (connections - trips.failed.min(connections - 1)) as f64;
                let rate = trips.count() as f64 / time.as_secs_f64();
                Ok(vec![p50, p99, p999, rate, trips.failed as f64, each, used.peak as f64 / 1e6, trips.opened])
            }
            Self::SetUps => {
                let before = running.used();
                let rate = trips::set_ups(running.address, DIALLERS, time)?;
                // Those that close are still being told so.
                let cpu = running.used().cpu - before.cpu;
                if source.told.peers().len() < (rate * time.as_secs_f64()) as usize {
                    return Err(io::Error::other("fewer connections at the source than were opened"));
                }
                Ok(vec![rate, cpu * 1e6 / source.told.peers().len() as f64])
            }
        }
    }
}

fn measure_bulk(bulk: Bulk, relay: Relay, source: &Source, running: Running, time: Duration) -> io::Result<Vec<f64>> {
    let mut sinks = Sinks::start(running.address, bulk)?;
    thread::sleep(Duration::from_millis(200));
    let (began, (bytes, frames), used) = (Instant::now(), sinks.so_far(), running.used());
    thread::sleep(time);
    let (took, (bytes_then, frames_then), used_then) = (began.elapsed().as_secs_f64(), sinks.so_far(), running.used());
    no_strangers(running.strangers(&source.told.peers())?)?;
    let got = sinks.finish()?;
    let sent = source.told.sent();
    if got != sent {
        return Err(io::Error::other(format!("expected (bytes, frames) {sent:?} to arrive, found {got:?}")));
    }
    let dialled = source.told.peers().len();
    if dialled != bulk.connections {
        return Err(io::Error::other(format!(
            "expected {} connections to the source, found {dialled}",
            bulk.connections
        )));
    }
    let lost = check(relay, running, source)?;
    let each: Vec<f64> = bytes_then.iter().zip(&bytes).map(|(then, before)| (then - before) as f64).collect();
    let all: f64 = each.iter().sum();
    let cpu = (used_then.cpu - used.cpu) / (all / 1e9);
    let mut figures =
        vec![all * 8.0 / 1e9 / took, (frames_then - frames) as f64 / took, cpu, used_then.peak as f64 / 1e6];
    let slowest = each.iter().copied().fold(f64::INFINITY, f64::min);
    figures.push(if bulk.connections > 1 { slowest * each.len() as f64 / all } else { lost });
    Ok(figures)
}

fn no_strangers(strangers: Vec<std::net::SocketAddr>) -> io::Result<()> {
    match strangers.first() {
        None => Ok(()),
        Some(one) => Err(io::Error::other(format!(
            "{} who dialled the source are not the relay, {one} among them",
            strangers.len()
        ))),
    }
}

/// That ours counted all frames that the source has sent, and found nothing wrong with them. Of those, which are recorded at two edges,
/// how many in a hundred a recording lacks, where one was made.
fn check(relay: Relay, running: Running, source: &Source) -> io::Result<f64> {
    let (_, frames) = source.told.sent();
    let (reports, lost) = running.stop()?;
    // A step that did not fire leaves its run inconclusive, and nothing else may.
    let expected = if relay.kind == Kind::Armed { "inconclusive" } else { "pass" };
    for report in reports {
        if report.frames != frames {
            return Err(io::Error::other(format!("expected {frames} frames in its report, found {}", report.frames)));
        }
        if report.verdict != expected {
            let (found, findings) = (report.verdict, report.findings);
            return Err(io::Error::other(format!("expected the verdict {expected}, found {found}: {findings}")));
        }
    }
    Ok(lost.map_or(f64::NAN, |lost| lost as f64 * 50.0 / frames as f64))
}
