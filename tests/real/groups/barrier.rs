//! M31: an application that reads, works and writes in transactions. However its mirror is cut, the copied group never says
//! that input was done whose output the standby does not hold.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lockstep_testkit::client::{
    Codec, Isolation, Member, Protocol, Record, Seed, Transactor, commit_offsets, read_all,
};
use lockstep_testkit::{rounds, unique, wait_until_true};

use super::{numbered, there};
use crate::mirror::{Ends, PATIENCE};

/// Writes `out N` for every input `N`, output and position in one transaction, until told to stop.
fn work(ends: &Ends, input: &str, output: &str, group: &str, stop: &AtomicBool) {
    let member = Member::join(&ends.from, group, input, Protocol::Classic).unwrap();
    let transactor = Transactor::open(&ends.from, &unique("groups-app"), Codec::None).unwrap();
    while !stop.load(Ordering::Acquire) {
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
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| work(&ends, &input, &output, &group, &stop));
        scope.spawn(|| {
            let seeder = Seed::to(&ends.from).batch_records(20).open().unwrap();
            for round in 0.. {
                if stop.load(Ordering::Acquire) {
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
                let mut mirror =
                    ends.mirror_with(&format!("{name}-(in|out)"), &["--groups", &group, "--link", &name]);
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
        stop.store(true, Ordering::Release);
        if let Err(cause) = told {
            std::panic::resume_unwind(cause);
        }
    });
}

#[test]
fn m31_a_stopped_partition_holds_groups_back_unless_told_otherwise() {
    let (ends, name) = (Ends::shared(), unique("groups-held"));
    let (kept, broken) = (format!("{name}-a"), format!("{name}-b"));
    for topic in [&kept, &broken] {
        ends.create(topic, 1, &[]);
        Seed::to(&ends.from).write(topic, numbered(0, 50)).unwrap();
    }
    let topics = format!("{name}-[ab]");
    let both = ends.mirror_to_the_end(&topics, &["--link", &name]);
    assert_eq!(both.exit, lockstep_testkit::Exit::Code(0), "{}{}", both.stdout, both.stderr);
    // A foreign record on the standby stops that partition for good (M18).
    Seed::to(&ends.to).write(&broken, numbered(0, 1)).unwrap();
    for topic in [&kept, &broken] {
        Seed::to(&ends.from).write(topic, numbered(50, 50)).unwrap();
    }
    let group = format!("{name}-g");
    commit_offsets(&ends.from, &group, &[(&kept, 0, 70)], "").unwrap();
    let held = ends.mirror_to_the_end(&topics, &["--link", &name, "--groups", &group]);
    assert_eq!(held.exit, lockstep_testkit::Exit::Code(5), "{}", held.stdout);
    assert_eq!(there(&ends, &group, &kept), None);
    let own =
        ends.mirror_to_the_end(&topics, &["--link", &name, "--groups", &group, "--group-barrier", "none"]);
    assert_eq!(own.exit, lockstep_testkit::Exit::Code(5), "the partition has stopped: {}", own.stdout);
    assert_eq!(there(&ends, &group, &kept), Some(70));
}
