//! The report as tables.

use std::fmt::Write;

use super::Report;
use super::connection::ConnectionReport;
use super::connection::MoreStreams;

/// The whole report, with an end of line behind each line.
pub(super) fn write(report: &Report) -> String {
    let mut to = String::new();
    // Writing to memory does not fail.
    let _ = put(report, &mut to);
    to
}

fn put(report: &Report, to: &mut String) -> std::fmt::Result {
    writeln!(to, "{} frames, {} bytes in {} s", report.frames, report.bytes, report.seconds)?;
    if !report.messages.is_empty() {
        writeln!(
            to,
            "\n{:<26} {:<20} {:>10} {:>13} {:>12} {:>14}",
            "message", "status", "frames", "bytes", "frames/s", "bytes/s"
        )?;
    }
    for message in &report.messages {
        let rate = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"));
        let status = message.status.as_deref().unwrap_or("-");
        let (name, frames, bytes) = (&message.message, message.frames, message.bytes);
        let (frame_rate, byte_rate) = (rate(message.frames_per_second), rate(message.bytes_per_second));
        writeln!(to, "{name:<26} {status:<20} {frames:>10} {bytes:>13} {frame_rate:>12} {byte_rate:>14}")?;
    }
    if report.more_messages.frames > 0 {
        writeln!(to, "other messages: {} frames, {} bytes", report.more_messages.frames, report.more_messages.bytes)?;
    }
    if !report.response_times.is_empty() {
        writeln!(
            to,
            "\n{:<26} {:>10} {:>14} {:>14} {:>14} {:>14}",
            "response times (s) of", "count", "min", "median ±1.6%", "p99 ±1.6%", "max"
        )?;
    }
    for times in &report.response_times {
        let (name, count) = (&times.message, times.count);
        writeln!(
            to,
            "{name:<26} {count:>10} {:>14} {:>14} {:>14} {:>14}",
            times.min, times.median, times.p99, times.max
        )?;
    }
    report.connections.iter().try_for_each(|connection| put_connection(connection, to))?;
    let more = &report.more_connections;
    if more.connections > 0 {
        writeln!(to, "\n{} more connections: {} frames, {} bytes", more.connections, more.frames, more.bytes)?;
    }
    Ok(())
}

fn put_connection(connection: &ConnectionReport, to: &mut String) -> std::fmt::Result {
    let unknown = || "?".to_owned();
    let (client, server) = (connection.client.clone(), connection.server.clone());
    let name = connection.name.as_ref().map(|name| format!(" {name:?}")).unwrap_or_default();
    writeln!(
        to,
        "\nconnection {}: {} -> {}{name}, {} s",
        connection.conn,
        client.unwrap_or_else(unknown),
        server.unwrap_or_else(unknown),
        connection.seconds
    )?;
    for (who, counts) in [("client", connection.from_client), ("server", connection.from_server)] {
        writeln!(to, "  from the {who}: {} frames, {} bytes", counts.frames, counts.bytes)?;
    }
    for (count, what) in [
        (connection.malformed, "malformed frames"),
        (connection.resynchronised, "frames found by searching"),
        (connection.gaps, "gaps"),
    ] {
        if count > 0 {
            writeln!(to, "  {count} {what}")?;
        }
    }
    if connection.missing_bytes > 0 {
        writeln!(to, "  {} bytes missing, or more", connection.missing_bytes)?;
    }
    for orphan in &connection.orphans {
        writeln!(to, "  orphaned responses: {} {} {}", orphan.message, orphan.status, orphan.count)?;
    }
    if let Some(window) = &connection.flow_control {
        writeln!(
            to,
            "  flow control: window {}, at most {} outstanding, full behind {} of {} charged frames and {} s ({:.2} %)",
            window.window,
            window.max_outstanding,
            window.full_frames,
            window.charged_frames,
            window.full_seconds,
            window.full_share * 100.0
        )?;
    }
    put_streams(connection, to)
}

fn put_streams(connection: &ConnectionReport, to: &mut String) -> std::fmt::Result {
    if !connection.streams.is_empty() {
        writeln!(
            to,
            "  {:>7} {:>6} {:<10} {:>22} {:>19} {:>9} {:>9} {:>9} {:>12} {:>14}  state",
            "vbucket", "sid", "opaque", "asked for", "seqnos", "items", "snapshots", "frames", "bytes", "seconds"
        )?;
    }
    for stream in &connection.streams {
        let range = |from: Option<u64>, to: Option<u64>| match (from, to) {
            (Some(from), Some(u64::MAX)) => format!("{from}.."),
            (Some(from), Some(to)) => format!("{from}..{to}"),
            _ => "-".to_owned(),
        };
        writeln!(
            to,
            "  {:>7} {:>6} {:<10} {:>22} {:>19} {:>9} {:>9} {:>9} {:>12} {:>14}  {}",
            stream.vbucket,
            stream.stream_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            stream.opaque,
            range(stream.start_seqno, stream.end_seqno),
            range(stream.first_seqno, stream.last_seqno),
            stream.items,
            stream.snapshots,
            stream.frames,
            stream.bytes,
            stream.seconds,
            stream.state
        )?;
    }
    let more = connection.more_streams;
    if more != MoreStreams::default() {
        writeln!(
            to,
            "  {} more streams: {} items, {} frames, {} bytes",
            more.streams, more.items, more.frames, more.bytes
        )?;
    }
    Ok(())
}
