use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use tokio::runtime::Handle;

use super::family::*;
use super::process;
use super::requests::Requests;
use super::series::Label;
use super::series::Writer;
use crate::journal::Direction;
use crate::journal::Origin;
use crate::net::Health;
use crate::net::control::Controlled;
use crate::net::control::Registry;
use crate::net::meter::Events;
use crate::net::meter::FrameKey;
use crate::net::meter::Frames;
use crate::net::meter::Reading;
use crate::net::meter::Way;
use crate::toxic::Kind;
use crate::toxic::Stream;

/// Everything that is told of this process, whenever somebody asks.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) registry: Registry,
    pub(super) health: Health,
    pub(super) requests: Requests,
    pub(super) since: Instant,
}

/// One proxy, as it was read at one moment.
struct Proxy {
    controlled: Arc<Controlled>,
    reading: Reading,
    events: Events,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let read = |controlled: Arc<Controlled>| {
            let (reading, events) = (controlled.totals().read(), controlled.totals().events());
            Proxy { controlled, reading, events }
        };
        let proxies: Vec<_> = self.registry.all().into_iter().map(read).collect();
        let writer = &mut Writer(encoder);
        self.tool(writer, proxies.len())?;
        connections(writer, &proxies)?;
        bytes(writer, &proxies)?;
        frames(writer, &proxies)?;
        flow(writer, &proxies)?;
        what_was_done(writer, &proxies)?;
        recordings(writer, &proxies)?;
        toxiproxy(writer, &proxies)?;
        process::encode(writer)
    }
}

impl Scrape {
    fn tool(&self, writer: &mut Writer<'_>, proxies: usize) -> fmt::Result {
        writer.family(&BUILD)?.info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        writer.family(&UPTIME)?.gauge(&[], self.since.elapsed().as_secs_f64())?;
        writer.family(&PROXIES)?.level(&[], proxies as u64)?;
        let mut series = writer.family(&TASKS)?;
        if let Ok(runtime) = Handle::try_current() {
            series.level(&[], runtime.metrics().num_alive_tasks() as u64)?;
        }
        let mut series = writer.family(&RELOADS)?;
        for (result, count) in ["success", "failure"].into_iter().zip(self.health.reloads()) {
            series.counter(&[("result", result)], count)?;
        }
        let mut series = writer.family(&API_REQUESTS)?;
        for (request, count) in self.requests.read() {
            let status = request.status.to_string();
            let labels = [("route", &*request.route), ("method", request.method), ("status", &status)];
            series.counter(&labels, count)?;
        }
        Ok(())
    }
}

impl Proxy {
    fn name(&self) -> Label<'_> {
        ("proxy", self.controlled.name())
    }

    fn ways(&self) -> impl Iterator<Item = (Label<'static>, &Way)> {
        [Stream::Upstream, Stream::Downstream].into_iter().map(direction).zip(&self.reading.ways)
    }
}

const fn direction(direction: Stream) -> Label<'static> {
    let value = match direction {
        Stream::Upstream => "upstream",
        Stream::Downstream => "downstream",
    };
    ("direction", value)
}

fn connections(writer: &mut Writer<'_>, proxies: &[Proxy]) -> fmt::Result {
    let mut series = writer.family(&CONNECTIONS)?;
    for proxy in proxies {
        series.level(&[proxy.name()], proxy.reading.open.connections)?;
    }
    let mut series = writer.family(&ACCEPTED)?;
    for proxy in proxies {
        series.counter(&[proxy.name()], proxy.events.accepted)?;
    }
    let mut series = writer.family(&OPENED)?;
    for proxy in proxies {
        series.counter(&[proxy.name()], proxy.reading.opened)?;
    }
    let mut series = writer.family(&CLOSED)?;
    for proxy in proxies {
        for (ending, &count) in &proxy.events.endings {
            series.counter(&[proxy.name(), ("ending", ending)], count)?;
        }
    }
    let mut series = writer.family(&DIALS_FAILED)?;
    for proxy in proxies {
        for (reason, &count) in &proxy.events.dials_failed {
            series.counter(&[proxy.name(), ("reason", reason)], count)?;
        }
    }
    let mut series = writer.family(&HANDSHAKES_REFUSED)?;
    for proxy in proxies {
        series.counter(&[proxy.name()], proxy.events.handshakes_refused)?;
    }
    let mut series = writer.family(&CLOSES)?;
    for proxy in proxies {
        for (direction, way) in proxy.ways() {
            for (how, count) in [("fin", way.fins), ("reset", way.resets)] {
                series.counter(&[proxy.name(), direction, ("how", how)], count)?;
            }
        }
    }
    Ok(())
}

