//! Whether two logs hold the same: a small state machine fed with batches of both sides, without any I/O.
//! Promises: never *identical* while an offset of the range was not read on both sides, and never a difference
//! that a consumer could not see. Never repairs, never guesses: what cannot be told is counted as such.
//!
//! ```text
//! Bounds ─► range
//! FetchedBatch (source) ─► Comparer ─► step: Need(side) | Moved | Done ─► Findings ─► Verdict
//! FetchedBatch (dest)   ─┘
//! ```

pub mod bounds;
pub mod comparer;
mod fates;
pub mod findings;
mod stream;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use bounds::{Bounds, Note};
pub use comparer::{Comparer, Step};
pub use findings::{Difference, Findings, Unread, Verdict};

use std::fmt;

/// One of the two logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    Source,
    Dest,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Dest => "destination",
        })
    }
}
