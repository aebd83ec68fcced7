//! Prometheus' older text format, made of OpenMetrics' text.

/// The same as text of version 0.0.4: there a counter is called as its series are, an info is a gauge, and neither units nor
/// an end are told.
pub(super) fn plain(open_metrics: &str) -> String {
    let mut to = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(text) = line.strip_prefix("# HELP ") {
            help = text.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|text| text.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            if let Some((_, help)) = help.take() {
                to.extend(["# HELP ", name, suffix, " ", help, "\n"]);
            }
            to.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            to.extend([line, "\n"]);
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_called_as_their_series_and_units_are_left_out() {
        let text = "# HELP a_bytes Some.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\na_bytes_total{x=\"# y\"} 1\n\
                    # HELP b B.\n# TYPE b info\nb_info{v=\"1\"} 1\n# HELP c C.\n# TYPE c gauge\nc 0.5\n# EOF\n";
        let expected = "# HELP a_bytes_total Some.\n# TYPE a_bytes_total counter\na_bytes_total{x=\"# y\"} 1\n\
                        # HELP b_info B.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n# HELP c C.\n# TYPE c gauge\nc 0.5\n";
        assert_eq!(plain(text), expected);
    }
}
