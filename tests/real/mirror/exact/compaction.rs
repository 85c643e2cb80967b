//! Compacted topics, cleaned before and while they are mirrored: every surviving record at its offset, every key's last
//! record equal, tombstones included, and the mirror as small as the source once its own cleaner has run (M12, M14, M21).

use std::collections::{BTreeMap, HashMap};
use std::thread;
use std::time::Duration;

use lockstep_testkit::client::{Codec, Isolation, Record, Seed, Seen, Transactor, read_all, watermarks};
use lockstep_testkit::{rounds, unique, wait_until_true};

use super::assert_verified;
use super::raw::{settings, size_bytes};
use crate::mirror::rules::alter_topic;
use crate::mirror::shapes::now_ms;
use crate::mirror::{Ends, PATIENCE, stop};

/// Cleans whatever is dirty; segments end with every chunk of [`Updates`], tombstones stay for five seconds.
const EAGER: [(&str, &str); 5] = [
    ("cleanup.policy", "compact"),
    ("segment.ms", "5000"),
    ("delete.retention.ms", "5000"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("max.compaction.lag.ms", "9223372036854775807"),
];
/// Between the timestamps of two chunks: more than `segment.ms`, so that each begins a new segment.
const CHUNK_MS: i64 = 10_000;
const KEYS: usize = 10_000;
/// Of all updates.
const TOMBSTONES_PERCENT: u8 = 5;

/// Random updates of random keys, in chunks of one segment each.
struct Updates {
    topic: String,
    seeder: lockstep_testkit::client::Seeder,
    next_ms: i64,
}

impl Updates {
    fn to(ends: &Ends, topic: &str, keys_batch: u32) -> Self {
        let seeder = Seed::to(&ends.from).codec(Codec::Lz4).batch_records(keys_batch).open().unwrap();
        Self { topic: topic.to_owned(), seeder, next_ms: now_ms() - 100 * CHUNK_MS }
    }

    fn write(&mut self, count: usize) {
        let at = self.next_ms;
        self.next_ms += CHUNK_MS;
        let records = (0..count).map(|n| {
            let key = format!("key {}", fastrand::usize(0..KEYS));
            let record = if fastrand::u8(..100) < TOMBSTONES_PERCENT {
                Record::null()
            } else {
                Record::new(format!("{n} {:016x}{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..), at))
            };
            record.key(key).header("n", n.to_string()).at(at + i64::try_from(n % 1_000).unwrap())
        });
        self.seeder.write(&self.topic, records).unwrap();
    }
}

/// A partition as its read_committed consumers see it.
struct View {
    by_offset: BTreeMap<i64, Seen>,
    last_of_key: HashMap<Vec<u8>, i64>,
}

impl View {
    fn of(bootstrap: &str, topic: &str) -> Self {
        let range = watermarks(bootstrap, topic, 0).unwrap();
        let all = read_all(bootstrap, topic, 0, range, Isolation::ReadCommitted).unwrap();
        let last_of_key = all.iter().map(|seen| (seen.key.clone().unwrap(), seen.offset)).collect();
        Self { by_offset: all.into_iter().map(|seen| (seen.offset, seen)).collect(), last_of_key }
    }

    fn last(&self, key: &[u8]) -> Option<&Seen> {
        self.last_of_key.get(key).map(|offset| &self.by_offset[offset])
    }
}

/// What holds while both cleaners work: a record of the source is on the mirror, or a later one of its key is; nothing
/// else stands at its offset; every key's last record is the same. A tombstone may have gone on one side only.
#[track_caller]
fn assert_survivors_equal(ends: &Ends, topic: &str) -> usize {
    let (source, dest) = (View::of(&ends.from, topic), View::of(&ends.to, topic));
    for (offset, ours) in &source.by_offset {
        match dest.by_offset.get(offset) {
            Some(theirs) => assert_eq!(ours, theirs),
            None => {
                let key = ours.key.as_deref().unwrap();
                let later = dest.last(key).is_some_and(|last| last.offset > *offset);
                assert!(later || ours.value.is_none(), "offset {offset} is missing: {ours:?}");
            }
        }
    }
    for key in source.last_of_key.keys().chain(dest.last_of_key.keys()) {
        let [ours, theirs] = [source.last(key), dest.last(key)];
        let gone = |seen: Option<&Seen>| seen.is_none_or(|seen| seen.value.is_none());
        if !gone(ours) || !gone(theirs) {
            assert_eq!(ours, theirs, "the last record of {}", key.escape_ascii());
        }
    }
    source.by_offset.len()
}

fn wait_until_cleaned(bootstrap: &str, topic: &str, below_bytes: i64) {
    wait_until_true(&format!("{topic} to be cleaned below {below_bytes} bytes"), PATIENCE, || {
        size_bytes(bootstrap, topic) < below_bytes
    });
}

#[test]
fn updates_of_ten_thousand_keys_cleaned_before_and_while_the_mirror_is_killed() {
    let ends = Ends::shared();
    let topic = unique("exact-compacted");
    ends.create(&topic, 1, &EAGER);
    let chunk = 10_000 * rounds(1, 5) as usize;
    let mut updates = Updates::to(&ends, &topic, 100);
    // Twice before: the second cleaning drops tombstones and what the first one left empty.
    updates.write(chunk);
    let chunk_bytes = size_bytes(&ends.from, &topic);
    for _ in 1..9 {
        updates.write(chunk);
    }
    wait_until_cleaned(&ends.from, &topic, 4 * chunk_bytes);
    thread::sleep(Duration::from_secs(5));
    for _ in 0..3 {
        updates.write(chunk);
    }
    wait_until_cleaned(&ends.from, &topic, 4 * chunk_bytes);
    let writer = thread::spawn(move || {
        for _ in 0..8 {
            updates.write(chunk);
            thread::sleep(Duration::from_millis(700));
        }
        updates
    });
    for _ in 0..rounds(2, 5) {
        let mut mirror = ends.mirror(&topic);
        thread::sleep(Duration::from_millis(fastrand::u64(900..2_500)));
        mirror.kill().unwrap();
        eprintln!("killed at {} of {}", ends.held(&topic, 0), ends.written(&topic, 0));
    }
    let mirror = ends.mirror(&topic);
    let mut updates = writer.join().unwrap();
    ends.wait_until_equal(&topic, 1);
    eprintln!("{} records survive of {}", assert_survivors_equal(&ends, &topic), ends.written(&topic, 0));

    // The mirror is compacted from now on. A cleaner starts when there is something new, and markers go with the second
    // cleaning: a little traffic goes on.
    wait_until_true("the mirror to be compacted", PATIENCE, || {
        settings(&ends.to, &topic)["cleanup.policy"] == "compact,delete"
    });
    let sizes = || (size_bytes(&ends.from, &topic), size_bytes(&ends.to, &topic));
    wait_until_true("sizes within 20 %", PATIENCE, || {
        updates.write(200);
        ends.wait_until_equal(&topic, 1);
        thread::sleep(Duration::from_secs(1));
        let (source, dest) = sizes();
        eprintln!("{source} bytes on the source, {dest} on the mirror");
        (source * 8..=source * 12).contains(&(dest * 10))
    });
    stop(mirror, 0);
    assert_survivors_equal(&ends, &topic);
    assert_verified(&ends, &topic);
    assert_eq!(watermarks(&ends.from, &topic, 0).unwrap(), watermarks(&ends.to, &topic, 0).unwrap());
}

#[test]
fn a_compacted_topic_of_transactions_with_what_the_cleaner_leaves_of_them() {
    let ends = Ends::shared();
    let topic = unique("exact-compacted-tx");
    ends.create(&topic, 1, &EAGER);
    let transactors = [0, 1].map(|_| Transactor::open(&ends.from, &unique("tx"), Codec::Zstd).unwrap());
    // Not before the markers' time, which is the broker's: a segment that begins with a marker would never end.
    let start = now_ms();
    for round in 0..6 {
        for (n, each) in transactors.iter().enumerate() {
            each.begin().unwrap();
            let records = (0..200).map(|record| {
                let key = format!("key {}", (record + n) % 40);
                Record::new(format!("{round} {record}")).key(key).at(start + round * CHUNK_MS)
            });
            each.write(&topic, records).unwrap();
            if (round as usize + n).is_multiple_of(3) {
                each.abort().unwrap();
            } else {
                each.commit().unwrap();
            }
        }
    }
    let before = size_bytes(&ends.from, &topic);
    wait_until_cleaned(&ends.from, &topic, before * 2 / 3);
    thread::sleep(Duration::from_secs(6));
    // New dirt, so that it is cleaned once more, past the delete horizon of markers and empty batches.
    let mut updates = Updates { next_ms: start + 7 * CHUNK_MS, ..Updates::to(&ends, &topic, 10) };
    for _ in 0..3 {
        updates.write(30);
    }
    thread::sleep(Duration::from_secs(2));
    ends.mirror_all(&topic);
    let survivors = assert_survivors_equal(&ends, &topic);
    eprintln!("{survivors} records survive of {}", ends.written(&topic, 0));
    assert!(survivors < 1_000, "the cleaner has left holes");
    assert_verified(&ends, &topic);
    assert_eq!(watermarks(&ends.from, &topic, 0).unwrap(), watermarks(&ends.to, &topic, 0).unwrap());
}

#[test]
fn m21_null_keys_from_before_a_topic_was_compacted_are_carried() {
    let ends = Ends::shared();
    let topic = unique("exact-null-keys");
    // The source's cleaner keeps its hands off: what has no key is still there when the mirror comes.
    ends.create(&topic, 1, &[("min.compaction.lag.ms", "86400000")]);
    let seeder = Seed::to(&ends.from).batch_records(20).open().unwrap();
    seeder.write(&topic, (0..500).map(|n| Record::new(format!("no key {n}")).at(now_ms()))).unwrap();
    alter_topic(&ends.from, &topic, "cleanup.policy", "compact");
    let keyed = |what: &str, count: i32| {
        let record = |n| Record::new(format!("{what} {n}")).key(format!("{}", n % 50)).at(now_ms());
        (0..count).map(record).collect::<Vec<_>>()
    };
    seeder.write(&topic, keyed("at once", 300)).unwrap();
    let mirror = ends.mirror(&topic);
    ends.wait_until_equal(&topic, 1);
    wait_until_true("the mirror to be compacted", PATIENCE, || {
        settings(&ends.to, &topic)["cleanup.policy"] == "compact,delete"
    });
    seeder.write(&topic, keyed("later", 200)).unwrap();
    ends.wait_until_equal(&topic, 1);
    stop(mirror, 0);
    assert_eq!(super::assert_exact(&ends, &topic, 1).records, 1_000);
    assert_eq!(settings(&ends.to, &topic)["min.compaction.lag.ms"], "86400000");
}
