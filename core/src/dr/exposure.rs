//! Exposure of one partition: what would be lost if the source vanished now.
//! Records = the source's log *end* − what the standby holds under its high watermark; never the last stable
//! offset, or an acknowledged record behind somebody's open transaction would count as safe.
//! Seconds = now − the moment the source's end passed the standby's position, from our own clock: producers'
//! timestamps are not trusted. Every figure carries the age of its datum; unknown is never zero.

use std::collections::VecDeque;

use crate::ids::{DestOffset, SourceOffset};
use crate::mirror::Millis;

/// A datum older than this is not a present figure but the last known one. Whoever asks is told within five seconds of a
/// source's end, and the asking and answering take their part of them.
pub const DATUM_FRESH_MS: u64 = 4_000;

/// Moments kept per partition. Older neighbours are merged, never towards a smaller exposure.
const MOMENTS_MAX: usize = 32;

/// What is known of one partition on both sides, and since when.
#[derive(Clone, Debug, Default)]
pub struct Exposure {
    /// (first seen at, the source's end then), both growing.
    moments: VecDeque<(Millis, SourceOffset)>,
    source_first_seen: Option<Millis>,
    source_seen: Option<Millis>,
    dest_seen: Option<Millis>,
    held: Option<DestOffset>,
    /// The standby holds everything that the source was known to have at this moment.
    held_as_of: Option<Millis>,
}

/// The figures, as far as they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// One side has never answered.
    Unknown,
    /// Seen, at most `datum_age_ms` ago. With an old datum a lower bound, never "now".
    Seen { records: u64, milliseconds: u64, datum_age_ms: u64 },
}

impl Measured {
    /// Whether the figures may be shown as the present state.
    pub fn is_fresh(self) -> bool {
        matches!(self, Self::Seen { datum_age_ms, .. } if datum_age_ms <= DATUM_FRESH_MS)
    }
}

impl Exposure {
    /// The source's log end was answered at `at`.
    pub fn source_end(&mut self, at: Millis, end: SourceOffset) {
        self.source_seen = Some(at);
        self.source_first_seen.get_or_insert(at);
        match self.moments.back_mut() {
            // An end that went back (unclean election) is a verdict's business; here the larger one counts.
            Some((_, last)) if end <= *last => return,
            _ => self.moments.push_back((at, end)),
        }
        self.forget_what_is_held();
        if self.moments.len() > MOMENTS_MAX {
            self.merge_closest();
        }
    }

    /// The standby holds everything below `held`, and its high watermark has passed it.
    pub fn held(&mut self, at: Millis, held: DestOffset) {
        self.dest_seen = Some(at);
        if let Some(before) = self.held
            && held < before
        {
            self.went_back(before);
        }
        self.held = Some(held);
        self.forget_what_is_held();
    }

    /// The standby was asked and answered: what it holds is as fresh as this.
    pub fn dest_confirmed(&mut self, at: Millis) {
        if self.held.is_some() {
            self.dest_seen = Some(at);
        }
    }

    /// The last known source end.
    pub fn last_source_end(&self) -> Option<SourceOffset> {
        self.moments.back().map(|(_, end)| *end)
    }

    /// Age of what is known of the source's end; `None`: it has never answered.
    pub fn source_age_ms(&self, now: Millis) -> Option<u64> {
        self.source_seen.map(|at| now.since(at))
    }

    /// Age of what is known of the standby; `None`: it has never answered.
    pub fn dest_age_ms(&self, now: Millis) -> Option<u64> {
        self.dest_seen.map(|at| now.since(at))
    }

    /// The moment when the source's end passed what the standby holds; `None`: it has not, or that is not known.
    pub fn behind_since(&self) -> Option<Millis> {
        let position = self.held?.origin();
        self.moments.iter().find(|(_, end)| *end > position).map(|(at, _)| *at)
    }

    /// The standby holds everything that the source was known to have at this moment, maybe more.
    pub fn held_as_of(&self) -> Option<Millis> {
        self.held_as_of
    }

    /// What would be lost at `now`.
    pub fn measure(&self, now: Millis) -> Measured {
        let (Some(source), Some(dest), Some(held)) = (self.source_seen, self.dest_seen, self.held) else {
            return Measured::Unknown;
        };
        let position = held.origin();
        let records = self.last_source_end().map_or(0, |end| end.0.saturating_sub(position.0)).max(0);
        Measured::Seen {
            records: records.unsigned_abs(),
            milliseconds: self.behind_since().map_or(0, |at| now.since(at)),
            datum_age_ms: now.since(source.min(dest)),
        }
    }

    /// Moments at or below what is held say nothing any more, except the newest: it is the known end.
    fn forget_what_is_held(&mut self) {
        let Some(held) = self.held else { return };
        while let Some((at, end)) = self.moments.front().copied()
            && end <= held.origin()
        {
            self.held_as_of = self.held_as_of.max(Some(at));
            if self.moments.len() == 1 {
                return;
            }
            self.moments.pop_front();
        }
    }

