//! What the coordinators' leader knows of the whole system, as one document: what `lockstep status` shows.
//! Ages are in milliseconds and counted by the leader's clock up to when it answered; moments within a link are by the
//! leader's wall clock, whose present is `as_of_timestamp_seconds`. What is not known is null, never zero.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{GroupsStatus, HistoryStatus, LinkStatus, SiteStatus};

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SystemStatus {
    pub cluster_id: String,
    pub incarnation: u64,
    /// Of the spec that is in force; 0: none was ever applied.
    pub revision: u64,
    pub as_of_timestamp_seconds: f64,
    /// For how long the leader has listened to agents: what it has not heard by now may still come when this is young.
    pub age_ms: u64,
    pub scope: Scope,
    /// By name. Topics are told where one link was asked for; their counts always.
    pub links: Vec<LinkStatus>,
    /// Told where all links were asked for, to whoever may see the whole system.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sites: BTreeMap<String, SiteStatus>,
    pub clusters: BTreeMap<String, ClusterStatus>,
    pub agents: BTreeMap<String, AgentSeat>,
    /// By id.
    pub coordinators: Vec<CoordinatorStatus>,
    /// Links that were removed and whose clusters' passports still say something of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub removed: BTreeMap<String, RemovedStatus>,
}

/// A link that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedStatus {
    /// The revision that no longer had it.
    pub revision: u64,
    pub clusters: Vec<String>,
    /// Why the last attempt to tidy up failed; null: none was made yet.
    pub why: Option<String>,
}

/// How much of the system the asker may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    System,
    /// Links that were granted, their clusters and those clusters' agents; no coordinators.
    Links,
}

/// A cluster, and how it looks from each site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    pub site: String,
    /// By agent; one that has told nothing of it is missing.
    pub seen: BTreeMap<String, SeenStatus>,
}

/// What one agent's site sees of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenStatus {
    /// `all`, `some`, `none`, `refused` or `unknown`.
    pub reach: String,
    /// Since the cluster answered that agent; null: never since the agent started.
    pub answered_age_ms: Option<u64>,
    pub brokers_seen: u32,
    pub brokers_answering: u32,
    /// Why not, in words.
    pub fault: Option<String>,
    /// Since the agent told it.
    pub age_ms: u64,
}

/// A registered agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSeat {
    pub site: String,
    pub version: String,
    pub level: u32,
    /// Since it was heard; null: it has no session.
    pub heard_age_ms: Option<u64>,
    /// Links that it has a share of.
    pub links: u64,
}

/// One of the coordinators, as their agreement has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorStatus {
    pub id: u64,
    pub name: String,
    pub site: String,
    pub address: String,
    /// `voter`, or `learner`: it joins and has no vote yet.
    pub kind: String,
    pub is_leader: bool,
}

/// One link with all its partitions, from the agents that work on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetailStatus {
    /// Null: no agent has answered.
    pub link: Option<LinkStatus>,
    /// Agents that have a share and have not answered, and why: their partitions are not among those shown.
    pub missing: BTreeMap<String, String>,
}

/// A day of a link, from the agents that work on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SystemHistory {
    #[serde(flatten)]
    pub history: HistoryStatus,
    /// Agents that have a share and have not answered, and why: what they saw is not in it.
    pub missing: BTreeMap<String, String>,
}

/// The groups of a link, as the agent tells them that copies them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemGroups {
    pub link: String,
    pub agent: String,
    #[serde(flatten)]
    pub groups: GroupsStatus,
}
