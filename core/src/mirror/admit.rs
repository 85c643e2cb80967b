//! Which fetched batch can be written to the destination as it is, at the same offsets.
//! Says no rather than guess: whatever takes an offset without being a record of its own stops the partition
//! until it can be reproduced. A hole is proven only by the next batch's base offset (M11).

use lockstep_batch::header::{BatchHeader, ViewError};
use lockstep_batch::rewrite::{Obstacle, obstacle};

use super::verdict::Unsupported;
use crate::ids::SourceOffset;

/// What to do with one fetched batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Continues exactly at the expected offset: copy it.
    Copy,
    /// Lies wholly before the expected offset. A fetch answers from the start of a batch, so this is normal.
    Skip,
    /// Cannot be reproduced yet.
    Refuse { at: SourceOffset, what: Unsupported },
}

/// Judges a batch against the offset that has to come next.
pub fn admit(batch: &BatchHeader, expected: SourceOffset) -> Admission {
    let base = SourceOffset(batch.base_offset());
    let next = SourceOffset(batch.next_offset());
    if next <= expected {
        return Admission::Skip;
    }
    let refuse = |at, what| Admission::Refuse { at, what };
    if base > expected {
        return refuse(expected, Unsupported::Hole { next: base });
    }
    if base < expected {
        return refuse(expected, Unsupported::InsideBatch { base });
    }
    if batch.is_transactional() && !batch.is_control() {
        return refuse(base, Unsupported::Transaction { producer_id: batch.producer_id() });
    }
    match obstacle(batch) {
        None => Admission::Copy,
        Some(obstacle) => refuse(base, unsupported(obstacle, batch, next)),
    }
}

fn unsupported(obstacle: Obstacle, batch: &BatchHeader, next: SourceOffset) -> Unsupported {
    match obstacle {
        Obstacle::Control => Unsupported::ControlBatch,
        Obstacle::Empty { .. } => Unsupported::Hole { next },
        Obstacle::Gaps { .. } => {
            Unsupported::ThinnedBatch { records: batch.record_count(), offsets: next.0 - batch.base_offset() }
        }
        Obstacle::LogAppendTime => Unsupported::LogAppendTime,
        Obstacle::UnknownCodec { code } => {
            Unsupported::Unreadable { reason: format!("compression codec {code} is not known") }
        }
    }
}

/// What an unreadable entry of a fetch answer means at the expected offset.
pub fn refuse_unreadable(error: &ViewError, expected: SourceOffset) -> Admission {
    let what = match error {
        ViewError::OldFormat { magic, .. } => Unsupported::OldFormat { magic: *magic },
        other => Unsupported::Unreadable { reason: other.to_string() },
    };
    Admission::Refuse { at: expected, what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::testing::{BatchKind, batch};

    fn admitted(kind: BatchKind, base: i64, records: i32, expected: i64) -> Admission {
        admit(batch(kind, base, records).header(), SourceOffset(expected))
    }

    #[test]
    fn only_the_batch_that_continues_is_copied() {
        assert_eq!(admitted(BatchKind::Data, 10, 5, 10), Admission::Copy);
        assert_eq!(admitted(BatchKind::Data, 5, 5, 10), Admission::Skip);
        let refused = |at: i64, what| Admission::Refuse { at: SourceOffset(at), what };
        assert_eq!(
            admitted(BatchKind::Data, 12, 5, 10),
            refused(10, Unsupported::Hole { next: SourceOffset(12) })
        );
        assert_eq!(
            admitted(BatchKind::Data, 8, 5, 10),
            refused(10, Unsupported::InsideBatch { base: SourceOffset(8) })
        );
    }

    #[test]
    fn what_takes_an_offset_without_being_a_plain_record_is_refused() {
        let what = |kind| match admitted(kind, 10, 5, 10) {
            Admission::Refuse { at: SourceOffset(10), what } => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(what(BatchKind::Control), Unsupported::ControlBatch);
        assert!(matches!(what(BatchKind::Transactional), Unsupported::Transaction { .. }));
        assert_eq!(what(BatchKind::LogAppendTime), Unsupported::LogAppendTime);
        assert_eq!(what(BatchKind::Thinned), Unsupported::ThinnedBatch { records: 4, offsets: 5 });
    }
}
