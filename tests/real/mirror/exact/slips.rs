//! Doubts about markers: a lost answer, a connection cut in the middle of a request, a second writer in the link's
//! name (M13, M18). No slip where one can be avoided; where it cannot, *slipped* with the exact shift.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use lockstep_core::ids::TopicPartition;
use lockstep_testkit::client::{Codec, Record, Seed, Transactor};
use lockstep_testkit::proxy::{Asked, Direction};
use lockstep_testkit::{unique, wait_until_true};

use super::assert_exact;
use super::raw::{Answers, write_markers};
use super::transactions::records;
use crate::mirror::network::{Far, Line, PARTITIONS};
use crate::mirror::rules::registered_identity;
use crate::mirror::{Ends, PATIENCE, stop, wait_for};

/// Kafka's number of the request (`ApiKeys`).
const WRITE_TXN_MARKERS: i16 = 27;

/// Rolled-back transactions between plain records, on every partition of a line.
fn write_voids(line: &Line, offsets: i32) {
    let transactor = Transactor::open(&line.direct.from, &unique("tx"), Codec::None).unwrap();
    for _ in 0..2 {
        transactor.begin().unwrap();
        let voids = (0..offsets * PARTITIONS).map(|n| Record::new("void").partition(n % PARTITIONS));
        transactor.write(&line.topic, voids).unwrap();
        transactor.abort().unwrap();
        let plain = records("plain", 100 * PARTITIONS, PARTITIONS);
        Seed::to(&line.direct.from).write(&line.topic, plain).unwrap();
    }
}

fn assert_unharmed(line: &Line, mirror: lockstep_testkit::Lockstep, records: i32) {
    line.direct.wait_until_equal(&line.topic, PARTITIONS);
    stop(mirror, 0);
    let compared = assert_exact(&line.direct, &line.topic, PARTITIONS);
    assert_eq!(compared.records, u64::from(records.unsigned_abs()));
}

#[test]
fn answers_to_markers_are_lost() {
    let line = Line::to(Far::Destination, "exact-lost-answers");
    let seen = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&seen);
    // The answer is kept back until its connection is gone.
    line.proxy().on_response(move |asked: &Asked, _: &mut [u8]| {
        if asked.api_key == WRITE_TXN_MARKERS && count.fetch_add(1, Ordering::AcqRel) < 3 {
            thread::sleep(Duration::from_millis(400));
        }
    });
    let mirror = line.mirror();
    write_voids(&line, 6_000);
    for lost in 1..=3 {
        wait_until_true("an answer to markers", PATIENCE, || seen.load(Ordering::Acquire) >= lost);
        line.proxy().reset_all();
    }
    assert_unharmed(&line, mirror, 2 * 100 * PARTITIONS);
}

#[test]
fn connections_are_cut_in_the_middle_of_markers() {
    let line = Line::to(Far::Destination, "exact-cut-markers");
    let mirror = line.mirror();
    write_voids(&line, 6_000);
    for round in 0..3 {
        wait_until_true("it to go on", PATIENCE, || line.held() > 0);
        // Half a request, then nothing; or the whole of it and no answer.
        line.proxy().throttle(Direction::ToServer, 60_000);
        thread::sleep(Duration::from_millis(fastrand::u64(300..1_500)));
        if round == 1 {
            line.proxy().cut(Direction::ToClient);
            thread::sleep(Duration::from_millis(500));
            line.proxy().heal();
        } else {
            line.proxy().reset_all();
        }
        line.proxy().calm();
        write_voids(&line, 3_000);
    }
    assert_unharmed(&line, mirror, 4 * 2 * 100 * PARTITIONS);
}

