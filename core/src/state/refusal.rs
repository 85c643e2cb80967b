//! Why an entry does nothing, and why a member must not go on: in words, with the remedy.

use thiserror::Error;

/// The entry stays without effect. Everybody comes to the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("the system is not founded yet: lockstep coordinator init")]
    NotFounded,
    #[error("the system is founded already, as {cluster_id}")]
    FoundedAlready { cluster_id: String },
    #[error(
        "entries of level {level} are not switched on, {finalized} is: once every coordinator runs the new version, \
         lockstep coordinator finalize"
    )]
    Level { level: u32, finalized: u32 },
    #[error("the spec is at revision {present} by now, the plan was made for {expected}: plan again")]
    Stale { expected: u64, present: u64 },
    #[error("there is no {what} {name:?}")]
    Unknown { what: &'static str, name: String },
    #[error("{what} {name:?}: {why}")]
    Unfit { what: &'static str, name: String, why: String },
    #[error("{what}: at most {limit}")]
    Limit { what: &'static str, limit: usize },
}

impl Refusal {
    /// One stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFounded => "not_founded",
            Self::FoundedAlready { .. } => "founded_already",
            Self::Level { .. } => "level",
            Self::Stale { .. } => "stale",
            Self::Unknown { .. } => "unknown",
            Self::Unfit { .. } => "unfit",
            Self::Limit { .. } => "limit",
        }
    }
}

/// This member must not go on: what it would make of this is not what the others make of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotUnderstood {
    #[error(
        "an entry {kind:?} of level {level} is not known to this version (it knows {known}): start the version that the \
         other coordinators run"
    )]
    Entry { kind: String, level: u32, known: u32 },
    #[error(
        "a snapshot of format {format} and level {level} is not known to this version (it knows {known_format} and \
         {known_level}): start the version that wrote it"
    )]
    Snapshot { format: u32, level: u32, known_format: u32, known_level: u32 },
}
