//! `agent.yaml`: the daemon of one datacenter, its clusters and its links.
//!
//! ```text
//! YAML ─ serde ─► RawAgent (what may be written) ─ check ─► AgentSpec (what is meant) ─► the daemon
//! ```
//!
//! | file | does |
//! |---|---|
//! | `raw` | what may be written, whatever its shape; the JSON schema comes from these types |
//! | `check` | process, log, clusters; puts the rest together |
//! | `link` | one link by itself |
//! | `between` | links against each other: circles, collisions |
//! | `example` | a topic's name that a pattern takes, to judge patterns by |
//! | `faults` | collects what is wrong |

mod between;
mod check;
mod example;
mod faults;
mod link;
mod raw;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

pub use example::{example, literal};
pub use raw::RawAgent;

use super::pace::Pace;
use super::rename::Rename;
use super::security::SecuritySpec;
use super::select::TopicSelection;
use crate::groups::policy::GroupPolicy;
use crate::mirror::cost::AlignmentBudget;
use crate::mirror::retention::Propagation;
use crate::plan::owners::TopicSettingsPolicy;

/// The JSON schema of `agent.yaml`, for editors. What it takes may still be wrong: a schema knows shapes, not meanings.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(RawAgent)
}

/// What a daemon is told. Two of them can be compared: only what differs is restarted.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentSpec {
    /// The name of this datacenter.
    pub site: String,
    pub listen: Listen,
    /// Fetched records in memory at most, all links together.
    pub memory_bytes_max: usize,
    /// How long a stop may take.
    pub drain: Duration,
    pub log: LogSpec,
    /// By name; at least one.
    pub clusters: BTreeMap<String, ClusterSpec>,
    /// By name; may be empty. `from` and `to` name clusters that are there.
    pub links: BTreeMap<String, LinkSpec>,
}

/// Where the daemon answers over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Off,
    /// `host:port`; port 0 leaves the choice to the system.
    At(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSpec {
    pub format: LogFormat,
    /// In the words of `tracing`: `info,lockstep_agent=debug`.
    pub filter: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// A cluster and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSpec {
    /// `host:port`, at least one. Whoever dials says whether they can be meant.
    pub bootstrap: Vec<String>,
    pub security: SecuritySpec,
}

/// One link.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkSpec {
    /// The source: a name in [`AgentSpec::clusters`].
    pub from: String,
    /// The destination: another one.
    pub to: String,
    pub topics: TopicSelection,
    /// `None`: no group is copied.
    pub groups: Option<GroupPolicy>,
    pub rename: Rename,
    pub propagation: Propagation,
    pub alignment: AlignmentBudget,
    pub pace: Pace,
    /// Whose word counts for which setting of a topic on the destination.
    pub topic_settings: TopicSettingsPolicy,
    /// How much may be lost at a failover, in time.
    pub rpo: Duration,
    pub wanted: Wanted,
}

/// What a link is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    #[default]
    Running,
    /// Known and checked, but nothing is copied.
    Paused,
}