fn bytes(writer: &mut Writer<'_>, proxies: &[Proxy]) -> fmt::Result {
    type Count = fn(&Way) -> u64;
    let counters: [(_, Count); 5] = [
        (&RECEIVED, |way| way.read),
        (&SENT, |way| way.written),
        (&MALFORMED, |way| way.malformed),
        (&FRAMING_LOST, |way| way.framing_lost),
        (&PAUSES, |way| way.pauses),
    ];
    for (family, count) in counters {
        let mut series = writer.family(family)?;
        for proxy in proxies {
            for (direction, way) in proxy.ways() {
                series.counter(&[proxy.name(), direction], count(way))?;
            }
        }
    }
    let gauges: [(_, Count); 3] =
        [(&HELD, |way| way.held), (&QUEUED, |way| way.queued), (&PAUSED, |way| way.paused_now)];
    for (family, level) in gauges {
        let mut series = writer.family(family)?;
        for proxy in proxies {
            for (direction, way) in proxy.ways() {
                series.level(&[proxy.name(), direction], level(way))?;
            }
        }
    }
    let mut series = writer.family(&PAUSED_FOR)?;
    for proxy in proxies {
        for (direction, way) in proxy.ways() {
            series.seconds(&[proxy.name(), direction], way.paused.as_secs_f64())?;
        }
    }
    let mut series = writer.family(&LATENCY)?;
    for proxy in proxies {
        for (direction, way) in proxy.ways() {
            series.histogram(&[proxy.name(), direction], &way.latency)?;
        }
    }
    Ok(())
}

fn frames(writer: &mut Writer<'_>, proxies: &[Proxy]) -> fmt::Result {
    type Count = fn(&Frames) -> u64;
    let families: [(_, _, Count); 4] = [
        (&FRAMES_RECEIVED, Direction::From, |frames| frames.frames),
        (&FRAMES_SENT, Direction::To, |frames| frames.frames),
        (&FRAME_BYTES_RECEIVED, Direction::From, |frames| frames.bytes),
        (&FRAME_BYTES_SENT, Direction::To, |frames| frames.bytes),
    ];
    for (family, way, count) in families {
        let mut series = writer.family(family)?;
        for proxy in proxies {
            for (key, frames) in proxy.reading.frames.iter().filter(|(key, _)| key.way == way) {
                let FrameKey { message, origin, .. } = key;
                let origin = match origin {
                    Origin::Peer => "peer",
                    Origin::Tool => "tool",
                };
                let labels = [
                    proxy.name(),
                    direction(key.direction),
                    ("message", message.name()),
                    ("kind", message.kind().as_str()),
                    ("origin", origin),
                ];
                series.counter(&labels, count(frames))?;
            }
        }
    }
    Ok(())
}

fn flow(writer: &mut Writer<'_>, proxies: &[Proxy]) -> fmt::Result {
    let mut series = writer.family(&STREAMS)?;
    for proxy in proxies {
        for (edge, counts) in ["dialler", "upstream"].into_iter().zip(proxy.reading.open.streams) {
            for (state, count) in ["requested", "open", "closing", "closed"].into_iter().zip(counts) {
                series.level(&[proxy.name(), ("edge", edge), ("state", state)], count)?;
            }
        }
    }
    type Level = fn(&Proxy) -> u64;
    let gauges: [(_, Level); 4] = [
        (&FLOW_CONNECTIONS, |proxy| proxy.reading.open.with_flow_control),
        (&FLOW_WINDOW, |proxy| proxy.reading.open.window),
        (&FLOW_OUTSTANDING, |proxy| proxy.reading.open.outstanding),
        (&FLOW_FULL, |proxy| proxy.reading.open.full),
    ];
    for (family, level) in gauges {
        let mut series = writer.family(family)?;
        for proxy in proxies {
            series.level(&[proxy.name()], level(proxy))?;
        }
    }
    Ok(())
}

