//! What the standby keeps and what it lets go (M20): it follows the source's log start as far as the source's retention
//! explains it; a purge, a deletion or a recreation never empties it unless asked (`--propagate all`).

use lockstep_testkit::client::{Admin, Record, Seed, assert_identical, watermarks};
use lockstep_testkit::{Kafka, pair, unique, wait_until_true};

use super::rules::alter_topic as alter;
use super::shapes::now_ms;
use super::{Ends, PATIENCE, said, stop, wait_for};

const HOUR_MS: i64 = 3_600_000;

fn records(count: i32, at: i64) -> impl Iterator<Item = Record> {
    (0..count).map(move |n| Record::new(format!("record {n} {}", "k".repeat(500))).at(at))
}

fn start_at(bootstrap: &str, topic: &str) -> i64 {
    watermarks(bootstrap, topic, 0).unwrap().start
}

#[test]
fn m20_retention_by_time_is_followed() {
    let source = Kafka::builder("retains").config("log.retention.check.interval.ms", "1000").start().unwrap();
    let ends = Ends::of(&source, &pair().destination);
    let topic = unique("retention-time");
    // Small segments; no limit until everything is mirrored.
    ends.create(&topic, 1, &[("segment.bytes", "1048576"), ("retention.ms", "-1")]);
    Seed::to(&ends.from).batch_records(20).write(&topic, records(6_000, now_ms() - 2 * HOUR_MS)).unwrap();
    Seed::to(&ends.from).batch_records(20).write(&topic, records(3_000, now_ms())).unwrap();
    let mirror = ends.mirror(&topic);
    ends.wait_until_equal(&topic, 1);
    alter(&ends.from, &topic, "retention.ms", &HOUR_MS.to_string());
    wait_until_true("the source to delete segments", PATIENCE, || start_at(&ends.from, &topic) > 0);
    wait_until_true("the standby to follow", PATIENCE, || {
        start_at(&ends.to, &topic) == start_at(&ends.from, &topic)
    });
    assert_eq!(said(&mirror.stdout(), "kept").len(), 0, "{}", mirror.stdout());
    stop(mirror, 0);
    assert_identical(&ends.from, &ends.to, &topic, 1);
}

#[test]
fn m20_retention_by_size_is_followed() {
    let source = Kafka::builder("retains").config("log.retention.check.interval.ms", "1000").start().unwrap();
    let ends = Ends::of(&source, &pair().destination);
    let topic = unique("retention-size");
    ends.create(&topic, 1, &[("segment.bytes", "1048576"), ("retention.ms", "-1")]);
    Seed::to(&ends.from).batch_records(20).write(&topic, records(12_000, now_ms())).unwrap();
    let mirror = ends.mirror(&topic);
    ends.wait_until_equal(&topic, 1);
    alter(&ends.from, &topic, "retention.bytes", "3000000");
    wait_until_true("the source to delete segments", PATIENCE, || start_at(&ends.from, &topic) > 0);
    wait_until_true("the standby to follow", PATIENCE, || {
        start_at(&ends.to, &topic) == start_at(&ends.from, &topic)
    });
    stop(mirror, 0);
    assert_identical(&ends.from, &ends.to, &topic, 1);
}

#[test]
fn m20_a_purge_does_not_empty_the_mirror() {
    let ends = Ends::shared();
    let topic = unique("purge");
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, records(500, now_ms())).unwrap();
    let mirror = ends.mirror(&topic);
    ends.wait_until_equal(&topic, 1);
    Admin::of(&ends.from).unwrap().delete_records(&topic, 0, 500).unwrap();
    let kept = wait_for(&mirror, "kept", |v| v["source_start_offset"] == 500);
    assert_eq!(kept["partition"], 0);
    // It goes on with what comes after.
    Seed::to(&ends.from).write(&topic, records(50, now_ms())).unwrap();
    ends.wait_until_equal(&topic, 1);
    stop(mirror, 0);
    assert_eq!(watermarks(&ends.to, &topic, 0).unwrap(), 0..550, "everything is still there");
    // Asked to follow, the next run does.
    let mirror = ends.mirror_with(&topic, &["--propagate", "all"]);
    wait_until_true("the standby to follow the purge", PATIENCE, || start_at(&ends.to, &topic) == 500);
    stop(mirror, 0);
    assert_identical(&ends.from, &ends.to, &topic, 1);
}

#[test]
fn a_deleted_and_recreated_topic_is_followed_when_asked() {
    let ends = Ends::shared();
    let topic = unique("follow");
    ends.create(&topic, 2, &[]);
    Seed::to(&ends.from).write(&topic, records(300, now_ms())).unwrap();
    let mirror = ends.mirror_with(&topic, &["--propagate", "all"]);
    ends.wait_until_equal(&topic, 2);
    let source = Admin::of(&ends.from).unwrap();
    source.delete(&topic).unwrap();
    ends.create(&topic, 2, &[]);
    Seed::to(&ends.from).write(&topic, records(40, now_ms())).unwrap();
    wait_until_true("the new topic to be copied anew", PATIENCE, || ends.held(&topic, 0) == 40);
    ends.wait_until_equal(&topic, 2);
    assert_identical(&ends.from, &ends.to, &topic, 2);
    source.delete(&topic).unwrap();
    let dest = Admin::of(&ends.to).unwrap();
    wait_until_true("the copy to be deleted", PATIENCE, || dest.leaders(&topic).unwrap().is_empty());
    stop(mirror, 0);
}
