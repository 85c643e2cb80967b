//! How far a partition is, as the engine knows it: asked for by whoever must not get ahead of the records (M31).

use lockstep_core::ids::{DestOffset, SourceOffset};

/// One partition, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Complete and durable on the destination below this offset; `None`: not open.
    pub held: Option<DestOffset>,
    /// The standby's log start, last known; `None` also while what it begins with is still to be deleted (M14).
    pub start: Option<DestOffset>,
    /// The source's log end, last known.
    pub source_end: Option<SourceOffset>,
    pub going: Going,
}

/// Whether it can be expected to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    On,
    /// Stopped with a verdict.
    Stopped,
    /// The link does not mirror it as things stand, or not yet.
    NotMirrored,
}

impl Position {
    pub const NOT_MIRRORED: Self =
        Self { held: None, start: None, source_end: None, going: Going::NotMirrored };
}
