//! Consumer groups as `/groups/LINK` tells them and `lockstep groups` shows them, by a link's own report or by asking both
//! clusters. Field names are stable and end in their unit; what is not known is null, never zero.

use serde::{Deserialize, Serialize};

/// The word for a group some of whose offsets are on their way.
pub const BEHIND: &str = "behind";

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
    #[must_use]
    pub fn of(groups: Vec<GroupStatus>) -> Self {
        Self { kind: "groups".to_owned(), groups }
    }

    /// Whether a group is not where it is at the source.
    #[must_use]
    pub fn is_any_behind(&self) -> bool {
        self.groups.iter().any(|group| group.state == BEHIND)
    }
}

impl GroupStatus {
    /// Offsets without a counterpart on the standby.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.offsets.iter().filter(|offset| offset.resumes_at_offset.is_none()).count()
    }
}
