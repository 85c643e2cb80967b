//! What may be written about a link wherever links are written; the comments are descriptions in the JSON schemas.
//! Promises: reading never fails for a value of the wrong shape or an unknown key (`super::check` reports them).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::spec::written::{Text, Texts, Unknown, Written};

/// What holds for links that do not say otherwise.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Defaults")]
pub(in crate::spec) struct RawDefaults {
    /// How much may be lost at a failover, in time. Default: 10s.
    pub(in crate::spec) rpo: Option<Written<Text>>,
    /// What of the source's deletions is followed: none (only what its retention explains) or all. Default: none.
    pub(in crate::spec) propagate: Option<Written<Text>>,
    /// What may be spent on one hole in a partition without asking: a size or a time. Default: 1GiB and 10m.
    pub(in crate::spec) alignment_budget: Option<Written<Text>>,
    /// Bytes per second that a link reads at most. Default: as fast as it goes.
    pub(in crate::spec) throttle: Option<Written<Text>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(in crate::spec) unknown: Unknown,
}

/// Patterns alone, or what to take and what to leave out.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Topics")]
pub(in crate::spec) enum RawTopics {
    Plain(Texts),
    Lists(RawLists),
}

/// Topics to take, less topics to leave out.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Lists")]
pub(in crate::spec) struct RawLists {
    /// Anchored regular expressions: each has to match the whole name. Needed.
    pub(in crate::spec) include: Option<Written<Texts>>,
    /// What is left out although it is included.
    pub(in crate::spec) exclude: Option<Written<Texts>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(in crate::spec) unknown: Unknown,
}

/// Patterns alone, or with what becomes of the groups.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Groups")]
pub(in crate::spec) enum RawGroups {
    Plain(Texts),
    Policy(RawGroupPolicy),
}

/// Consumer groups to copy, and how.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "GroupPolicy")]
pub(in crate::spec) struct RawGroupPolicy {
    /// Anchored regular expressions: each has to match the whole name. Needed.
    pub(in crate::spec) include: Option<Written<Texts>>,
    /// What is left out although it is included.
    pub(in crate::spec) exclude: Option<Written<Texts>>,
    /// What an offset waits for: link (every partition of the link has come as far) or none (its own). Default: link.
    pub(in crate::spec) barrier: Option<Written<Text>>,
    /// true: a group removed at the source is removed on the destination too. Default: false.
    pub(in crate::spec) remove: Option<Written<bool>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(in crate::spec) unknown: Unknown,
}

/// A prefix, or a pattern and what it becomes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Rename")]
pub(in crate::spec) enum RawRename {
    Prefix(Text),
    Pattern(RawRenamePattern),
}

/// Names that `from` matches as a whole become `to`; all others stay.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "RenamePattern")]
pub(in crate::spec) struct RawRenamePattern {
    /// An anchored regular expression. Needed.
    pub(in crate::spec) from: Option<Written<Text>>,
    /// The new name; $1 … are the groups of `from`. Needed.
    pub(in crate::spec) to: Option<Written<Text>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(in crate::spec) unknown: Unknown,
}

/// Settings of topics by their names in Kafka. What a mirror depends on cannot be set.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::spec) struct RawTopicSettings {
    /// Values for every topic of the link on the destination.
    pub(in crate::spec) set: Option<Written<BTreeMap<String, Written<Text>>>>,
    /// source: follows the source's topic; local: is the destination's own affair.
    pub(in crate::spec) owners: Option<Written<BTreeMap<String, Written<Text>>>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(in crate::spec) unknown: Unknown,
}

/// Topics by urgency; one that is in both lists is urgent.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Priority")]
pub(in crate::spec) struct RawPriority {
    /// Topics that go first.
    pub(in crate::spec) high: Option<Written<Texts>>,
    /// Topics that may wait.
    pub(in crate::spec) low: Option<Written<Texts>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(in crate::spec) unknown: Unknown,
}
