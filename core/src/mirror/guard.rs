//! Guarded or not (M6): may we rely on the destination broker to remember the link's producer?
//! The broker forgets a producer by the timestamp of its newest record, not by the time of writing, so a
//! backfill of old data is never guarded. Unguarded: one append in flight, no blind retry.

use super::WallMillis;

/// Default of the broker's `producer.id.expiration.ms` (Kafka: `TransactionLogConfig`): one day.
pub const PRODUCER_ID_EXPIRATION_MS_DEFAULT: i64 = 86_400_000;

const HOUR_MS: i64 = 3_600_000;

/// How long the destination remembers a producer, less a safety margin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    young_for_ms: i64,
}

impl Guard {
    /// `expiration_ms`: the destination's `producer.id.expiration.ms`. The margin is an hour or a tenth of
    /// it, whichever is less.
    pub fn new(expiration_ms: i64) -> Self {
        let margin = HOUR_MS.min(expiration_ms / 10);
        Self { young_for_ms: (expiration_ms - margin).max(0) }
    }

    /// Whether a record of this timestamp keeps the producer remembered at `now`.
    /// A timestamp in the future does: the broker compares with its own clock, which is later by then.
    pub fn is_young(&self, timestamp_ms: i64, now: WallMillis) -> bool {
        now.0.saturating_sub(timestamp_ms) < self.young_for_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_an_hour_or_a_tenth() {
        let day = Guard::new(PRODUCER_ID_EXPIRATION_MS_DEFAULT);
        let now = WallMillis(10 * PRODUCER_ID_EXPIRATION_MS_DEFAULT);
        assert!(day.is_young(now.0 - 23 * HOUR_MS + 1, now));
        assert!(!day.is_young(now.0 - 23 * HOUR_MS, now));
        let short = Guard::new(3_000);
        assert!(short.is_young(now.0 - 2_699, now));
        assert!(!short.is_young(now.0 - 2_700, now));
    }

    #[test]
    fn records_without_a_timestamp_are_old_and_future_ones_young() {
        let guard = Guard::new(PRODUCER_ID_EXPIRATION_MS_DEFAULT);
        assert!(!guard.is_young(-1, WallMillis(1_700_000_000_000)));
        assert!(guard.is_young(i64::MAX, WallMillis(1_700_000_000_000)));
        assert!(!guard.is_young(i64::MIN, WallMillis(1_700_000_000_000)));
    }
}
