//! What a simulated world is told: the source's batches, how many mirrors there are, and a tape of chance.
//! A zero on the tape is the friendly choice, and a tape that has run out reads as zeros: a shrunk tape is a short
//! story, and faults end with the tape. Tests only.

use std::fmt;

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

#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) batches: Vec<(i32, Age)>,
    pub(super) crowd: Crowd,
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
