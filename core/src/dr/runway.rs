//! Retention runway: how long until the source deletes what is not copied yet, at current rates.
//! By age (`retention.ms`, from the oldest record that waits), by size (`retention.bytes`), by the log start as it moves.
//! It says what it rests on; where a limit stands and the figure for it is missing, that is said too: a runway with
//! something missing may be shorter than shown, and none at all is unknown, never long.

use crate::mirror::WallMillis;

/// A source topic's settings about deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceRetention {
    /// `cleanup.policy` contains `delete`.
    pub deletes: bool,
    /// `retention.ms`; `None`: no limit.
    pub milliseconds: Option<u64>,
    /// `retention.bytes`, of each partition; `None`: no limit.
    pub bytes: Option<u64>,
}

/// What of a partition is not copied yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    pub records: u64,
    /// As estimated from the average wire bytes of an offset.
    pub bytes: Option<u64>,
    /// The oldest record that waits is at least as young as this (milliseconds since 1970).
    pub oldest_since_ms: Option<i64>,
    /// What comes to the source.
    pub records_per_minute: Option<u64>,
    pub bytes_per_minute: Option<u64>,
    /// What the mirror copies.
    pub copied_per_minute: Option<u64>,
    /// Offsets by which the log start moved on per minute of late, and how far it is from what waits.
    pub log_start: Option<LogStart>,
}

/// A log start that moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogStart {
    pub offsets_per_minute: u64,
    /// Offsets from the log start to what waits.
    pub distance: u64,
}

/// What a runway rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// `retention.ms` and the timestamp of what was copied last.
    Age,
    /// `retention.bytes` and the rate at which the source grows.
    Size,
    /// The log start as it moved of late.
    LogStart,
}

impl Basis {
    /// One stable lower-case word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Size => "size",
            Self::LogStart => "log_start",
        }
    }
}

/// What is missing for a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// The topic's settings were not read yet, or may not be.
    Settings,
    /// Nothing tells how old the oldest record is that waits.
    Timestamp,
    /// Nothing tells how many bytes wait, or how fast the source grows.
    Size,
}

impl Missing {
    /// One stable lower-case word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Timestamp => "timestamp",
            Self::Size => "size",
        }
    }
}

/// How long until the source deletes what is not copied yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runway {
    /// Everything that is known to exist is copied.
    NothingWaits,
    /// The source deletes nothing by itself.
    Endless,
    Lasts {
        milliseconds: u64,
        basis: Basis,
        /// A limit stands whose figure is missing: it may be shorter.
        missing: Option<Missing>,
    },
    Unknown(Missing),
}

impl Runway {
    /// Milliseconds, where there is a figure.
    pub fn milliseconds(self) -> Option<u64> {
        match self {
            Self::Lasts { milliseconds, .. } => Some(milliseconds),
            Self::NothingWaits | Self::Endless | Self::Unknown(_) => None,
        }
    }

    /// The one to show of two partitions: the shorter; an unknown one before any that ends later than it can tell.
    #[must_use]
    pub fn shorter(self, other: Self) -> Self {
        if self.rank() <= other.rank() { self } else { other }
    }

    fn rank(self) -> (u8, u64) {
        match self {
            Self::Lasts { milliseconds, .. } => (0, milliseconds),
            Self::Unknown(_) => (1, 0),
            Self::Endless => (2, 0),
            Self::NothingWaits => (3, 0),
        }
    }
}

/// What a partition's runway is at `now`.
pub fn runway(retention: Option<SourceRetention>, waiting: &Waiting, now: WallMillis) -> Runway {
    if waiting.records == 0 {
        return Runway::NothingWaits;
    }
    let mut missing = None;
    let mut known = Vec::with_capacity(3);
    match retention {
        None => missing = Some(Missing::Settings),
        Some(retention) if retention.deletes => {
            if let Some(limit) = retention.milliseconds {
                match waiting.oldest_since_ms {
                    Some(oldest) => known.push((by_age(limit, oldest, now), Basis::Age)),
                    None => missing = Some(Missing::Timestamp),
                }
            }
            if let Some(limit) = retention.bytes {
                match by_size(limit, waiting) {
                    Some(Growth::Ends(milliseconds)) => known.push((milliseconds, Basis::Size)),
                    Some(Growth::Stands) => {}
                    None => missing = missing.or(Some(Missing::Size)),
                }
            }
        }
        Some(_) => {}
    }
    if let Some(milliseconds) = waiting.log_start.and_then(by_log_start) {
        known.push((milliseconds, Basis::LogStart));
    }
    match (known.into_iter().min(), missing) {
        (Some((milliseconds, basis)), missing) => Runway::Lasts { milliseconds, basis, missing },
        (None, Some(missing)) => Runway::Unknown(missing),
        (None, None) => Runway::Endless,
    }
}