    /// The standby lost what it held (an unclean election there). When the source's end passed the new position was
    /// forgotten: it counts from our first look, too long rather than too short.
    fn went_back(&mut self, before: DestOffset) {
        if let Some(first) = self.source_first_seen {
            self.moments.push_front((first, before.origin()));
            self.held_as_of = None;
        }
    }

    /// Two neighbours become one with the earlier time and the later end: the exposure can only grow by it.
    fn merge_closest(&mut self) {
        let closest = (0..self.moments.len() - 1)
            .min_by_key(|&i| self.moments[i + 1].0.since(self.moments[i].0))
            .unwrap_or(0);
        if let Some((_, end)) = self.moments.remove(closest + 1) {
            self.moments[closest].1 = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(e: &Exposure, now: u64) -> (u64, u64, u64) {
        match e.measure(Millis(now)) {
            Measured::Seen { records, milliseconds, datum_age_ms } => (records, milliseconds, datum_age_ms),
            Measured::Unknown => panic!("unknown"),
        }
    }

    #[test]
    fn unknown_is_never_zero() {
        let mut e = Exposure::default();
        assert_eq!(e.measure(Millis(5)), Measured::Unknown);
        e.source_end(Millis(1), SourceOffset(0));
        assert_eq!(e.measure(Millis(5)), Measured::Unknown, "the standby has not answered");
        e.held(Millis(2), DestOffset(0));
        assert_eq!(seen(&e, 5), (0, 0, 4));
    }

    #[test]
    fn seconds_count_from_the_moment_the_end_passed_the_position() {
        let mut e = Exposure::default();
        e.source_end(Millis(1_000), SourceOffset(10));
        e.held(Millis(1_000), DestOffset(10));
        e.source_end(Millis(2_000), SourceOffset(15));
        e.source_end(Millis(3_000), SourceOffset(20));
        assert_eq!(seen(&e, 3_500), (10, 1_500, 2_500));
        e.held(Millis(3_600), DestOffset(15));
        assert_eq!(seen(&e, 3_600), (5, 600, 600));
        e.held(Millis(3_700), DestOffset(20));
        assert_eq!(seen(&e, 9_000).0, 0);
        assert_eq!(seen(&e, 9_000).1, 0);
    }

    #[test]
    fn a_silent_side_makes_the_datum_old() {
        let mut e = Exposure::default();
        e.source_end(Millis(1_000), SourceOffset(10));
        e.held(Millis(9_000), DestOffset(10));
        assert!(!e.measure(Millis(9_000)).is_fresh());
        e.source_end(Millis(9_000), SourceOffset(10));
        assert!(e.measure(Millis(9_000)).is_fresh());
    }

    #[test]
    fn what_the_standby_loses_counts_from_the_first_look() {
        let mut e = Exposure::default();
        e.source_end(Millis(1_000), SourceOffset(10));
        e.source_end(Millis(5_000), SourceOffset(20));
        e.held(Millis(6_000), DestOffset(20));
        assert_eq!(e.held_as_of(), Some(Millis(5_000)));
        e.held(Millis(7_000), DestOffset(5));
        assert_eq!(seen(&e, 8_000), (15, 7_000, 3_000));
        e.held(Millis(8_000), DestOffset(20));
        assert_eq!(seen(&e, 8_000), (0, 0, 3_000));
        assert_eq!(e.behind_since(), None);
    }

    #[test]
    fn a_standby_knows_up_to_when_it_is_complete() {
        let mut e = Exposure::default();
        e.source_end(Millis(1_000), SourceOffset(10));
        assert_eq!(e.held_as_of(), None, "nothing is held yet");
        e.held(Millis(1_000), DestOffset(10));
        e.source_end(Millis(2_000), SourceOffset(15));
        e.source_end(Millis(3_000), SourceOffset(20));
        e.held(Millis(3_100), DestOffset(17));
        assert_eq!((e.held_as_of(), e.behind_since()), (Some(Millis(2_000)), Some(Millis(3_000))));
    }

    proptest! {
        /// Merging moments never makes the exposure look smaller than an endless memory would.
        #[test]
        fn a_bounded_memory_never_understates(steps in prop::collection::vec((1u64..500, 0i64..9, 0i64..9), 1..200)) {
            let mut bounded = Exposure::default();
            let mut exact: Vec<(u64, i64)> = Vec::new();
            let (mut now, mut end, mut held) = (0, 0, 0);
            for (dt, produced, copied) in steps {
                now += dt;
                end += produced;
                held = (held + copied).min(end);
                if exact.last().is_none_or(|(_, e)| *e < end) { exact.push((now, end)); }
                bounded.source_end(Millis(now), SourceOffset(end));
                bounded.held(Millis(now), DestOffset(held));
                let true_ms = exact.iter().find(|(_, e)| *e > held).map_or(0, |(t, _)| now - t);
                let Measured::Seen { records, milliseconds, .. } = bounded.measure(Millis(now)) else {
                    panic!("both sides have answered")
                };
                prop_assert_eq!(records, (end - held).unsigned_abs());
                prop_assert!(milliseconds >= true_ms, "{} < {}", milliseconds, true_ms);
            }
        }
    }
}
