//! What may be written in `agent.yaml`; its comments are the descriptions of `deploy/agent.schema.json`.
//! Promises: reading never fails for a value of the wrong shape or an unknown key: both are kept as such and reported
//! with all other faults by `RawAgent::check`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::spec::security::RawSecurity;
use crate::spec::written::{Text, Texts, Written};

/// Keys that mean nothing.
pub(super) type Unknown = BTreeMap<String, IgnoredAny>;

/// A map from names that the user chose; its values may have any shape until they are looked at.
pub(super) type Named<T> = Option<Written<BTreeMap<String, Written<T>>>>;

/// The daemon of one datacenter: its clusters and the links it carries.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, title = "agent.yaml")]
pub struct RawAgent {
    /// The name of this datacenter: letters, digits, '.', '_' or '-'. Needed.
    pub(super) site: Option<Written<Text>>,
    /// Where /metrics, /healthz, /readyz and /status are served: host:port, or off. Default: 127.0.0.1:9464.
    pub(super) listen: Option<Written<Text>>,
    /// Fetched records held in memory at most, all links together: a size from 1MiB. Default: 64MiB.
    pub(super) memory: Option<Written<Text>>,
    /// How long a stop may take until it gives up: a time up to 1h. Default: 10s.
    pub(super) drain: Option<Written<Text>>,
    /// How the daemon writes its log.
    pub(super) log: Option<Written<RawLog>>,
    /// For every link that does not say otherwise.
    pub(super) defaults: Option<Written<RawDefaults>>,
    /// Kafka clusters by a name of their own. Needed.
    pub(super) clusters: Named<RawCluster>,
    /// Links by name; the name is also that of the link's producer on the destination, and does not change later.
    pub(super) links: Named<RawLink>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// How the daemon writes its log, to standard error.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Log")]
pub(super) struct RawLog {
    /// text or json. Default: text.
    pub(super) format: Option<Written<Text>>,
    /// error, warn, info, debug or trace, also by module: info,lockstep_agent=debug. Default: info.
    pub(super) level: Option<Written<Text>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// What holds for links that do not say otherwise.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Defaults")]
pub(super) struct RawDefaults {
    /// How much may be lost at a failover, in time. Default: 10s.
    pub(super) rpo: Option<Written<Text>>,
    /// What of the source's deletions is followed: none (only what its retention explains) or all. Default: none.
    pub(super) propagate: Option<Written<Text>>,
    /// What may be spent on one hole in a partition without asking: a size or a time. Default: 1GiB and 10m.
    pub(super) alignment_budget: Option<Written<Text>>,
    /// Bytes per second that a link reads at most. Default: as fast as it goes.
    pub(super) throttle: Option<Written<Text>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// A Kafka cluster and how it is reached.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Cluster")]
pub(super) struct RawCluster {
    /// Addresses that are asked first: host:port, several as a list or separated by commas. Needed.
    pub(super) bootstrap: Option<Written<Texts>>,
    /// Without it: plaintext.
    pub(super) security: Option<Written<RawSecurity>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// Topics and groups kept equal between two clusters.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Link")]
pub(super) struct RawLink {
    /// The source: a name from `clusters`. Needed.
    pub(super) from: Option<Written<Text>>,
    /// The destination: a name from `clusters`. Needed.
    pub(super) to: Option<Written<Text>>,
    /// Which topics: anchored regular expressions. Needed.
    pub(super) topics: Option<Written<RawTopics>>,
    /// Which consumer groups' offsets are copied. Default: none.
    pub(super) groups: Option<Written<RawGroups>>,
    /// What topics are called on the destination: a prefix, or a pattern and what it becomes. Default: as at the source.
    pub(super) rename: Option<Written<RawRename>>,
    /// What of the source's deletions is followed: none (only what its retention explains) or all.
    pub(super) propagate: Option<Written<Text>>,
    /// What may be spent on one hole in a partition without asking: a size or a time.
    pub(super) alignment_budget: Option<Written<Text>>,
    /// Bytes per second that the link reads at most.
    pub(super) throttle: Option<Written<Text>>,
    /// Which topics go first when not all can be copied at once. None is ever starved.
    pub(super) priority: Option<Written<RawPriority>>,
    /// Whose word counts for which setting of the topics on the destination, against docs/OPERATIONS.md (Topic settings).
    pub(super) topic_settings: Option<Written<RawTopicSettings>>,
    /// How much may be lost at a failover, in time.
    pub(super) rpo: Option<Written<Text>>,
    /// true: the link is known and checked, but copies nothing.
    pub(super) paused: Option<Written<bool>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// Patterns alone, or what to take and what to leave out.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Topics")]
pub(super) enum RawTopics {
    Plain(Texts),
    Lists(RawLists),
}

/// Topics to take, less topics to leave out.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Lists")]
pub(super) struct RawLists {
    /// Anchored regular expressions: each has to match the whole name. Needed.
    pub(super) include: Option<Written<Texts>>,
    /// What is left out although it is included.
    pub(super) exclude: Option<Written<Texts>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// Patterns alone, or with what becomes of the groups.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Groups")]
pub(super) enum RawGroups {
    Plain(Texts),
    Policy(RawGroupPolicy),
}

/// Consumer groups to copy, and how.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "GroupPolicy")]
pub(super) struct RawGroupPolicy {
    /// Anchored regular expressions: each has to match the whole name. Needed.
    pub(super) include: Option<Written<Texts>>,
    /// What is left out although it is included.
    pub(super) exclude: Option<Written<Texts>>,
    /// What an offset waits for: link (every partition of the link has come as far) or none (its own). Default: link.
    pub(super) barrier: Option<Written<Text>>,
    /// true: a group removed at the source is removed on the destination too. Default: false.
    pub(super) remove: Option<Written<bool>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// A prefix, or a pattern and what it becomes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Rename")]
pub(super) enum RawRename {
    Prefix(Text),
    Pattern(RawRenamePattern),
}

/// Names that `from` matches as a whole become `to`; all others stay.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "RenamePattern")]
pub(super) struct RawRenamePattern {
    /// An anchored regular expression. Needed.
    pub(super) from: Option<Written<Text>>,
    /// The new name; $1 … are the groups of `from`. Needed.
    pub(super) to: Option<Written<Text>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// Settings of topics by their names in Kafka. What a mirror depends on cannot be set.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RawTopicSettings {
    /// Values for every topic of the link on the destination.
    pub(super) set: Option<Written<BTreeMap<String, Written<Text>>>>,
    /// source: follows the source's topic; local: is the destination's own affair.
    pub(super) owners: Option<Written<BTreeMap<String, Written<Text>>>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// Topics by urgency; one that is in both lists is urgent.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Priority")]
pub(super) struct RawPriority {
    /// Topics that go first.
    pub(super) high: Option<Written<Texts>>,
    /// Topics that may wait.
    pub(super) low: Option<Written<Texts>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}
