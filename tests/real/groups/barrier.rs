//! M31: an application that reads, works and writes in transactions. However its mirror is cut, the copied group never says
//! that input was done whose output the standby does not hold.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lockstep_testkit::client::{
    Codec, Isolation, Member, Protocol, Record, Seed, Transactor, commit_offsets, read_all,
};
use lockstep_testkit::{Lockstep, rounds, unique, wait_until_true};

use super::{mirror_of, numbered, there};
use crate::mirror::{Ends, PATIENCE, stop, wait_for};

/// Writes `out N` for every input `N`, output and position in one transaction, until told to stop.
fn work(ends: &Ends, input: &str, output: &str, group: &str, over: &AtomicBool) {
    let member = Member::join(&ends.from, group, input, Protocol::Classic).unwrap();
    let transactor = Transactor::open(&ends.from, &unique("groups-app"), Codec::None).unwrap();
    while !over.load(Ordering::Acquire) {
        let got = member.read_for(Duration::from_millis(60)).unwrap();
        if got.is_empty() {
            continue;
        }
        transactor.begin().unwrap();
        transactor
            .write(
                output,
                got.iter()
                    .map(|got| Record::new(format!("{}", got.offset)).partition((got.offset % 2) as i32)),
            )
            .unwrap();
        transactor.send_offsets(&member).unwrap();
        transactor.commit().unwrap();
    }
}

/// Inputs whose output the standby shows.
fn done(ends: &Ends, output: &str) -> BTreeSet<i64> {
    let read = |partition| {
        let end = ends.held(output, partition);
        read_all(&ends.to, output, partition, 0..end, Isolation::ReadCommitted).unwrap()
    };
    let values = (0..2).flat_map(read).map(|seen| String::from_utf8(seen.value.unwrap()).unwrap());
    values.map(|value| value.parse().unwrap()).collect()
}

#[test]
fn m31_a_copied_group_never_runs_ahead_of_the_mirrored_output() {
    let ends = Ends::shared();
    let name = unique("groups-app");
    let (input, output, group) = (format!("{name}-in"), format!("{name}-out"), format!("{name}-g"));
    ends.create(&input, 1, &[]);
    ends.create(&output, 2, &[]);
    commit_offsets(&ends.from, &group, &[(&input, 0, 0)], "").unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| work(&ends, &input, &output, &group, &over));
        scope.spawn(|| {
            let seeder = Seed::to(&ends.from).batch_records(20).open().unwrap();
            for round in 0.. {
                if over.load(Ordering::Acquire) {
                    break;
                }
                seeder.write(&input, numbered(round * 20, 20)).unwrap();
                thread::sleep(Duration::from_millis(20));
            }
        });
        // Told to stop also when an assertion fails, or the scope would wait for ever.
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for cut in 0..rounds(10, 100) {
                let before = there(&ends, &group, &input).unwrap_or(0);
                let topics = format!("{name}-(in|out)");
                let mut mirror = mirror_of(&ends, &topics, &name, &["--groups", &group]);
                wait_until_true("the copied group to move", PATIENCE, || {
                    there(&ends, &group, &input).is_some_and(|at| at > before)
                });
                thread::sleep(Duration::from_millis(fastrand::u64(0..700)));
                mirror.kill().unwrap();
                // What was on its way lands; the group's offset is read first, and may only fall behind meanwhile.
                let at = there(&ends, &group, &input).unwrap();
                let done = done(&ends, &output);
                let lost: Vec<_> = (0..at).filter(|input| !done.contains(input)).take(5).collect();
                assert!(lost.is_empty(), "cut {cut}: at {at}, but there is no output of {lost:?}");
            }
        }));
        over.store(true, Ordering::Release);
        if let Err(cause) = told {
            std::panic::resume_unwind(cause);
        }
    });
}

/// A link of two topics, one of which has stopped; what becomes of an offset on the other.
fn with_a_stopped_partition(barrier: &str) -> (Ends, Lockstep, String, String) {
    let (ends, name) = (Ends::shared(), unique("groups-held"));
    let (kept, broken, group) = (format!("{name}-a"), format!("{name}-b"), format!("{name}-g"));
    for topic in [&kept, &broken] {
        ends.create(topic, 1, &[]);
        Seed::to(&ends.from).write(topic, numbered(0, 50)).unwrap();
    }
    let more = ["--groups", &group, "--group-barrier", barrier];
    let mirror = mirror_of(&ends, &format!("{name}-[ab]"), &name, &more);
    for topic in [&kept, &broken] {
        ends.wait_until_equal(topic, 1);
    }
    // A foreign record on the standby stops that partition for good (M18).
    Seed::to(&ends.to).write(&broken, numbered(0, 1)).unwrap();
    for topic in [&kept, &broken] {
        Seed::to(&ends.from).write(topic, numbered(50, 50)).unwrap();
    }
    wait_for(&mirror, "stopped", |said| said["partition"]["topic"] == *broken);
    commit_offsets(&ends.from, &group, &[(&kept, 0, 70)], "").unwrap();
    (ends, mirror, group, kept)
}

#[test]
fn m31_a_stopped_partition_holds_the_link_s_groups_back() {
    let (ends, mirror, group, kept) = with_a_stopped_partition("link");
    let held = wait_for(&mirror, "progress", |said| said["groups"]["waits_for"].is_string());
    assert!(held["groups"]["waits_for"].as_str().unwrap().contains("stopped"), "{held}");
    ends.wait_until_equal(&kept, 1);
    assert_eq!(there(&ends, &group, &kept), None);
    stop(mirror, 5);
}

#[test]
fn m31_without_the_barrier_only_its_own_partition_counts() {
    let (ends, mirror, group, kept) = with_a_stopped_partition("none");
    wait_until_true("the offset", PATIENCE, || there(&ends, &group, &kept) == Some(70));
    stop(mirror, 5);
}
