//! What may be written in `agent.yaml`; its comments are the descriptions of `deploy/agent.schema.json`.
//! Promises: reading never fails for a value of the wrong shape or an unknown key: both are kept as such and reported
//! with all other faults by `RawAgent::check`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::spec::daemon::RawLog;
use crate::spec::link::{RawDefaults, RawGroups, RawPriority, RawRename, RawTopicSettings, RawTopics};
use crate::spec::security::RawSecurity;
use crate::spec::written::{Named, Text, Texts, Unknown, Written};

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
    /// A folder for what is kept between runs, a day of every link's exposure; it is made if it is missing. Default: kept
    /// in memory.
    pub(super) data: Option<Written<Text>>,
    /// How the daemon writes its log.
    pub(super) log: Option<Written<RawLog>>,
    /// For every link that does not say otherwise.
    pub(super) defaults: Option<Written<RawDefaults>>,
    /// Kafka clusters by a name of their own. Needed without coordinators.
    pub(super) clusters: Named<RawCluster>,
    /// Links by name; the name is also that of the link's producer on the destination, and does not change later.
    pub(super) links: Named<RawLink>,
    /// Who says which clusters and links there are; then none of them stands in this file.
    pub(super) coordinators: Option<Written<RawCoordinators>>,
    /// How clusters that the coordinators name are reached, by the name that dr.yaml gives for a cluster's security.
    pub(super) security: Named<RawSecurity>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// Where the coordinators are, and who this agent is to them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Coordinators")]
pub(super) struct RawCoordinators {
    /// Addresses of coordinators: host:port, several as a list or separated by commas. Needed.
    pub(super) addresses: Option<Written<Texts>>,
    /// PEM: who may sign the coordinators' certificates. Needed.
    pub(super) ca: Option<Written<Text>>,
    /// PEM: this agent's certificate; its SAN URI lockstep://agent/SITE/NAME says who it is. Needed.
    pub(super) certificate: Option<Written<Text>>,
    /// PEM: the key of the certificate. Needed.
    pub(super) key: Option<Written<Text>>,
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