/// By the tool, and what came of it.
fn what_was_done(writer: &mut Writer<'_>, proxies: &[Proxy]) -> fmt::Result {
    let mut series = writer.family(&FAULTS)?;
    for proxy in proxies {
        for ((fault, step), count) in proxy.controlled.totals().steps() {
            series.counter(&[proxy.name(), ("fault", &fault), ("step", &step)], count)?;
        }
    }
    let mut series = writer.family(&ORPHANS)?;
    for proxy in proxies {
        for (key, &count) in &proxy.reading.orphans {
            let origin = match key.origin {
                Origin::Tool => "injected",
                Origin::Peer => "consumer",
            };
            let labels = [proxy.name(), ("message", key.message.name()), ("status", key.status()), ("origin", origin)];
            series.counter(&labels, count)?;
        }
    }
    let mut series = writer.family(&VERDICTS)?;
    for proxy in proxies {
        for ((occasion, verdict), &count) in &proxy.events.verdicts {
            series.counter(&[proxy.name(), ("verdict", verdict.as_str()), ("occasion", occasion.as_str())], count)?;
        }
    }
    let mut series = writer.family(&FINDINGS)?;
    for proxy in proxies {
        for ((finding, verdict), &count) in &proxy.events.findings {
            series.counter(&[proxy.name(), ("finding", finding), ("verdict", verdict.as_str())], count)?;
        }
    }
    let orders: Vec<_> = proxies.iter().map(|proxy| (proxy.name(), proxy.controlled.orders())).collect();
    let mut series = writer.family(&TOXICS)?;
    for (proxy, orders) in &orders {
        for stream in [Stream::Upstream, Stream::Downstream] {
            let of = |is_dcp: bool| {
                let toxics = orders.toxics.iter().filter(|toxic| toxic.stream == stream);
                toxics.filter(|toxic| matches!(toxic.kind, Kind::Dcp(_)) == is_dcp).count() as u64
            };
            for (kind, count) in [("bytes", of(false)), ("dcp", of(true))] {
                series.level(&[*proxy, direction(stream), ("kind", kind)], count)?;
            }
        }
    }
    let mut series = writer.family(&SCENARIOS)?;
    for (proxy, orders) in &orders {
        series.level(&[*proxy], orders.scenarios.len() as u64)?;
    }
    Ok(())
}

fn recordings(writer: &mut Writer<'_>, proxies: &[Proxy]) -> fmt::Result {
    let recorded = |proxy: &Proxy| proxy.controlled.totals().recording();
    let read: Vec<_> = proxies.iter().filter_map(|proxy| Some((proxy.name(), recorded(proxy)?))).collect();
    let mut series = writer.family(&RECORDED_FRAMES)?;
    for (proxy, recorded) in &read {
        series.counter(&[*proxy], recorded.frames)?;
    }
    let mut series = writer.family(&RECORDED_BYTES)?;
    for (proxy, recorded) in &read {
        series.counter(&[*proxy], recorded.bytes)?;
    }
    let mut series = writer.family(&LOST_FRAMES)?;
    for (proxy, recorded) in &read {
        series.counter(&[*proxy], recorded.lost_frames)?;
    }
    let mut series = writer.family(&LOST_BYTES)?;
    for (proxy, recorded) in &read {
        series.counter(&[*proxy], recorded.lost_bytes)?;
    }
    let mut series = writer.family(&RECORDING_WAITING)?;
    for (proxy, recorded) in &read {
        series.level(&[*proxy], recorded.waiting)?;
    }
    Ok(())
}

/// Under the names and labels of toxiproxy's METRICS.md, for boards that are there already.
fn toxiproxy(writer: &mut Writer<'_>, proxies: &[Proxy]) -> fmt::Result {
    type Count = fn(&Way) -> u64;
    let families: [(_, Count); 2] = [(&TOXIPROXY_RECEIVED, |way| way.read), (&TOXIPROXY_SENT, |way| way.written)];
    let standings: Vec<_> = proxies.iter().map(|proxy| proxy.controlled.standing()).collect();
    for (family, count) in families {
        let mut series = writer.family(family)?;
        for (proxy, standing) in proxies.iter().zip(&standings) {
            for (direction, way) in proxy.ways() {
                let (listener, upstream) = (standing.listen.text.as_str(), standing.upstream.as_str());
                let labels = [direction, ("listener", listener), proxy.name(), ("upstream", upstream)];
                series.counter(&labels, count(way))?;
            }
        }
    }
    Ok(())
}
