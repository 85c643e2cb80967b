//! What stops a partition: each verdict with its evidence, and never more than the partition concerned (M9, M18). Data on the destination are kept in every case.

use lockstep_testkit::client::{Admin, Record, Seed, assert_identical, watermarks};
use lockstep_testkit::{Exit, Kafka, pair, unique};
use serde_json::Value;

use super::{Ends, PATIENCE, said, stop, wait_for};

fn plain(count: i32, partition: i32) -> impl Iterator<Item = Record> {
    (0..count).map(move |n| Record::new(format!("record {n}")).partition(partition))
}

fn verdict(stdout: &str, partition: i32) -> Value {
    let of_partition = |v: &Value| v["partition"]["partition"] == partition;
    let stopped = said(stdout, "stopped").into_iter().find(of_partition);
    stopped.unwrap_or_else(|| panic!("no verdict for partition {partition}: {stdout}"))["partition"].clone()
}

#[test]
fn m18_a_foreign_write_contaminates_its_partition_within_one_batch() {
    let ends = Ends::shared();
    let topic = unique("foreign");
    ends.create(&topic, 2, &[]);
    let seeder = Seed::to(&ends.from).open().unwrap();
    seeder.write(&topic, plain(100, 0).chain(plain(100, 1))).unwrap();
    let mirror = ends.mirror(&topic);
    ends.wait_until_equal(&topic, 2);
    Seed::to(&ends.to).write(&topic, [Record::new("not from the source")]).unwrap();
    seeder.write(&topic, plain(50, 0).chain(plain(50, 1))).unwrap();
    let stopped = wait_for(&mirror, "stopped", |v| v["partition"]["verdict"] == "contaminated");
    assert!(stopped["partition"]["reason"].as_str().unwrap().contains("offset 100"), "{stopped}");
    assert!(stopped["partition"]["remedy"].as_str().unwrap().contains("delete the topic"), "{stopped}");
    // The other partition goes on.
    seeder.write(&topic, plain(50, 1)).unwrap();
    lockstep_testkit::wait_until_true("the other partition to go on", PATIENCE, || {
        ends.held(&topic, 1) == 200
    });
    stop(mirror, 5);
}

#[test]
fn m9_a_higher_epoch_fences_the_mirror() {
    let ends = Ends::shared();
    let topic = unique("fenced");
    ends.create(&topic, 1, &[]);
    let seeder = Seed::to(&ends.from).open().unwrap();
    seeder.write(&topic, plain(100, 0)).unwrap();
    let mirror = ends.mirror(&topic);
    ends.wait_until_equal(&topic, 1);
    // What a promotion does: a higher epoch for the link's id, and a batch written under it.
    super::rules::write_as_newer_owner(&ends.to, &topic);
    seeder.write(&topic, plain(10, 0)).unwrap();
    let stopped = wait_for(&mirror, "stopped", |v| v["partition"]["verdict"] == "fenced");
    assert!(stopped["partition"]["reason"].as_str().unwrap().contains("epoch 1"), "{stopped}");
    stop(mirror, 5);
}

#[test]
fn m9_a_source_that_ends_earlier_has_diverged() {
    let ends = Ends::shared();
    let topic = unique("shorter");
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, plain(100, 0)).unwrap();
    ends.mirror_all(&topic);
    // The same link, pointed at a source whose log is shorter.
    let other = Kafka::builder("shorter").start().unwrap();
    let other = Ends::of(&other, &pair().destination);
    other.create(&topic, 1, &[]);
    Seed::to(&other.from).write(&topic, plain(40, 0)).unwrap();
    let finished = other.mirror_to_the_end(&topic, &[]);
    assert_eq!(finished.exit, Exit::Code(5), "{}", finished.stdout);
    let stopped = verdict(&finished.stdout, 0);
    assert_eq!(stopped["verdict"], "diverged", "{stopped}");
    let reason = stopped["reason"].as_str().unwrap();
    assert!(reason.contains("ends at offset 40") && reason.contains("mirror at 100"), "{reason}");
    // As long as the mirror, but not the same records: the tail tells (M8, step 5).
    let different = (0..80).map(|n| Record::new(format!("another record {n}")));
    Seed::to(&other.from).write(&topic, different).unwrap();
    let finished = other.mirror_to_the_end(&topic, &[]);
    let stopped = verdict(&finished.stdout, 0);
    assert!(stopped["reason"].as_str().unwrap().contains("not the same on both sides"), "{stopped}");
    assert_identical(&ends.from, &ends.to, &topic, 1);
}

#[test]
fn m9_a_topic_deleted_at_the_source_is_orphaned_and_kept() {
    let ends = Ends::shared();
    let topic = unique("gone");
    ends.create(&topic, 2, &[]);
    Seed::to(&ends.from).write(&topic, plain(100, 0)).unwrap();
    let mirror = ends.mirror(&topic);
    ends.wait_until_equal(&topic, 2);
    Admin::of(&ends.from).unwrap().delete(&topic).unwrap();
    let stopped = wait_for(&mirror, "stopped", |v| v["partition"]["partition"] == 0);
    assert_eq!(stopped["partition"]["verdict"], "orphaned", "{stopped}");
    stop(mirror, 5);
    assert_eq!(watermarks(&ends.to, &topic, 0).unwrap(), 0..100, "the mirror's data are kept");
}

#[test]
fn m9_a_topic_recreated_at_the_source_has_diverged_by_its_id() {
    let ends = Ends::shared();
    let topic = unique("again");
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, plain(100, 0)).unwrap();
    let mirror = ends.mirror(&topic);
    ends.wait_until_equal(&topic, 1);
    Admin::of(&ends.from).unwrap().delete(&topic).unwrap();
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, plain(300, 0)).unwrap();
    let stopped = wait_for(&mirror, "stopped", |_| true);
    assert_eq!(stopped["partition"]["verdict"], "diverged", "{stopped}");
    let reason = stopped["partition"]["reason"].as_str().unwrap();
    assert!(reason.contains("deleted and created again"), "{reason}");
    stop(mirror, 5);
    assert_eq!(watermarks(&ends.to, &topic, 0).unwrap(), 0..100, "the mirror's data are kept");
}
