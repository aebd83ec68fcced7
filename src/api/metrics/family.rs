use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// A metric: all that is said of it once, whatever its labels.
#[derive(Debug)]
pub(super) struct Family {
    /// Its name, without the unit, and without the `_total` of a counter or the `_info` of an info.
    pub(super) name: &'static str,
    pub(super) unit: Option<Unit>,
    pub(super) kind: MetricType,
    pub(super) help: &'static str,
}

/// A line for each metric.
macro_rules! families {
    ($($constant:ident = $kind:ident $name:literal $($unit:ident)?: $help:literal;)*) => {
        $(
            pub(super) static $constant: Family = Family {
                name: $name,
                unit: families!(@unit $($unit)?),
                kind: MetricType::$kind,
                help: $help,
            };
        )*
    };
    (@unit) => { None };
    (@unit $unit:ident) => { Some(Unit::$unit) };
}

families! {
    BUILD = Info "dcproxy_build": "The version that runs.";
    UPTIME = Gauge "dcproxy_uptime" Seconds: "How long the API has answered.";
    PROXIES = Gauge "dcproxy_proxies": "Proxies that the API knows.";
    TASKS = Gauge "dcproxy_tasks": "Tasks that are under way: a few of each proxy, connection and request.";
    RELOADS = Counter "dcproxy_reloads": "How often files were read again.";
    API_REQUESTS = Counter "dcproxy_api_requests": "Requests that the API answered.";

    CONNECTIONS = Gauge "dcproxy_connections": "Connections that are open.";
    ACCEPTED = Counter "dcproxy_connections_accepted": "Connections that were accepted.";
    OPENED = Counter "dcproxy_connections_opened": "Connections whose upstream was reached.";
    CLOSED = Counter "dcproxy_connections_closed": "Connections that have ended.";
    DIALS_FAILED = Counter "dcproxy_dials_failed": "Dials of the upstream that failed.";
    HANDSHAKES_REFUSED = Counter "dcproxy_handshakes_refused": "Diallers with whom no TLS could be agreed on.";
    CLOSES = Counter "dcproxy_closes_received": "FINs and RSTs that ends sent.";

    RECEIVED = Counter "dcproxy_received" Bytes: "Bytes read from the end that speaks.";
    SENT = Counter "dcproxy_sent" Bytes: "Bytes that the system took for the end that listens.";
    FRAMES_RECEIVED = Counter "dcproxy_frames_received": "Frames that the end that speaks sent.";
    FRAMES_SENT = Counter "dcproxy_frames_sent": "Frames that were delivered to the end that listens.";
    FRAME_BYTES_RECEIVED = Counter "dcproxy_frames_received" Bytes: "Bytes of the frames that the end that speaks sent.";
    FRAME_BYTES_SENT = Counter "dcproxy_frames_sent" Bytes: "Bytes of the frames that were delivered.";
    MALFORMED = Counter "dcproxy_frames_malformed": "Frames that do not decode.";
    FRAMING_LOST = Counter "dcproxy_framing_lost": "Directions of connections in which frames could not be told apart any more.";

    LATENCY = Histogram "dcproxy_relay_latency" Seconds:
        "From the read of bytes until the system has taken the last of them that went on at once.";
    HELD = Gauge "dcproxy_held" Bytes: "Bytes that are held back on purpose.";
    QUEUED = Gauge "dcproxy_queued" Bytes: "Bytes that wait until the end that listens takes them.";
    PAUSED = Gauge "dcproxy_connections_paused": "Connections that nothing is read from for now, as the end that listens is slow.";
    PAUSES = Counter "dcproxy_read_pauses": "How often reading was paused, as the end that listens was slow.";
    PAUSED_FOR = Counter "dcproxy_read_paused" Seconds: "For how long reading was paused, all connections together.";

    STREAMS = Gauge "dcproxy_streams": "DCP streams of the connections that are open.";
    FLOW_CONNECTIONS = Gauge "dcproxy_flow_control_connections": "Open connections with DCP flow control.";
    FLOW_WINDOW = Gauge "dcproxy_flow_control_window" Bytes: "The flow-control windows of these, together.";
    FLOW_OUTSTANDING = Gauge "dcproxy_flow_control_outstanding" Bytes: "Bytes of these that await their acknowledgement.";
    FLOW_FULL = Gauge "dcproxy_flow_control_full_connections": "Those of these whose window is full: the producer must wait.";

    FAULTS = Counter "dcproxy_faults_fired": "How often a step, or a DCP toxic, fired.";
    ORPHANS = Counter "dcproxy_orphaned_responses": "Orphaned responses that were delivered to producers.";
    VERDICTS = Counter "dcproxy_verdicts": "Verdicts on connections that have ended, and those that were asked for.";
    FINDINGS = Counter "dcproxy_findings": "Findings that were no passes, and decided the verdict of a connection that has ended.";
    TOXICS = Gauge "dcproxy_toxics": "Toxics that a proxy has.";
    SCENARIOS = Gauge "dcproxy_scenarios_armed": "Scenarios that were armed through the API.";

    RECORDED_FRAMES = Counter "dcproxy_recorded_frames": "Frames that the recording has.";
    RECORDED_BYTES = Counter "dcproxy_recorded" Bytes: "Bytes of connections that the recording has.";
    LOST_FRAMES = Counter "dcproxy_recording_lost_frames": "Frames that the recording should have, and lost.";
    LOST_BYTES = Counter "dcproxy_recording_lost" Bytes: "Bytes that the recording should have, and lost.";
    RECORDING_WAITING = Gauge "dcproxy_recording_waiting" Bytes: "Bytes that wait for the recording's disk.";

    TOXIPROXY_RECEIVED = Counter "toxiproxy_proxy_received" Bytes: "dcproxy_received_bytes_total, as toxiproxy calls it.";
    TOXIPROXY_SENT = Counter "toxiproxy_proxy_sent" Bytes: "dcproxy_sent_bytes_total, as toxiproxy calls it.";

    CPU = Counter "process_cpu" Seconds: "Processor time that the process has used.";
    RESIDENT = Gauge "process_resident_memory" Bytes: "Memory that the process has in RAM.";
    VIRTUAL = Gauge "process_virtual_memory" Bytes: "Memory that the process has in its address space.";
    START = Gauge "process_start_time" Seconds: "When the process began, since the epoch.";
    OPEN_FDS = Gauge "process_open_fds": "File descriptors that are open.";
    MAX_FDS = Gauge "process_max_fds": "File descriptors that may be open.";
    THREADS = Gauge "process_threads": "Threads of the process.";
}
