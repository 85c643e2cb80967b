//! What is said of a link's groups: for each where it stands on both sides, and where a consumer would resume.
//! Nothing here decides; a figure that is not known is `None`, never zero.

use std::sync::Arc;
use std::time::SystemTime;

use lockstep_core::groups::copies::Standing;
use lockstep_core::groups::kind::GroupKind;
use lockstep_core::ids::{DestOffset, SourceOffset, TopicPartition};

use crate::status::GroupsSummary;

/// All groups that the link's patterns take.
#[derive(Clone, Debug, Default)]
pub struct GroupsReport {
    /// By name.
    pub groups: Vec<GroupReport>,
    pub present: Present,
    /// What offsets that were read wait for, if they do (M31).
    pub waits_for: Option<String>,
    /// What could not be asked or written in the last round, in words.
    pub troubles: Vec<String>,
    /// A right that is missing, and how to grant it.
    pub missing_right: Option<String>,
}

impl GroupsReport {
    /// How many stand on the standby as at the source, of how many.
    pub fn summary(&self) -> GroupsSummary {
        let copied = self.groups.iter().filter(|group| group.state == GroupState::InStep).count();
        GroupsSummary { copied: copied as u64, total: self.groups.len() as u64 }
    }
}

/// What became of the offsets that the groups had when the link started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Present {
    /// They have not been read yet.
    #[default]
    Unknown,
    /// Some wait, or are being written.
    UnderWay,
    /// Some wait for partitions that have stopped or cannot be mirrored.
    Held,
    /// All stand on the standby, or were left alone for a reason.
    Carried,
}

/// One group.
#[derive(Clone, Debug)]
pub struct GroupReport {
    pub group: Arc<str>,
    pub kind: GroupKind,
    pub state: GroupState,
    /// When all its offsets were last known to stand on the standby as at the source.
    pub synced: Option<SystemTime>,
    /// By partition, those of the link's topics.
    pub offsets: Vec<OffsetReport>,
}

/// How a group stands as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// Every offset stands on the standby as at the source.
    InStep,
    /// Some offsets are on their way.
    Behind,
    /// Not copied at the moment, and why.
    Skipped(String),
}

impl GroupState {
    pub fn name(&self) -> &'static str {
        match self {
            Self::InStep => "in step",
            Self::Behind => lockstep_core::status::BEHIND,
            Self::Skipped(_) => "skipped",
        }
    }
}

/// One committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetReport {
    /// By its name at the source.
    pub tp: TopicPartition,
    pub source: SourceOffset,
    pub source_end: Option<SourceOffset>,
    /// As last read or written there.
    pub standby: Option<DestOffset>,
    pub standby_end: Option<DestOffset>,
    /// Where a consumer would resume on the standby; `None`: nothing stands there, its `auto.offset.reset` decides.
    pub resumes_at: Option<DestOffset>,
    /// Records that would be read again; 0 in lockstep.
    pub repeats: Option<u64>,
    pub standing: Standing,
}

impl OffsetReport {
    /// Records of the source that the group has not read there.
    pub fn lag_records(&self) -> Option<u64> {
        Some((self.source_end?.0 - self.source.0).max(0).unsigned_abs())
    }

    /// Records that the standby holds for it.
    pub fn unread_records(&self) -> Option<u64> {
        Some((self.standby_end?.0 - self.resumes_at?.0).max(0).unsigned_abs())
    }
}

impl GroupReport {
    /// Sum over the partitions where it is known.
    pub fn lag_records(&self) -> u64 {
        self.offsets.iter().filter_map(OffsetReport::lag_records).sum()
    }

    pub fn unread_records(&self) -> u64 {
        self.offsets.iter().filter_map(OffsetReport::unread_records).sum()
    }

    pub fn repeats_records(&self) -> u64 {
        self.offsets.iter().filter_map(|offset| offset.repeats).sum()
    }

    /// Offsets without a counterpart on the standby.
    pub fn missing(&self) -> usize {
        self.offsets.iter().filter(|offset| offset.resumes_at.is_none()).count()
    }
}

impl GroupsReport {
    /// How many groups stand so.
    pub fn count(&self, wanted: fn(&GroupState) -> bool) -> usize {
        self.groups.iter().filter(|group| wanted(&group.state)).count()
    }
}
