//! What a comparison found: counts that never overlap, the first differences in words, and the verdict.
//! Promises: each offset of the range is in exactly one count; lists are bounded, counts are not.
//! Never calls a range identical when any of it was unread or undecided.

use super::Side;
use super::fates::Presence;

/// Differing records of one partition after which nothing more is learnt by going on.
pub const DIFFERENCES_MAX: u64 = 100;

/// Differences, and unread ranges, kept in words.
pub const KEPT_MAX: usize = 10;

/// What is proven. Ordered: of several verdicts the greatest stands for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// All was read on both sides, all is the same.
    Identical,
    /// Nothing differs in what was read, but not everything could be read or decided.
    Unknown,
    /// A difference is proven. It stays one, whatever else could not be read.
    Different,
}

/// A difference that a consumer sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub offset: i64,
    /// "here" is the source, "there" the destination.
    pub what: String,
}

/// Offsets of which nothing is known on one side. Half-open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    pub side: Side,
    pub from: i64,
    pub until: i64,
    pub why: String,
}

/// The result for one range of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Equal on both sides, visible to consumers.
    pub records_equal: u64,
    /// Differing, or on one side only. Counting ends soon after [`DIFFERENCES_MAX`].
    pub records_different: u64,
    /// In transactions whose end was not seen: committed or rolled back, nobody knows.
    pub records_undecided: u64,
    /// Offsets without a visible record on either side: markers, compacted or rolled-back records.
    pub offsets_without_record: u64,
    /// Offsets that retention took from one side before they could be read.
    pub offsets_expired: u64,
    pub offsets_unread: u64,
    /// Bytes of the source's batches that were compared, as they lie in the log.
    pub source_bytes: u64,
    /// The first [`KEPT_MAX`], by offset.
    pub differences: Vec<Difference>,
    /// The first [`KEPT_MAX`].
    pub unread: Vec<Unread>,
}

impl Findings {
    pub fn verdict(&self) -> Verdict {
        if self.records_different > 0 {
            Verdict::Different
        } else if self.offsets_unread > 0 || self.records_undecided > 0 {
            Verdict::Unknown
        } else {
            Verdict::Identical
        }
    }

    /// Records that were looked at on both sides, or proven to be on one side only.
    pub fn records_compared(&self) -> u64 {
        self.records_equal + self.records_different
    }

    /// So many differences that going on would say nothing new.
    pub fn is_full(&self) -> bool {
        self.records_different >= DIFFERENCES_MAX
    }

    /// Judges `count` offsets that share their circumstances; `first` is the first of them.
    /// `content`: how the two records differ, if both exist and do.
    pub(super) fn judge(
        &mut self,
        first: i64,
        count: u64,
        here: Presence,
        there: Presence,
        content: Option<&str>,
    ) {
        use Presence::{Absent, RolledBack, Undecided, Visible};
        let what = match (here, there) {
            (Undecided { .. }, _) | (_, Undecided { .. }) => {
                self.records_undecided += count;
                return;
            }
            (Visible, Visible) => match content {
                None => {
                    self.records_equal += count;
                    return;
                }
                Some(what) => what.to_owned(),
            },
            // The offset is counted as one without a record when the comparison is finished.
            (Absent | RolledBack, Absent | RolledBack) => return,
            (Visible, Absent) => "missing on the destination".to_owned(),
            (Visible, RolledBack) => "committed here, rolled back there".to_owned(),
            (Absent, Visible) => "on the destination only".to_owned(),
            (RolledBack, Visible) => "rolled back here, visible there".to_owned(),
        };
        self.records_different += count;
        self.differences.push(Difference { offset: first, what });
        // Transactions are judged when they end, so differences do not come in the order of offsets.
        self.differences.sort_by_key(|difference| difference.offset);
        self.differences.truncate(KEPT_MAX);
    }

    pub(super) fn unread(&mut self, unread: Unread) {
        self.offsets_unread += unread.until.abs_diff(unread.from);
        if self.unread.len() < KEPT_MAX {
            self.unread.push(unread);
        }
    }

    /// What is left of `offsets` once every other count is taken off.
    pub(super) fn close(&mut self, offsets: u64) {
        let counted = self.records_equal
            + self.records_different
            + self.records_undecided
            + self.offsets_expired
            + self.offsets_unread;
        debug_assert!(counted <= offsets, "{counted} counted of {offsets}");
        self.offsets_without_record = offsets.saturating_sub(counted);
    }
}
