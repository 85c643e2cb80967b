//! How long records take from the source's log to the standby's acknowledgement, counted into fixed buckets.
//! One observation per batch, by the timestamp of its newest record: with producers' timestamps it is as good as their
//! clocks; one from the future counts as 0. Backlogs are in it: an old record copied now took as long as it is old.

/// Upper bounds in milliseconds; above the last one there is a bucket without a bound.
pub const BOUNDS_MS: [u64; 15] =
    [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 3_600_000];

/// Observations, by bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Each for itself, not added up; the last one is for everything above the bounds.
    pub counts: [u64; BOUNDS_MS.len() + 1],
    pub sum_ms: u64,
}

impl Latency {
    pub(crate) fn observe(&mut self, milliseconds: u64) {
        let bucket = BOUNDS_MS.partition_point(|bound| *bound < milliseconds);
        self.counts[bucket] += 1;
        self.sum_ms = self.sum_ms.saturating_add(milliseconds);
    }
}

/// Failures by what they ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// May pass by itself: a moved leader, a lost connection.
    pub transient: u64,
    /// Somebody has to act: a limit, a setting, a version.
    pub needs_action: u64,
    /// A right or a login is refused.
    pub denied: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut latency = Latency::default();
        for milliseconds in [0, 5, 6, 3_600_000, 3_600_001] {
            latency.observe(milliseconds);
        }
        assert_eq!(
            (latency.counts[0], latency.counts[1], latency.counts[14], latency.counts[15]),
            (2, 1, 1, 1)
        );
        assert_eq!(latency.sum_ms, 7_200_012);
    }
}
