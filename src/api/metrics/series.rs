use std::borrow::Cow;
use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::EncodeLabel;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::LabelSetEncoder;
use prometheus_client::encoding::MetricEncoder;
use prometheus_client::encoding::NoLabelSet;

use super::family::Family;
use crate::net::meter::BOUNDS_US;
use crate::net::meter::Distribution;

/// A label: its name and its value.
pub(super) type Label<'a> = (&'static str, &'a str);

/// Writes families, one after another, each with all its series.
#[derive(Debug)]
pub(super) struct Writer<'a>(pub(super) DescriptorEncoder<'a>);

/// Writes the series of one.
pub(super) struct Series<'a> {
    encoder: MetricEncoder<'a>,
}

impl Writer<'_> {
    /// Begins a family.
    pub(super) fn family(&mut self, family: &'static Family) -> Result<Series<'_>, fmt::Error> {
        let Family { name, unit, kind, help } = family;
        Ok(Series { encoder: self.0.encode_descriptor(name, help, unit.as_ref(), *kind)? })
    }
}

impl Series<'_> {
    pub(super) fn counter(&mut self, labels: &[Label<'_>], value: u64) -> fmt::Result {
        self.with(labels, |encoder| encoder.encode_counter::<NoLabelSet, _, u64>(&value, None))
    }

    pub(super) fn seconds(&mut self, labels: &[Label<'_>], value: f64) -> fmt::Result {
        self.with(labels, |encoder| encoder.encode_counter::<NoLabelSet, _, u64>(&value, None))
    }

    pub(super) fn gauge(&mut self, labels: &[Label<'_>], value: f64) -> fmt::Result {
        self.with(labels, |encoder| encoder.encode_gauge(&value))
    }

    pub(super) fn level(&mut self, labels: &[Label<'_>], value: u64) -> fmt::Result {
        self.with(labels, |encoder| encoder.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX)))
    }

    pub(super) fn info(&mut self, labels: &[Label<'_>]) -> fmt::Result {
        self.encoder.encode_info(&Labels(labels))
    }

    pub(super) fn histogram(&mut self, labels: &[Label<'_>], read: &Distribution) -> fmt::Result {
        let bounds = BOUNDS_US.iter().map(|&micros| f64::from(micros) / 1e6).chain([f64::MAX]);
        let buckets: Vec<_> = bounds.zip(read.counts).collect();
        self.with(labels, |encoder| {
            encoder.encode_histogram::<NoLabelSet>(read.sum.as_secs_f64(), read.count(), &buckets, None)
        })
    }

    fn with(
        &mut self,
        labels: &[Label<'_>],
        encode: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        match labels {
            // An empty set would be written as `{}`.
            [] => encode(&mut self.encoder),
            _ => encode(&mut self.encoder.encode_family(&Labels(labels))?),
        }
    }
}

struct Labels<'a>(&'a [Label<'a>]);

impl fmt::Debug for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, value) in self.0 {
            (*name, escaped(value)).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

/// A label's value as it stands between quotes, which the crate leaves to its users.
fn escaped(value: &str) -> Cow<'_, str> {
    if !value.contains(['\\', '"', '\n']) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_says_whatever_its_user_named() {
        assert_eq!(escaped("plain"), "plain");
        assert_eq!(escaped("a\\\"b\nc"), r#"a\\\"b\nc"#);
    }
}
