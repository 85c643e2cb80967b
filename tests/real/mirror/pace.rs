//! How fast, and who goes first: a throttled link keeps to its limit, and topics in which a record comes now and then stay
//! prompt while others catch up with a large backlog.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use lockstep_core::ids::{LeaderEpoch, TopicPartition};
use lockstep_kafka::admin::{At, list_offsets};
use lockstep_kafka::{Cluster, Settings, Tcp};
use lockstep_testkit::client::{Record, Seed, Seeder, assert_identical};
use lockstep_testkit::{Lockstep, Signal, rounds, unique, wait_until_true};

use super::{Ends, PATIENCE, stop};

/// Partitions with a backlog.
const LARGE: i32 = 12;
/// Partitions in which a record comes now and then.
const SMALL: i32 = 40;
const RECORD_BYTES: usize = 20_000;

/// Makes a topic with [`fill`]ed partitions; returns the number of its records.
fn backlog(ends: &Ends, topic: &str, partitions: i32, megabytes: usize) -> i64 {
    ends.create(topic, partitions, &[]);
    fill(ends, topic, partitions, megabytes)
}

/// Fills a topic with records that do not compress; returns their number.
fn fill(ends: &Ends, topic: &str, partitions: i32, megabytes: usize) -> i64 {
    let value: Vec<u8> = (0..RECORD_BYTES).map(|_| fastrand::u8(..)).collect();
    let count = i32::try_from(megabytes * 1_000_000 / RECORD_BYTES).unwrap();
    let records = (0..count).map(|n| Record::new(&value).partition(n % partitions));
    Seed::to(&ends.from).batch_bytes(500_000).batch_records(25).write(topic, records).unwrap();
    i64::from(count)
}

/// High watermarks on the destination, all partitions of a topic in one request.
struct Watermarks {
    cluster: Cluster,
    runtime: tokio::runtime::Runtime,
}

impl Watermarks {
    fn of(bootstrap: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dial = Arc::new(Tcp::default());
        let cluster = runtime.block_on(Cluster::connect(dial, Settings::new(bootstrap).unwrap())).unwrap();
        Self { cluster, runtime }
    }

    fn has(&self, topic: &str, partitions: i32) -> bool {
        self.runtime.block_on(self.cluster.refresh()).unwrap();
        let metadata = self.cluster.metadata();
        (0..partitions).all(|n| metadata.leader(&TopicPartition::new(topic, n)).is_some())
    }

    fn read(&self, topic: &str, partitions: i32) -> Vec<i64> {
        let asked: Vec<_> =
            (0..partitions).map(|n| (TopicPartition::new(topic, n), LeaderEpoch::UNKNOWN)).collect();
        self.runtime.block_on(async {
            let (node, _) = self.cluster.metadata().leader(&asked[0].0).unwrap();
            let connection = self.cluster.connection(node).await.unwrap();
            let answers = list_offsets(&connection, &asked, At::Latest).await.unwrap();
            // A leader is in the metadata slightly before its broker acts on it.
            answers.into_iter().map(|(_, offset)| offset.unwrap_or(0)).collect()
        })
    }
}

/// What came of records that are written into small partitions while a large topic catches up.
#[derive(Debug, Default)]
struct Waits {
    /// Milliseconds from the acknowledgement at the source until the destination shows it: to be looked at, never asserted.
    ages_ms: Vec<u128>,
    /// The same on a clock that a busy machine does not change: records of the large topic that were copied meanwhile.
    overtaken_by: Vec<i64>,
}

fn quantile<T: Copy>(sorted: &[T], of_hundred: usize) -> T {
    sorted[(sorted.len() * of_hundred / 100).min(sorted.len() - 1)]
}

