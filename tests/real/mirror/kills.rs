//! The mirror dies by SIGKILL at random moments under traffic: identical, nothing twice, for new data and for a
//! backfill of data too old to be guarded (M5, M6, M8).

use std::thread;
use std::time::Duration;

use lockstep_testkit::client::{Codec, Record, Seed, assert_identical};
use lockstep_testkit::{rounds, unique, wait_until_true};

use super::shapes::now_ms;
use super::{Ends, PATIENCE, stop};

const PARTITIONS: i32 = 4;
const TWO_DAYS_MS: i64 = 2 * 86_400_000;

/// Kills in a usual run and in `./dev test long`.
const KILLS: u32 = 5;
const KILLS_LONG: u32 = 20;

fn record(n: i32, at: i64) -> Record {
    Record::new(format!("record {n} {}", "z".repeat(400))).key(n.to_string()).partition(n % PARTITIONS).at(at)
}

#[test]
fn killed_under_live_traffic() {
    let ends = Ends::shared();
    let topic = unique("kill-live");
    ends.create(&topic, PARTITIONS, &[]);
    let kills = rounds(KILLS, KILLS_LONG);
    let writer = thread::spawn({
        let (from, topic) = (ends.from.clone(), topic.clone());
        let chunks = i32::try_from(kills).unwrap() * 14;
        move || {
            let seeder = Seed::to(&from).codec(Codec::Lz4).batch_records(20).open().unwrap();
            for chunk in 0..chunks {
                let numbers = chunk * 500..(chunk + 1) * 500;
                seeder.write(&topic, numbers.map(|n| record(n, now_ms()))).unwrap();
                thread::sleep(Duration::from_millis(50));
            }
        }
    });
    for _ in 0..kills {
        let mut mirror = ends.mirror(&topic);
        thread::sleep(Duration::from_millis(fastrand::u64(150..900)));
        mirror.kill().unwrap();
    }
    let mirror = ends.mirror(&topic);
    writer.join().unwrap();
    ends.wait_until_equal(&topic, PARTITIONS);
    stop(mirror, 0);
    assert_identical(&ends.from, &ends.to, &topic, PARTITIONS);
}

#[test]
fn killed_during_a_backfill_of_old_data() {
    let ends = Ends::shared();
    let topic = unique("kill-old");
    ends.create(&topic, PARTITIONS, &[]);
    let old = now_ms() - TWO_DAYS_MS;
    let kills = rounds(KILLS, KILLS_LONG);
    let count = 40_000 * i32::try_from(kills.div_ceil(5)).unwrap();
    Seed::to(&ends.from)
        .batch_records(10)
        .write(&topic, (0..count).map(|n| record(n, old + i64::from(n))))
        .unwrap();
    for _ in 0..kills {
        let before = held(&ends, &topic);
        let mut mirror = ends.mirror(&topic);
        // An owner that finds data waits two seconds first: let it get going, then kill it in the middle.
        wait_until_true("the backfill to go on", PATIENCE, || {
            held(&ends, &topic) > before || before >= i64::from(count)
        });
        thread::sleep(Duration::from_millis(fastrand::u64(0..60)));
        mirror.kill().unwrap();
    }
    ends.mirror_all(&topic);
    let compared = assert_identical(&ends.from, &ends.to, &topic, PARTITIONS);
    assert_eq!(compared.records, u64::try_from(count).unwrap());
}

fn held(ends: &Ends, topic: &str) -> i64 {
    (0..PARTITIONS).map(|partition| ends.held(topic, partition)).sum()
}
