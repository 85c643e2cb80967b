//! What the coordinators agree on: a machine that makes one state of the same entries on every member.
//!
//! ```text
//! Entry (proposed by the leader, in the log) ─ apply ─► State + Outcome or Refusal + AuditEvents ─ snapshot ─► file ─ restore ─► State
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`entry`] | what can be asked for; its kinds and the level each came with |
//! | [`apply`] | what an entry does: the only place that changes a state |
//! | `level` | which kinds of entries this process knows |
//! | `fit` | what names and specs must be |
//! | [`refusal`] | why an entry does nothing, in words with the remedy |
//! | [`snapshot`] | a state as it is stored |
//!
//! Promises: no clock, no chance, no float, ordered maps only, so that every member comes to the same state; a refused
//! entry changes nothing but the audit trail; an entry or a snapshot that this version does not understand stops the
//! member, because going on would make it another state than the others'.

mod apply;
pub mod entry;
mod fit;
mod level;
mod refusal;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use apply::{Applied, Outcome};
pub use entry::{Command, Entry, EntryHead, Member, MemberChange};
pub use level::{LEVEL, REHEARSAL_LEVEL, known, rehearse_the_next};
pub use refusal::{NotUnderstood, Refusal};
pub use snapshot::Snapshot;

use crate::audit::{Head, WallMillis};
use crate::dr::lease::{AgentName, Shares};
use crate::spec::dr::{Cluster, DrSpec};
use crate::spec::link::Wanted;

/// Everything that is agreed on. Only [`State::apply`] changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Chosen when the system was founded; everybody's first message carries it. `None` before.
    #[serde(default)]
    cluster_id: Option<String>,
    /// Raised by a forced recovery; whoever comes with a lower one is refused.
    #[serde(default)]
    incarnation: u64,
    /// The highest level of entries that may be proposed.
    #[serde(default)]
    level: u32,
    /// Counts the specs that were applied; 0: none yet.
    #[serde(default)]
    revision: u64,
    #[serde(default)]
    spec: DrSpec,
    /// The spec as it was written.
    #[serde(default)]
    text: String,
    /// For every link of the spec. It outlives changes of the spec, so that a change of sides is no difference.
    #[serde(default)]
    roles: BTreeMap<String, Role>,
    /// Of every link of the spec, and of removed ones until nobody can be at them any more.
    #[serde(default)]
    work: BTreeMap<String, Work>,
    /// Links that a spec no longer has, until an agent has taken away what the clusters' passports say of them.
    #[serde(default)]
    removed: BTreeMap<String, Removed>,
    /// The last epoch that any link's work was given: one that is removed and comes back never counts from 1 again.
    #[serde(default)]
    epoch: u64,
    #[serde(default)]
    agents: BTreeMap<AgentName, Agent>,
    #[serde(default)]
    members: BTreeMap<u64, Member>,
    /// When an entry that only the next version's rehearsal knows was applied; versions before have no such field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rehearsed: Option<WallMillis>,
    /// The end of the audit trail.
    #[serde(default)]
    audit: Head,
}

/// Who is who on a link, and whether somebody holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// One of the link's clusters.
    pub primary: String,
    /// Counts promotions; 0: the preferred cluster, never promoted by us.
    pub generation: u64,
    /// By `lockstep pause`; `None`: as the spec says.
    #[serde(default)]
    pub held: Option<Held>,
}

/// Who stopped a link, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub by: String,
    pub at: WallMillis,
    #[serde(default)]
    pub reason: Option<String>,
}

/// A link as it was removed: its clusters may have left the spec as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// The revision that no longer had it.
    pub revision: u64,
    /// Both, by name.
    pub clusters: BTreeMap<String, Cluster>,
}

/// Who works on a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Grows with every change of the shares; 0: never shared.
    pub epoch: u64,
    pub shares: Shares,
    /// What was shared before, by epoch, as long as somebody may still hold what they had then.
    #[serde(default)]
    pub earlier: BTreeMap<u64, Earlier>,
}

/// Shares of an earlier epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    pub shares: Shares,
    /// Agents that have neither let go nor certainly lost their lease.
    pub waits: BTreeSet<AgentName>,
}

/// An agent as it registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    pub site: String,
    pub version: String,
    pub level: u32,
}

impl State {
    #[must_use]
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    #[must_use]
    pub fn level(&self) -> u32 {
        self.level
    }

    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    #[must_use]
    pub fn spec(&self) -> &DrSpec {
        &self.spec
    }

    /// The spec as it was written, comments and all.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn role(&self, link: &str) -> Option<&Role> {
        self.roles.get(link)
    }

    #[must_use]
    pub fn work(&self, link: &str) -> Option<&Work> {
        self.work.get(link)
    }

    /// Of every link, and of removed ones that somebody may still hold.
    #[must_use]
    pub fn works(&self) -> &BTreeMap<String, Work> {
        &self.work
    }

    /// Links whose entries in the passports of their clusters are still to be taken away.
    #[must_use]
    pub fn removed(&self) -> &BTreeMap<String, Removed> {
        &self.removed
    }

    #[must_use]
    pub fn agents(&self) -> &BTreeMap<AgentName, Agent> {
        &self.agents
    }

    #[must_use]
    pub fn members(&self) -> &BTreeMap<u64, Member> {
        &self.members
    }

    /// When the next version's entry was applied; only after its level was switched on.
    #[must_use]
    pub fn rehearsed(&self) -> Option<WallMillis> {
        self.rehearsed
    }

    /// The end of the audit trail, against which the stored events are verified.
    #[must_use]
    pub fn audit(&self) -> Head {
        self.audit
    }

    /// The cluster that a link writes to now.
    #[must_use]
    pub fn standby(&self, link: &str) -> Option<&str> {
        self.spec.links.get(link)?.other(&self.role(link)?.primary)
    }

    /// What a link is to do, after the spec and whoever paused it.
    #[must_use]
    pub fn wanted(&self, link: &str) -> Option<Wanted> {
        let (spec, role) = (self.spec.links.get(link)?, self.role(link)?);
        Some(if role.held.is_some() { Wanted::Paused } else { spec.rules.wanted })
    }

    /// Registered agents that can work on a link: those of its standby's site.
    #[must_use]
    pub fn workers(&self, link: &str) -> Vec<&str> {
        let site = self.standby(link).and_then(|standby| Some(&self.spec.clusters.get(standby)?.site));
        let there = self.agents.iter().filter(|(_, agent)| site == Some(&agent.site));
        there.map(|(name, _)| name.as_str()).collect()
    }
}
