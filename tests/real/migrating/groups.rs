//! Consumer groups that move: MirrorMaker 2 promises redelivery bounded by `offset.lag.max` and checkpoints that do not go
//! back; here the standby holds exactly what the source holds, forwards and backwards (M30, M31).

use std::time::Duration;

use lockstep_testkit::client::{Member, Protocol, Seed, commit_offsets, committed};
use lockstep_testkit::{unique, wait_until_true};

use super::{EACH, Family, PARTITIONS, records, write};
use crate::mirror::{PATIENCE, stop};

/// Long enough for a consumer to be given what it should not get.
const QUIET: Duration = Duration::from_millis(1_500);

impl Family {
    /// Commits the same next offset on every partition at the source.
    fn commit(&self, group: &str, topic: &str, next: i64) {
        let all: Vec<_> = (0..PARTITIONS).map(|partition| (topic, partition, next)).collect();
        commit_offsets(&self.ends.from, group, &all, "").unwrap();
    }

    /// Waits until the standby holds this offset on every partition.
    fn arrives(&self, group: &str, topic: &str, next: i64) {
        wait_until_true(&format!("{group} at {next} of {topic} on the standby"), PATIENCE, || {
            let there = committed(&self.ends.to, group, topic, PARTITIONS).unwrap();
            there.iter().all(|each| *each == Some(next))
        });
    }

    /// Reads so many records at the source as a member of the group, and commits.
    fn consume(&self, group: &str, topic: &str, count: i32) {
        let member = Member::join_with(
            &self.ends.from,
            group,
            topic,
            Protocol::Classic,
            &[("auto.offset.reset", "earliest")],
        );
        let member = member.unwrap();
        member.read(usize::try_from(count).unwrap()).unwrap();
        member.commit().unwrap();
    }

    /// What a member on the standby is given at first, as offsets by partition. It commits nothing.
    fn resumes(&self, group: &str, topic: &str, count: usize) -> Vec<(i32, i64)> {
        let member = Member::join(&self.ends.to, group, topic, Protocol::Classic).unwrap();
        let mut got = member.read(count).unwrap();
        got.extend(member.read_for(QUIET).unwrap());
        let mut places: Vec<_> = got.iter().map(|each| (each.partition, each.offset)).collect();
        places.sort_unstable();
        places
    }
}

/// *One-way replication with automatic offset sync*, and *with frequent offset syncs*: old and new topics. Stricter: not a
/// single record is delivered again, and every single commit arrives as it is, not only the last.
#[test]
fn a_group_moves_without_redelivery_whatever_it_commits() {
    let family = Family::new("mm2-sync");
    let ends = &family.ends;
    let (group, first, second) = (unique("mm2-group"), family.topic("1"), family.topic("2"));
    ends.create(&first, PARTITIONS, &[]);
    write(&ends.from, &first, "first", PARTITIONS);
    family.consume(&group, &first, PARTITIONS * EACH);
    let mirror = family.mirror(ends, "link", &["--groups", &group]);
    family.arrives(&group, &first, EACH.into());
    assert_eq!(family.resumes(&group, &first, 0), []);

    ends.create(&second, PARTITIONS, &[]);
    write(&ends.from, &second, "second", PARTITIONS);
    for next in 1..=EACH.into() {
        family.commit(&group, &second, next);
        family.arrives(&group, &second, next);
    }
    assert_eq!(family.resumes(&group, &second, 0), []);
    assert_eq!(family.resumes(&group, &first, 0), [], "the first topic's offsets stayed");
    // Whoever goes on there gets the next one.
    write(&ends.from, &second, "unread", PARTITIONS);
    ends.wait_until_equal(&second, PARTITIONS);
    let unread: Vec<_> =
        (0..PARTITIONS).flat_map(|p| (0..EACH).map(move |n| (p, i64::from(EACH + n)))).collect();
    assert_eq!(family.resumes(&group, &second, unread.len()), unread);
    stop(mirror, 0);
}

