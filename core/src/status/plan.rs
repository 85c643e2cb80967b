//! What an apply would change, as coordinators answer it and `lockstep plan` shows it: the difference of the specs, and
//! what agents say that each link would do to its topics and groups. And what is asked of them once a link was removed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::spec::dr::{Cluster, Diff, Sign};
use crate::spec::link::LinkRules;

/// A plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStatus {
    /// In one line.
    pub summary: String,
    #[serde(flatten)]
    pub diff: Diff,
    /// Of links that are added or changed, by name.
    #[serde(default)]
    pub agents: BTreeMap<String, LinkPlan>,
}

/// What an agent says of a link; lines or an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkPlan {
    /// Who was asked; null: nobody could be.
    pub agent: Option<String>,
    #[serde(default)]
    pub lines: Vec<PlanLine>,
    /// Why there are no lines.
    pub error: Option<String>,
}

/// One line: `+ topic claims.photos 12 partitions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanLine {
    pub sign: Sign,
    /// `topic`, `group`, `acl`, …
    pub what: String,
    pub name: String,
    pub words: String,
}

/// What an agent is asked: the argument of PLAN_LINES. The link need not be there yet, nor its clusters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanQuestion {
    pub link: String,
    /// Names of clusters, by the role they have now or would begin with.
    pub from: String,
    pub to: String,
    /// Both of them.
    pub clusters: BTreeMap<String, Cluster>,
    pub rules: LinkRules,
}

/// What an agent answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanLines {
    pub lines: Vec<PlanLine>,
}

/// What an agent is asked of a link that was removed: the argument of TIDY_LINK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TidyQuestion {
    pub link: String,
    /// Both of its clusters, by name.
    pub clusters: BTreeMap<String, Cluster>,
}

/// What an agent answers once both passports say nothing of the link any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TidyAnswer {
    /// Entries deleted, by cluster.
    pub deleted: BTreeMap<String, u64>,
}
