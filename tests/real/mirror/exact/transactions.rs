//! Transactions in every shape: interleaved, aborted, begun before the mirror's position, over several partitions
//! (M11, M12, M13, M16). Committed records at their offsets, nothing else visible, the log ends equal.

use lockstep_testkit::client::{Codec, Record, Seed, Transactor};
use lockstep_testkit::{unique, wait_until_true};

use super::{assert_exact, assert_verified};
use crate::mirror::{Ends, PATIENCE};

pub(super) fn records(what: &str, count: i32, partitions: i32) -> impl Iterator<Item = Record> {
    (0..count).map(move |n| {
        Record::new(format!("{what} {n}")).key(n.to_string()).header("h", what).partition(n % partitions)
    })
}

#[test]
fn committed_and_rolled_back_transactions_between_plain_records() {
    let ends = Ends::shared();
    let topic = unique("exact-commits");
    ends.create(&topic, 3, &[]);
    let plain = Seed::to(&ends.from).codec(Codec::Lz4).open().unwrap();
    let transactor = Transactor::open(&ends.from, &unique("tx"), Codec::Zstd).unwrap();
    for round in 0..4 {
        plain.write(&topic, records("plain", 30, 3)).unwrap();
        transactor.begin().unwrap();
        transactor.write(&topic, records("in a transaction", 60, 3)).unwrap();
        if round % 2 == 0 { transactor.commit().unwrap() } else { transactor.abort().unwrap() }
    }
    ends.mirror_all(&topic);
    assert_eq!(assert_exact(&ends, &topic, 3).records, 4 * 30 + 2 * 60);
    assert_verified(&ends, &topic);
}

#[test]
fn transactions_that_interleave_on_one_partition() {
    let ends = Ends::shared();
    let topic = unique("exact-interleaved");
    ends.create(&topic, 1, &[]);
    let open = || Transactor::open(&ends.from, &unique("tx"), Codec::None).unwrap();
    let (first, second, third) = (open(), open(), open());
    let plain = Seed::to(&ends.from).open().unwrap();
    for each in [&first, &second, &third] {
        each.begin().unwrap();
    }
    for round in 0..5 {
        for (name, each) in [("first", &first), ("second", &second), ("third", &third)] {
            each.write(&topic, records(name, 7, 1)).unwrap();
        }
        plain.write(&topic, records("plain", 3, 1)).unwrap();
        if round == 2 {
            second.abort().unwrap();
            second.begin().unwrap();
        }
    }
    first.abort().unwrap();
    third.commit().unwrap();
    second.commit().unwrap();
    ends.mirror_all(&topic);
    assert_eq!(assert_exact(&ends, &topic, 1).records, 5 * 3 + 5 * 7 + 2 * 7);
}

#[test]
fn a_mirror_that_dies_inside_transactions_goes_on_inside_them() {
    let ends = Ends::shared();
    let topic = unique("exact-inside");
    ends.create(&topic, 1, &[]);
    let open = |codec| Transactor::open(&ends.from, &unique("tx"), codec).unwrap();
    let (aborted, committed) = (open(Codec::Lz4), open(Codec::None));
    aborted.begin().unwrap();
    committed.begin().unwrap();
    for _ in 0..60 {
        aborted.write(&topic, records("aborted", 90, 1)).unwrap();
        committed.write(&topic, records("committed", 90, 1)).unwrap();
    }
    aborted.abort().unwrap();
    committed.commit().unwrap();
    let end = ends.written(&topic, 0);
    // Whoever comes next starts its fetches behind the place where both transactions began.
    let mut inside = 0;
    for _ in 0..3 {
        let before = ends.held(&topic, 0);
        let mut mirror = ends.mirror(&topic);
        wait_until_true("it to go on", PATIENCE, || ends.held(&topic, 0) > before || before == end);
        mirror.kill().unwrap();
        let held = ends.held(&topic, 0);
        inside += u32::from(held < end);
        eprintln!("killed at {held} of {end}");
    }
    assert!(inside > 0, "it was never killed inside the transactions");
    ends.mirror_all(&topic);
    assert_eq!(assert_exact(&ends, &topic, 1).records, 60 * 90);
}