impl Waits {
    /// Writes a record into every small partition, waits until all are there, and again, until the backlog is done.
    fn measure(small: &Small, (large, total): (&str, i64)) -> Self {
        let mut waits = Self::default();
        let copied = || small.there.read(large, LARGE).into_iter().sum::<i64>();
        // The first round opened the partitions.
        for round in 1.. {
            let written = small.write();
            let before = copied();
            let ages = small.arrive(round, written);
            let now = copied();
            if now >= total {
                break;
            }
            waits.ages_ms.extend(ages);
            waits.overtaken_by.push(now - before);
        }
        waits.ages_ms.sort_unstable();
        waits.overtaken_by.sort_unstable();
        waits
    }
}

/// The small topic, written at the source and looked at on the destination.
struct Small {
    topic: String,
    seeder: Seeder,
    there: Watermarks,
}

impl Small {
    fn of(ends: &Ends, topic: &str) -> Self {
        ends.create(topic, SMALL, &[]);
        let seeder = Seed::to(&ends.from).config("linger.ms", "0").open().unwrap();
        Self { topic: topic.to_owned(), seeder, there: Watermarks::of(&ends.to) }
    }

    /// A record into every partition; when all were acknowledged.
    fn write(&self) -> Instant {
        let records = (0..SMALL).map(|n| Record::new("now and then").partition(n));
        self.seeder.write(&self.topic, records).unwrap();
        Instant::now()
    }

