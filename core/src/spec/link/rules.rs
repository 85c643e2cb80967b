//! What a link does, as it is stored and sent: texts and numbers only, equal where it was written alike.
//! Promises: it goes back and forth between this and [`LinkSpec`] without loss; fields it does not know are passed over,
//! fields it lacks have the defaults of their time. A pattern that this version cannot read is a fault, never ignored.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{LinkSpec, Wanted};
use crate::groups::policy::{Barrier, GroupPolicy, Removal};
use crate::mirror::cost::AlignmentBudget;
use crate::mirror::retention::Propagation;
use crate::plan::owners::{Owner, TopicSettingsPolicy};
use crate::spec::fault::Fault;
use crate::spec::pace::{Pace, Priorities};
use crate::spec::rename::Rename;
use crate::spec::select::{GroupSelection, Patterns, TopicSelection};

/// Everything about a link but its ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRules {
    pub topics: Names,
    /// `None`: no group is copied.
    #[serde(default)]
    pub groups: Option<GroupRules>,
    #[serde(default)]
    pub rename: RenameRule,
    #[serde(default)]
    pub propagate: Propagation,
    #[serde(default)]
    pub alignment: AlignmentBudget,
    /// `None`: as fast as it goes.
    #[serde(default)]
    pub throttle_bytes_per_second: Option<NonZeroU64>,
    /// Anchored regular expressions, like all that follow.
    #[serde(default)]
    pub priority_high: Vec<String>,
    #[serde(default)]
    pub priority_low: Vec<String>,
    /// Settings of topics that the link gives a value.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Settings of topics that belong to another than the table says.
    #[serde(default)]
    pub setting_owners: BTreeMap<String, Owner>,
    pub rpo_ms: u64,
    #[serde(default)]
    pub wanted: Wanted,
}

/// What to take, less what to leave out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    pub include: Vec<String>,
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// Consumer groups to copy, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRules {
    pub names: Names,
    #[serde(default)]
    pub barrier: Barrier,
    #[serde(default)]
    pub removal: Removal,
}

/// What topics are called on the other side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RenameRule {
    #[default]
    Keep,
    Prefix(String),
    Pattern {
        from: String,
        to: String,
    },
}

impl LinkRules {
    /// What a checked link says, less its ends.
    #[must_use]
    pub fn of(link: &LinkSpec) -> Self {
        let names = |include: &Patterns, exclude: &Patterns| Names {
            include: written(include),
            exclude: written(exclude),
        };
        Self {
            topics: names(&link.topics.include, &link.topics.exclude),
            groups: link.groups.as_ref().map(|groups| GroupRules {
                names: names(&groups.selection.include, &groups.selection.exclude),
                barrier: groups.barrier,
                removal: groups.removal,
            }),
            rename: match &link.rename {
                Rename::Keep => RenameRule::Keep,
                Rename::Prefix(prefix) => RenameRule::Prefix(prefix.clone()),
                Rename::Pattern { from, to } => {
                    RenameRule::Pattern { from: unanchored(from.as_str()).to_owned(), to: to.clone() }
                }
            },
            propagate: link.propagation,
            alignment: link.alignment,
            throttle_bytes_per_second: link.pace.bytes_per_second_max,
            priority_high: written(&link.pace.priorities.high),
            priority_low: written(&link.pace.priorities.low),
            settings: link.topic_settings.set().clone(),
            setting_owners: link.topic_settings.owners().clone(),
            rpo_ms: u64::try_from(link.rpo.as_millis()).unwrap_or(u64::MAX),
            wanted: link.wanted,
        }
    }

    /// The link that copies so from one cluster to the other.
    ///
    /// # Errors
    /// What this version cannot read: whoever stored it knew more, or other, patterns and settings.
    pub fn link(&self, from: &str, to: &str) -> Result<LinkSpec, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut patterns = |key: &str, texts: &[String]| {
            let read = Patterns::new(texts.iter().map(String::as_str));
            read.unwrap_or_else(|bad| {
                faults.push(Fault::new(key, format!("{:?}: {}", bad.pattern, bad.reason)));
                Patterns::default()
            })
        };
        let topics = TopicSelection {
            include: patterns("topics.include", &self.topics.include),
            exclude: patterns("topics.exclude", &self.topics.exclude),
        };
        let groups = self.groups.as_ref().map(|groups| GroupPolicy {
            selection: GroupSelection {
                include: patterns("groups.include", &groups.names.include),
                exclude: patterns("groups.exclude", &groups.names.exclude),
            },
            barrier: groups.barrier,
            removal: groups.removal,
        });
        let priorities = Priorities {
            high: patterns("priority.high", &self.priority_high),
            low: patterns("priority.low", &self.priority_low),
        };
        let rename = match &self.rename {
            RenameRule::Keep => Ok(Rename::Keep),
            RenameRule::Prefix(prefix) => Rename::prefix(prefix),
            RenameRule::Pattern { from, to } => Rename::pattern(from, to),
        };
        let rename = rename.unwrap_or_else(|bad| {
            faults.push(Fault::new("rename", bad.to_string()));
            Rename::Keep
        });
        let settings = TopicSettingsPolicy::new(self.settings.clone(), self.setting_owners.clone());
        let topic_settings = settings.unwrap_or_else(|more| {
            faults.extend(more);
            TopicSettingsPolicy::default()
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(LinkSpec {
            from: from.to_owned(),
            to: to.to_owned(),
            topics,
            groups,
            rename,
            propagation: self.propagate,
            alignment: self.alignment,
            pace: Pace { bytes_per_second_max: self.throttle_bytes_per_second, priorities },
            topic_settings,
            rpo: Duration::from_millis(self.rpo_ms),
            wanted: self.wanted,
        })
    }
}

fn written(patterns: &Patterns) -> Vec<String> {
    patterns.written().map(str::to_owned).collect()
}

fn unanchored(pattern: &str) -> &str {
    pattern.strip_prefix("^(?:").and_then(|rest| rest.strip_suffix(")$")).unwrap_or(pattern)
}