/// A segment goes when its newest record is too old: the record that waits may live longer, never shorter.
fn by_age(limit_ms: u64, oldest_since_ms: i64, now: WallMillis) -> u64 {
    let age = u64::try_from(now.0.saturating_sub(oldest_since_ms)).unwrap_or(0);
    limit_ms.saturating_sub(age)
}

enum Growth {
    Ends(u64),
    /// Nothing comes: nothing is pushed out.
    Stands,
}

/// The source keeps so many bytes from its end: what waits goes once so much has come behind it.
fn by_size(limit: u64, waiting: &Waiting) -> Option<Growth> {
    let (bytes, rate) = (waiting.bytes?, waiting.bytes_per_minute?);
    let room = limit.saturating_sub(bytes);
    if room == 0 {
        return Some(Growth::Ends(0));
    }
    Some(match rate {
        0 => Growth::Stands,
        rate => Growth::Ends(minutes(room, rate)),
    })
}

fn by_log_start(start: LogStart) -> Option<u64> {
    (start.offsets_per_minute > 0).then(|| minutes(start.distance, start.offsets_per_minute))
}

/// Milliseconds that `amount` lasts at `per_minute`, rounded down.
fn minutes(amount: u64, per_minute: u64) -> u64 {
    let milliseconds = u128::from(amount) * 60_000 / u128::from(per_minute.max(1));
    u64::try_from(milliseconds).unwrap_or(u64::MAX)
}

