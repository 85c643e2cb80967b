//! A state as it is stored: its format, and everything in it. What is restored applies entries as the original would.

use serde::{Deserialize, Serialize};

use super::State;
use super::level::known;
use super::refusal::NotUnderstood;

/// Raised when a field changes its meaning; a new field with a default needs no new format.
const FORMAT: u32 = 1;

/// A state and the rules by which it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub format: u32,
    pub state: State,
}

impl State {
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { format: FORMAT, state: self.clone() }
    }

    /// # Errors
    /// It was written by a version that knows more than this one.
    pub fn restore(snapshot: Snapshot) -> Result<Self, NotUnderstood> {
        let Snapshot { format, state } = snapshot;
        if format > FORMAT || state.level > known() {
            return Err(NotUnderstood::Snapshot {
                format,
                level: state.level,
                known_format: FORMAT,
                known_level: known(),
            });
        }
        Ok(state)
    }
}
