//! Records that flow: every scenario of MirrorMaker 2 about them, with equal offsets, timestamps, keys, values and headers
//! as the result in place of equal counts.

use lockstep_testkit::client::{
    Codec, Isolation, Transactor, assert_identical, compare_named, read_all, watermarks,
};
use lockstep_testkit::{Exit, unique, wait_until_true};

use super::{EACH, Family, PARTITIONS, records, write};
use crate::mirror::{Ends, PATIENCE, assert_exact, assert_verified, stop};

/// Of one write to all partitions.
const ALL: u64 = (PARTITIONS * EACH).unsigned_abs() as u64;

/// *Replication*, one way, with identity naming: existing and new topics, one of which gets records in its first partition
/// only. Stricter: equal record by record at equal offsets; the same names, and neither cluster gets a topic that nobody
/// made (there: heartbeats, checkpoints, offset syncs).
#[test]
fn existing_and_new_topics_under_their_own_names() {
    let family = Family::new("mm2-replication");
    let ends = &family.ends;
    let (first, second) = (family.topic("1"), family.topic("2"));
    ends.create(&first, PARTITIONS, &[]);
    write(&ends.from, &first, "before", PARTITIONS);
    let mirror = family.mirror(ends, "link", &[]);
    ends.wait_until_equal(&first, PARTITIONS);
    ends.create(&second, PARTITIONS, &[]);
    write(&ends.from, &second, "new", 1);
    write(&ends.from, &first, "after", PARTITIONS);
    for topic in [&first, &second] {
        ends.wait_until_equal(topic, PARTITIONS);
    }
    stop(mirror, 0);
    assert_eq!(assert_identical(&ends.from, &ends.to, &first, PARTITIONS).records, 2 * ALL);
    assert_eq!(assert_identical(&ends.from, &ends.to, &second, PARTITIONS).records, ALL / 10);
    let names = [first, second];
    assert_eq!(family.names(&ends.from), names);
    assert_eq!(family.names(&ends.to), names);
}

/// *Replication*, both ways at once, between two clusters that hold topics of the same name. Stricter: each copy equals
/// its original at equal offsets, under the other cluster's prefix, and neither mirror copies the other's copies.
#[test]
fn both_ways_between_topics_of_the_same_name() {
    let family = Family::new("mm2-both-ways");
    let there = &family.ends;
    let back = Ends { from: there.to.clone(), to: there.from.clone() };
    let topic = family.topic("1");
    for (ends, what) in [(there, "primary"), (&back, "backup")] {
        ends.create(&topic, PARTITIONS, &[]);
        write(&ends.from, &topic, what, PARTITIONS);
    }
    let mirrors = [("primary.", there), ("backup.", &back)];
    let running = mirrors.map(|(prefix, ends)| family.mirror(ends, prefix, &["--rename", prefix]));
    for (prefix, ends) in mirrors {
        let copy = format!("{prefix}{topic}");
        let held = || (0..PARTITIONS).all(|p| watermarks(&ends.to, &copy, p).is_ok_and(|r| r.end >= 10));
        wait_until_true(&format!("{copy} to be whole"), PATIENCE, held);
    }
    for mirror in running {
        stop(mirror, 0);
    }
    for (prefix, ends) in mirrors {
        let copy = format!("{prefix}{topic}");
        let sides = [(ends.from.as_str(), Isolation::ReadCommitted), (&ends.to, Isolation::ReadUncommitted)];
        for partition in 0..PARTITIONS {
            let equal = compare_named(sides, [&topic, &copy], partition).unwrap().unwrap();
            assert_eq!(equal.records, 10);
        }
        let mut names = [topic.clone(), copy];
        names.sort();
        assert_eq!(family.names(&ends.to), names);
    }
}

/// *Replication with an empty partition*. Stricter: it is there, with log start and end equal, and a record that comes to
/// it later has the same offset on both sides.
#[test]
fn a_partition_without_records() {
    let family = Family::new("mm2-empty");
    let (ends, topic) = (&family.ends, family.topic("1"));
    ends.create(&topic, PARTITIONS, &[]);
    write(&ends.from, &topic, "some", PARTITIONS - 1);
    let mirror = family.mirror(ends, "link", &[]);
    ends.wait_until_equal(&topic, PARTITIONS);
    assert_eq!(watermarks(&ends.to, &topic, PARTITIONS - 1).unwrap(), 0..0);
    write(&ends.from, &topic, "all", PARTITIONS);
    ends.wait_until_equal(&topic, PARTITIONS);
    stop(mirror, 0);
    assert_eq!(assert_identical(&ends.from, &ends.to, &topic, PARTITIONS).records, 2 * ALL - ALL / 10);
}

