use std::time::Duration;

use super::Quirk;
use super::terms::Terms;
use crate::dcp::Control;
use crate::era::Era;
use crate::wire::Status;

/// Applies a DCP_CONTROL and gives the status to answer with: dcp-protocol.md §2.2, and what real servers answered
/// (real-servers.md §4 and §5).
pub(super) fn apply(control: &Control, terms: &mut Terms) -> Status {
    let (key, value) = (control.key.as_str(), control.value.as_str());
    let era = terms.era;
    match key {
        "enable_noop" => terms.noop = value == "true",
        "set_noop_interval" => match noop_interval(value, era) {
            Some(interval) => terms.noop_interval = interval,
            None => return Status::EINVAL,
        },
        "connection_buffer_size" => match value.parse() {
            Ok(window) if window <= u64::from(u32::MAX) || takes_wide_windows(terms) => terms.window = window,
            Ok(_) | Err(_) => return Status::EINVAL,
        },
        "stream_buffer_size" => return Status::NOT_SUPPORTED,
        "set_priority" if matches!(value, "high" | "medium" | "low") => {}
        "supports_cursor_dropping" | "supports_cursor_dropping_vulcan" | "supports_hifi_MFU" => {}
        "enable_ext_metadata" if era < Era::V7_0 => {}
        "force_value_compression" if terms.snappy => terms.force_compression = value == "true",
        // Once on it cannot be turned off, and nothing is refused.
        "send_stream_end_on_client_close_stream" => terms.stream_end_on_close |= value == "true",
        // No release of era 6.0 knew it; its last development builds did (captures of the parent of MB-35287's fix).
        "enable_expiry_opcode" => terms.expiry = value == "true",
        "enable_stream_id" if era >= Era::V2019_07 && value == "true" => {
            if terms.sync_writes {
                return Status::NOT_SUPPORTED;
            }
            terms.stream_ids = true;
        }
        _ if Some(key) == era.sync_writes_control() && value == "true" => {
            if terms.stream_ids {
                return Status::NOT_SUPPORTED;
            }
            terms.sync_writes = true;
        }
        "consumer_name" if era >= Era::V2019_07 && !value.is_empty() => terms.consumer_name = true,
        "include_deleted_user_xattrs" if era >= Era::V6_6 && value == "true" && terms.deleted_user_xattrs => {}
        "backfill_order" if era >= Era::V6_6 && matches!(value, "round-robin" | "sequential") => {}
        "v7_dcp_status_codes" if era >= Era::V7_0 && value == "true" => terms.v7 = true,
        // The node never needs to send a backfill out of order.
        "enable_out_of_order_snapshots" if era >= Era::V7_0 && value == "true" => {}
        "enable_out_of_order_snapshots" if era == Era::Master && value == "true_with_seqno_advanced" => {}
        "flatbuffers_system_events" if era == Era::Master && value == "true" => terms.flatbuffers = true,
        // The node keeps no history.
        "change_streams" if era == Era::Master && value == "true" => return Status::NOT_SUPPORTED,
        "max_marker_version" if era == Era::Master && value == "2.2" => {
            if !terms.collections {
                return Status::NOT_SUPPORTED;
            }
            terms.marker_v2_2 = true;
        }
        "cache_transfer" if era == Era::Master => {}
        _ => return Status::EINVAL,
    }
    Status::SUCCESS
}

/// MB-72330: windows of 4 GiB and more are taken since 972547685 (2026-06).
fn takes_wide_windows(terms: &Terms) -> bool {
    terms.era == Era::Master && !terms.has(Quirk::Mb72330)
}

