//! What may be written in `coordinator.yaml`; its comments are the descriptions of `deploy/coordinator.schema.json`.
//! Promises: reading never fails for a value of the wrong shape or an unknown key: both are kept as such and reported
//! with all other faults by `RawCoordinator::check`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::spec::daemon::RawLog;
use crate::spec::tls::RawTls;
use crate::spec::written::{Text, Texts, Unknown, Written};

/// One of the coordinators: who it is, where it keeps what was agreed, and what operators may do.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, title = "coordinator.yaml")]
pub struct RawCoordinator {
    /// The coordinator's name, as its certificate says it: lockstep://coordinator/NAME. Needed.
    pub(super) name: Option<Written<Text>>,
    /// The datacenter it stands in. Needed.
    pub(super) site: Option<Written<Text>>,
    /// The folder for what was agreed; nothing else may write there. Needed.
    pub(super) data: Option<Written<Text>>,
    /// Where agents, operators and other coordinators come: host:port. Default: 0.0.0.0:9470.
    pub(super) listen: Option<Written<Text>>,
    /// Where /metrics, /healthz and /readyz are served: host:port, or off. Default: 127.0.0.1:9480.
    pub(super) http: Option<Written<Text>>,
    /// How it writes its log.
    pub(super) log: Option<Written<RawLog>>,
    /// Who it is, and whom it trusts. Needed.
    pub(super) tls: Option<Written<RawTls>>,
    /// What operators may do. Without it: nothing.
    pub(super) access: Option<Written<Vec<Written<RawGrant>>>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// What one operator may do. An operator may have several.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Grant")]
pub(super) struct RawGrant {
    /// The operator's name, as its certificate says it: lockstep://operator/NAME. Needed.
    pub(super) operator: Option<Written<Text>>,
    /// viewer (reads), operator (acts on links as well) or admin (changes the system as well). Needed.
    pub(super) role: Option<Written<Text>>,
    /// For links with these names: anchored regular expressions. Default: all links, and the system itself.
    pub(super) links: Option<Written<Texts>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}