#[test]
fn a_second_writer_of_markers_makes_it_slip_and_the_shift_is_said() {
    let ends = Ends::shared();
    let topic = unique("exact-slip");
    ends.create(&topic, 2, &[]);
    let seeder = Seed::to(&ends.from).open().unwrap();
    seeder.write(&topic, records("before", 200, 2)).unwrap();
    let mirror = ends.mirror(&topic);
    ends.wait_until_equal(&topic, 2);
    let ours = registered_identity(&ends.to, &topic).unwrap();
    // Noticed by the end alone, before the source has anything to append.
    write_markers(&ends.to, &TopicPartition::new(topic.as_str(), 0), ours, &[3], 1, Answers::Awaited);
    let stopped = wait_for(&mirror, "stopped", |_| true)["partition"].clone();
    assert_eq!((&stopped["partition"], &stopped["verdict"]), (&0.into(), &"slipped".into()), "{stopped}");
    let reason = stopped["reason"].as_str().unwrap();
    assert!(reason.contains("offset 100") && reason.contains("3 offsets ahead"), "{reason}");
    seeder.write(&topic, records("behind", 100, 2)).unwrap();
    wait_until_true("the other partition to go on", PATIENCE, || ends.held(&topic, 1) == 150);
    // And by an append that lands behind them.
    write_markers(&ends.to, &TopicPartition::new(topic.as_str(), 1), ours, &[7], 1, Answers::Awaited);
    seeder.write(&topic, records("behind", 100, 2)).unwrap();
    let stopped = wait_for(&mirror, "stopped", |v| v["partition"]["partition"] == 1)["partition"].clone();
    assert_eq!(stopped["verdict"], "slipped", "{stopped}");
    let reason = stopped["reason"].as_str().unwrap();
    assert!(reason.contains("offset 150") && reason.contains("7 offsets ahead"), "{reason}");
    stop(mirror, 5);
}

#[test]
fn a_second_writer_inside_a_hole_takes_offsets_that_were_void_anyway() {
    let ends = Ends::shared();
    let topic = unique("exact-helped");
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, records("before", 10, 1)).unwrap();
    ends.mirror_all(&topic);
    let transactor = Transactor::open(&ends.from, &unique("tx"), Codec::Lz4).unwrap();
    transactor.begin().unwrap();
    transactor.write(&topic, (0..500).map(|n| Record::new(n.to_string()))).unwrap();
    transactor.abort().unwrap();
    Seed::to(&ends.from).write(&topic, records("behind", 20, 1)).unwrap();
    let ours = registered_identity(&ends.to, &topic).unwrap();
    let tp = TopicPartition::new(topic.as_str(), 0);
    write_markers(&ends.to, &tp, ours, &[200], 1, Answers::Awaited);
    assert_eq!(ends.held(&topic, 0), 210);
    // The same request once more: of its coordinator epochs the broker takes the last one only (M13).
    write_markers(&ends.to, &tp, ours, &[200], -199, Answers::Awaited);
    assert_eq!(ends.held(&topic, 0), 211);
    ends.mirror_all(&topic);
    assert_eq!(assert_exact(&ends, &topic, 1).records, 30);
}

#[test]
fn a_second_writer_in_the_middle_of_the_mirrors_markers() {
    let ends = Ends::shared();
    let topic = unique("exact-two-writers");
    ends.create(&topic, 1, &[]);
    let transactor = Transactor::open(&ends.from, &unique("tx"), Codec::Lz4).unwrap();
    transactor.begin().unwrap();
    transactor.write(&topic, (0..60_000).map(|n| Record::new(n.to_string()))).unwrap();
    transactor.abort().unwrap();
    Seed::to(&ends.from).write(&topic, records("behind", 20, 1)).unwrap();
    let mirror = ends.mirror(&topic);
    for round in 1..=3 {
        wait_until_true("it to go on", PATIENCE, || ends.held(&topic, 0) > round * 5_000);
        // Far above the mirror's own: whatever it has under way is refused.
        let ours = registered_identity(&ends.to, &topic).unwrap();
        let tp = TopicPartition::new(topic.as_str(), 0);
        write_markers(&ends.to, &tp, ours, &[30], 1_000_000, Answers::Awaited);
    }
    ends.wait_until_equal(&topic, 1);
    stop(mirror, 0);
    assert_eq!(assert_exact(&ends, &topic, 1).records, 20);
}

#[test]
fn too_many_markers_found_at_the_start_are_a_slip_too() {
    let ends = Ends::shared();
    let topic = unique("exact-slipped-before");
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, records("before", 10, 1)).unwrap();
    ends.mirror_all(&topic);
    Seed::to(&ends.from).write(&topic, records("behind", 20, 1)).unwrap();
    let ours = registered_identity(&ends.to, &topic).unwrap();
    write_markers(&ends.to, &TopicPartition::new(topic.as_str(), 0), ours, &[4], 1, Answers::Awaited);
    let finished = ends.mirror_to_the_end(&topic, &[]);
    let stopped = crate::mirror::said(&finished.stdout, "stopped").remove(0)["partition"].clone();
    assert_eq!(stopped["verdict"], "slipped", "{stopped}");
    assert!(stopped["reason"].as_str().unwrap().contains("4 offsets ahead"), "{stopped}");
}
