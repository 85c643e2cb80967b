//! Markers of a mirror that has died still land while another one starts (M8, M13): no offset slips, whether the dead
//! one's requests were under way on a lost connection, or lie before a broker that stood still.

use std::thread;
use std::time::Duration;

use lockstep_core::ids::TopicPartition;
use lockstep_testkit::client::{Codec, Record, Seed, Transactor};
use lockstep_testkit::{Kafka, pair, rounds, unique, wait_until_true};

use super::assert_exact;
use super::raw::{Answers, write_markers};
use super::transactions::records;
use crate::mirror::rules::registered_identity;
use crate::mirror::{Ends, PATIENCE};

/// A rolled-back transaction of so many records, and plain ones behind it.
fn write_void(from: &str, topic: &str, offsets: i32, behind: i32) {
    let transactor = Transactor::open(from, &unique("tx"), Codec::Lz4).unwrap();
    transactor.begin().unwrap();
    transactor.write(topic, (0..offsets).map(|n| Record::new(n.to_string()))).unwrap();
    transactor.abort().unwrap();
    Seed::to(from).write(topic, records("behind", behind, 1)).unwrap();
}

#[test]
fn twenty_thousand_markers_of_a_dead_mirror() {
    let ends = Ends::shared();
    for round in 0..rounds(2, 10) {
        let topic = unique("exact-dead");
        ends.create(&topic, 1, &[]);
        Seed::to(&ends.from).write(&topic, records("before", 10, 1)).unwrap();
        ends.mirror_all(&topic);
        write_void(&ends.from, &topic, 30_000, 100);
        let ours = registered_identity(&ends.to, &topic).unwrap();
        let tp = TopicPartition::new(topic.as_str(), 0);
        write_markers(&ends.to, &tp, ours, &[5_000; 4], 1, Answers::Abandoned);
        wait_until_true("the first of the dead one's markers", PATIENCE, || ends.held(&topic, 0) > 10);
        eprintln!("{} of 20,000 landed when the next one starts", ends.held(&topic, 0) - 10);
        ends.mirror_all(&topic);
        assert_eq!(assert_exact(&ends, &topic, 1).records, 110, "round {round}");
    }
}

#[test]
fn killed_again_and_again_inside_a_large_hole() {
    let ends = Ends::shared();
    let topic = unique("exact-killed-inside");
    ends.create(&topic, 1, &[]);
    for _ in 0..2 {
        write_void(&ends.from, &topic, 40_000, 50);
    }
    let end = ends.written(&topic, 0);
    for _ in 0..rounds(4, 20) {
        let before = ends.held(&topic, 0);
        let mut mirror = ends.mirror(&topic);
        wait_until_true("it to go on", PATIENCE, || ends.held(&topic, 0) > before || before == end);
        thread::sleep(Duration::from_millis(fastrand::u64(0..120)));
        mirror.kill().unwrap();
        eprintln!("killed at {} of {end}", ends.held(&topic, 0));
    }
    ends.mirror_all(&topic);
    assert_eq!(assert_exact(&ends, &topic, 1).records, 100);
}

#[test]
fn a_mirror_dies_before_a_broker_that_stands_still() {
    let dest = Kafka::builder("stands-still").start().unwrap();
    let ends = Ends::of(&pair().source, &dest);
    let topic = unique("exact-still");
    ends.create(&topic, 1, &[]);
    for _ in 0..3 {
        write_void(&ends.from, &topic, 40_000, 50);
    }
    for _ in 0..rounds(2, 6) {
        let before = ends.held(&topic, 0);
        let mut dying = ends.mirror(&topic);
        wait_until_true("markers under way", PATIENCE, || {
            ends.held(&topic, 0) > before || before == ends.written(&topic, 0)
        });
        // Whatever the mirror has sent lies in the broker's sockets, and lands when the next one is there already.
        dest.stop(1).unwrap();
        thread::sleep(Duration::from_millis(100));
        dying.kill().unwrap();
        let mut next = ends.mirror(&topic);
        thread::sleep(Duration::from_millis(fastrand::u64(200..1_500)));
        dest.cont(1).unwrap();
        thread::sleep(Duration::from_millis(fastrand::u64(0..4_000)));
        next.kill().unwrap();
    }
    ends.mirror_all(&topic);
    assert_eq!(assert_exact(&ends, &topic, 1).records, 150);
}
