use std::time::Duration;

/// Buckets of each octave (a doubling of the time): a quantile is right to 1/64.
const PER_OCTAVE: u32 = 32;

/// How long things took, in memory that does not grow: least and most are exact, quantiles right to 1.6 percent.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    /// Counts by bucket, as far as the longest needed.
    buckets: Vec<u64>,
    count: u64,
    min: u64,
    max: u64,
}

impl Histogram {
    pub(super) fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bucket_of(nanos);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.min = if self.count == 0 { nanos } else { self.min.min(nanos) };
        self.max = self.max.max(nanos);
        self.count += 1;
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    pub(super) const fn min(&self) -> u64 {
        self.min
    }

    pub(super) const fn max(&self) -> u64 {
        self.max
    }

    /// The time, in nanoseconds, that `percent` of all took at most.
    pub(super) fn quantile(&self, percent: u64) -> u64 {
        let rank = self.count.saturating_mul(percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle_of(bucket).clamp(self.min, self.max);
            }
        }
        self.max
    }
}

/// Up to 2 x 32 each number has a bucket of its own; from there on each octave has 32.
fn bucket_of(nanos: u64) -> usize {
    let bits = u64::BITS - nanos.leading_zeros();
    let shift = bits.saturating_sub(PER_OCTAVE.ilog2() + 1);
    (shift * PER_OCTAVE) as usize + (nanos >> shift) as usize
}

fn middle_of(bucket: usize) -> u64 {
    let per_octave = PER_OCTAVE as usize;
    let shift = (bucket / per_octave).saturating_sub(1);
    let lowest = ((bucket - shift * per_octave) as u64) << shift;
    lowest + ((1 << shift) - 1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_the_precision_that_is_told() {
        let mut histogram = Histogram::default();
        let mut times: Vec<u64> = (0..100_000_u64).map(|n| n.pow(3) % 7_000_000_011).collect();
        times.iter().for_each(|nanos| histogram.add(Duration::from_nanos(*nanos)));
        times.sort_unstable();
        assert_eq!((histogram.min(), histogram.max(), histogram.count()), (times[0], times[99_999], 100_000));
        for percent in [1, 50, 90, 99, 100] {
            let (found, exact) = (histogram.quantile(percent), times[percent as usize * 1_000 - 1]);
            assert!(found.abs_diff(exact) <= exact / 64 + 1, "{percent}: {found}, not {exact}");
        }
    }

    #[test]
    fn every_bucket_holds_its_middle_and_none_is_skipped() {
        let mut last = 0;
        for nanos in
            (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + (1 << bit) / 3]).chain([u64::MAX])
        {
            let bucket = bucket_of(nanos);
            assert_eq!(bucket_of(middle_of(bucket)), bucket, "{nanos}");
            last = last.max(bucket);
        }
        assert!(last < 2_000, "{last} buckets are enough for all times");
    }

    #[test]
    fn one_time_is_all_quantiles() {
        let mut histogram = Histogram::default();
        histogram.add(Duration::from_nanos(1_234_567));
        assert_eq!((histogram.quantile(50), histogram.quantile(99)), (1_234_567, 1_234_567));
    }
}
