//! Which entries this process understands: those of its version, and one kind more while an upgrade is rehearsed. The next
//! version's rehearsal is this one: a system's processes are replaced one by one by such that know more, and back.

use std::sync::atomic::{AtomicBool, Ordering};

/// The highest level of entries of this version. A new kind raises it, and is proposed only after
/// [`Command::Finalize`](super::Command::Finalize).
pub const LEVEL: u32 = 1;

/// The level that [`Command::Rehearse`](super::Command::Rehearse) comes with: always the next version's.
pub const REHEARSAL_LEVEL: u32 = LEVEL + 1;

/// What a process knows is its version's and never changes; this one word stands for another build.
static IS_REHEARSAL: AtomicBool = AtomicBool::new(cfg!(feature = "rehearsal"));

/// The highest level of entries that this process understands.
#[must_use]
pub fn known() -> u32 {
    if IS_REHEARSAL.load(Ordering::Relaxed) { REHEARSAL_LEVEL } else { LEVEL }
}

/// From now on this process is one of the version after this. Before anything is read or asked, or never: a system that has
/// switched such entries on has no way to the real next version.
pub fn rehearse_the_next() {
    IS_REHEARSAL.store(true, Ordering::Relaxed);
}
