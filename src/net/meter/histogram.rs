use std::time::Duration;

use super::cell::Cell;

/// The upper bounds of the buckets of a relay's latency, but for the last, which has none: in microseconds.
pub const BOUNDS_US: [u32; 19] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// Counts durations by how long they are; one task's alone.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    counts: [Cell; BOUNDS_US.len() + 1],
    nanos: Cell,
}

/// What a histogram holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Distribution {
    /// How many durations were in each bucket, and in none before it.
    pub counts: [u64; BOUNDS_US.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

impl Histogram {
    pub(super) fn add(&self, took: Duration) {
        let at = BOUNDS_US.partition_point(|&bound| Duration::from_micros(bound.into()) < took);
        self.counts[at].add(1);
        self.nanos.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn add_to(&self, all: &mut Distribution) {
        for (sum, count) in all.counts.iter_mut().zip(&self.counts) {
            *sum += count.get();
        }
        all.sum += Duration::from_nanos(self.nanos.get());
    }
}

impl Distribution {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_what_is_beyond_all_to_the_last() {
        let histogram = Histogram::default();
        for micros in [0, 10, 11, 25, 10_000_000, 10_000_001] {
            histogram.add(Duration::from_micros(micros));
        }
        let mut read = Distribution::default();
        histogram.add_to(&mut read);
        assert_eq!((read.counts[0], read.counts[1], read.counts[18], read.counts[19]), (2, 2, 1, 1));
        assert_eq!((read.count(), read.sum), (6, Duration::from_micros(20_000_047)));
    }
}
