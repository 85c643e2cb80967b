//! One link from start to stop: look before touching, then copy until told otherwise.
//!
//! ```text
//! Ends, LinkSettings ─ prepare ─► Prepared (a plan, nothing changed) ─ start ─► Running ─ stop ─► Ended
//! ```
//!
//! | file | does |
//! |---|---|
//! | [`prepare`] | connects, checks both clusters, plans every topic; refuses before anything is changed |
//! | [`identity`] | the link's one producer (M1), kept alive (M2) |
//! | [`origin`] | which topics of the source are copies of the destination's own |
//! | [`standing`] | what stands on the destination under a topic's name |
//! | [`topics`] | plans topics, carries plans out |
//! | [`follow`] | follows new topics and partitions of the source |
//! | `described` | what clusters tell of topics' settings, many topics per request |
//! | `fields` | which settings there are, and which are asked for |
//! | [`keeper`] | keeps standby topics' settings right while a link runs: follows, puts back, reports drift |
//! | [`running`] | the tasks of a running link, and how they end |
//! | [`watched`] | a cluster that several links share |

mod described;
pub mod fault;
mod fields;
pub mod follow;
pub mod identity;
pub mod keeper;
pub mod origin;
pub mod prepare;
pub mod running;
pub mod standing;
pub mod topics;
pub mod watched;

use std::time::Duration;

use lockstep_core::groups::policy::GroupPolicy;
use lockstep_core::mirror::cost::AlignmentBudget;
use lockstep_core::mirror::retention::Propagation;
use lockstep_core::plan::owners::TopicSettingsPolicy;
use lockstep_core::spec::agent::LinkSpec;
use lockstep_core::spec::pace::Pace;
use lockstep_core::spec::rename::Rename;
use lockstep_core::spec::select::TopicSelection;

use tokio::sync::watch;

use crate::pipeline::budget::Budget;
use crate::pipeline::owned::Owned;

/// What a link is told.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// The link's name; `None`: the source's cluster id.
    pub name: Option<String>,
    pub selection: TopicSelection,
    /// What of the source's deletions reaches the destination (M20).
    pub propagation: Propagation,
    /// What may be spent on one hole without asking (M14).
    pub alignment: AlignmentBudget,
    /// What the topics are called on the destination.
    pub rename: Rename,
    /// How fast, and which topics first.
    pub pace: Pace,
    /// Whose word counts for which setting of a standby topic.
    pub topic_settings: TopicSettingsPolicy,
    /// Which consumer groups are copied; `None`: none.
    pub groups: Option<GroupPolicy>,
    pub unfit: Unfit,
    /// How long a stop waits for the answers to what is in flight.
    pub drain: Duration,
    /// Which partitions are this process's work, and with what leave.
    pub owned: watch::Receiver<Owned>,
    /// Fetched records in memory: shared by every link of the process.
    pub budget: Budget,
}

impl LinkSettings {
    /// As a file or the coordinators say it; what cannot be mirrored holds up nothing else.
    pub(crate) fn of(name: &str, link: &LinkSpec, owned: watch::Receiver<Owned>, budget: &Budget) -> Self {
        Self {
            name: Some(name.to_owned()),
            selection: link.topics.clone(),
            propagation: link.propagation,
            alignment: link.alignment,
            rename: link.rename.clone(),
            pace: link.pace.clone(),
            topic_settings: link.topic_settings.clone(),
            groups: link.groups.clone(),
            unfit: Unfit::BlockTopic,
            drain: DRAIN_DEFAULT,
            owned,
            budget: budget.clone(),
        }
    }
}

/// What happens at the start with a topic that cannot be mirrored as things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Nothing is started and nothing is changed: somebody is there to read why.
    RefuseLink,
    /// It is blocked, with the reason, and tried again; all others are copied.
    BlockTopic,
}

/// How long a stop waits unless somebody says otherwise.
pub const DRAIN_DEFAULT: Duration = Duration::from_secs(10);
