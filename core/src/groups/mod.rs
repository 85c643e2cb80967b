//! Consumer groups: whose offsets reach the standby, and when (M30 to M33).
//!
//! ```text
//! source offsets ─► readings (barrier, M31) ─► copies ─ judge (clamp, whose offset stands there) ─► commits on the standby
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`policy`] | what a link does with groups, as its user asked |
//! | [`kind`] | what sort of group it is, and whether it can be copied |
//! | [`readings`] | offsets that wait until the standby holds what the source held when they were read |
//! | [`judge`] | what becomes of one offset, given what stands on the standby |
//! | [`copies`] | every copied offset: wanted, written, read back, kept alive |

pub mod copies;
pub mod judge;
pub mod kind;
pub mod policy;
pub mod readings;

use std::fmt;
use std::sync::Arc;

use crate::ids::{DestOffset, LeaderEpoch, SourceOffset, TopicPartition};

/// One committed offset's place: a group, and a partition by its name at the source.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupPartition {
    pub group: Arc<str>,
    pub tp: TopicPartition,
}

impl fmt::Debug for GroupPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.group, self.tp)
    }
}

/// What a group has committed at the source. Its leader epoch stays there: it means nothing elsewhere (M30).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCommit {
    /// The next record to be read.
    pub offset: SourceOffset,
    /// The consumer's own words.
    pub metadata: Arc<str>,
}

/// What stands on the standby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandbyCommit {
    /// The next record to be read.
    pub offset: DestOffset,
    /// Of the standby's own log. We never know it (M30); a consumer that read there does.
    pub leader_epoch: LeaderEpoch,
    pub metadata: Arc<str>,
}
