//! Two mirrors of one link at once: they are one producer (M1), so the broker keeps them from writing past each
//! other. On data too old to be guarded the second waits and says so (M6, M8).

use std::thread;
use std::time::Duration;

use lockstep_testkit::client::{Codec, Record, Seed, assert_identical};
use lockstep_testkit::{unique, wait_until_true};

use super::shapes::now_ms;
use super::{Ends, PATIENCE, said, stop};

const PARTITIONS: i32 = 4;

fn record(n: i32, at: i64) -> Record {
    Record::new(format!("record {n} {}", "r".repeat(300))).partition(n % PARTITIONS).at(at)
}

#[test]
fn both_at_once_on_new_data() {
    let ends = Ends::shared();
    let topic = unique("rivals-new");
    ends.create(&topic, PARTITIONS, &[]);
    let seeder = Seed::to(&ends.from).codec(Codec::Snappy).batch_records(25).open().unwrap();
    seeder.write(&topic, (0..20_000).map(|n| record(n, now_ms()))).unwrap();
    let (first, second) = (ends.mirror(&topic), ends.mirror(&topic));
    for chunk in 0..30 {
        seeder.write(&topic, (chunk * 400..(chunk + 1) * 400).map(|n| record(n, now_ms()))).unwrap();
        thread::sleep(Duration::from_millis(60));
    }
    ends.wait_until_equal(&topic, PARTITIONS);
    stop(first, 0);
    stop(second, 0);
    assert_identical(&ends.from, &ends.to, &topic, PARTITIONS);
}

#[test]
fn the_second_waits_while_the_first_backfills_old_data() {
    let ends = Ends::shared();
    let topic = unique("rivals-old");
    ends.create(&topic, PARTITIONS, &[]);
    let old = now_ms() - 2 * 86_400_000;
    // Enough small batches, and so little memory to merge them in, that the first is at it for several seconds.
    Seed::to(&ends.from).batch_records(2).write(&topic, (0..60_000).map(|n| record(n, old))).unwrap();
    let first = ends.mirror_with(&topic, &["--memory", "64KiB"]);
    wait_until_true("the first to have begun", PATIENCE, || ends.held(&topic, 0) > 0);
    let second = ends.mirror(&topic);
    ends.wait_until_equal(&topic, PARTITIONS);
    stop(first, 0);
    let said_by_second = stop(second, 0).stdout;
    assert_identical(&ends.from, &ends.to, &topic, PARTITIONS);
    let waited = said(&said_by_second, "waiting");
    assert!(
        waited.iter().any(|line| line["reason"].as_str().unwrap().contains("another mirror of this link")),
        "the second says why it waits: {said_by_second}"
    );
}
