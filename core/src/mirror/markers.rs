//! Offsets that no record of ours takes: control records stand for commit and abort markers, rolled-back records and
//! holes (M12). The question of a partition and the answer to it; how they are written is the shell's affair.
//! A run is alone on its partition: nothing else of ours is in flight there until it is answered.

use super::Trouble;
use super::window::Ticket;
use crate::ids::DestOffset;

/// Markers of one run: above it a request would keep the broker busy for longer than a second.
pub const MARKERS_MAX: u32 = 5_000;

/// How far an owner's first marker is above the last one it found (M13): above everything that an earlier owner may
/// have on its way, so that the broker refuses it behind ours (52). A request holds [`MARKERS_MAX`] epochs, and
/// partitions share them only within the same distance of each other.
pub const COORDINATOR_EPOCH_JUMP: i32 = 16_384;

/// Offsets of one partition to be taken by markers (M12): all in order, alone on their partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkerRun {
    pub ticket: Ticket,
    /// Where the log ends now, and the first marker belongs.
    pub from: DestOffset,
    /// 1 to [`MARKERS_MAX`].
    pub count: u32,
    /// Every marker's coordinator epoch is above this one: the last that the broker knows of our producer on this
    /// partition, −1 for none (M13).
    pub above_coordinator_epoch: i32,
}

/// Where the sequence of our data goes on behind markers. A marker makes a broker that had forgotten our producer
/// remember it anew, without a sequence: then the next data have to begin at 0, or they are refused (45).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceBehind {
    /// The markers were not our producer's (M15): what the broker knows of us is what it knew before.
    AsBefore,
    /// The last sequence the broker remembers of us behind the markers; −1 for none: begin at 0. The markers carry the
    /// broker's time, so that it is remembered (M6) until data with older timestamps follow.
    After(i32),
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarkerAnswer {
    /// The broker took them, and the log's end was read behind them.
    Written {
        /// Markers that were meant to be written: all, or fewer where they are slow to write (M15).
        count: u32,
        /// The log's end, under the same leader epoch. It has to be `from` + `count`; whether it is, the partition
        /// judges.
        end: DestOffset,
        /// Of the last marker: the next run's are above it. Unchanged where transactions took the offsets (M15).
        coordinator_epoch: i32,
        sequence: SequenceBehind,
    },
    /// Anything else. How many were written is unknown: drain, ask, never repeat blindly (M13).
    Failed(Trouble),
}
