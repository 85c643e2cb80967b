//! Records of a compacted topic that only one side still holds: two cleaners work at different times.
//! Such a record is explained by a later one of its key on the other side (also a repeat, M14: it lies before the record
//! it repeats), or by a tombstone that the other side's cleaner has dropped together with all before it.
//! Promises: memory is bounded by [`KEYS_MAX`]; what finds no room is undecided, never explained.
//! Never explains a record without a key, or one whose content differs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hasher};

use lockstep_batch::records::Record;

use super::Side;
use super::findings::{Findings, Undecided};

/// Keys that may wait for an explanation at a time, per partition.
pub const KEYS_MAX: usize = 200_000;

/// What they take in memory at most.
pub const KEYS_BYTES_MAX: usize = 16 << 20;

/// What the cleaner does to a topic (`cleanup.policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// Compacted on neither side: an offset on one side only is a difference.
    Delete,
    /// Compacted on at least one side.
    Compact,
    /// Nobody could tell: what compaction would explain is undecided.
    Unknown,
}

/// 128 bits of a key: two keys of a topic do not meet by chance.
type KeyHash = (u64, u64);

/// Records of one key that one side holds alone, without a later record on the other so far.
#[derive(Clone, Copy, Debug)]
struct Orphan {
    /// That holds them.
    side: Side,
    count: u64,
    newest: i64,
    newest_is: Content,
    /// What a second look has found of the key on the other side, before `newest`.
    other: Option<Content>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Value,
    Tombstone,
}

impl Content {
    fn of(record: &Record) -> Self {
        if record.value.is_some() { Self::Value } else { Self::Tombstone }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Orphans {
    cleanup: Cleanup,
    keys: HashMap<KeyHash, Orphan>,
    keys_max: usize,
}

impl Orphans {
    pub(super) fn new(cleanup: Cleanup, keys_max: usize) -> Self {
        Self { cleanup, keys: HashMap::new(), keys_max }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn may_be_compacted(&self) -> bool {
        self.cleanup != Cleanup::Delete
    }

    /// `record` is visible on `side` and the other side holds nothing at its offset. Comes in the order of offsets.
    pub(super) fn alone(&mut self, findings: &mut Findings, side: Side, record: &Record) {
        let key = match &record.key {
            _ if self.cleanup == Cleanup::Delete => return findings.alone(1, record.offset, side, ""),
            None => {
                return findings.alone(1, record.offset, side, ": without a key, no compaction explains it");
            }
            Some(key) => hash(key),
        };
        let full = self.keys.len() >= self.keys_max;
        let orphan =
            Orphan { side, count: 1, newest: record.offset, newest_is: Content::of(record), other: None };
        match self.keys.entry(key) {
            Entry::Vacant(_) if full => findings.undecided(Undecided::TooManyKeys, 1),
            Entry::Vacant(place) => drop(place.insert(orphan)),
            Entry::Occupied(mut place) if place.get().side == side => {
                let count = place.get().count + 1;
                place.insert(Orphan { count, ..orphan });
            }
            // The later record on the other side, itself alone.
            Entry::Occupied(mut place) => {
                let before = place.insert(orphan);
                self.explained(findings, before.count);
            }
        }
    }

    /// `record` is visible on both sides: what waited for its key is explained, whichever side holds it.
    pub(super) fn on_both(&mut self, findings: &mut Findings, record: &Record) {
        if self.keys.is_empty() {
            return;
        }
        let Some(key) = &record.key else { return };
        if let Some(orphan) = self.keys.remove(&hash(key)) {
            self.explained(findings, orphan.count);
        }
    }

    /// Where a second look at `side` has to start; `None` if nothing hangs on it.
    pub(super) fn look_from(&self, side: Side, start: i64) -> Option<i64> {
        let concerned = self.keys.values().filter(|orphan| orphan.side != side);
        // A tombstone is explained only if nothing of its key is left before it either.
        let from = |orphan: &Orphan| match orphan.newest_is {
            Content::Value => orphan.newest,
            Content::Tombstone => start,
        };
        concerned.map(from).min()
    }

    /// A second look at `side` has come to `record`, which is visible there.
    pub(super) fn found(&mut self, findings: &mut Findings, side: Side, record: &Record) {
        let Some(key) = record.key.as_ref().map(|key| hash(key)) else { return };
        let Some(orphan) = self.keys.get_mut(&key).filter(|orphan| orphan.side != side) else { return };
        if record.offset > orphan.newest {
            let count = orphan.count;
            self.keys.remove(&key);
            self.explained(findings, count);
        } else {
            orphan.other = Some(Content::of(record));
        }
    }

    /// Judges what is left. `unread`: why one side, or the other, was not read whole.
    pub(super) fn finish(&mut self, findings: &mut Findings, unread: impl Fn(Side) -> Option<String>) {
        let mut left: Vec<_> = self.keys.drain().map(|(_, orphan)| orphan).collect();
        left.sort_by_key(|orphan| orphan.newest);
        for orphan in left {
            let other = orphan.side.other();
            match (orphan.newest_is, orphan.other) {
                _ if unread(other).is_some() => {
                    let why = unread(other).unwrap_or_default();
                    findings.undecided(Undecided::Unread { side: other, why }, orphan.count);
                }
                // The key is deleted on this side, and on the other nothing of it is left, or its deletion.
                (Content::Tombstone, None | Some(Content::Tombstone)) => {
                    self.explained(findings, orphan.count);
                }
                (Content::Tombstone, Some(Content::Value)) => {
                    let why =
                        ": a tombstone, and an older value of its key is still visible on the other side";
                    findings.alone(orphan.count, orphan.newest, orphan.side, why);
                }
                (Content::Value, _) => {
                    let why = ", and no later record of its key is on the other side";
                    findings.alone(orphan.count, orphan.newest, orphan.side, why);
                }
            }
        }
    }

    fn explained(&self, findings: &mut Findings, count: u64) {
        match self.cleanup {
            Cleanup::Unknown => findings.undecided(Undecided::PolicyUnknown, count),
            Cleanup::Compact | Cleanup::Delete => findings.records_compacted += count,
        }
    }
}

/// SipHash with fixed keys, twice: no randomness here.
fn hash(key: &[u8]) -> KeyHash {
    let with = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(seed);
        hasher.write(key);
        hasher.finish()
    };
    (with(0), with(1))
}
