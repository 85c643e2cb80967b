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
//! | `link` | a link's ends; the rest of a link is [`super::link`]'s |
//! | `coordinators` | who tells the agent what to do, and how clusters that they name are reached |

mod check;
mod coordinators;
mod link;
mod raw;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use super::link::{LinkSpec, Wanted, example, literal};
pub use raw::RawAgent;

use super::daemon::{Listen, LogSpec};
use super::security::SecuritySpec;

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
    /// Where a day of history is kept between runs; `None`: in memory.
    pub data: Option<PathBuf>,
    /// By name; at least one, unless there are coordinators: then none.
    pub clusters: BTreeMap<String, ClusterSpec>,
    /// By name; may be empty. `from` and `to` name clusters that are there.
    pub links: BTreeMap<String, LinkSpec>,
    /// Who says which links there are. `None`: this file does.
    pub coordinators: Option<CoordinatorsSpec>,
    /// How the clusters that coordinators name are reached, by the name that their spec calls `security`.
    pub security: BTreeMap<String, SecuritySpec>,
}

/// Where the coordinators are, and who this agent is to them. Files are not read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordinatorsSpec {
    /// `host:port`, at least one; whichever answers names the others.
    pub addresses: Vec<String>,
    /// PEM: who may sign the coordinators' certificates.
    pub ca: PathBuf,
    /// PEM: the agent's own; its SAN URI `lockstep://agent/SITE/NAME` names it.
    pub certificate: PathBuf,
    /// PEM: the key of the certificate.
    pub key: PathBuf,
}

/// A cluster and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSpec {
    /// `host:port`, at least one. Whoever dials says whether they can be meant.
    pub bootstrap: Vec<String>,
    pub security: SecuritySpec,
}
