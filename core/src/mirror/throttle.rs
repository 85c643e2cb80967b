//! A link's limit in bytes per second. Pure: the time is an argument.
//! Promises: over any time t at most `limit × t`, a quarter of a second's worth saved up while idle, and what was on its
//! way when the limit was reached. What was fetched is paid for afterwards: nothing goes out while there is debt, so
//! nothing waits in memory for its turn.

use std::num::NonZeroU64;

use super::Millis;

/// Saved up while idle, and asked for at once, at most: this part of a second's worth.
const SAVED_PART: u64 = 4;
const ASKED_PART: u64 = 8;

/// See the module's description.
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    bytes_per_second: NonZeroU64,
    /// Negative: debt. In thousandths of a byte, so that no millisecond is lost to rounding.
    millibytes: i128,
    counted_to: Millis,
}

impl Throttle {
    pub fn new(bytes_per_second: NonZeroU64, now: Millis) -> Self {
        Self { bytes_per_second, millibytes: 0, counted_to: now }
    }

    /// How much to ask for at once, so that a debt is over soon and others get their turn.
    pub fn ask_bytes_max(&self) -> u64 {
        (self.bytes_per_second.get() / ASKED_PART).max(1)
    }

    /// Takes what was fetched into account.
    pub fn spend(&mut self, bytes: u64, now: Millis) {
        self.count(now);
        self.millibytes -= i128::from(bytes) * 1_000;
    }

    /// From when on more may be asked for; `now` or earlier if at once.
    pub fn free_at(&mut self, now: Millis) -> Millis {
        self.count(now);
        let debt = self.millibytes.min(0).unsigned_abs();
        let wait = debt.div_ceil(u128::from(self.bytes_per_second.get()));
        now.plus(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    fn count(&mut self, now: Millis) {
        let earned = i128::from(now.since(self.counted_to)) * i128::from(self.bytes_per_second.get());
        let saved_max = i128::from(self.bytes_per_second.get()) * 1_000 / i128::from(SAVED_PART);
        self.millibytes = (self.millibytes + earned).min(saved_max);
        self.counted_to = self.counted_to.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(rate: u64) -> Throttle {
        Throttle::new(NonZeroU64::new(rate).unwrap(), Millis(0))
    }

    #[test]
    fn what_was_fetched_is_paid_for_before_more_is_asked_for() {
        let mut throttle = throttle(1_000_000);
        assert_eq!(throttle.free_at(Millis(0)), Millis(0));
        throttle.spend(300_000, Millis(0));
        assert_eq!(throttle.free_at(Millis(0)), Millis(300));
        assert_eq!(throttle.free_at(Millis(299)), Millis(300));
        assert_eq!(throttle.free_at(Millis(300)), Millis(300));
        throttle.spend(1, Millis(300));
        assert_eq!(throttle.free_at(Millis(300)), Millis(301), "less than a millisecond's worth is not free");
    }

    #[test]
    fn over_any_time_the_limit_holds() {
        for rate in [1, 999, 65_537, 1_000_000, 10_000_000_000] {
            let mut throttle = throttle(rate);
            // A long silence first.
            let start = 3_600_000;
            let (mut now, mut spent) = (Millis(start), 0u64);
            for round in 0..1_000u64 {
                now = now.max(throttle.free_at(now));
                let bytes = throttle.ask_bytes_max() * (round % 3) / 2;
                throttle.spend(bytes, now);
                spent += bytes;
                let allowed = u128::from(rate) * u128::from(now.0 - start) / 1_000;
                let burst = u128::from(rate / SAVED_PART + throttle.ask_bytes_max() + 1);
                assert!(u128::from(spent) <= allowed + burst, "{spent} in {} ms at {rate}/s", now.0 - start);
            }
            // And it is not slower than it has to be.
            let least = u128::from(rate) * u128::from(now.0 - start) / 1_000;
            assert!(u128::from(spent) + u128::from(rate) >= least, "{spent} in {} ms", now.0 - start);
        }
    }

    #[test]
    fn below_the_limit_nothing_waits() {
        let mut throttle = throttle(100_000);
        for millisecond in (0..10_000).step_by(10) {
            assert!(throttle.free_at(Millis(millisecond)) <= Millis(millisecond));
            throttle.spend(900, Millis(millisecond));
        }
    }
}
