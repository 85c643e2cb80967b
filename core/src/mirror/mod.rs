//! One partition kept equal: what to do next, decided from what was fetched, acknowledged and read.
//!
//! ```text
//! Facts ─► opening ─┐                        ┌─► AppendReceipt
//! Fetched ─► align ─┴─► queue ─► Append, MarkerRun ─┘    (in order, from the front of window)
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`partition`] | the state machine's entrance: one input in, actions out |
//! | [`signals`] | its inputs and actions |
//! | [`opening`] | from read facts to a place to go on from, or a verdict (M8, M9) |
//! | [`copying`] | what may be sent now, and what an answer means (M5, M6, M7) |
//! | [`align`] | a fetch answer as pieces, one behind the other: records, markers, holes (M11) |
//! | [`queue`] | pieces that wait; merging (M17), repeats (M14) |
//! | `sizes` | how large is small: what is merged (M17), what is repeated (M14) |
//! | [`markers`] | runs of offsets that no record takes (M12, M13) |
//! | [`cost`] | what filling a hole costs, and the budget for it (M14) |
//! | [`answers`] | what an answer says about where our records stand |
//! | [`window`] | appends in flight, receipts in order |
//! | [`guard`] | whether the broker still remembers our producer (M6) |
//! | [`markers`] | offsets taken by control records (M12): the question and the answer |
//! | [`identity`] | whose records a topic holds, and who the link was (M2) |
//! | [`retention`] | how far a standby follows the source's log start (M20) |
//! | [`throttle`] | a link's limit in bytes per second |
//! | [`turns`] | whose turn it is among topics of different priority |
//! | [`verdict`] | why a partition stands still for good |
//!
//! Nothing here retries an append. After any doubt the partition drains what is in flight, asks the
//! destination where its log ends, and goes on from there: the destination's log is the checkpoint.

pub mod align;
mod answers;
pub mod copying;
pub mod cost;
#[cfg(test)]
mod filling_tests;
pub mod guard;
pub mod identity;
#[cfg(test)]
mod licence_tests;
pub mod markers;
#[cfg(test)]
mod model_tests;
pub mod opening;
pub mod partition;
#[cfg(test)]
mod partition_tests;
pub mod queue;
pub mod retention;
pub mod signals;
mod sizes;
#[cfg(test)]
pub(crate) mod testing;
pub mod throttle;
pub mod turns;
pub mod verdict;
pub mod window;

use std::sync::Arc;

use crate::dr::denied::Denied;

/// A moment on a clock that only moves forward, in milliseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Millis(pub u64);

impl Millis {
    #[must_use]
    pub fn plus(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds from `earlier` until this moment; 0 if it lies in the future.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A moment on the calendar, in milliseconds since 1970: only to be compared with record timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallMillis(pub i64);

/// Both clocks, read once per turn of the loop that drives the partitions.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub mono: Millis,
    pub wall: WallMillis,
}

/// Why something is being tried again. Shown to the operator, never matched on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub text: String,
    pub pace: Pace,
    /// A right or a login that the cluster refuses, if that is the cause.
    pub denied: Option<Arc<Denied>>,
}

impl Trouble {
    pub fn soon(text: impl Into<String>) -> Self {
        Self { text: text.into(), pace: Pace::Soon, denied: None }
    }

    pub fn slow(text: impl Into<String>) -> Self {
        Self { text: text.into(), pace: Pace::Slow, denied: None }
    }

    /// With what the cluster refuses, if that is the cause.
    #[must_use]
    pub fn because(self, denied: Option<Denied>) -> Self {
        Self { denied: denied.map(Arc::new), ..self }
    }
}

/// How fast to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It may well work at once: a moved leader, a lost connection.
    Soon,
    /// Somebody has to act first: a missing right, a refused setting.
    Slow,
}
