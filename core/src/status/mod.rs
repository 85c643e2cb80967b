//! A link in figures and words: what `/status` answers, agents report, coordinators unite and `lockstep status` shows.
//! Field names are stable and end in their unit; moments are seconds since 1970 (`*_timestamp_seconds`), so that a
//! process that is stuck shows a growing age. What is not known is null, never zero.
//!
//! ```text
//! facts ─ dr::posture ─► Judged ─ words ─► LinkStatus ─ merge (several agents) ─ aged (silence) ─► JSON, table
//! ```

mod age;
mod control;
mod groups;
mod history;
mod merge;
mod plan;
mod ready;
mod site;
mod system;
mod words;

use serde::{Deserialize, Serialize};

pub use age::{aged, shifted};
pub use control::{ControlStatus, Conversation};
pub use groups::{BEHIND, GroupStatus, GroupsStatus, OffsetStatus};
pub use history::{HistoryStatus, HistoryStep, KEPT_SECONDS, LastVerdict, STEP_SECONDS};
pub use merge::merge;
pub use plan::{LinkPlan, PlanLine, PlanLines, PlanQuestion, PlanStatus, TidyAnswer, TidyQuestion};
pub use ready::{Check, Finding, ReadyStatus};
pub use site::{HasSide, SiteStatus};
pub use system::{
    AgentSeat, ClusterStatus, CoordinatorStatus, DetailStatus, RemovedStatus, Scope, SeenStatus,
    SystemGroups, SystemHistory, SystemStatus,
};
pub use words::{ago, exposure_status, judged_status, not_running, runway_status};

use crate::dr::posture::{Role, WriteProtection};

/// What a status says about a link besides its report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    pub link: String,
    /// The clusters by the names their owner gives them, source and destination.
    pub from: String,
    pub to: String,
    /// The limit of exposure, in milliseconds.
    pub rpo_ms: u64,
    pub role: Role,
    pub write_protection: WriteProtection,
    /// `None`: groups are not copied.
    pub groups: Option<GroupsSummary>,
    /// Differences of topic configurations; `None`: nobody has compared them.
    pub drift: Option<u64>,
}

/// What an agent says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentStatus {
    pub version: String,
    /// The datacenter's name.
    pub site: String,
    pub started_timestamp_seconds: f64,
    pub as_of_timestamp_seconds: f64,
    pub config: ConfigStatus,
    /// Null: the agent works by its own file.
    #[serde(default)]
    pub coordinators: Option<ControlStatus>,
    pub links: Vec<LinkStatus>,
}

/// The file that the agent works by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// When what is in force was read.
    pub loaded_timestamp_seconds: f64,
    /// Why a newer version of the file is not in force; null: there is none.
    pub refused: Option<String>,
    /// Keys of the file whose new values take effect when the agent is started again.
    pub waits_for_start: Vec<String>,
}

/// Whether a link works, apart from how well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    Running,
    Starting,
    /// It could not be started or has ended; it is tried again.
    Waiting,
    /// Its configuration says so.
    Paused,
    Stopping,
}

impl LinkState {
    pub const ALL: [Self; 5] = [Self::Running, Self::Starting, Self::Waiting, Self::Paused, Self::Stopping];

    /// One stable word, as in JSON and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Starting => "starting",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
        }
    }
}

/// One link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkStatus {
    pub link: String,
    pub from: String,
    pub to: String,
    pub state: LinkState,
    /// The word of `core::dr::posture`.
    pub posture: String,
    /// Those of the worst posture first.
    pub reasons: Vec<ReasonStatus>,
    pub rpo_seconds: f64,
    /// When the figures were made; null: never.
    pub as_of_timestamp_seconds: Option<f64>,
    pub exposure: ExposureStatus,
    /// The shortest of all partitions.
    pub retention_runway: RunwayStatus,
    /// The oldest answer of the source.
    pub source_end_timestamp_seconds: Option<f64>,
    pub last_replicated_timestamp_seconds: Option<f64>,
    pub copied_records: u64,
    pub copied_bytes: u64,
    pub aligned_offsets: u64,
    /// Deleted at the source before they were copied (M9).
    pub lost_records: u64,
    pub memory_bytes: u64,
    pub memory_max_bytes: u64,
    pub partitions: PartitionCounts,
    /// Topics of the link, blocked ones included, and those of them that nothing is wrong with.
    pub topics_total: u64,
    pub topics_good: u64,
    pub groups: Option<GroupsSummary>,
    pub drift: Option<u64>,
    pub topics: Vec<TopicStatus>,
}

/// Partitions by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionCounts {
    pub total: u64,
    pub opening: u64,
    pub copying: u64,
    pub caught_up: u64,
    pub draining: u64,
    pub stopped: u64,
    /// Partitions of the link that are another agent's work; they are in no other figure here.
    #[serde(default)]
    pub elsewhere: u64,
}

/// Why a link is not green, or what else is worth a word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonStatus {
    /// The stable word.
    pub reason: String,
    /// The posture that it makes true; null: a word beside it.
    pub posture: Option<String>,
    pub text: String,
    /// For a missing permission: the command that grants it.
    pub grant: Option<String>,
}

/// What would be lost now, by what that rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExposureStatus {
    /// Known to exist and not held: a lower bound. Null: nothing is known.
    pub seen_records: Option<u64>,
    /// From the average wire bytes of an offset.
    pub seen_estimated_bytes: Option<u64>,
    pub seen_seconds: Option<f64>,
    /// Of `seen_records`: behind open transactions of the source (M16).
    pub held_back_records: u64,
    /// Seen, and on top of it peak rate × age of the source's datum. Not a bound.
    pub estimated_records: Option<u64>,
    pub estimated_bytes: Option<u64>,
    pub estimated_seconds: Option<f64>,
    /// Partitions that are in no figure, because nothing is known of them.
    pub unknown_partitions: u64,
    /// Of the oldest answer that a figure rests on; null: one never came.
    pub datum_age_seconds: Option<f64>,
    pub datum_timestamp_seconds: Option<f64>,
    /// Whether the figures are of now; if not, they are what was seen last.
    pub is_fresh: bool,
}

/// How long until the source deletes what is not copied yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunwayStatus {
    /// `nothing_waits`, `endless`, `lasts` or `unknown`.
    pub kind: String,
    pub seconds: Option<f64>,
    /// `age`, `size` or `log_start`.
    pub basis: Option<String>,
    /// `settings`, `timestamp` or `size`: it may be shorter, or is not known for it.
    pub missing: Option<String>,
}

/// One topic, by its name at the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopicStatus {
    pub topic: String,
    pub exposure: ExposureStatus,
    pub retention_runway: RunwayStatus,
    /// Whether nothing is wrong with it.
    #[serde(default)]
    pub is_good: bool,
    /// Why it is not mirrored at all.
    pub blocked: Option<String>,
    pub partitions: Vec<PartitionStatus>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionStatus {
    pub partition: i32,
    /// `opening`, `copying`, `caught_up`, `draining`, `stopped` or `blocked`.
    pub phase: String,
    /// A stopped one's verdict.
    pub verdict: Option<String>,
    pub source_end_offset: Option<i64>,
    pub source_last_stable_offset: Option<i64>,
    pub replicated_offset: Option<i64>,
    pub exposure: ExposureStatus,
    /// Why it is not copying.
    pub trouble: Option<String>,
}

/// Consumer groups whose offsets are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupsSummary {
    pub copied: u64,
    pub total: u64,
}
