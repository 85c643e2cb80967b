//! How an agent stands with its coordinators.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What an agent says of its coordinators.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlStatus {
    /// The agent's name, as its certificate says it.
    pub agent: String,
    pub conversation: Conversation,
    /// Since a coordinator was heard; null: not since the agent started.
    pub heard_age_ms: Option<u64>,
    /// 0: it is over; null: never granted since the agent started.
    pub lease_left_ms: Option<u64>,
    /// Of the spec that the agent works by; 0: none was ever told.
    pub revision: u64,
    pub incarnation: u64,
    /// Assigned links and clusters that cannot be worked with, and why.
    pub refused: BTreeMap<String, String>,
}

/// Whom it talks to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Conversation {
    /// It looks for the coordinator that leads.
    #[default]
    Seeking,
    With {
        /// `host:port`.
        address: String,
    },
    /// Nobody can be talked to; tried again.
    Without {
        /// In words, with the remedy where there is one.
        why: String,
    },
}
