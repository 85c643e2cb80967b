//! What is said of one group, from what is known of it: where it stands, where it would resume, why it is skipped.

use std::collections::HashMap;

use lockstep_core::groups::copies::{GroupCopy, Held, OffsetCopy, Standing};
use lockstep_core::groups::judge::StandbyRange;
use lockstep_core::ids::TopicPartition;

use super::report::{GroupState, OffsetReport};
use super::source::{Known, Seen};
use crate::pipeline::position::Position;

/// What the standby's log holds of a partition, as far as it is known.
pub(super) fn range(position: &Position) -> Option<StandbyRange> {
    Some(StandbyRange { start: position.start?, end: position.held? })
}

/// What is said of a group's offsets.
pub(super) fn offsets(
    known: &Known,
    copy: Option<&GroupCopy>,
    positions: &HashMap<TopicPartition, Position>,
) -> Vec<OffsetReport> {
    let one = |(tp, seen): (&TopicPartition, &Seen)| {
        let position = positions.get(tp);
        let range = position.and_then(range);
        let copy = copy.and_then(|copy| copy.offsets.get(tp));
        let resumes_at = copy.and_then(|copy| copy.resumes_at(range));
        let wanted =
            seen.commit.offset.mirrored().max(range.map_or(seen.commit.offset.mirrored(), |r| r.start));
        let standing = match copy {
            Some(copy) if copy.wanted == seen.commit => copy.standing,
            Some(OffsetCopy { standing: Standing::LeftAlone, .. }) => Standing::LeftAlone,
            _ => Standing::Due,
        };
        OffsetReport {
            tp: tp.clone(),
            source: seen.commit.offset,
            source_end: position.and_then(|p| p.source_end),
            standby: copy.and_then(|copy| Some(copy.stands.as_ref()?.offset)),
            standby_end: position.and_then(|p| p.held),
            resumes_at,
            repeats: resumes_at.map(|at| (wanted.0 - at.0).max(0).unsigned_abs()),
            standing,
        }
    };
    known.offsets.iter().map(one).collect()
}

/// How a group stands as a whole.
pub(super) fn state(known: &Known, copy: Option<&GroupCopy>, offsets: &[OffsetReport]) -> GroupState {
    if let Some(why) = known.kind.not_copied().or_else(|| known.refused.clone()) {
        return GroupState::Skipped(why);
    }
    if offsets.is_empty() {
        return GroupState::Skipped("it has no offsets of the link's topics".to_owned());
    }
    match copy.and_then(|copy| copy.held.as_ref()) {
        Some(Held::Members) => return GroupState::Skipped("it has members on the standby".to_owned()),
        Some(Held::Refused(refusal)) => return GroupState::Skipped(refusal.why.clone()),
        None => {}
    }
    if let Some(left) = offsets.iter().find(|offset| offset.standing == Standing::LeftAlone) {
        let at = left.standby.map_or_else(String::new, |offset| format!(", at {offset}"));
        return GroupState::Skipped(format!(
            "an offset of {} on the standby is not ours{at}: somebody consumed or reset there; delete the \
             group there to have it copied again",
            left.tp
        ));
    }
    if offsets.iter().all(|offset| offset.standing == Standing::InStep) {
        GroupState::InStep
    } else {
        GroupState::Behind
    }
}
