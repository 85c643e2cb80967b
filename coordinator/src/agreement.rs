//! The coordinators as one: what a member can ask of all of them together. The services (agents, operators, peers) know this
//! and nothing of how agreement is reached.
//! Promises: what was answered as done is on the disks of a majority; [`NotDone::Unknown`] is said where it is not certain.

use std::path::PathBuf;
use std::sync::Arc;

use lockstep_core::audit::{Actor, AuditEvent, Head};
use lockstep_core::state::{Applied, Command, Member, State};
use thiserror::Error;
use tokio::time::Instant;

/// Events of one page of the audit trail.
pub const PAGE_EVENTS_MAX: usize = 1_000;
/// Bytes of one page, as JSON.
pub const PAGE_BYTES_MAX: usize = 4 << 20;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotDone {
    /// Nothing was done; the leader, where one is known, may be asked.
    #[error("this coordinator does not lead")]
    NotLeader { leader: Option<u64> },
    /// Nothing was done.
    #[error("too much is being agreed on already: try again")]
    Busy,
    /// Nothing was done, and trying again does not help.
    #[error("{0}")]
    Refused(String),
    /// It was proposed, and then the leader went away, or no majority answered in time.
    #[error("it is not known whether it was done: look, and ask again if it was not")]
    Unknown,
    /// This member has stopped, and says why.
    #[error("this coordinator has stopped: {0}")]
    Stopped(String),
}

/// One of the coordinators, as the agreement has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    pub member: Member,
    pub kind: SeatKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatKind {
    Voter,
    /// Receives everything and has no vote: it joins, and becomes a voter once it is there.
    Learner,
}

/// Where this member stands in the agreement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// This member.
    pub id: u64,
    pub term: u64,
    pub leader: Option<u64>,
    /// Since when this member has known no leader; `None` while it knows one.
    pub leaderless: Option<Instant>,
    /// The last index that a majority has.
    pub committed: u64,
    /// The last index that is in this member's state.
    pub applied: u64,
    /// Entries on this member's disk, what they take there, and the last one that the newest snapshot has.
    pub log_entries: u64,
    pub log_bytes: u64,
    pub snapshot: u64,
    /// When the consensus last came round; told late to whoever waits for changes, never to who looks.
    pub turned: Option<Instant>,
    /// By id.
    pub seats: Vec<Seat>,
    /// For a member that comes; no id is ever given twice.
    pub next_id: u64,
    /// Why this member has stopped; it answers nothing else from then on.
    pub stopped: Option<String>,
}

impl Position {
    #[must_use]
    pub fn leads(&self) -> bool {
        self.leader == Some(self.id) && self.stopped.is_none()
    }

    #[must_use]
    pub fn seat(&self, id: u64) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.member.id == id)
    }
}

/// A change of the membership. One at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reseat {
    /// A new coordinator, or a known one at a new address: first a learner, then a voter.
    Join(Member),
    /// By name.
    Leave(String),
}

/// A part of the audit trail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// In order, without a gap, at most [`PAGE_EVENTS_MAX`].
    pub events: Vec<AuditEvent>,
    /// Where the trail ends.
    pub head: Head,
}

/// What can be asked of the coordinators together.
#[tonic::async_trait]
pub trait Agreement: Send + Sync + 'static {
    /// As this member has it: it may be behind.
    fn state(&self) -> Arc<State>;

    fn position(&self) -> Position;

    /// A state that is at least as new as everything that was answered as done before this call (read index).
    ///
    /// # Errors
    /// [`NotDone::NotLeader`], [`NotDone::Unknown`] when no majority answers, [`NotDone::Stopped`].
    async fn read(&self) -> Result<Arc<State>, NotDone>;

    /// # Errors
    /// [`NotDone`]. What the state's rules refuse is an outcome, not an error.
    async fn propose(
        &self,
        actor: Actor,
        reason: Option<String>,
        command: Command,
    ) -> Result<Applied, NotDone>;

    /// Changes the membership and tells the audit trail.
    ///
    /// # Errors
    /// [`NotDone`]; refused where it would leave nobody, or another change is under way.
    async fn reseat(
        &self,
        actor: Actor,
        reason: Option<String>,
        change: Reseat,
    ) -> Result<Vec<Seat>, NotDone>;

    /// Writes this member's snapshot now: its index and file.
    ///
    /// # Errors
    /// [`NotDone::Stopped`], or the disk's fault as [`NotDone::Refused`].
    async fn snapshot(&self) -> Result<(u64, PathBuf), NotDone>;

    /// From the event of this number on; as this member has it.
    ///
    /// # Errors
    /// [`NotDone::Refused`]: the trail cannot be read.
    async fn audit(&self, from_seq: u64) -> Result<AuditPage, NotDone>;
}
