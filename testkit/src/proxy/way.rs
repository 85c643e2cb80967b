//! One direction of the network between clients and the broker: what it does to bytes, changeable at any moment.
//! Shared by all connections of a proxy: a slow line is slow for their sum, and every hundredth segment is counted
//! over all of them, so that a test sees the same again. Decides only; waiting and writing is the relay's part.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::lock;

/// What one TCP segment carries on an ordinary path.
pub(super) const SEGMENT_BYTES: usize = 1_448;
/// Bytes one connection may have under way in one direction: the delay itself must not slow down.
const UNDER_WAY_MAX: usize = 32 << 20;
/// On a slow line they are the line's own queue: a quarter of a second, as routers have, but never less than this.
const UNDER_WAY_SLOW_MIN: u64 = 64 << 10;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Requests: from the client to the broker.
    ToServer,
    /// Answers: from the broker to the client.
    ToClient,
}

impl Direction {
    pub const BOTH: [Self; 2] = [Self::ToServer, Self::ToClient];
}

/// What becomes of bytes whose time has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Flow {
    #[default]
    Passes,
    /// They vanish without a word, and so does the end of a connection.
    Swallows,
}

/// Segments that arrive late, as lost ones do; what is behind them waits, as TCP has it.
#[derive(Clone, Copy, Debug)]
struct Hold {
    /// The first, and then every so many segments.
    one_in: u64,
    by: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Way {
    weather: Mutex<Weather>,
    /// Bytes that were forwarded since the start.
    pub(super) forwarded: AtomicU64,
}

#[derive(Debug, Default)]
struct Weather {
    flow: Flow,
    delay: Duration,
    hold: Option<Hold>,
    /// Segments since the last one held.
    since_held: u64,
    bytes_per_second: Option<u64>,
    /// When the line has sent all that it was given.
    line_free: Option<Instant>,
}

/// When the parts of a chunk may leave: the second part starts with a segment that is held.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Timing {
    pub(super) first: Instant,
    pub(super) held: Option<(usize, Instant)>,
}

impl Way {
    pub(super) fn set_delay(&self, by: Duration) {
        self.weather().delay = by;
    }

    /// `one_in` 0 or `by` zero: no segment is held.
    pub(super) fn set_hold(&self, one_in: u32, by: Duration) {
        let mut weather = self.weather();
        weather.since_held = 0;
        weather.hold = (one_in > 0 && !by.is_zero()).then_some(Hold { one_in: u64::from(one_in), by });
    }

    pub(super) fn set_rate(&self, bytes_per_second: Option<u64>) {
        let mut weather = self.weather();
        weather.bytes_per_second = bytes_per_second.map(|rate| rate.max(1));
        weather.line_free = None;
    }

    pub(super) fn set_flow(&self, flow: Flow) {
        self.weather().flow = flow;
    }

    pub(super) fn flow(&self) -> Flow {
        self.weather().flow
    }

    /// Bytes that one connection may have under way.
    pub(super) fn room(&self) -> usize {
        let slow = self.weather().bytes_per_second.map(|rate| (rate / 4).max(UNDER_WAY_SLOW_MIN));
        slow.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(UNDER_WAY_MAX).min(UNDER_WAY_MAX)
    }

    /// When a chunk that came at `now` may leave.
    pub(super) fn timing(&self, now: Instant, bytes: usize) -> Timing {
        let mut weather = self.weather();
        let first = now + weather.delay;
        let Some(Hold { one_in, by }) = weather.hold else { return Timing { first, held: None } };
        let segments = bytes.div_ceil(SEGMENT_BYTES) as u64;
        // How many of this chunk's segments pass before the next one that is held.
        let before = (one_in - 1).saturating_sub(weather.since_held);
        if before >= segments {
            weather.since_held += segments;
            return Timing { first, held: None };
        }
        weather.since_held = (segments - before - 1) % one_in;
        // Smaller than `segments`, which came from a usize.
        let at = usize::try_from(before).unwrap_or(0) * SEGMENT_BYTES;
        Timing { first, held: Some((at, first + by)) }
    }

    /// Takes the line for `bytes`; when they have passed it. `None`: the line is as fast as the machine.
    pub(super) fn take_line(&self, now: Instant, bytes: usize) -> Option<Instant> {
        let mut weather = self.weather();
        let rate = weather.bytes_per_second?;
        let takes = Duration::from_secs_f64(bytes as f64 / rate as f64);
        let free = weather.line_free.map_or(now, |free| free.max(now)) + takes;
        weather.line_free = Some(free);
        Some(free)
    }

    pub(super) fn count(&self, bytes: usize) {
        self.forwarded.fetch_add(bytes as u64, Ordering::AcqRel);
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        lock(&self.weather)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hundredth_segment_is_held_whatever_the_chunks() {
        let way = Way::default();
        let by = Duration::from_millis(400);
        way.set_hold(100, by);
        let now = Instant::now();
        let mut held = 0;
        for _ in 0..1_000 {
            let timing = way.timing(now, 10);
            assert_eq!(timing.first, now);
            held += usize::from(timing.held == Some((0, now + by)));
        }
        assert_eq!(held, 10);
        // 60 segments: the 100th is not in the first such chunk, but 40 into the second.
        assert_eq!(way.timing(now, 60 * SEGMENT_BYTES).held, None);
        assert_eq!(way.timing(now, 60 * SEGMENT_BYTES).held, Some((39 * SEGMENT_BYTES, now + by)));
        // 20 have passed since: 80 into the next.
        assert_eq!(way.timing(now, 300 * SEGMENT_BYTES).held, Some((79 * SEGMENT_BYTES, now + by)));
        way.set_hold(0, by);
        assert_eq!(way.timing(now, 300 * SEGMENT_BYTES).held, None);
    }

    #[test]
    fn a_slow_line_is_slow_for_the_sum_of_all() {
        let way = Way::default();
        let now = Instant::now();
        assert_eq!(way.take_line(now, 1 << 30), None);
        way.set_rate(Some(1_000));
        assert_eq!(way.take_line(now, 500), Some(now + Duration::from_millis(500)));
        assert_eq!(way.take_line(now, 500), Some(now + Duration::from_secs(1)));
        // An idle line saves nothing up.
        let later = now + Duration::from_secs(9);
        assert_eq!(way.take_line(later, 1_000), Some(later + Duration::from_secs(1)));
    }
}
