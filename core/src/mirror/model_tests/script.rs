//! What a simulated world is told: the source's log to be, how many mirrors there are, and a tape of chance.
//! A zero on the tape is the friendly choice, and a tape that has run out reads as zeros: a shrunk tape is a short
//! story, and faults end with the tape. Tests only.

use std::fmt;

use crate::mirror::queue::Holes;

const DELAYS_MS: [u64; 8] = [1, 3, 10, 40, 150, 500, 1_200, 2_500];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Young,
    Old,
    /// Young for a few seconds more.
    Fading,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crowd {
    /// A new mirror starts only after the one before was killed.
    OneAtATime,
    Two,
}

/// How a transaction of the source ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    RolledBack,
}

/// A stretch of the source's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A batch of so many records; packed ones are not merged with plain ones.
    Data { records: i32, packed: bool, age: Age },
    /// So many records of a transaction, one of somebody else's in between or not, and the marker.
    Transaction { records: i32, age: Age, outcome: Outcome, interleaved: bool },
    /// Offsets without a batch: the cleaner was there.
    Gap { offsets: i32 },
    /// Four offsets, of which the first and the third still hold a record.
    Thinned { age: Age },
    /// A batch without a record left.
    Emptied { offsets: i32 },
    /// A marker that the cleaner has emptied.
    EmptiedMarker,
}

#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) items: Vec<Item>,
    /// The age of the record that ends the source's log.
    pub(super) last: Age,
    pub(super) crowd: Crowd,
    pub(super) holes: Holes,
    pub(super) expiration_ms: i64,
    pub(super) tape: Tape,
}

/// Chance, read from front to back.
#[derive(Clone)]
pub(super) struct Tape {
    bytes: Vec<u8>,
    at: usize,
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.bytes) // on one line, even in a pretty print
    }
}

impl Tape {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn pick(&mut self, choices: usize) -> usize {
        let value = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(value) % choices
    }

    /// True once in `n`, never once the tape has run out.
    pub(super) fn once_in(&mut self, n: usize) -> bool {
        self.pick(n) == n - 1
    }

    pub(super) fn delay(&mut self) -> u64 {
        // The long ones are rarer: half of the choices is the shortest.
        DELAYS_MS[self.pick(16).saturating_sub(8)]
    }

    pub(super) fn has_run_out(&self) -> bool {
        self.at >= self.bytes.len()
    }
}
