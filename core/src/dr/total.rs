//! Exposure in figures: of a partition, and summed up for a topic and a link.
//! Records and bytes are added, of times the longest counts, of ages the oldest. What is not known is counted beside
//! the sum and takes the sum's estimate away: unknown never looks like zero.

use super::denied::Side;
use super::estimate::{Amount, PeakRate, WireSize, may_have_come};
use super::exposure::{DATUM_FRESH_MS, Exposure, Measured};
use crate::mirror::Millis;
use crate::mirror::signals::SourceEnds;

/// One partition as of a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// What is known to exist and not held: a lower bound. `None`: one side has never answered.
    pub seen: Option<Amount>,
    /// Of `seen`: records behind an open transaction, which nobody may copy yet (M16).
    pub held_back_records: u64,
    /// Seen, and what may have come since. `None`: no rate is known.
    pub estimated: Option<Amount>,
    /// Age of what is known of either side; `None`: it has never answered.
    pub source_age_ms: Option<u64>,
    pub dest_age_ms: Option<u64>,
}

impl Figures {
    /// `ends`: as the last fetch told them.
    pub fn of(
        exposure: &Exposure,
        peak: &PeakRate,
        size: WireSize,
        ends: Option<SourceEnds>,
        now: Millis,
    ) -> Self {
        let source_age_ms = exposure.source_age_ms(now);
        let seen = match exposure.measure(now) {
            Measured::Unknown => None,
            Measured::Seen { records, milliseconds, .. } => {
                Some(Amount { records, bytes: size.bytes_of(records), milliseconds })
            }
        };
        let estimated = seen.and_then(|seen| {
            let (age, rate) = (source_age_ms?, peak.peak_per_minute()?);
            let records = seen.records.saturating_add(may_have_come(rate, age));
            let milliseconds = seen.milliseconds.max(age);
            Some(Amount { records, bytes: size.bytes_of(records), milliseconds })
        });
        let held_back_records = seen.map_or(0, |seen| seen.records.min(held_back(exposure, ends)));
        Self { seen, held_back_records, estimated, source_age_ms, dest_age_ms: exposure.dest_age_ms(now) }
    }

    /// The same, when whoever measures has been silent for so long. An estimate would have to be made anew: it is
    /// not known.
    #[must_use]
    pub fn aged(self, milliseconds: u64) -> Self {
        let older = |age: Option<u64>| age.map(|age| age.saturating_add(milliseconds));
        let longer = |seen: Amount| match seen.records {
            0 => seen,
            _ => Amount { milliseconds: seen.milliseconds.saturating_add(milliseconds), ..seen },
        };
        Self {
            seen: self.seen.map(longer),
            estimated: None,
            source_age_ms: older(self.source_age_ms),
            dest_age_ms: older(self.dest_age_ms),
            ..self
        }
    }

    /// The same a moment later, while whoever measures is at work: ages grow, an estimate of a moment ago still counts.
    #[must_use]
    pub fn later(self, milliseconds: u64) -> Self {
        Self { estimated: self.estimated, ..self.aged(milliseconds) }
    }

    /// Age of the older of the two answers; `None`: one never came.
    pub fn datum_age_ms(&self) -> Option<u64> {
        Some(self.source_age_ms?.max(self.dest_age_ms?))
    }

    /// The side that has not answered lately; of both the source.
    pub fn silent_side(&self) -> Option<Side> {
        let old = |age: Option<u64>| age.is_none_or(|age| age > DATUM_FRESH_MS);
        match (old(self.source_age_ms), old(self.dest_age_ms)) {
            (true, _) => Some(Side::Source),
            (_, true) => Some(Side::Dest),
            _ => None,
        }
    }
}

/// From the last stable offset to the end, where a transaction is open at all.
fn held_back(exposure: &Exposure, ends: Option<SourceEnds>) -> u64 {
    let open = ends.filter(|ends| ends.last_stable < ends.high_watermark);
    let (Some(ends), Some(end)) = (open, exposure.last_source_end()) else { return 0 };
    (end.0 - ends.last_stable.0).max(0).unsigned_abs()
}

/// A topic's or a link's partitions together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    pub partitions: u64,
    /// Partitions whose exposure is not known at all: they are in no sum.
    pub unknown: u64,
    /// Sum over those that are known.
    known: Amount,
    pub held_back_records: u64,
    /// `None` when that of any partition is not known.
    pub estimated: Option<Amount>,
    /// The oldest; `None` when a side has never answered for some partition, or there is none.
    pub datum_age_ms: Option<u64>,
    pub source_age_ms: Option<u64>,
}

impl Default for Total {
    fn default() -> Self {
        let nothing = Amount { records: 0, bytes: Some(0), milliseconds: 0 };
        Self {
            partitions: 0,
            unknown: 0,
            known: nothing,
            held_back_records: 0,
            estimated: Some(nothing),
            datum_age_ms: None,
            source_age_ms: None,
        }
    }
}

impl Total {
    pub fn add(&mut self, figures: &Figures) {
        let first = self.partitions == 0;
        let oldest = |so_far: Option<u64>, age: Option<u64>| match (first, so_far, age) {
            (true, _, age) => age,
            (false, Some(so_far), Some(age)) => Some(so_far.max(age)),
            _ => None,
        };
        self.datum_age_ms = oldest(self.datum_age_ms, figures.datum_age_ms());
        self.source_age_ms = oldest(self.source_age_ms, figures.source_age_ms);
        self.partitions += 1;
        match figures.seen {
            Some(seen) => self.known = plus(self.known, seen),
            None => self.unknown += 1,
        }
        self.held_back_records = self.held_back_records.saturating_add(figures.held_back_records);
        self.estimated = self.estimated.zip(figures.estimated).map(|(sum, more)| plus(sum, more));
    }