/// Whether green has to be refused: what waits goes before it can be copied at the present rates, before the limit of
/// the link has passed, or within the last tenth of what the topic's own retention gives.
pub fn is_short(runway: Runway, retention: Option<SourceRetention>, waiting: &Waiting, rpo_ms: u64) -> bool {
    let Runway::Lasts { milliseconds, basis, .. } = runway else { return false };
    let tenth =
        retention.and_then(|r| r.milliseconds).filter(|_| basis == Basis::Age).map_or(0, |ms| ms / 10);
    let net = waiting
        .copied_per_minute
        .zip(waiting.records_per_minute)
        .map(|(copied, comes)| copied.saturating_sub(comes))
        .filter(|net| *net > 0);
    let needed = net.map_or(0, |net| minutes(waiting.records, net));
    milliseconds < rpo_ms.max(tenth).max(needed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3_600_000;

    fn retention(milliseconds: Option<u64>, bytes: Option<u64>) -> Option<SourceRetention> {
        Some(SourceRetention { deletes: true, milliseconds, bytes })
    }

    fn waiting() -> Waiting {
        Waiting { records: 10, ..Waiting::default() }
    }

    #[test]
    fn what_waits_goes_when_it_is_too_old() {
        let waits = Waiting { oldest_since_ms: Some(1_000), ..waiting() };
        let runway = runway(retention(Some(HOUR), None), &waits, WallMillis(61_000));
        assert_eq!(runway, Runway::Lasts { milliseconds: HOUR - 60_000, basis: Basis::Age, missing: None });
    }

    #[test]
    fn or_when_so_much_has_come_behind_it() {
        let waits = Waiting { bytes: Some(400), bytes_per_minute: Some(100), ..waiting() };
        let by_size = runway(retention(None, Some(1_000)), &waits, WallMillis(0));
        assert_eq!(by_size, Runway::Lasts { milliseconds: 360_000, basis: Basis::Size, missing: None });
        let stands = Waiting { bytes_per_minute: Some(0), ..waits };
        assert_eq!(runway(retention(None, Some(1_000)), &stands, WallMillis(0)), Runway::Endless);
        let full = Waiting { bytes: Some(1_000), bytes_per_minute: Some(0), ..waits };
        assert_eq!(runway(retention(None, Some(1_000)), &full, WallMillis(0)).milliseconds(), Some(0));
    }

    #[test]
    fn or_when_the_log_start_comes_to_it() {
        let log_start = Some(LogStart { offsets_per_minute: 50, distance: 100 });
        let moved = runway(None, &Waiting { log_start, ..waiting() }, WallMillis(0));
        let missing = Some(Missing::Settings);
        assert_eq!(moved, Runway::Lasts { milliseconds: 120_000, basis: Basis::LogStart, missing });
    }

    #[test]
    fn what_is_missing_is_said() {
        let at = |retention| runway(retention, &waiting(), WallMillis(0));
        assert_eq!(at(None), Runway::Unknown(Missing::Settings));
        assert_eq!(at(retention(Some(1), None)), Runway::Unknown(Missing::Timestamp));
        assert_eq!(at(retention(None, Some(1))), Runway::Unknown(Missing::Size));
        assert_eq!(at(retention(None, None)), Runway::Endless);
        let compacted = Some(SourceRetention { deletes: false, milliseconds: Some(1), bytes: None });
        assert_eq!(at(compacted), Runway::Endless);
        assert_eq!(runway(None, &Waiting::default(), WallMillis(0)), Runway::NothingWaits);
    }

    #[test]
    fn the_shortest_is_shown_and_an_unknown_one_is_not_hidden_by_an_endless_one() {
        let lasts = |milliseconds| Runway::Lasts { milliseconds, basis: Basis::Age, missing: None };
        let unknown = Runway::Unknown(Missing::Settings);
        assert_eq!(lasts(5).shorter(lasts(3)), lasts(3));
        assert_eq!(Runway::Endless.shorter(unknown), unknown);
        assert_eq!(Runway::NothingWaits.shorter(Runway::Endless), Runway::Endless);
    }

    #[test]
    fn green_is_refused_before_it_is_too_late() {
        let lasts = |milliseconds| Runway::Lasts { milliseconds, basis: Basis::Age, missing: None };
        let hours = retention(Some(10 * HOUR), None);
        assert!(is_short(lasts(HOUR - 1), hours, &waiting(), 0), "the last tenth");
        assert!(!is_short(lasts(HOUR), hours, &waiting(), 0));
        assert!(is_short(lasts(HOUR), hours, &waiting(), HOUR + 1), "less than the link's limit");
        let slow = Waiting {
            records: 600,
            records_per_minute: Some(5),
            copied_per_minute: Some(10),
            ..Waiting::default()
        };
        assert!(is_short(lasts(HOUR), hours, &slow, 0), "two hours are needed to catch up");
        assert!(!is_short(Runway::Endless, None, &waiting(), HOUR));
    }

    proptest! {
        /// Whatever waits and however little is known: a limit whose figure is missing is never passed over.
        #[test]
        fn a_missing_figure_never_looks_endless(
            ms in prop::option::of(0u64..1_000), size in prop::option::of(0u64..1_000),
            oldest in prop::option::of(0i64..1_000), bytes in prop::option::of(0u64..1_000),
            rate in prop::option::of(0u64..1_000),
        ) {
            let waits = Waiting { bytes, oldest_since_ms: oldest, bytes_per_minute: rate, ..waiting() };
            let found = runway(retention(ms, size), &waits, WallMillis(500));
            let no_age = ms.is_some() && oldest.is_none();
            let no_size = size.is_some() && (bytes.is_none() || rate.is_none());
            match found {
                Runway::Endless => prop_assert!(!no_age && !no_size),
                Runway::Lasts { missing, .. } => prop_assert_eq!(missing.is_some(), no_age || no_size),
                Runway::Unknown(_) => prop_assert!(no_age || no_size),
                Runway::NothingWaits => prop_assert!(false, "ten records wait"),
            }
            if let (Some(ms), Some(oldest)) = (ms, oldest) {
                let by_age = ms.saturating_sub((500 - oldest).max(0).unsigned_abs());
                prop_assert!(found.milliseconds().is_some_and(|found| found <= by_age));
            }
        }
    }
}
