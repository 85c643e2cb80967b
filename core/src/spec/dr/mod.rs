//! `dr.yaml`: what the whole system is to do: its sites, clusters and links. Reviewed, versioned, applied.
//!
//! ```text
//! YAML ─ serde ─► RawDr, one a file ─ merge ─ check ─► DrSpec (what is meant) + warnings ─ diff ─► what an apply would change
//! ```
//!
//! | file | does |
//! |---|---|
//! | `raw` | what may be written; the JSON schema comes from these types |
//! | `merge` | several files as one; the same name twice is a fault of both |
//! | `check` | sites, clusters, links; keys of later versions are refused by name |
//! | `warn` | what may be meant and should be looked at |
//! | `diff`, `words` | what changes between two specs, and what of it weakens protection |
//!
//! Which cluster of a link is primary never stands here: it is runtime state.

mod check;
mod diff;
mod merge;
mod raw;
#[cfg(test)]
mod tests;
mod warn;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use diff::{Diff, Line, Sign, Thing, ThingKind};
pub use merge::{DrFile, FileFault};
pub use raw::RawDr;
pub use warn::{majority_in_one_site, without_agents, worth_a_look};

use super::fault::{Fault, Warning};
use super::link::{LinkRules, LinkSpec};

/// The JSON schema of `dr.yaml`, for editors. What it takes may still be wrong: a schema knows shapes, not meanings.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(RawDr)
}

/// What several files mean together; a single one is as good.
///
/// # Errors
/// Every fault of every file, without lines: whoever read the files knows them.
pub fn check(files: &[DrFile<'_>]) -> Result<Checked, Vec<FileFault>> {
    merge::together(files)
}

/// A spec without faults, and what should be looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    pub spec: DrSpec,
    pub warnings: Vec<Warning>,
}

/// What is wanted, as it is stored and sent: texts and numbers only. Every name is resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrSpec {
    #[serde(default)]
    pub sites: BTreeMap<String, SiteKind>,
    #[serde(default)]
    pub clusters: BTreeMap<String, Cluster>,
    #[serde(default)]
    pub links: BTreeMap<String, Link>,
}

/// What a datacenter is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteKind {
    #[default]
    Data,
    /// A coordinator and an agent that only probes: no cluster.
    Witness,
}

/// A Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    pub site: String,
    /// `host:port`, at least one.
    pub bootstrap: Vec<String>,
    /// The section of the agents' own files that says how it is reached; `None`: plaintext.
    #[serde(default)]
    pub security: Option<String>,
}

/// A link between two clusters; which of them is primary is not its affair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Two different ones.
    pub clusters: [String; 2],
    /// The one that is primary first.
    pub prefer: String,
    pub rules: LinkRules,
}

impl Link {
    /// The cluster at the other end. `None`: `cluster` is at neither.
    #[must_use]
    pub fn other(&self, cluster: &str) -> Option<&str> {
        match &self.clusters {
            [one, other] if one == cluster => Some(other),
            [other, one] if one == cluster => Some(other),
            _ => None,
        }
    }

    /// What an agent does about it while `primary` is the primary.
    ///
    /// # Errors
    /// What this version cannot read, and a primary that is not of this link.
    pub fn while_primary(&self, primary: &str) -> Result<LinkSpec, Vec<Fault>> {
        match self.other(primary) {
            Some(standby) => self.rules.link(primary, standby),
            None => Err(vec![Fault::new(
                "clusters",
                format!("{primary:?} is none of {}", self.clusters.join(", ")),
            )]),
        }
    }
}