    /// A lower bound: what is known to exist and not held. `None`: nothing is known of any partition.
    pub fn seen(&self) -> Option<Amount> {
        (self.partitions > self.unknown).then_some(self.known)
    }

    /// Seen, and what may have come since; `None` as long as any part of it is not known.
    pub fn estimated(&self) -> Option<Amount> {
        self.estimated.filter(|_| self.partitions > 0)
    }

    /// Whether the figures may be shown as the present state.
    pub fn is_fresh(&self) -> bool {
        self.datum_age_ms.is_some_and(|age| age <= DATUM_FRESH_MS)
    }
}

impl<'a> FromIterator<&'a Figures> for Total {
    fn from_iter<I: IntoIterator<Item = &'a Figures>>(all: I) -> Self {
        let mut total = Self::default();
        for figures in all {
            total.add(figures);
        }
        total
    }
}

fn plus(a: Amount, b: Amount) -> Amount {
    Amount {
        records: a.records.saturating_add(b.records),
        bytes: a.bytes.zip(b.bytes).map(|(a, b)| a.saturating_add(b)),
        milliseconds: a.milliseconds.max(b.milliseconds),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{DestOffset, SourceOffset};

    fn amount(records: u64, bytes: Option<u64>, milliseconds: u64) -> Amount {
        Amount { records, bytes, milliseconds }
    }

    #[test]
    fn a_silent_source_shows_what_was_seen_and_what_may_have_come() {
        let (mut exposure, mut peak, mut size) =
            (Exposure::default(), PeakRate::default(), WireSize::default());
        for second in 0..=60u64 {
            let (at, end) = (Millis(second * 1_000), SourceOffset(second as i64 * 20));
            exposure.source_end(at, end);
            peak.source_end(at, end);
        }
        exposure.held(Millis(60_000), DestOffset(1_200));
        size.copied(120_000, 1_200);
        let of = |now| Figures::of(&exposure, &peak, size, None, Millis(now));
        assert_eq!(of(61_000).silent_side(), None);
        let silent = of(101_000);
        assert_eq!(silent.seen, Some(amount(0, Some(0), 0)), "nothing unheld was seen");
        assert_eq!(silent.estimated, Some(amount(820, Some(82_000), 41_000)), "20 a second for 41 s");
        assert_eq!((silent.silent_side(), silent.datum_age_ms()), (Some(Side::Source), Some(41_000)));
    }

    #[test]
    fn records_behind_an_open_transaction_are_shown_apart() {
        let mut exposure = Exposure::default();
        exposure.source_end(Millis(0), SourceOffset(100));
        exposure.held(Millis(0), DestOffset(60));
        let ends = |stable, high| SourceEnds {
            log_start: SourceOffset(0),
            high_watermark: SourceOffset(high),
            last_stable: SourceOffset(stable),
        };
        let of = |ends| {
            Figures::of(&exposure, &PeakRate::default(), WireSize::default(), Some(ends), Millis(0))
                .held_back_records
        };
        assert_eq!(of(ends(70, 90)), 30);
        assert_eq!(of(ends(90, 90)), 0, "nothing is open: the rest is on its way");
        assert_eq!(of(ends(20, 90)), 40, "never more than is not held");
    }

    #[test]
    fn nothing_at_all_is_unknown() {
        let none = Total::default();
        assert_eq!((none.seen(), none.estimated(), none.is_fresh()), (None, None, false));
        let unknown: Total = [Figures::default()].iter().collect();
        assert_eq!((unknown.seen(), unknown.unknown, unknown.datum_age_ms), (None, 1, None));
    }

    fn arb_amount() -> impl Strategy<Value = Amount> {
        (0u64..1_000, prop::option::of(0u64..1_000), 0u64..1_000).prop_map(|(r, b, m)| amount(r, b, m))
    }

    fn arb_figures() -> impl Strategy<Value = Figures> {
        let age = || prop::option::of(0u64..20_000);
        (prop::option::of(arb_amount()), prop::option::of(arb_amount()), age(), age()).prop_map(
            |(seen, estimated, source_age_ms, dest_age_ms)| Figures {
                seen,
                held_back_records: 0,
                estimated: estimated.filter(|_| seen.is_some()),
                source_age_ms,
                dest_age_ms,
            },
        )
    }

    proptest! {
        /// No partition's loss disappears in a sum, and no unknown part looks like zero.
        #[test]
        fn sums_never_understate(all in prop::collection::vec(arb_figures(), 1..20)) {
            let total: Total = all.iter().collect();
            let known: Vec<_> = all.iter().filter_map(|f| f.seen).collect();
            prop_assert_eq!(total.unknown as usize, all.len() - known.len());
            prop_assert_eq!(total.seen().is_none(), known.is_empty());
            if let Some(seen) = total.seen() {
                prop_assert_eq!(seen.records, known.iter().map(|a| a.records).sum::<u64>());
                prop_assert!(known.iter().all(|a| a.milliseconds <= seen.milliseconds));
                prop_assert_eq!(seen.bytes.is_none(), known.iter().any(|a| a.bytes.is_none()));
            }
            prop_assert_eq!(total.estimated().is_none(), all.iter().any(|f| f.estimated.is_none()));
            prop_assert_eq!(total.is_fresh(), all.iter().all(|f| f.silent_side().is_none()));
        }
    }
}