    /// Until every partition holds more than `held`; how long each record was under way, in milliseconds.
    fn arrive(&self, held: i64, written: Instant) -> Vec<u128> {
        let mut ages = Vec::new();
        while ages.len() < SMALL as usize {
            let arrived = self.there.read(&self.topic, SMALL).into_iter().filter(|end| *end > held).count();
            let age = written.elapsed();
            ages.resize(arrived, age.as_millis());
            assert!(age < PATIENCE, "{arrived} of {SMALL} records have come within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(3));
        }
        ages
    }
}

fn mirror(ends: &Ends, family: &str, more: &[&str]) -> Lockstep {
    let pattern = format!("{family}\\..*");
    let mut arguments = vec!["mirror", "--from", &ends.from, "--to", &ends.to, "--topics", &pattern];
    arguments.extend(["--link", family, "-o", "json", "--interval", "300ms"]);
    arguments.extend(more);
    Lockstep::spawn(&arguments).unwrap()
}

/// A small topic beside a large one that catches up: all partitions are open when the large one's records come, for
/// an opening can take longer than the copying of the whole backlog.
fn small_beside_large(megabytes: usize, more: &[&str]) -> Waits {
    let ends = Ends::shared();
    let family = unique("pace");
    let large = format!("{family}.large");
    let small = Small::of(&ends, &format!("{family}.small"));
    let first = backlog(&ends, &large, LARGE, 1);
    let mut mirror = mirror(&ends, &family, more);
    let there = &small.there;
    wait_until_true("both topics to be there", PATIENCE, || {
        there.has(&small.topic, SMALL) && there.has(&large, LARGE)
    });
    small.arrive(0, small.write());
    wait_until_true("the large topic to be open", PATIENCE, || {
        there.read(&large, LARGE).into_iter().all(|end| end > 0)
    });
    mirror.signal(Signal::Stop).unwrap();
    let total = first + fill(&ends, &large, LARGE, megabytes);
    mirror.signal(Signal::Continue).unwrap();
    let waits = Waits::measure(&small, (&large, total));
    let (ages, overtaken) = (&waits.ages_ms, &waits.overtaken_by);
    assert!(!overtaken.is_empty(), "the large topic was there before the first small record");
    eprintln!(
        "{more:?}: {} records, age p50 {} ms, p99 {} ms, max {} ms; overtaken by {} kB, at most {} kB, in {} rounds",
        ages.len(),
        quantile(ages, 50),
        quantile(ages, 99),
        quantile(ages, 100),
        quantile(overtaken, 50) * RECORD_BYTES as i64 / 1_000,
        quantile(overtaken, 100) * RECORD_BYTES as i64 / 1_000,
        overtaken.len(),
    );
    stop(mirror, 0);
    waits
}

/// Before there were lanes, on an otherwise idle machine, every hundredth record came after 1.2 s or more.
#[test]
fn a_small_topic_is_not_held_up_by_a_large_one() {
    let waits = small_beside_large(rounds(300, 2_000) as usize, &[]);
    let records = |megabytes: usize| i64::try_from(megabytes * 1_000_000 / RECORD_BYTES).unwrap();
    assert!(quantile(&waits.overtaken_by, 50) < records(24), "{waits:?}");
}

#[test]
fn a_small_topic_is_not_held_up_by_a_large_one_behind_a_throttle() {
    let waits = small_beside_large(rounds(64, 160) as usize, &["--throttle", "8MB"]);
    let records = |megabytes: usize| i64::try_from(megabytes * 1_000_000 / RECORD_BYTES).unwrap();
    assert!(quantile(&waits.overtaken_by, 50) < records(4), "{waits:?}");
}

/// Bytes over time never exceed limit × time and one burst, whatever the machine does.
#[test]
fn a_throttled_link_keeps_to_its_limit() {
    const LIMIT: u64 = 4_000_000;
    let ends = Ends::shared();
    let family = unique("throttled");
    let topic = format!("{family}.topic");
    let total = backlog(&ends, &topic, LARGE, 14);
    let began = Instant::now();
    let mirror = mirror(&ends, &family, &["--throttle", "4MB/s"]);
    let there = Watermarks::of(&ends.to);
    wait_until_true("the topic to be there", PATIENCE, || there.has(&topic, LARGE));
    let mut looks = 0;
    loop {
        let copied: i64 = there.read(&topic, LARGE).into_iter().sum();
        let bytes = u64::try_from(copied).unwrap() * RECORD_BYTES as u64;
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap();
        assert!(bytes <= LIMIT * milliseconds / 1_000 + LIMIT, "{bytes} bytes within {milliseconds} ms");
        if copied >= total {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{copied} of {total} records");
        looks += 1;
        thread::sleep(Duration::from_millis(20));
    }
    assert!(looks > 10, "nothing was seen of it");
    stop(mirror, 0);
    assert_identical(&ends.from, &ends.to, &topic, LARGE);
}

/// Compared from the moment that the urgent partitions are open: which is opened first says nothing of who goes first.
#[test]
fn urgent_topics_go_first_and_the_others_are_not_left_out() {
    let ends = Ends::shared();
    let family = unique("priority");
    // By name the urgent one would be last.
    let (low, high) = (format!("{family}.a"), format!("{family}.b"));
    let totals = [(&low, 36), (&high, 12)].map(|(topic, megabytes)| backlog(&ends, topic, 2, megabytes));
    let there = Watermarks::of(&ends.to);
    let mirror = mirror(&ends, &family, &["--throttle", "6MB", "--priority-high", ".*\\.b"]);
    wait_until_true("both topics to be there", PATIENCE, || there.has(&low, 2) && there.has(&high, 2));
    let copied = |topic: &str| there.read(topic, 2).into_iter().sum::<i64>();
    wait_until_true("the urgent partitions to be open", PATIENCE, || {
        there.read(&high, 2).into_iter().all(|end| end > 0) && copied(&low) > 0
    });
    let before = (copied(&low), copied(&high));
    wait_until_true("the urgent topic to be copied", PATIENCE, || copied(&high) >= totals[1]);
    let (of_low, of_high) = (copied(&low) - before.0, totals[1] - before.1);
    eprintln!("while {of_high} records of the urgent topic came, from {before:?}: {of_low} others");
    assert!(
        of_high > 100,
        "{before:?} of {totals:?} were there when the last of them opened: nothing is left to compare"
    );
    assert!(of_low < of_high * 2 / 3, "{of_low} beside {of_high}");
    assert!(of_low > 0, "nothing of the other topic");
    wait_until_true("the other one, too", PATIENCE, || copied(&low) >= totals[0]);
    stop(mirror, 0);
}
