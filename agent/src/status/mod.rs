//! From a link's report to its status (`lockstep_core::status`), as `/status` answers it and the coordinators hear it.
//! Decides nothing: every rule stands in `core::dr`, every word in `core::status`.
//!
//! ```text
//! LinkReport + About ─ facts ─► core::dr::posture ─ convert ─► LinkStatus ─► JSON, table, report
//! ```

mod convert;
mod facts;
mod groups;
#[cfg(test)]
pub(crate) mod testing;

pub use lockstep_core::status::{
    About, AgentStatus, ConfigStatus, ExposureStatus, GroupStatus, GroupsStatus, GroupsSummary, LinkState,
    LinkStatus, OffsetStatus, PartitionCounts, PartitionStatus, ReasonStatus, RunwayStatus, TopicStatus,
    not_running,
};

pub use convert::link_status;
pub use facts::facts;
pub(crate) use facts::is_over;
pub use groups::{group_status, groups_status};
