//! Agreement on one log: raft over redb and plain snapshot files. The only place that names `raft`, `redb` and `slog`.
//!
//! ```text
//! Handle ─ calls ─┐                      ┌─► Transport ─► other members
//! peers  ─ steps ─┴► Node (one task) ─► raft ─► LogStore (redb, fsync) ─► Machine ─► answers
//!                                        └─► Snapshots (files)
//! ```
//!
//! | file | does |
//! |---|---|
//! | `roster` | who the members are, with their addresses: part of the log and of every snapshot |
//! | `log_store` | entries and hard state on disk; finds what is damaged |
//! | `snapshots` | a machine's state in files that are whole or not there |
//! | `storage` | what raft reads of both |
//! | `node` | the loop: one step after the other, nothing answered before it is on disk |
//! | `calls` | who waits for what |
//! | `handle` | what others may ask of the node |
//! | `founding` | a folder's first content, and what is left after a forced recovery |
//!
//! Promises: what was answered as done is on the disks of a majority; a disk that fails stops the member with the reason,
//! before anything else is said. Knows nothing of what entries mean, and nothing of the network.

mod calls;
mod founding;
mod handle;
mod log_store;
mod node;
mod roster;
mod snapshots;
mod storage;
#[cfg(test)]
mod tests;
mod words;

use lockstep_core::state::Member;
use thiserror::Error;

pub use founding::{Last, found, last, recover};
pub use handle::{Delivery, Handle, Snapshotted};
pub use log_store::LogStore;
pub use node::{Node, Pace};
pub use roster::{Change, Roster};
pub use snapshots::{Files, OnDisk, Snapshots};

/// What the log is about: makes one state of the same entries on every member.
pub trait Machine: Send + 'static {
    type Answer: Send + 'static;

    /// The log's next entry.
    ///
    /// # Errors
    /// Why this member must not go on.
    fn apply(&mut self, index: u64, data: &[u8]) -> Result<Self::Answer, String>;

    /// Everything applied so far.
    ///
    /// # Errors
    /// Why this member must not go on: a state that cannot be written could never be restored either.
    fn snapshot(&mut self) -> Result<Vec<u8>, String>;

    /// Another member's snapshot instead of what was applied so far.
    ///
    /// # Errors
    /// Why this member must not go on.
    fn restore(&mut self, bytes: &[u8]) -> Result<(), String>;
}

/// The way to the other members. Never blocks; what it drops is sent again.
pub trait Transport: Send + 'static {
    /// Who the members are from now on.
    fn roster(&mut self, roster: &Roster);

    fn send(&mut self, to: &Member, parcel: Parcel);
}

/// One message for another member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    pub bytes: Vec<u8>,
    pub kind: ParcelKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParcelKind {
    Step,
    /// As large as the state: whoever carries it says what became of it ([`Handle::delivered`]).
    Snapshot,
}

/// Why a member stops, or does not start. Nothing was changed that is not whole.
#[derive(Debug, Error)]
pub enum Fault {
    #[error(
        "the disk failed while {doing}: {why}; mend it and start again: nothing that was answered is lost"
    )]
    Disk { doing: &'static str, why: String },
    #[error(
        "{what} is damaged: {why}; this member may have promised what it no longer knows: remove it from another \
         coordinator (lockstep coordinator remove), set its folder aside and let it join anew"
    )]
    Damaged { what: String, why: String },
    #[error(
        "{what} was written by a newer version (format {format}, this one knows {known}): start that version"
    )]
    Format { what: &'static str, format: u32, known: u32 },
    /// The machine's words.
    #[error("{0}")]
    Machine(String),
    #[error(
        "this coordinator was removed from the system: set its folder aside, and let it join anew if it is wanted"
    )]
    Removed,
    #[error("the consensus refused its own configuration: {0}")]
    Configuration(String),
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    #[error("this member does not lead")]
    NotLeader { leader: Option<u64> },
    #[error("too much is on its way")]
    Busy,
    #[error("{0}")]
    Rule(String),
    /// It was proposed, its fate is not known.
    #[error("not known")]
    Unknown,
    #[error("stopped: {0}")]
    Stopped(String),
}
