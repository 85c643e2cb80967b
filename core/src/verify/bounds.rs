//! Where two logs start and end: what of them can be compared, and what differs before a record is read.
//! The numbers must have been read in the order of the fields of [`Bounds`]; then no interleaving with a live
//! mirror, or with retention that the mirror follows, looks like a difference.

use std::ops::Range;

use super::Difference;

/// Both logs of a partition. Offsets; ends are exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The source's high watermark, read first.
    pub source_high: i64,
    /// The source's last stable offset, read after it. What lies between is held back by an open transaction (M16).
    pub source_end: i64,
    /// The destination's high watermark, read after the source's end: once it has got there, it holds everything.
    pub dest_end: i64,
    /// The destination's last stable offset, read after its end. Lower only if somebody's transaction is open there.
    pub dest_stable: i64,
    pub dest_start: i64,
    /// Read last: a mirror that follows the source's retention is never ahead of it.
    pub source_start: i64,
}

/// Something a person should know about a comparison without it being a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// Markers, compacted or rolled-back records: nothing visible on either side.
    WithoutRecord,
    /// On one side only: the other side's cleaner has taken them.
    Compacted,
    /// The mirror keeps what the source's retention removed (M20).
    OlderOnDestination,
    /// Fillers below the source's log start, to be deleted by the mirror (M14).
    NotYetDeleted,
    /// Above the source's last stable offset, behind an open transaction: undecided, not compared (M16).
    HeldBack,
    /// Removed by retention before it could be compared.
    Expired,
}

impl Note {
    /// Stable, for scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::WithoutRecord => "without_record",
            Self::Compacted => "compacted",
            Self::OlderOnDestination => "older_on_destination",
            Self::NotYetDeleted => "not_yet_deleted",
            Self::HeldBack => "held_back",
            Self::Expired => "expired",
        }
    }
}

impl Bounds {
    /// Where the source ends for this comparison.
    pub fn end(&self) -> i64 {
        self.source_end.min(self.source_high)
    }

    /// What can be compared; empty where the logs do not overlap.
    pub fn range(&self) -> Range<i64> {
        let start = self.source_start.max(self.dest_start);
        start..self.end().min(self.dest_end).min(self.dest_stable).max(start)
    }

    /// What only the destination still holds, below the source's log start; may be empty.
    pub fn older(&self) -> Range<i64> {
        self.dest_start..self.source_start.min(self.dest_end).min(self.dest_stable).max(self.dest_start)
    }

    /// Offsets above the source's last stable offset.
    pub fn held_back(&self) -> u64 {
        u64::try_from(self.source_high - self.source_end).unwrap_or(0)
    }

    /// Why a part below the source's last stable offset cannot be compared.
    pub fn doubt(&self) -> Option<String> {
        let (from, until) = (self.dest_stable, self.end().min(self.dest_end));
        (from < until).then(|| {
            format!("offsets {from} to {} lie behind an open transaction on the destination", until - 1)
        })
    }

    /// Offsets the destination lacks at its end.
    pub fn behind(&self) -> i64 {
        (self.end() - self.dest_end).max(0)
    }

    pub fn differences(&self) -> Vec<Difference> {
        let mut all = Vec::new();
        let (start, end) = (self.source_start, self.end());
        let missing = self.dest_start.min(end) - start;
        if missing > 0 {
            let what = format!(
                "the log starts at {start} here, at {} there: {missing} offsets are missing at its beginning",
                self.dest_start
            );
            all.push(Difference { offset: start, what });
        }
        if self.behind() > 0 {
            let mut what = format!(
                "the log ends at {end} here, at {} there: {} offsets behind",
                self.dest_end,
                self.behind()
            );
            if start >= end {
                // No record is missing, but the next one would get another offset.
                what.push_str(", though the source keeps no record there any more");
            }
            all.push(Difference { offset: self.dest_end, what });
        }
        all
    }
}

/// Whether the destination holds more than the source: `source_high` must have been read after `dest_end`.
pub fn beyond(dest_end: i64, source_high: i64) -> Option<Difference> {
    let more = dest_end - source_high;
    (more > 0).then(|| Difference {
        offset: source_high,
        what: format!("the log ends at {source_high} here, at {dest_end} there: {more} offsets that the source does not have"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EQUAL: Bounds = Bounds {
        source_high: 100,
        source_end: 100,
        dest_end: 100,
        dest_stable: 100,
        dest_start: 10,
        source_start: 10,
    };

    fn said(bounds: Bounds) -> Vec<(i64, String)> {
        bounds.differences().into_iter().map(|d| (d.offset, d.what)).collect()
    }

    #[test]
    fn equal_logs_are_compared_whole() {
        assert_eq!(
            (EQUAL.range(), said(EQUAL), EQUAL.older(), EQUAL.doubt()),
            (10..100, vec![], 10..10, None)
        );
        assert_eq!(beyond(100, 100), None);
        // A live source goes on while we read.
        assert_eq!(beyond(100, 120), None);
    }

    #[test]
    fn a_mirror_may_keep_what_the_source_expired() {
        let kept = Bounds { source_start: 40, ..EQUAL };
        assert_eq!((kept.range(), said(kept)), (40..100, vec![]));
        assert_eq!((kept.older(), kept.held_back()), (10..40, 0));
        let all = Bounds { source_start: 100, ..EQUAL };
        assert_eq!((all.range(), said(all)), (100..100, vec![]));
    }

    #[test]
    fn a_missing_beginning_or_end_is_a_difference() {
        let late = Bounds { dest_start: 15, ..EQUAL };
        assert_eq!(late.range(), 15..100);
        assert_eq!(said(late)[0].0, 10);
        assert!(said(late)[0].1.contains("5 offsets are missing at its beginning"));
        let behind = Bounds { dest_end: 90, ..EQUAL };
        assert_eq!((behind.range(), said(behind)[0].0), (10..90, 90));
        assert!(said(behind)[0].1.ends_with("10 offsets behind"));
        assert_eq!(beyond(103, 100).map(|d| d.offset), Some(100));
    }

    #[test]
    fn logs_that_do_not_overlap_have_an_empty_range() {
        let never_began = Bounds { dest_start: 0, dest_end: 0, ..EQUAL };
        assert_eq!((never_began.range(), said(never_began).len()), (10..10, 1));
        let expired = Bounds { dest_start: 0, dest_end: 0, source_start: 100, ..EQUAL };
        assert!(said(expired)[0].1.contains("keeps no record"));
        assert!(expired.older().is_empty());
    }

    #[test]
    fn an_open_transaction_ends_the_comparison() {
        let open = Bounds { source_end: 80, ..EQUAL };
        assert_eq!((open.range(), said(open)), (10..80, vec![]));
        assert_eq!((open.held_back(), open.doubt()), (20, None));
        let moved_on = Bounds { source_end: 130, dest_end: 130, dest_stable: 130, ..EQUAL };
        assert_eq!((moved_on.range(), moved_on.held_back()), (10..100, 0));
    }

    #[test]
    fn an_open_transaction_on_the_destination_leaves_a_doubt() {
        let open = Bounds { dest_stable: 70, ..EQUAL };
        assert_eq!((open.range(), said(open)), (10..70, vec![]));
        assert_eq!(
            open.doubt().unwrap(),
            "offsets 70 to 99 lie behind an open transaction on the destination"
        );
        // Above the source's own end it is not our affair.
        assert_eq!(Bounds { source_end: 60, dest_stable: 70, ..EQUAL }.doubt(), None);
    }
}
