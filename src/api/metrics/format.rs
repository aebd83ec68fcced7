use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// How metrics are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus' text of version 0.0.4, which everything reads.
    Plain,
}

impl Format {
    /// The one that is asked for; the plain one where OpenMetrics is not, or less.
    pub(super) fn asked_for(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let (mut open_metrics, mut plain) = (0.0_f32, 0.0_f32);
        for range in accepted.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let (mut quality, mut version) = (1.0, None);
            for (key, value) in parts.filter_map(|part| part.split_once('=')) {
                match key.trim() {
                    "q" => quality = value.trim().parse::<f32>().unwrap_or(0.0),
                    "version" => version = Some(value.trim().trim_matches('"')),
                    _ => {}
                }
            }
            if name.eq_ignore_ascii_case("application/openmetrics-text") && matches!(version, None | Some("1.0.0")) {
                open_metrics = open_metrics.max(quality);
            } else if name.eq_ignore_ascii_case("text/plain") && matches!(version, None | Some("0.0.4")) {
                plain = plain.max(quality);
            }
        }
        if open_metrics > 0.0 && open_metrics >= plain { Self::OpenMetrics } else { Self::Plain }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_written_for_those_who_ask_for_it() {
        let asked = |accept: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            accept.into_iter().for_each(|accept| {
                headers.insert(ACCEPT, accept.parse().expect("a value"));
            });
            Format::asked_for(&headers)
        };
        // Prometheus 2.5, 3.0 and one that is told to take the old text alone.
        let prometheus_2 = "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,\
                            text/plain;version=0.0.4;q=0.2,/;q=0.1";
        for accept in [prometheus_3, "application/openmetrics-text", "text/plain;q=0.5, Application/OpenMetrics-Text"] {
            assert_eq!(asked(Some(accept)), Format::OpenMetrics, "{accept}");
        }
        let none = "application/openmetrics-text;q=0, */*";
        for accept in [prometheus_2, "*/*", "", "text/html, */*;q=0.8", none, "application/openmetrics-text;q=x"] {
            assert_eq!(asked(Some(accept)), Format::Plain, "{accept}");
        }
        assert_eq!(asked(None), Format::Plain);
    }
}
