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

pub use crate::dr::denied::Side;
