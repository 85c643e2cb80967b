//! The life of the link's producer (M1, M2): one id over every restart, kept alive under steady writes although its
//! life runs from the last transaction, and taken from the mirror's own log once the destination has forgotten it.

use std::thread;
use std::time::Duration;

use lockstep_testkit::client::{Admin, Codec, Record, Seed, assert_identical};
use lockstep_testkit::stored::batches;
use lockstep_testkit::{Kafka, rounds, unique, wait_until_true};

use super::rules::registered_identity;
use super::shapes::now_ms;
use super::{Ends, PATIENCE, stop};

const PARTITIONS: i32 = 2;

/// A destination that forgets within 3 s (10 s in long) what others forget in days.
fn forgetful() -> Kafka {
    let expiration_ms = rounds(3_000, 10_000).to_string();
    Kafka::builder("forgetful")
        .config("transactional.id.expiration.ms", &expiration_ms)
        .config("transaction.remove.expired.transaction.cleanup.interval.ms", "1000")
        .config("producer.id.expiration.ms", &expiration_ms)
        .config("producer.id.expiration.check.interval.ms", "1000")
        .start()
        .unwrap()
}

/// The producers (id, epoch) that wrote a topic, as its log segments say.
fn writers(kafka: &Kafka, topic: &str) -> Vec<(i64, i16)> {
    let mut all: Vec<_> = (0..PARTITIONS)
        .flat_map(|partition| batches(&kafka.log_folder(1, topic, partition).unwrap()).unwrap())
        .map(|batch| (batch.producer_id, batch.producer_epoch))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn record(n: i32) -> Record {
    Record::new(format!("record {n} {}", "i".repeat(200))).partition(n % PARTITIONS).at(now_ms())
}

#[test]
fn m2_one_producer_id_under_steady_writes_while_owners_are_replaced() {
    let (source, dest) = (Kafka::builder("steady").start().unwrap(), forgetful());
    let ends = Ends::of(&source, &dest);
    let topic = unique("steady");
    ends.create(&topic, PARTITIONS, &[]);
    let (owners, life) = (rounds(7, 8), Duration::from_secs(u64::from(rounds(4, 15))));
    let writer = thread::spawn({
        let (from, topic, owners) = (ends.from.clone(), topic.clone(), owners);
        move || {
            let seeder = Seed::to(&from).codec(Codec::Lz4).batch_records(10).open().unwrap();
            let rounds = i32::try_from(owners * u32::try_from(life.as_secs()).unwrap() * 10).unwrap();
            for round in 0..rounds {
                seeder.write(&topic, (round * 50..(round + 1) * 50).map(record)).unwrap();
                thread::sleep(Duration::from_millis(100));
            }
        }
    });
    let mut seen = Vec::new();
    for _ in 0..owners {
        let mut mirror = ends.mirror(&topic);
        thread::sleep(life);
        seen.push(registered_identity(&ends.to, &topic).expect("the id is kept alive"));
        mirror.kill().unwrap();
    }
    let mirror = ends.mirror(&topic);
    writer.join().unwrap();
    ends.wait_until_equal(&topic, PARTITIONS);
    stop(mirror, 0);
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(writers(&dest, &topic), [(seen[0].id, seen[0].epoch)]);
    assert_identical(&ends.from, &ends.to, &topic, PARTITIONS);
}

#[test]
fn m2_a_forgotten_id_is_taken_from_the_mirrors_own_log() {
    let (source, dest) = (Kafka::builder("absent").start().unwrap(), forgetful());
    let ends = Ends::of(&source, &dest);
    let topic = unique("forgotten");
    ends.create(&topic, PARTITIONS, &[]);
    Seed::to(&ends.from).write(&topic, (0..500).map(record)).unwrap();
    ends.mirror_all(&topic);
    let first = writers(&dest, &topic);
    assert_eq!(first.len(), 1);
    wait_until_true("the destination to forget the id", PATIENCE, || {
        registered_identity(&ends.to, &topic).is_none()
    });
    Seed::to(&ends.from).write(&topic, (500..900).map(record)).unwrap();
    ends.mirror_all(&topic);
    assert_eq!(writers(&dest, &topic), first, "never another id beside old data");
    // A foreign topic is not mistaken for our own for want of an id.
    let foreign = unique("foreign");
    ends.create(&foreign, PARTITIONS, &[]);
    Seed::to(&ends.from).write(&foreign, [record(0)]).unwrap();
    Admin::of(&ends.to).unwrap().create(&foreign, PARTITIONS, &[]).unwrap();
    Seed::to(&ends.to).write(&foreign, [record(1), record(2)]).unwrap();
    let refused = ends.mirror_to_the_end(&foreign, &[]);
    assert_eq!(refused.exit, lockstep_testkit::Exit::Code(1), "{}", refused.stdout);
    assert!(refused.stderr.contains("did not write"), "{}", refused.stderr);
    assert_identical(&ends.from, &ends.to, &topic, PARTITIONS);
}
