//! Consumer groups as `/groups/LINK` tells them and `lockstep groups` shows them, by a link's own report or by asking both
//! clusters. Field names are stable and end in their unit; what is not known is null, never zero.

use serde::{Deserialize, Serialize};

use crate::pipeline::groups::report::{GroupReport, GroupState, OffsetReport};

/// All groups of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupsStatus {
    /// Always `groups`: lines of several kinds stand in one output.
    pub kind: String,
    pub groups: Vec<GroupStatus>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    pub group: String,
    /// The protocol by which its members consume.
    pub r#type: String,
    /// `in step`, `behind` or `skipped`.
    pub state: String,
    /// Why it is skipped.
    pub reason: Option<String>,
    pub lag_records: u64,
    pub unread_records: u64,
    /// Records that a consumer would read again at the standby; 0 in lockstep.
    pub repeats_records: u64,
    pub offsets: Vec<OffsetStatus>,
}

/// One committed offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetStatus {
    /// By its name at the source.
    pub topic: String,
    pub partition: i32,
    pub source_offset: i64,
    pub standby_offset: Option<i64>,
    pub resumes_at_offset: Option<i64>,
    pub lag_records: Option<u64>,
    pub unread_records: Option<u64>,
    pub repeats_records: Option<u64>,
}

impl GroupsStatus {
    pub fn of(groups: &[GroupReport]) -> Self {
        Self { kind: "groups".to_owned(), groups: groups.iter().map(GroupStatus::of).collect() }
    }

    /// Whether a group is not where it is at the source.
    pub fn is_any_behind(&self) -> bool {
        self.groups.iter().any(|group| group.state == GroupState::Behind.name())
    }
}

impl GroupStatus {
    pub fn of(group: &GroupReport) -> Self {
        Self {
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
            offsets: group.offsets.iter().map(OffsetStatus::of).collect(),
        }
    }

    /// Offsets without a counterpart on the standby.
    pub fn missing(&self) -> usize {
        self.offsets.iter().filter(|offset| offset.resumes_at_offset.is_none()).count()
    }
}

impl OffsetStatus {
    fn of(offset: &OffsetReport) -> Self {
        Self {
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
}