/// *Translation behind the replication flow*: everything was mirrored long before the group commits somewhere in it, then
/// further back. Stricter: there checkpoints are near what was committed and grow coarser with the distance; here each is
/// the same offset.
#[test]
fn a_group_far_behind_the_mirror_resumes_exactly() {
    let family = Family::new("mm2-behind");
    let (ends, topic, group) = (&family.ends, family.topic("1"), unique("mm2-group"));
    ends.create(&topic, PARTITIONS, &[]);
    let mirror = family.mirror(ends, "link", &["--groups", &group]);
    let seeder = Seed::to(&ends.from).open().unwrap();
    for round in 0..100 {
        seeder.write(&topic, records(&format!("round {round}"), PARTITIONS)).unwrap();
    }
    ends.wait_until_equal(&topic, PARTITIONS);
    let all = i64::from(100 * EACH);
    for next in [all * 9 / 10 + 1, all / 10 + 3] {
        family.commit(&group, &topic, next);
        family.arrives(&group, &topic, next);
    }
    stop(mirror, 0);
    let unread = (0..PARTITIONS).flat_map(|p| (all / 10 + 3..all).map(move |offset| (p, offset)));
    let unread: Vec<_> = unread.collect();
    assert_eq!(family.resumes(&group, &topic, unread.len()), unread);
}

/// *An empty partition*, *no checkpoints before records are mirrored*: a group that has read a topic with an empty partition
/// and a topic without any record. Stricter: offset 0 arrives for both, and nobody is sent back to a reset policy.
#[test]
fn the_offsets_of_partitions_without_records() {
    let family = Family::new("mm2-empty-group");
    let ends = &family.ends;
    let (group, topic, nothing) = (unique("mm2-group"), family.topic("1"), family.topic("2"));
    for topic in [&topic, &nothing] {
        ends.create(topic, PARTITIONS, &[]);
    }
    write(&ends.from, &topic, "some", PARTITIONS - 1);
    let next: Vec<i64> = (0..PARTITIONS).map(|p| if p == PARTITIONS - 1 { 0 } else { EACH.into() }).collect();
    let all: Vec<_> = (0..).zip(&next).map(|(partition, next)| (topic.as_str(), partition, *next)).collect();
    commit_offsets(&ends.from, &group, &all, "").unwrap();
    family.commit(&group, &nothing, 0);
    let mirror = family.mirror(ends, "link", &["--groups", &group]);
    family.arrives(&group, &nothing, 0);
    let wanted: Vec<_> = next.into_iter().map(Some).collect();
    wait_until_true("the other topic's offsets", PATIENCE, || {
        committed(&ends.to, &group, &topic, PARTITIONS).unwrap() == wanted
    });
    stop(mirror, 0);
    assert_eq!(family.resumes(&group, &nothing, 0), []);
}

/// *Restart*: there checkpoints stay monotonic over it. Stricter: the group's offsets stay where they are, and what it
/// commits while no mirror runs arrives with the next one.
#[test]
fn a_restart_of_the_mirror_moves_no_group() {
    let family = Family::new("mm2-restart-group");
    let (ends, topic, group) = (&family.ends, family.topic("1"), unique("mm2-group"));
    ends.create(&topic, PARTITIONS, &[]);
    write(&ends.from, &topic, "first", PARTITIONS);
    family.consume(&group, &topic, PARTITIONS * EACH);
    let mut mirror = family.mirror(ends, "link", &["--groups", &group]);
    family.arrives(&group, &topic, EACH.into());
    mirror.kill().unwrap();
    write(&ends.from, &topic, "second", PARTITIONS);
    family.consume(&group, &topic, PARTITIONS * EACH);
    assert_eq!(committed(&ends.to, &group, &topic, 1).unwrap(), [Some(EACH.into())], "nobody copies");
    let mirror = family.mirror(ends, "link", &["--groups", &group]);
    family.arrives(&group, &topic, (2 * EACH).into());
    stop(mirror, 0);
    assert_eq!(family.resumes(&group, &topic, 0), []);
}
