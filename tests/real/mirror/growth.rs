//! Topics and partitions that come while the mirror runs: picked up within seconds, from their first record.

use lockstep_testkit::client::{Admin, Record, Seed, assert_identical};
use lockstep_testkit::{Kafka, pair, unique, wait_until_true};

use super::{Ends, PATIENCE, said, stop};

fn records(count: i32, partitions: i32) -> impl Iterator<Item = Record> {
    (0..count).map(move |n| Record::new(format!("record {n}")).partition(n % partitions))
}

#[test]
fn a_new_topic_that_matches_is_mirrored_and_others_are_not() {
    let ends = Ends::shared();
    let prefix = unique("family");
    let (first, second, other) = (format!("{prefix}.a"), format!("{prefix}.b"), format!("{prefix}.b.tmp"));
    ends.create(&first, 1, &[]);
    Seed::to(&ends.from).write(&first, records(10, 1)).unwrap();
    let pattern = format!("{prefix}\\..*");
    let mirror = {
        let mut arguments = vec!["mirror", "--from", &ends.from, "--to", &ends.to, "--topics", &pattern];
        arguments.extend(["--exclude", ".*\\.tmp", "--link", &prefix, "-o", "json", "--interval", "1s"]);
        lockstep_testkit::Lockstep::spawn(&arguments).unwrap()
    };
    ends.wait_until_equal(&first, 1);
    ends.create(&second, 3, &[]);
    ends.create(&other, 1, &[]);
    Seed::to(&ends.from).write(&other, records(10, 1)).unwrap();
    Seed::to(&ends.from).write(&second, records(90, 3)).unwrap();
    ends.wait_until_equal(&second, 3);
    stop(mirror, 0);
    assert_identical(&ends.from, &ends.to, &second, 3);
    assert!(Admin::of(&ends.to).unwrap().leaders(&other).unwrap().is_empty(), "excluded topics stay away");
}

#[test]
fn new_partitions_are_mirrored_while_running_and_after_a_restart() {
    let ends = Ends::shared();
    let topic = unique("grows");
    ends.create(&topic, 2, &[]);
    Seed::to(&ends.from).write(&topic, records(100, 2)).unwrap();
    let mirror = ends.mirror(&topic);
    ends.wait_until_equal(&topic, 2);
    let admin = Admin::of(&ends.from).unwrap();
    admin.grow(&topic, 4).unwrap();
    Seed::to(&ends.from).write(&topic, records(200, 4)).unwrap();
    ends.wait_until_equal(&topic, 4);
    stop(mirror, 0);
    // While nobody mirrors: the next start adds what is missing.
    admin.grow(&topic, 5).unwrap();
    Seed::to(&ends.from).write(&topic, records(100, 5)).unwrap();
    ends.mirror_all(&topic);
    assert_identical(&ends.from, &ends.to, &topic, 5);
}

#[test]
fn a_topic_that_cannot_be_mirrored_holds_up_itself_alone() {
    let ends = Ends::shared();
    let prefix = unique("blocked");
    let (good, bad) = (format!("{prefix}.good"), format!("{prefix}.bad"));
    ends.create(&good, 1, &[]);
    let mirror = {
        let pattern = format!("{prefix}\\..*");
        let mut arguments = vec!["mirror", "--from", &ends.from, "--to", &ends.to, "--topics", &pattern];
        arguments.extend(["--link", &prefix, "-o", "json", "--interval", "500ms"]);
        lockstep_testkit::Lockstep::spawn(&arguments).unwrap()
    };
    // A topic of the same name with data of its own stands on the destination.
    Admin::of(&ends.to).unwrap().create(&bad, 1, &[]).unwrap();
    Seed::to(&ends.to).write(&bad, records(5, 1)).unwrap();
    ends.create(&bad, 1, &[]);
    let blocked = super::wait_for(&mirror, "blocked", |v| v["topic"] == bad.as_str());
    assert!(blocked["reason"].as_str().unwrap().contains("did not write"), "{blocked}");
    Seed::to(&ends.from).write(&good, records(50, 1)).unwrap();
    wait_until_true("the good topic to go on", PATIENCE, || ends.held(&good, 0) == 50);
    stop(mirror, 5);
    assert_eq!(ends.held(&bad, 0), 5, "nothing was written into the foreign topic");
}

/// Story: the clock was looked at only when no event was waiting, so under steady traffic a mirror said nothing at all.
#[test]
fn progress_is_said_while_traffic_never_pauses() {
    let ends = Ends::shared();
    let topic = unique("steady-progress");
    ends.create(&topic, 2, &[]);
    let mirror = ends.mirror(&topic);
    let seeder = Seed::to(&ends.from).batch_records(5).open().unwrap();
    let said = |mirror: &lockstep_testkit::Lockstep| {
        let lines = super::said(&mirror.stdout(), "progress");
        lines.iter().any(|line| line["copied_records"].as_u64() > Some(0))
    };
    let enough = (0..600).any(|_| {
        seeder.write(&topic, records(20, 2)).unwrap();
        said(&mirror)
    });
    stop(mirror, 0);
    assert!(enough, "12,000 records were written and no line told of them");
}

