//! How far a standby follows the source's log start (M20). Segment boundaries differ, so the standby's own retention
//! is off and the agent deletes what the source's *retention* has deleted. A purge, a deletion or a mistake at the
//! source looks just the same from the log start alone; it must never empty the mirror. So each step has to be
//! explained by the source's settings, unless the operator asked to follow everything.

use serde::{Deserialize, Serialize};

use crate::ids::{DestOffset, SourceOffset};

/// What of the source's deletions reaches the standby.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Propagation {
    /// Only what the source's retention explains.
    #[default]
    None,
    /// Everything: purged records, deleted and recreated topics too.
    All,
}

/// A source topic's settings and what they look like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionEvidence {
    /// `cleanup.policy` contains `delete`: without it nothing expires.
    pub deletes: bool,
    /// The first offset on the standby whose record is younger than `retention.ms` allows to delete; `None` where the
    /// source has no time limit. Retention by time never deletes past it.
    pub young_from: Option<DestOffset>,
    /// Whether the source still holds `retention.bytes` or more of this partition; `None` where it has no size limit
    /// or its size is not known. Retention by size never leaves less.
    pub still_full: Option<bool>,
}

/// What to do about the source's log start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Stay,
    /// Delete everything below this offset on the standby.
    DeleteBefore(DestOffset),
}

/// How far to follow, and whether something was held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Following {
    pub step: Step,
    /// The source deleted up to here, retention does not explain it: kept on the standby.
    pub held_back: Option<SourceOffset>,
}

/// Decides one partition. `start` and `durable`: the standby's log start and what it holds.
pub fn follow(
    source_start: SourceOffset,
    start: DestOffset,
    durable: DestOffset,
    propagation: Propagation,
    evidence: RetentionEvidence,
) -> Following {
    // Past what we hold nothing is deleted: that is a loss, and a verdict of its own (M9).
    let wanted = source_start.mirrored().min(durable);
    let allowed = match propagation {
        Propagation::All => wanted,
        Propagation::None => wanted.min(explained(wanted, start, evidence)),
    };
    let step = if allowed > start { Step::DeleteBefore(allowed) } else { Step::Stay };
    let held_back = (wanted > start && wanted > allowed).then_some(source_start);
    Following { step, held_back }
}

/// The furthest log start that the source's settings explain.
fn explained(wanted: DestOffset, start: DestOffset, evidence: RetentionEvidence) -> DestOffset {
    if !evidence.deletes {
        return start;
    }
    if evidence.still_full == Some(true) {
        return wanted;
    }
    evidence.young_from.unwrap_or(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(young_from: Option<i64>, still_full: Option<bool>) -> RetentionEvidence {
        RetentionEvidence { deletes: true, young_from: young_from.map(DestOffset), still_full }
    }

    fn followed(source_start: i64, propagation: Propagation, evidence: RetentionEvidence) -> Following {
        follow(SourceOffset(source_start), DestOffset(10), DestOffset(100), propagation, evidence)
    }

    fn to(offset: i64) -> Following {
        Following { step: Step::DeleteBefore(DestOffset(offset)), held_back: None }
    }

    const STAY: Following = Following { step: Step::Stay, held_back: None };

    #[test]
    fn retention_by_time_is_followed_up_to_the_first_young_record() {
        assert_eq!(followed(40, Propagation::None, evidence(Some(60), None)), to(40));
        let purged = followed(90, Propagation::None, evidence(Some(60), None));
        assert_eq!(purged.step, Step::DeleteBefore(DestOffset(60)));
        assert_eq!(purged.held_back, Some(SourceOffset(90)));
    }

    #[test]
    fn retention_by_size_is_followed_while_the_source_is_still_full() {
        assert_eq!(followed(40, Propagation::None, evidence(None, Some(true))), to(40));
        let purged = followed(100, Propagation::None, evidence(None, Some(false)));
        assert_eq!(purged, Following { step: Step::Stay, held_back: Some(SourceOffset(100)) });
    }

    #[test]
    fn a_purge_without_any_retention_is_held_back_and_followed_when_asked() {
        assert_eq!(
            followed(100, Propagation::None, evidence(None, None)),
            Following { step: Step::Stay, held_back: Some(SourceOffset(100)) }
        );
        assert_eq!(followed(100, Propagation::All, evidence(None, None)), to(100));
        let compacted = RetentionEvidence { deletes: false, ..evidence(Some(90), Some(true)) };
        assert_eq!(followed(40, Propagation::None, compacted).step, Step::Stay);
    }

    #[test]
    fn nothing_is_deleted_past_what_we_hold_nor_twice() {
        assert_eq!(followed(500, Propagation::All, evidence(None, None)), to(100));
        assert_eq!(followed(10, Propagation::None, evidence(Some(90), None)), STAY);
        assert_eq!(followed(5, Propagation::All, evidence(None, None)), STAY);
    }
}
