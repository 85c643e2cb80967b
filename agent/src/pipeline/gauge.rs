//! What is measured of one partition besides copying it: exposure, rates, sizes, refusals, and what its runway rests on.
//! Bounded memory, no clock of its own, decides nothing. What was never heard stays unknown.

use lockstep_core::dr::estimate::{PeakRate, WireSize};
use lockstep_core::dr::exposure::Exposure;
use lockstep_core::dr::runway::{LogStart, Waiting};
use lockstep_core::dr::total::Figures;
use lockstep_core::ids::{DestOffset, SourceOffset};
use lockstep_core::mirror::Millis;
use lockstep_core::mirror::signals::SourceEnds;

use super::denied::Refusals;

/// A log start is watched over this long, then anew.
const LOG_START_WINDOW_MS: u64 = 3_600_000;
/// A shorter look says nothing about how fast it moves.
const LOG_START_WINDOW_MS_MIN: u64 = 60_000;

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub(super) struct Gauge {
    pub(super) exposure: Exposure,
    pub(super) refusals: Refusals,
    /// What comes to the source, and what reaches the standby.
    comes: PeakRate,
    copied: PeakRate,
    pub(super) size: WireSize,
    /// Timestamp of the newest record copied: what waits is as young, as far as timestamps grow.
    newest_copied_ms: Option<i64>,
    /// When something was copied last.
    pub(super) copied_at: Option<Millis>,
    /// Where the source's log start was when we began to watch, and where it is.
    log_start: Option<(Millis, SourceOffset)>,
    log_start_now: Option<(Millis, SourceOffset)>,
}

impl Gauge {
    /// The source's log end was answered.
    pub(super) fn source_end(&mut self, at: Millis, end: SourceOffset) {
        self.exposure.source_end(at, end);
        self.comes.source_end(at, end);
    }

    /// Where the standby and the source's log start are, once a round.
    pub(super) fn look(&mut self, at: Millis, durable: Option<DestOffset>, ends: Option<SourceEnds>) {
        if let Some(durable) = durable {
            self.copied.source_end(at, durable.origin());
        }
        let Some(start) = ends.map(|ends| ends.log_start) else { return };
        self.log_start_now = Some((at, start));
        match self.log_start {
            Some((since, _)) if at.since(since) <= LOG_START_WINDOW_MS => {}
            _ => self.log_start = Some((at, start)),
        }
    }

    /// Records became durable: so many offsets, so many bytes, the newest with this timestamp.
    pub(super) fn copied(&mut self, at: Millis, offsets: u64, bytes: u64, newest_ms: i64) {
        self.size.copied(bytes, offsets);
        self.copied_at = Some(at);
        self.wrote_until(newest_ms);
    }

    /// The standby holds records up to about this timestamp, by this process or an earlier one.
    pub(super) fn wrote_until(&mut self, newest_ms: i64) {
        if newest_ms >= 0 {
            self.newest_copied_ms = self.newest_copied_ms.max(Some(newest_ms));
        }
    }

    /// `others`: what offsets take elsewhere on the link, for a partition of which nothing was copied yet.
    pub(super) fn figures(&self, ends: Option<SourceEnds>, others: WireSize, now: Millis) -> Figures {
        Figures::of(&self.exposure, &self.comes, self.size.or(others), ends, now)
    }

    /// What its runway rests on.
    pub(super) fn waiting(&self, figures: &Figures, held: Option<DestOffset>, others: WireSize) -> Waiting {
        let seen = figures.seen.unwrap_or_default();
        let comes = self.comes.now_per_minute();
        let size = self.size.or(others);
        Waiting {
            records: seen.records,
            bytes: seen.bytes,
            oldest_since_ms: self.newest_copied_ms,
            records_per_minute: comes,
            bytes_per_minute: comes.and_then(|records| size.bytes_of(records)),
            copied_per_minute: self.copied.now_per_minute(),
            log_start: held.and_then(|held| self.log_start_moves(held)),
        }
    }

    fn log_start_moves(&self, held: DestOffset) -> Option<LogStart> {
        let ((since, from), (at, to)) = (self.log_start?, self.log_start_now?);
        let elapsed = at.since(since);
        let moved = (to.0 - from.0).max(0).unsigned_abs();
        let distance = (held.origin().0 - to.0).max(0).unsigned_abs();
        let offsets_per_minute = moved.saturating_mul(60_000) / elapsed.max(1);
        (elapsed >= LOG_START_WINDOW_MS_MIN).then_some(LogStart { offsets_per_minute, distance })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(log_start: i64) -> Option<SourceEnds> {
        let at = SourceOffset;
        Some(SourceEnds { log_start: at(log_start), high_watermark: at(9_000), last_stable: at(9_000) })
    }

    #[test]
    fn what_waits_is_as_old_as_what_was_copied_last() {
        let mut gauge = Gauge::default();
        gauge.source_end(Millis(0), SourceOffset(100));
        gauge.exposure.held(Millis(0), DestOffset(40));
        gauge.copied(Millis(0), 40, 4_000, 77_000);
        gauge.wrote_until(-1);
        let figures = gauge.figures(None, WireSize::default(), Millis(0));
        let waiting = gauge.waiting(&figures, Some(DestOffset(40)), WireSize::default());
        assert_eq!((waiting.records, waiting.bytes), (60, Some(6_000)));
        assert_eq!((waiting.oldest_since_ms, waiting.records_per_minute), (Some(77_000), None));
        assert_eq!(waiting.log_start, None);
    }

    #[test]
    fn a_log_start_is_watched_for_a_minute_before_it_says_anything() {
        let mut gauge = Gauge::default();
        gauge.look(Millis(0), None, ends(0));
        gauge.look(Millis(30_000), None, ends(500));
        assert_eq!(gauge.log_start_moves(DestOffset(4_000)), None);
        gauge.look(Millis(60_000), None, ends(1_000));
        let moves = LogStart { offsets_per_minute: 1_000, distance: 3_000 };
        assert_eq!(gauge.log_start_moves(DestOffset(4_000)), Some(moves));
    }
}
