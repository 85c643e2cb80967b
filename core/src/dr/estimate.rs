//! What may have come since the source was last heard. An estimate carries its assumption: the peak minute rate goes on.
//! Rates come from source ends over time, bytes from what was copied; both in bounded memory.
//! Never a bound: nobody knows what a silent source has taken. A rate that was never measured is unknown, not zero.

use crate::ids::SourceOffset;
use crate::mirror::Millis;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// A peak is remembered for a day.
const HOURS: usize = 24;
/// A minute that has only begun says nothing yet, unless there is no other.
const PARTIAL_MS_MIN: u64 = 10_000;
/// An average follows the last million offsets or so.
const OFFSETS_REMEMBERED: u64 = 1 << 20;

/// How many records, bytes and milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub records: u64,
    /// Estimated from the average wire bytes of an offset; `None`: nothing was copied that tells.
    pub bytes: Option<u64>,
    pub milliseconds: u64,
}

/// A loss, by what it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// What is known to exist and not held: a lower bound.
    Seen(Amount),
    /// Seen, and on top of it peak rate × age of the source's datum. Not a bound.
    Estimated(Amount),
    /// From the ends of a confirmed fence, or from the tail, read afterwards.
    Counted(Amount),
}

impl Loss {
    /// One stable lower-case word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Seen(_) => "seen",
            Self::Estimated(_) => "estimated",
            Self::Counted(_) => "counted",
        }
    }

    pub fn amount(self) -> Amount {
        match self {
            Self::Seen(amount) | Self::Estimated(amount) | Self::Counted(amount) => amount,
        }
    }
}

/// The highest rate of a minute within the last day, of one partition.
#[derive(Clone, Debug, Default)]
pub struct PeakRate {
    /// The minute that runs: (from, the source's end then).
    from: Option<(Millis, SourceOffset)>,
    last: Option<(Millis, SourceOffset)>,
    /// Records per minute, of the last minute that is over.
    latest: Option<u64>,
    /// The highest of each hour, by hour modulo [`HOURS`].
    hours: [u64; HOURS],
    hour: u64,
}

impl PeakRate {
    /// The source's log end was answered at `at`.
    pub fn source_end(&mut self, at: Millis, end: SourceOffset) {
        self.forget(at.0 / HOUR_MS);
        let (from, before) = *self.from.get_or_insert((at, end));
        // An end that went back (unclean election) adds nothing.
        let end = end.max(self.last.map_or(end, |(_, last)| last));
        self.last = Some((at, end));
        if at.since(from) >= MINUTE_MS {
            let rate = per_minute(before, end, at.since(from));
            let hour = (self.hour % HOURS as u64) as usize;
            self.hours[hour] = self.hours[hour].max(rate);
            self.latest = Some(rate);
            self.from = Some((at, end));
        }
    }

    /// Records per minute; `None` while no two ends are known.
    pub fn peak_per_minute(&self) -> Option<u64> {
        let known = self.latest.map(|_| self.hours.iter().copied().max().unwrap_or(0));
        known.max(self.running())
    }

    /// Records per minute now; `None` while no two ends are known.
    pub fn now_per_minute(&self) -> Option<u64> {
        self.running().or(self.latest)
    }

    /// Of the minute that runs, once it says something.
    fn running(&self) -> Option<u64> {
        let ((from, before), (at, end)) = (self.from?, self.last?);
        let elapsed = at.since(from);
        let enough = if self.latest.is_some() { PARTIAL_MS_MIN } else { 1 };
        (elapsed >= enough).then(|| per_minute(before, end, elapsed))
    }

    /// Hours that passed since hold nothing any more.
    fn forget(&mut self, hour: u64) {
        for passed in (self.hour + 1..=hour).take(HOURS) {
            self.hours[(passed % HOURS as u64) as usize] = 0;
        }
        self.hour = self.hour.max(hour);
    }
}

/// Rounded up: a rate is never shown as less than it was.
fn per_minute(from: SourceOffset, to: SourceOffset, elapsed_ms: u64) -> u64 {
    let records = (to.0 - from.0).max(0).unsigned_abs();
    let rate = (u128::from(records) * u128::from(MINUTE_MS)).div_ceil(u128::from(elapsed_ms.max(1)));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// The average wire bytes of an offset, from what was copied of late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireSize {
    bytes: u64,
    offsets: u64,
}

