//! A crowd of transactional producers while the mirror dies by SIGKILL at random: committed records at their offsets
//! for librdkafka and for Kafka's own console consumer, nothing of the rolled-back ones, the log ends equal.

use std::thread;
use std::time::{Duration, Instant};

use lockstep_testkit::client::{Codec, Isolation, Record, Transactor};
use lockstep_testkit::{pair, rounds, unique};

use super::{assert_exact, assert_verified};
use crate::mirror::{Ends, stop};

const PRODUCERS: i32 = 20;
const PARTITIONS: i32 = 12;
/// Of one producer, per kill of the mirror.
const TRANSACTIONS: u32 = 22;
const ABORTED_PERCENT: u8 = 30;

/// One producer's transactions, each over three partitions; returns how many records were acknowledged, and how many
/// of them committed.
fn produce(from: &str, topic: &str, producer: i32, transactions: u32) -> (u64, u64) {
    let codec = Codec::ALL[producer as usize % Codec::ALL.len()];
    let transactor = Transactor::open(from, &unique("crowd"), codec).unwrap();
    let (mut acknowledged, mut committed) = (0, 0);
    for transaction in 0..transactions {
        let first = fastrand::i32(0..PARTITIONS);
        let records = (0..fastrand::i32(5..60)).map(|n| {
            let value = format!("{producer} {transaction} {n} {}", "w".repeat(fastrand::usize(..200)));
            Record::new(value).key(format!("{producer}")).partition((first + n % 3 * 5) % PARTITIONS)
        });
        transactor.begin().unwrap();
        let written = transactor.write(topic, records).unwrap();
        acknowledged += written;
        if fastrand::u8(..100) < ABORTED_PERCENT {
            transactor.abort().unwrap();
        } else {
            transactor.commit().unwrap();
            committed += written;
        }
    }
    (acknowledged, committed)
}

#[test]
fn twenty_transactional_producers_and_a_mirror_that_is_killed() {
    let ends = Ends::shared();
    let topic = unique("exact-crowd");
    ends.create(&topic, PARTITIONS, &[]);
    let kills = rounds(2, 5);
    let start = Instant::now();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let (from, topic) = (ends.from.clone(), topic.clone());
            thread::spawn(move || produce(&from, &topic, producer, kills * TRANSACTIONS))
        })
        .collect();
    for _ in 0..kills {
        let mut mirror = ends.mirror(&topic);
        thread::sleep(Duration::from_millis(fastrand::u64(900..3_000)));
        mirror.kill().unwrap();
    }
    let mirror = ends.mirror(&topic);
    let mut all = (0, 0);
    for producer in producers {
        let (acknowledged, committed) = producer.join().unwrap();
        all = (all.0 + acknowledged, all.1 + committed);
    }
    let written = start.elapsed();
    ends.wait_until_equal(&topic, PARTITIONS);
    let mirrored = start.elapsed();
    stop(mirror, 0);
    let rate = |records: u64, time: Duration| records as f64 / time.as_secs_f64();
    eprintln!(
        "{} records acknowledged, {} committed, in {written:?} ({:.0}/s); all on the mirror after {mirrored:?} ({:.0}/s)",
        all.0,
        all.1,
        rate(all.0, written),
        rate(all.0, mirrored),
    );
    assert_eq!(assert_exact(&ends, &topic, PARTITIONS).records, all.1);
    assert_verified(&ends, &topic);
    let printed =
        |kafka: &lockstep_testkit::Kafka, isolation| kafka.console_consumer(&topic, isolation).unwrap();
    let ours = printed(&pair().source, Isolation::ReadCommitted);
    assert_eq!(ours.len() as u64, all.1);
    assert!(
        ours == printed(&pair().destination, Isolation::ReadCommitted),
        "the console consumer sees a difference"
    );
}
