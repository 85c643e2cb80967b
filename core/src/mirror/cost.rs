//! What it costs to bring a mirror to an offset where the source has nothing to copy (M14): estimated before the
//! first byte is written, shown, and held against the operator's budget. Rates as measured on two cores beside two
//! brokers (`docs/BENCHMARKS.md`): an estimate, never a bound.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::align::Span;

/// A control record with its batch header on the wire and on disk (`EndTransactionMarker` in Apache Kafka).
const MARKER_BYTES: u64 = 78;
/// One partition, 5,000 markers a request.
const MARKERS_PER_SECOND: u64 = 14_000;
/// A batch of a million empty records is some 0.8 MB and is taken in 0.15 s.
const FILLERS_PER_BYTE_TENTHS: u64 = 12;
const FILLERS_PER_SECOND: u64 = 4_000_000;
/// Repeats compress to almost nothing on the wire; the destination broker unpacks them to look at each.
const REPEAT_BYTES_PER_SECOND: u64 = 200_000_000;

/// How offsets are taken without a record of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Control records: no consumer sees them, the cleaner removes them (M12).
    Markers,
    /// The next surviving record of a compacted topic, over and over: the cleaner removes the repeats (M14).
    Repeats { record_bytes: u64 },
    /// Empty records, deleted as soon as they stand (M14).
    Fillers,
}

/// Estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    pub method: Method,
    pub offsets: u64,
    /// On the destination's disk, until its cleaner or a deletion removes them.
    pub bytes: u64,
    pub milliseconds: u64,
}

/// What may be spent on one hole without asking: `--alignment-budget`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlignmentBudget {
    pub bytes: u64,
    pub milliseconds: u64,
}

impl Default for AlignmentBudget {
    /// 1 GiB or ten minutes, whichever is reached first.
    fn default() -> Self {
        Self { bytes: 1 << 30, milliseconds: 600_000 }
    }
}

impl AlignmentBudget {
    pub fn covers(&self, cost: &Cost) -> bool {
        cost.bytes <= self.bytes && cost.milliseconds <= self.milliseconds
    }
}

impl Cost {
    pub fn of(span: Span, method: Method) -> Self {
        let offsets = span.offsets();
        let (bytes, milliseconds) = match method {
            Method::Markers => (offsets.saturating_mul(MARKER_BYTES), millis(offsets, MARKERS_PER_SECOND)),
            Method::Repeats { record_bytes } => {
                let plain = offsets.saturating_mul(record_bytes);
                (plain / 20, millis(plain, REPEAT_BYTES_PER_SECOND))
            }
            Method::Fillers => {
                (offsets.saturating_mul(10) / FILLERS_PER_BYTE_TENTHS, millis(offsets, FILLERS_PER_SECOND))
            }
        };
        Self { method, offsets, bytes, milliseconds }
    }
}

fn millis(count: u64, per_second: u64) -> u64 {
    count.saturating_mul(1_000) / per_second
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Markers => "markers",
            Self::Repeats { .. } => "repeats of the next record",
            Self::Fillers => "fillers",
        })
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, offsets, bytes, milliseconds } = self;
        write!(
            f,
            "{offsets} offsets by {method}, about {} MB and {} s",
            bytes.div_ceil(1_000_000),
            milliseconds.div_ceil(1_000)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SourceOffset;

    fn span(offsets: i64) -> Span {
        Span { from: SourceOffset(5), next: SourceOffset(5 + offsets) }
    }

    #[test]
    fn fifty_million_fillers_fit_into_the_usual_budget_and_as_many_markers_do_not() {
        let budget = AlignmentBudget::default();
        let fillers = Cost::of(span(50_000_000), Method::Fillers);
        assert!(budget.covers(&fillers), "{fillers}");
        assert_eq!(fillers.to_string(), "50000000 offsets by fillers, about 42 MB and 13 s");
        assert!(!budget.covers(&Cost::of(span(50_000_000), Method::Markers)));
        let no_time = AlignmentBudget { milliseconds: 1_000, ..budget };
        assert!(!no_time.covers(&fillers));
    }

    #[test]
    fn absurd_spans_do_not_overflow() {
        let whole = Span { from: SourceOffset(0), next: SourceOffset(i64::MAX) };
        for method in [Method::Markers, Method::Fillers, Method::Repeats { record_bytes: 1 << 30 }] {
            assert!(!AlignmentBudget::default().covers(&Cost::of(whole, method)));
        }
    }
}
