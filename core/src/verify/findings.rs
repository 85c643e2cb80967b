//! What a comparison found: counts that never overlap, the first differences in words, and the verdict.
//! Promises: each offset of the range is in exactly one count; lists are bounded, counts are not.
//! Never calls a range identical when any of it was unread or undecided.

use std::collections::BTreeMap;
use std::fmt;

use super::Side;

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

/// Why records on one side only are neither explained by compaction nor a proven difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Undecided {
    /// More keys than [`super::KEYS_MAX`] had to be remembered.
    TooManyKeys,
    /// Compaction would explain them, but whether the topic is compacted could not be read.
    PolicyUnknown,
    /// A later record of their keys was looked for on this side, which could not be read whole.
    Unread { side: Side, why: String },
}

impl fmt::Display for Undecided {
    /// To be put behind "so many records are on one side only: ".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyKeys => write!(
                f,
                "more than {} keys waited for a later record on the other side, and there was no room for more",
                super::KEYS_MAX
            ),
            Self::PolicyUnknown => {
                f.write_str("compaction would explain it, but the topic's cleanup.policy could not be read")
            }
            Self::Unread { side, why } => {
                write!(f, "later records of their keys could not be looked for on the {side}: {why}")
            }
        }
    }
}

/// What a side holds at offsets that no read_committed consumer sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    /// Control records: ends of transactions, and what a mirror writes to take an offset (M12).
    pub markers: u64,
    /// Records of transactions that were rolled back.
    pub rolled_back: u64,
}

/// The result for one range of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Equal on both sides, visible to consumers.
    pub records_equal: u64,
    /// Differing, or on one side only. Counting ends soon after [`DIFFERENCES_MAX`].
    pub records_different: u64,
    /// On one side only, and the other side's cleaner explains it.
    pub records_compacted: u64,
    /// On one side only, and nobody could tell why; in records.
    pub undecided: BTreeMap<Undecided, u64>,
    /// Offsets without a visible record on either side: markers, holes, rolled-back records.
    pub offsets_without_record: u64,
    /// Offsets that retention took from one side before they could be read.
    pub offsets_expired: u64,
    pub offsets_unread: u64,
    /// Bytes of the source's batches that were compared, as they lie in the log.
    pub source_bytes: u64,
    pub source_unseen: Unseen,
    pub dest_unseen: Unseen,
    /// The first [`KEPT_MAX`], by offset.
    pub differences: Vec<Difference>,
    /// The first [`KEPT_MAX`].
    pub unread: Vec<Unread>,
}

impl Findings {
    pub fn verdict(&self) -> Verdict {
        if self.records_different > 0 {
            Verdict::Different
        } else if self.offsets_unread > 0 || self.records_undecided() > 0 {
            Verdict::Unknown
        } else {
            Verdict::Identical
        }
    }

    /// Records that were looked at on both sides, or proven to be on one side only.
    pub fn records_compared(&self) -> u64 {
        self.records_equal + self.records_different
    }

    pub fn records_undecided(&self) -> u64 {
        self.undecided.values().sum()
    }

    /// So many differences that going on would say nothing new.
    pub fn is_full(&self) -> bool {
        self.records_different >= DIFFERENCES_MAX
    }

    /// `count` records differ in the way `what` says; `offset` is one of theirs.
    pub(super) fn different(&mut self, count: u64, offset: i64, what: String) {
        self.records_different += count;
        self.differences.push(Difference { offset, what });
        // Some are judged later than others, so differences do not come in the order of offsets.
        self.differences.sort_by_key(|difference| difference.offset);
        self.differences.truncate(KEPT_MAX);
    }

    /// `count` records, of which one at `offset`, are on `side` only.
    pub(super) fn alone(&mut self, count: u64, offset: i64, side: Side, why: &str) {
        let what = match side {
            Side::Source => "missing on the destination",
            Side::Dest => "on the destination only",
        };
        self.different(count, offset, format!("{what}{why}"));
    }

    pub(super) fn undecided(&mut self, why: Undecided, count: u64) {
        *self.undecided.entry(why).or_default() += count;
    }

    pub(super) fn unseen(&mut self, side: Side) -> &mut Unseen {
        match side {
            Side::Source => &mut self.source_unseen,
            Side::Dest => &mut self.dest_unseen,
        }
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
            + self.records_compacted
            + self.records_undecided()
            + self.offsets_expired
            + self.offsets_unread;
        debug_assert!(counted <= offsets, "{counted} counted of {offsets}");
        self.offsets_without_record = offsets.saturating_sub(counted);
    }
}