/// Story: a recreated topic with more partitions looked like one that has grown, and its new partitions were copied
/// beside the old ones.
#[test]
fn m9_a_recreated_larger_topic_does_not_make_the_copy_of_the_old_one_grow() {
    let ends = Ends::shared();
    let topic = unique("recreated-larger");
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, records(50, 1)).unwrap();
    let mirror = ends.mirror(&topic);
    ends.wait_until_equal(&topic, 1);
    let source = Admin::of(&ends.from).unwrap();
    source.delete(&topic).unwrap();
    wait_until_true("the topic to be gone", PATIENCE, || source.leaders(&topic).unwrap().is_empty());
    ends.create(&topic, 3, &[]);
    Seed::to(&ends.from).write(&topic, records(90, 3)).unwrap();
    let stopped = super::wait_for(&mirror, "stopped", |said| said["partition"]["topic"] == topic.as_str());
    let verdict = stopped["partition"]["verdict"].as_str().unwrap();
    assert!(["diverged", "orphaned"].contains(&verdict), "{stopped}");
    stop(mirror, 5);
    assert_eq!(Admin::of(&ends.to).unwrap().leaders(&topic).unwrap().len(), 1);
    assert_eq!(ends.held(&topic, 0), 50);
}

#[test]
fn a_topic_that_grew_while_it_was_blocked_is_mirrored_whole() {
    let ends = Ends::shared();
    let prefix = unique("blocked-grows");
    let (good, late) = (format!("{prefix}.good"), format!("{prefix}.late"));
    ends.create(&good, 1, &[]);
    let mirror = {
        let pattern = format!("{prefix}\\..*");
        let mut arguments = vec!["mirror", "--from", &ends.from, "--to", &ends.to, "--topics", &pattern];
        arguments.extend(["--link", &prefix, "-o", "json", "--interval", "500ms"]);
        lockstep_testkit::Lockstep::spawn(&arguments).unwrap()
    };
    let dest = Admin::of(&ends.to).unwrap();
    dest.create(&late, 1, &[]).unwrap();
    Seed::to(&ends.to).write(&late, records(5, 1)).unwrap();
    ends.create(&late, 1, &[]);
    super::wait_for(&mirror, "blocked", |v| v["topic"] == late.as_str());
    Admin::of(&ends.from).unwrap().grow(&late, 3).unwrap();
    Seed::to(&ends.from).write(&late, records(90, 3)).unwrap();
    dest.delete(&late).unwrap();
    ends.wait_until_equal(&late, 3);
    stop(mirror, 0);
    assert_identical(&ends.from, &ends.to, &late, 3);
}

/// Story: the mirror of a compacted topic that grew before it was compacted stayed uncompacted for good.
#[test]
fn m21_a_compacted_topic_that_grows_early_is_compacted_all_the_same() {
    let ends = Ends::shared();
    let topic = unique("grows-compacted");
    ends.create(&topic, 1, &[("cleanup.policy", "compact"), ("min.compaction.lag.ms", "86400000")]);
    let keyed = |count: i32, partitions: i32| {
        (0..count).map(move |n| Record::new(format!("{n}")).key(format!("{n}")).partition(n % partitions))
    };
    Seed::to(&ends.from).write(&topic, keyed(100, 1)).unwrap();
    let mirror = ends.mirror(&topic);
    wait_until_true("the first records", PATIENCE, || ends.held(&topic, 0) > 0);
    Admin::of(&ends.from).unwrap().grow(&topic, 3).unwrap();
    Seed::to(&ends.from).write(&topic, keyed(300, 3)).unwrap();
    ends.wait_until_equal(&topic, 3);
    super::settings::wait_until_set(&ends.to, &topic, "cleanup.policy", Some("compact,delete"));
    stop(mirror, 0);
    assert_identical(&ends.from, &ends.to, &topic, 3);
}

/// Story: a topic whose leaders were away was looked at for half a minute, and every new topic waited behind it.
#[test]
fn a_topic_that_waits_for_leaders_holds_up_itself_alone() {
    pair();
    let both = ["offsets.topic.replication.factor", "transaction.state.log.replication.factor"];
    let dest = Kafka::builder("leaderless").brokers(2).config("min.insync.replicas", "1");
    let dest = both.iter().fold(dest, |dest, key| dest.config(key, "2"));
    let dest = dest.config("broker.session.timeout.ms", "3000").start().unwrap();
    let ends = Ends::of(&pair().source, &dest);
    let prefix = unique("leaderless");
    let [first, slow, quick] = ["a.first", "b.slow", "c.quick"].map(|name| format!("{prefix}.{name}"));
    ends.create(&first, 1, &[]);
    Seed::to(&ends.from).write(&first, records(10, 1)).unwrap();
    // Stands on both brokers, one replica each.
    let there = Admin::of(&ends.to).unwrap();
    there.create(&slow, 8, &[]).unwrap();
    let pattern = format!("{prefix}\\..*");
    let mirror = {
        let both = ["mirror", "--from", &ends.from, "--to", &ends.to, "--topics", &pattern];
        let more = ["--link", &prefix, "-o", "json", "--interval", "300ms"];
        lockstep_testkit::Lockstep::spawn(&[&both[..], &more].concat()).unwrap()
    };
    ends.wait_until_equal(&first, 1);
    dest.kill(2).unwrap();
    wait_until_true("partitions without a leader", PATIENCE, || {
        there.leaders(&slow).is_ok_and(|leaders| leaders.len() == 8 && leaders.iter().any(|node| *node < 0))
    });
    ends.create(&slow, 8, &[]);
    std::thread::sleep(std::time::Duration::from_secs(1));
    ends.create(&quick, 1, &[]);
    Seed::to(&ends.from).write(&quick, records(10, 1)).unwrap();
    ends.wait_until_equal(&quick, 1);
    let blocked = |topic: &str| said(&mirror.stdout(), "blocked").iter().any(|said| said["topic"] == topic);
    assert!(!blocked(&slow), "it waited behind the other");
    dest.restart(2).unwrap();
    Seed::to(&ends.from).write(&slow, records(80, 8)).unwrap();
    ends.wait_until_equal(&slow, 8);
    stop(mirror, 0);
    assert_identical(&ends.from, &ends.to, &slow, 8);
}
