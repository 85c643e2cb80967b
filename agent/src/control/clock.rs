//! The clock that leases are counted by: it goes on while the machine is suspended, so that an agent that was asleep does not
//! believe in a lease that others have given away.

use lockstep_core::dr::lease::Moment;
use rustix::time::{ClockId, clock_gettime};

#[must_use]
pub fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    // Neither is ever negative for this clock.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Moment(seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on() {
        let before = now();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let passed = now().0 - before.0;
        assert!((15..5_000).contains(&passed), "{passed} ms");
    }
}