/// *Restart of the connectors*, in order and by SIGKILL, with records written meanwhile. Stricter: none is copied twice.
#[test]
fn a_restart_repeats_nothing() {
    let family = Family::new("mm2-restart");
    let (ends, topic) = (&family.ends, family.topic("1"));
    ends.create(&topic, PARTITIONS, &[]);
    let mut mirror = family.mirror(ends, "link", &[]);
    for round in 0..3 {
        write(&ends.from, &topic, &format!("while it runs, {round}"), PARTITIONS);
        if round % 2 == 0 {
            mirror.kill().unwrap();
        } else {
            ends.wait_until_equal(&topic, PARTITIONS);
            stop(mirror, 0);
        }
        write(&ends.from, &topic, &format!("while it does not, {round}"), PARTITIONS);
        mirror = family.mirror(ends, "link", &[]);
    }
    ends.wait_until_equal(&topic, PARTITIONS);
    stop(mirror, 0);
    assert_eq!(assert_identical(&ends.from, &ends.to, &topic, PARTITIONS).records, 6 * ALL);
}

/// *Exactly-once, offsets altered and reset*: there a mirror without its offsets copies everything again. Stricter: nothing
/// is kept that could be lost or altered, whoever mirrors next adds nothing, not even under load.
#[test]
fn a_mirror_that_remembers_nothing_copies_nothing_again() {
    let family = Family::new("mm2-exactly-once");
    let (ends, topic) = (&family.ends, family.topic("1"));
    ends.create(&topic, PARTITIONS, &[]);
    write(&ends.from, &topic, "once", PARTITIONS);
    let everything = |p| {
        let range = watermarks(&ends.to, &topic, p).unwrap();
        read_all(&ends.to, &topic, p, range, Isolation::ReadUncommitted).unwrap()
    };
    let mut first = None;
    for _ in 0..3 {
        let mut mirror = family.mirror(ends, "link", &["--until-caught-up"]);
        assert_eq!(mirror.wait(PATIENCE).unwrap(), Exit::Code(0), "{}", mirror.stderr());
        let held: Vec<_> = (0..PARTITIONS).map(everything).collect();
        assert_eq!(held.iter().map(Vec::len).sum::<usize>() as u64, ALL);
        assert_eq!(first.get_or_insert_with(|| held.clone()), &held);
    }
    assert_identical(&ends.from, &ends.to, &topic, PARTITIONS);
}

/// *From latest*: there a mirror told so leaves out what it finds, and offsets part for ever. Stricter: one that starts late
/// has everything, at its offset.
#[test]
fn a_mirror_that_starts_late_has_everything() {
    let family = Family::new("mm2-latest");
    let (ends, topic) = (&family.ends, family.topic("1"));
    ends.create(&topic, PARTITIONS, &[]);
    write(&ends.from, &topic, "long before", PARTITIONS);
    let mirror = family.mirror(ends, "link", &[]);
    ends.wait_until_equal(&topic, PARTITIONS);
    write(&ends.from, &topic, "after", PARTITIONS);
    ends.wait_until_equal(&topic, PARTITIONS);
    stop(mirror, 0);
    assert_eq!(assert_identical(&ends.from, &ends.to, &topic, PARTITIONS).records, 2 * ALL);
}

/// *Transactional producers*. Stricter: rolled-back ones too, and markers count: log ends are equal, and nothing that was
/// rolled back shows to anybody.
#[test]
fn records_written_in_transactions() {
    let family = Family::new("mm2-transactions");
    let (ends, topic) = (&family.ends, family.topic("1"));
    ends.create(&topic, PARTITIONS, &[]);
    let mirror = family.mirror(ends, "link", &[]);
    let transactor = Transactor::open(&ends.from, &unique("mm2-tx"), Codec::None).unwrap();
    for round in 0..4 {
        transactor.begin().unwrap();
        transactor.write(&topic, records("in a transaction", PARTITIONS)).unwrap();
        if round == 2 { transactor.abort().unwrap() } else { transactor.commit().unwrap() }
    }
    ends.wait_until_equal(&topic, PARTITIONS);
    stop(mirror, 0);
    assert_eq!(assert_exact(ends, &topic, PARTITIONS).records, 3 * ALL);
    assert_verified(ends, &topic);
}
