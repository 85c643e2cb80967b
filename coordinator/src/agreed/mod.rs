//! What the coordinators have agreed on, between the bytes of the log and the rules of core.
//!
//! ```text
//! Entry ─ encode ─► log ─ every member ─► Replica::apply ─► State ─ wanted ─► what agents are told
//! ```
//!
//! Promises: bytes that this version does not understand stop the member instead of being passed over: it would have
//! another state than the others. Entries and snapshots are JSON; fields of newer versions are skipped.

mod wanted;

use std::sync::{Arc, PoisonError, RwLock};

use lockstep_core::state::{Applied, Entry, EntryHead, NotUnderstood, Snapshot, State};
use thiserror::Error;

pub use wanted::{clusters, links};

/// The largest entry: a spec of 5,000 links with its text has some 4 MB.
pub const ENTRY_BYTES_MAX: usize = 16 << 20;

/// Why this member must not go on. A newer version may.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Stop {
    #[error(transparent)]
    NotUnderstood(#[from] NotUnderstood),
    #[error("the entry at index {index} cannot be read: {why}")]
    Entry { index: u64, why: String },
    #[error("the snapshot cannot be read: {0}")]
    Snapshot(String),
}

/// Why an entry is not proposed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotEncoded {
    #[error("the entry has {bytes} bytes; at most {ENTRY_BYTES_MAX} are agreed on at once")]
    TooLarge { bytes: usize },
    #[error("the entry cannot be written: {0}")]
    Unwritable(String),
}

/// The agreed state as everybody of this process sees it. A handle.
#[derive(Clone, Debug, Default)]
pub struct Shared(Arc<RwLock<Arc<State>>>);

impl Shared {
    /// As it is now; whoever holds it sees no later change.
    #[must_use]
    pub fn get(&self) -> Arc<State> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One member's copy of the agreed state.
#[derive(Debug, Default)]
pub struct Replica {
    state: Shared,
}

impl Replica {
    #[must_use]
    pub fn shared(&self) -> Shared {
        self.state.clone()
    }

    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.state.get()
    }

    /// The log's next entry. A refusal is an answer, not an error: every member comes to the same one.
    ///
    /// # Errors
    /// [`Stop`]; the state is as before.
    pub fn apply(&mut self, index: u64, data: &[u8]) -> Result<Applied, Stop> {
        let entry = decode(index, data)?;
        let mut state = self.state.0.write().unwrap_or_else(PoisonError::into_inner);
        // Copied only while somebody still reads the one before.
        Ok(Arc::make_mut(&mut state).apply(&entry)?)
    }

    /// # Errors
    /// What cannot be written as JSON; no state of ours is such.
    pub fn snapshot(&self) -> Result<Vec<u8>, Stop> {
        serde_json::to_vec(&self.state().snapshot()).map_err(|error| Stop::Snapshot(error.to_string()))
    }

    /// # Errors
    /// [`Stop`]; the state is as before.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let snapshot: Snapshot =
            serde_json::from_slice(bytes).map_err(|error| Stop::Snapshot(error.to_string()))?;
        let state = Arc::new(State::restore(snapshot)?);
        *self.state.0.write().unwrap_or_else(PoisonError::into_inner) = state;
        Ok(())
    }
}

/// An entry as it is proposed.
///
/// # Errors
/// It is larger than what may be proposed: nothing is, or every member would have to take it.
pub fn encode(entry: &Entry) -> Result<Vec<u8>, NotEncoded> {
    let data = serde_json::to_vec(entry).map_err(|error| NotEncoded::Unwritable(error.to_string()))?;
    if data.len() > ENTRY_BYTES_MAX {
        return Err(NotEncoded::TooLarge { bytes: data.len() });
    }
    Ok(data)
}

/// The head first: an entry of a newer version may have a shape that only its level explains.
fn decode(index: u64, data: &[u8]) -> Result<Entry, Stop> {
    let unreadable = |error: serde_json::Error| Stop::Entry { index, why: error.to_string() };
    let head: EntryHead = serde_json::from_slice(data).map_err(unreadable)?;
    head.understood()?;
    serde_json::from_slice(data).map_err(unreadable)
}

#[cfg(test)]
mod tests;
