//! Whether two logs hold the same: a small state machine fed with batches of both sides, without any I/O.
//! Promises: never *identical* while an offset of the range was not read on both sides, and never a difference
//! that a consumer could not see. Never repairs, never guesses: what cannot be told is counted as such.
//!
//! ```text
//! Bounds ─► range
//! Portion (source) ─► Comparer ─► step: Need(side) | Moved | Done ─► SecondLook ─► Findings ─► Verdict
//! Portion (dest)   ─┘   stream ─► judge ─► compaction
//! ```

pub mod bounds;
mod compaction;
pub mod comparer;
pub mod findings;
mod judge;
mod portion;
mod second_look;
mod stream;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_compacted;

pub use bounds::{Bounds, Note};
pub use compaction::{Cleanup, KEYS_BYTES_MAX, KEYS_MAX};
pub use comparer::{Comparer, Step};
pub use findings::{Difference, Findings, Undecided, Unread, Unseen, Verdict};
pub use portion::Portion;
pub use second_look::SecondLook;

use std::fmt;

/// One of the two logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    Source,
    Dest,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Source => Self::Dest,
            Self::Dest => Self::Source,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Dest => "destination",
        })
    }
}
