//! What an agent does at the coordinators' word, and what it does without it.
//!
//! ```text
//! coordinators ─ session (one conversation) ─► desk (assigned, lease) ─► divisions ─► engines
//!                    ▲ reports, probes, answers                 └► words ─► daemon (starts and stops links)
//! ```
//!
//! | file | does |
//! |---|---|
//! | [`assigned`] | what the coordinators want: links, shares, clusters; words that were overtaken are refused |
//! | [`desk`] | what this agent holds now, whoever is heard; remembered on disk |
//! | [`division`] | whose each partition of a link is, and with what leave it may be written |
//! | [`clock`] | the clock of leases |
//! | [`seeking`], [`staggered`](mod@staggered) | finds the coordinator that leads, again and again |
//! | [`session`], `reporting` | one conversation: heartbeats, releases, questions; reports of links in turn |
//! | [`probing`] | what this site sees of every cluster |
//! | [`answering`], `planning` | questions that only an agent can answer; what a planned link would do |

pub mod answering;
pub mod assigned;
pub mod clock;
pub mod desk;
pub mod division;
mod planning;
pub mod probing;
mod reporting;
pub mod seeking;
pub mod session;
pub mod staggered;

use lockstep_core::mirror::Millis;
use lockstep_core::status::{AgentStatus, GroupsStatus, HistoryStatus, LinkStatus};

pub use desk::Control;

/// Names the figures of one moment: equal ones make the same status, but for its ages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures(pub Millis);

/// What the daemon knows of its links.
pub trait Links: Send + Sync + 'static {
    /// Which figures a link's status rests on now. `None`: it does not run, and its status is made without any.
    fn figures(&self, link: &str) -> Option<Figures>;

    /// `None`: it is not here.
    fn status(&self, link: &str) -> Option<LinkStatus>;

    /// The epoch whose division a link has carried out: nothing of earlier ones is in flight. `None`: it does not run.
    fn settled(&self, link: &str) -> Option<u64>;

    /// Whether a link is here, also one that is just stopping.
    fn has(&self, link: &str) -> bool;

    /// As the agent tells it by itself, with this link alone. `None`: it is not here.
    fn detail(&self, link: &str) -> Option<AgentStatus>;

    fn groups(&self, link: &str) -> Option<GroupsStatus>;

    /// A day of a link, as this agent looked.
    fn history(&self, link: &str) -> Option<HistoryStatus>;
}