impl WireSize {
    /// So many offsets took so many bytes.
    pub fn copied(&mut self, bytes: u64, offsets: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.offsets = self.offsets.saturating_add(offsets);
        while self.offsets > OFFSETS_REMEMBERED {
            (self.bytes, self.offsets) = (self.bytes / 2, self.offsets / 2);
        }
    }

    /// Of both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (bytes, offsets) =
            (self.bytes.saturating_add(other.bytes), self.offsets.saturating_add(other.offsets));
        Self { bytes, offsets }
    }

    /// What was never copied takes what others take.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        if self.offsets > 0 { self } else { others }
    }

    /// Bytes that so many offsets may take; `None`: nothing was copied that tells.
    pub fn bytes_of(self, offsets: u64) -> Option<u64> {
        if offsets == 0 {
            return Some(0);
        }
        let bytes = u128::from(self.bytes) * u128::from(offsets);
        (self.offsets > 0)
            .then(|| u64::try_from(bytes.div_ceil(u128::from(self.offsets))).unwrap_or(u64::MAX))
    }
}

/// Records that may have come within `age_ms` at this rate, rounded up.
pub fn may_have_come(per_minute: u64, age_ms: u64) -> u64 {
    let records = (u128::from(per_minute) * u128::from(age_ms)).div_ceil(u128::from(MINUTE_MS));
    u64::try_from(records).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_rate_that_was_never_measured_is_unknown() {
        let mut peak = PeakRate::default();
        assert_eq!(peak.peak_per_minute(), None);
        peak.source_end(Millis(1_000), SourceOffset(1_000_000));
        assert_eq!(peak.peak_per_minute(), None, "one end is no rate");
        peak.source_end(Millis(2_000), SourceOffset(1_000_010));
        assert_eq!(peak.peak_per_minute(), Some(600));
    }

    #[test]
    fn the_peak_stays_for_a_day_and_not_longer() {
        let mut peak = PeakRate::default();
        let mut end = 0;
        for second in 0..=60 {
            end += 100;
            peak.source_end(Millis(second * 1_000), SourceOffset(end));
        }
        for second in 61..=600 {
            peak.source_end(Millis(second * 1_000), SourceOffset(end));
        }
        assert_eq!((peak.peak_per_minute(), peak.now_per_minute()), (Some(6_000), Some(0)));
        peak.source_end(Millis(23 * HOUR_MS), SourceOffset(end));
        assert_eq!(peak.peak_per_minute(), Some(6_000));
        peak.source_end(Millis(25 * HOUR_MS), SourceOffset(end));
        assert_eq!(peak.peak_per_minute(), Some(0));
    }

    #[test]
    fn bytes_are_estimated_from_what_was_copied() {
        let mut size = WireSize::default();
        assert_eq!((size.bytes_of(5), size.bytes_of(0)), (None, Some(0)));
        size.copied(1_000, 10);
        assert_eq!(size.bytes_of(5), Some(500));
        size.copied(u64::MAX, u64::MAX);
        assert!(size.bytes_of(u64::MAX).is_some());
        assert_eq!(WireSize::default().or(size), size);
    }

    #[test]
    fn a_loss_says_what_it_rests_on() {
        let amount = Amount { records: 4, bytes: None, milliseconds: 1 };
        let labels = [Loss::Seen(amount), Loss::Estimated(amount), Loss::Counted(amount)].map(Loss::label);
        assert_eq!(labels, ["seen", "estimated", "counted"]);
        assert_eq!(Loss::Counted(amount).amount(), amount);
    }

    proptest! {
        /// The peak is at least the average over every whole look, whatever order and distance ends come in.
        #[test]
        fn the_peak_is_never_below_the_average(steps in prop::collection::vec((1u64..30_000, 0i64..5_000), 1..300)) {
            let mut peak = PeakRate::default();
            let (mut now, mut end) = (0, 0);
            peak.source_end(Millis(0), SourceOffset(0));
            for (dt, produced) in steps {
                now += dt;
                end += produced;
                peak.source_end(Millis(now), SourceOffset(end));
                prop_assert!(peak.peak_per_minute().is_some(), "two ends are known");
            }
            // Without the running minute's first seconds, which say nothing yet.
            if let Some((from, before)) = peak.from.filter(|(from, _)| from.0 > 0) {
                let average = per_minute(SourceOffset(0), before, from.0);
                prop_assert!(peak.peak_per_minute().unwrap_or(0) >= average, "{:?} < {average}", peak.peak_per_minute());
            }
        }
    }
}
