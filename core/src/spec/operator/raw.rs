//! What may be written in `operator.yaml`; its comments are the descriptions of `deploy/operator.schema.json`.
//! Promises: reading never fails for a value of the wrong shape or an unknown key: both are kept as such and reported
//! with all other faults by `RawOperator::check`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::spec::tls::RawTls;
use crate::spec::written::{Texts, Unknown, Written};

/// Where the coordinators are, and who you are to them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, title = "operator.yaml")]
pub struct RawOperator {
    /// Addresses of coordinators, asked in turn until one answers: host:port, several as a list. Needed.
    pub(super) coordinators: Option<Written<Texts>>,
    /// Who you are, and whom you trust. Needed.
    pub(super) tls: Option<Written<RawTls>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}
