//! What may be written in `dr.yaml`; its comments are the descriptions of `deploy/dr.schema.json`.
//! Promises: reading never fails for a value of the wrong shape or an unknown key: both are kept as such and reported
//! with all other faults by the check.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::spec::link::{RawDefaults, RawGroups, RawPriority, RawRename, RawTopicSettings, RawTopics};
use crate::spec::written::{Named, Text, Texts, Unknown, Written};

/// The whole system: its sites, clusters and links. No secret stands here.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, title = "dr.yaml")]
pub struct RawDr {
    /// For every link that does not say otherwise.
    pub(super) defaults: Option<Written<RawDefaults>>,
    /// Datacenters by name. Needed.
    pub(super) sites: Named<RawSite>,
    /// Kafka clusters by a name of their own.
    pub(super) clusters: Named<RawCluster>,
    /// Links by name; the name is also that of the link's producer on its clusters, and does not change later.
    pub(super) links: Named<RawLink>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// A datacenter.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Site")]
pub(super) struct RawSite {
    /// true: a coordinator and an agent that only probes, no cluster. Default: false.
    pub(super) witness: Option<Written<bool>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// A Kafka cluster in one site.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Cluster")]
pub(super) struct RawCluster {
    /// The name of its site. Needed.
    pub(super) site: Option<Written<Text>>,
    /// Addresses that are asked first: host:port, several as a list or separated by commas. Needed.
    pub(super) bootstrap: Option<Written<Texts>>,
    /// The name of a section below `security` in every agent.yaml. Default: plaintext.
    pub(super) security: Option<Written<Text>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// Topics and groups kept equal between two clusters; either can be primary.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Link")]
pub(super) struct RawLink {
    /// The names of two clusters. Needed.
    pub(super) clusters: Option<Written<Vec<Written<Text>>>>,
    /// Which of the two is primary at first. A change of sides later is no difference from this file. Needed.
    pub(super) prefer: Option<Written<Text>>,
    /// Which topics: anchored regular expressions. Needed.
    pub(super) topics: Option<Written<RawTopics>>,
    /// Which consumer groups' offsets are copied. Default: none.
    pub(super) groups: Option<Written<RawGroups>>,
    /// What topics are called on the standby: a prefix, or a pattern and what it becomes. Default: as on the primary.
    pub(super) rename: Option<Written<RawRename>>,
    /// What of the primary's deletions is followed: none (only what its retention explains) or all.
    pub(super) propagate: Option<Written<Text>>,
    /// What may be spent on one hole in a partition without asking: a size or a time.
    pub(super) alignment_budget: Option<Written<Text>>,
    /// Bytes per second that the link reads at most.
    pub(super) throttle: Option<Written<Text>>,
    /// Which topics go first when not all can be copied at once. None is ever starved.
    pub(super) priority: Option<Written<RawPriority>>,
    /// Whose word counts for which setting of the topics on the standby, against docs/OPERATIONS.md (Topic settings).
    pub(super) topic_settings: Option<Written<RawTopicSettings>>,
    /// How much may be lost at a failover, in time.
    pub(super) rpo: Option<Written<Text>>,
    /// true: the link is known and checked, but copies nothing.
    pub(super) paused: Option<Written<bool>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}
