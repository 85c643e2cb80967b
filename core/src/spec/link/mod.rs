//! One link, wherever it is written: in `agent.yaml` with its direction, in `dr.yaml` with its two clusters.
//!
//! | file | does |
//! |---|---|
//! | `raw` | what may be written, whatever its shape |
//! | `check` | what a link takes, under which names, how fast |
//! | `between` | links against each other: circles, collisions |
//! | `rules` | the same as it is stored and sent |
//! | `example` | a topic's name that a pattern takes, to judge patterns by |

pub(super) mod between;
pub(super) mod check;
mod example;
mod raw;
mod rules;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use example::{example, literal};
pub(super) use raw::{RawDefaults, RawGroups, RawPriority, RawRename, RawTopicSettings, RawTopics};
pub use rules::{GroupRules, LinkRules, Names, RenameRule};

use super::pace::Pace;
use super::rename::Rename;
use super::select::TopicSelection;
use crate::groups::policy::GroupPolicy;
use crate::mirror::cost::AlignmentBudget;
use crate::mirror::retention::Propagation;
use crate::plan::owners::TopicSettingsPolicy;

/// One link.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkSpec {
    /// The source: the name of a cluster that whoever holds this knows.
    pub from: String,
    /// The destination: another one.
    pub to: String,
    pub topics: TopicSelection,
    /// `None`: no group is copied.
    pub groups: Option<GroupPolicy>,
    pub rename: Rename,
    pub propagation: Propagation,
    pub alignment: AlignmentBudget,
    pub pace: Pace,
    /// Whose word counts for which setting of a topic on the destination.
    pub topic_settings: TopicSettingsPolicy,
    /// How much may be lost at a failover, in time.
    pub rpo: Duration,
    pub wanted: Wanted,
}

/// What a link is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    #[default]
    Running,
    /// Known and checked, but nothing is copied.
    Paused,
}
