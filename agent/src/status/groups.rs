//! From a link's report to its groups as they are shown.

use lockstep_core::status::{GroupStatus, GroupsStatus, OffsetStatus};

use crate::pipeline::groups::report::{GroupReport, GroupState, OffsetReport};

/// All groups of a link.
pub fn groups_status(groups: &[GroupReport]) -> GroupsStatus {
    GroupsStatus::of(groups.iter().map(group_status).collect())
}

/// One group.
pub fn group_status(group: &GroupReport) -> GroupStatus {
    GroupStatus {
        group: group.group.to_string(),
        r#type: group.kind.to_string(),
        state: group.state.name().to_owned(),
        reason: match &group.state {
            GroupState::Skipped(why) => Some(why.clone()),
            GroupState::InStep | GroupState::Behind => None,
        },
        lag_records: group.lag_records(),
        unread_records: group.unread_records(),
        repeats_records: group.repeats_records(),
        offsets: group.offsets.iter().map(offset_status).collect(),
    }
}

fn offset_status(offset: &OffsetReport) -> OffsetStatus {
    OffsetStatus {
        topic: offset.tp.topic.to_string(),
        partition: offset.tp.partition,
        source_offset: offset.source.0,
        standby_offset: offset.standby.map(|offset| offset.0),
        resumes_at_offset: offset.resumes_at.map(|offset| offset.0),
        lag_records: offset.lag_records(),
        unread_records: offset.unread_records(),
        repeats_records: offset.repeats,
    }
}