/// Whole seconds; after 8.0 also fractions of a second from the connection manager's 0.1 s on.
fn noop_interval(value: &str, era: Era) -> Option<Duration> {
    if let Ok(seconds) = value.parse::<u32>() {
        return (seconds > 0).then(|| Duration::from_secs(seconds.into()));
    }
    let seconds: f64 = value.parse().ok().filter(|_| era == Era::Master)?;
    (0.1..=f64::from(u32::MAX)).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(terms: &mut Terms, key: &str, value: &str) -> u16 {
        apply(&Control { key: key.to_owned(), value: value.to_owned() }, terms).0
    }

    /// Key, value, and the status in 6.0, 2019-07, 6.5, 6.6, 7.0 and master.
    const TABLE: &[(&str, &str, [u16; 6])] = &[
        ("enable_noop", "true", [0; 6]),
        ("enable_noop", "false", [0; 6]),
        ("set_noop_interval", "1", [0; 6]),
        ("set_noop_interval", "abc", [4; 6]),
        ("set_noop_interval", "0", [4; 6]),
        ("set_noop_interval", "0.100000", [4, 4, 4, 4, 4, 0]),
        ("set_noop_interval", "0.05", [4; 6]),
        ("set_noop_interval", "inf", [4; 6]),
        ("connection_buffer_size", "20000", [0; 6]),
        ("connection_buffer_size", "0", [0; 6]),
        ("connection_buffer_size", "4294967296", [4, 4, 4, 4, 4, 0]),
        ("connection_buffer_size", "18446744073709551616", [4; 6]),
        ("stream_buffer_size", "1", [0x83; 6]),
        ("set_priority", "high", [0; 6]),
        ("set_priority", "urgent", [4; 6]),
        ("supports_cursor_dropping", "true", [0; 6]),
        ("supports_cursor_dropping_vulcan", "true", [0; 6]),
        ("supports_hifi_MFU", "true", [0; 6]),
        ("enable_ext_metadata", "true", [0, 0, 0, 0, 4, 4]),
        ("force_value_compression", "true", [4; 6]),
        ("send_stream_end_on_client_close_stream", "true", [0; 6]),
        ("send_stream_end_on_client_close_stream", "false", [0; 6]),
        ("enable_expiry_opcode", "true", [0; 6]),
        ("enable_stream_id", "true", [4, 0, 0, 0, 0, 0]),
        ("enable_stream_id", "false", [4; 6]),
        ("enable_sync_writes", "true", [4, 4, 0, 0, 0, 0]),
        ("enable_synchronous_replication", "true", [4, 0, 4, 4, 4, 4]),
        ("consumer_name", "me", [4, 0, 0, 0, 0, 0]),
        ("consumer_name", "", [4; 6]),
        ("include_deleted_user_xattrs", "true", [4; 6]),
        ("backfill_order", "sequential", [4, 4, 4, 0, 0, 0]),
        ("backfill_order", "none", [4; 6]),
        ("v7_dcp_status_codes", "true", [4, 4, 4, 4, 0, 0]),
        ("v7_dcp_status_codes", "false", [4; 6]),
        ("enable_out_of_order_snapshots", "true", [4, 4, 4, 4, 0, 0]),
        ("enable_out_of_order_snapshots", "true_with_seqno_advanced", [4, 4, 4, 4, 4, 0]),
        ("flatbuffers_system_events", "true", [4, 4, 4, 4, 4, 0]),
        ("change_streams", "true", [4, 4, 4, 4, 4, 0x83]),
        ("max_marker_version", "2.2", [4, 4, 4, 4, 4, 0x83]),
        ("max_marker_version", "2.0", [4; 6]),
        ("cache_transfer", "1", [4, 4, 4, 4, 4, 0]),
        ("no_such_key", "1", [4; 6]),
    ];

    #[test]
    fn each_control_is_answered_as_its_era_does() {
        for &(key, value, expected) in TABLE {
            let found = Era::ALL.map(|era| ask(&mut Terms::new(era), key, value));
            assert_eq!(found, expected, "{key}={value}");
        }
    }

    #[test]
    fn stream_ids_and_sync_writes_exclude_each_other() {
        let mut terms = Terms::new(Era::V7_0);
        assert_eq!(ask(&mut terms, "enable_stream_id", "true"), 0);
        assert_eq!(ask(&mut terms, "enable_sync_writes", "true"), 0x83);
        let mut terms = Terms::new(Era::V7_0);
        assert_eq!(ask(&mut terms, "enable_sync_writes", "true"), 0);
        assert_eq!(ask(&mut terms, "enable_stream_id", "true"), 0x83);
        assert!(!terms.sync_replication());
        assert_eq!(ask(&mut terms, "consumer_name", "me"), 0);
        assert!(terms.sync_replication());
    }

    #[test]
    fn some_need_what_was_agreed_before() {
        let mut terms = Terms { snappy: true, collections: true, deleted_user_xattrs: true, ..Terms::new(Era::Master) };
        assert_eq!(ask(&mut terms, "force_value_compression", "true"), 0);
        assert_eq!(ask(&mut terms, "max_marker_version", "2.2"), 0);
        assert_eq!(ask(&mut terms, "include_deleted_user_xattrs", "true"), 0);
        assert!(terms.marker_v2_2 && terms.force_compression);
        assert_eq!(ask(&mut terms, "set_noop_interval", "0.25"), 0);
        assert_eq!(terms.noop_interval, Duration::from_millis(250));
    }

    #[test]
    fn stream_ends_cannot_be_turned_off() {
        let mut terms = Terms::new(Era::V7_0);
        ask(&mut terms, "send_stream_end_on_client_close_stream", "true");
        ask(&mut terms, "send_stream_end_on_client_close_stream", "false");
        assert!(terms.stream_end_on_close);
    }
}
