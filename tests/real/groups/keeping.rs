//! Offsets that stand for long (M33), that are gone at the source, that lie below what the standby holds (M32).

use std::thread;
use std::time::{Duration, Instant};

use lockstep_testkit::client::{Admin, Seed, commit_offsets, committed};
use lockstep_testkit::{Exit, Kafka, rounds, unique, wait_until_true};
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

use super::{carry, numbered, shown, there, verified};
use crate::mirror::{Ends, PATIENCE, stop};

/// M33: offsets of an idle group outlive the standby's `offsets.retention.minutes`. A group that nobody renews does not, or
/// the test would prove nothing.
#[test]
fn m33_offsets_of_an_idle_group_outlive_the_standby_s_retention() {
    let standby = Kafka::builder("groups-retention")
        .config("offsets.retention.minutes", "1")
        .config("offsets.retention.check.interval.ms", "5000")
        .start()
        .unwrap();
    let ends = Ends { to: standby.bootstrap(), ..Ends::shared() };
    let topic = unique("groups-idle");
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, numbered(0, 100)).unwrap();
    let (group, forgotten) = (format!("{topic}-g"), format!("{topic}-forgotten"));
    commit_offsets(&ends.from, &group, &[(&topic, 0, 40)], "kept").unwrap();
    let mirror = ends.mirror_with(&topic, &["--groups", &group]);
    wait_until_true("the copied offset", PATIENCE, || there(&ends, &group, &topic) == Some(40));
    commit_offsets(&ends.to, &forgotten, &[(&topic, 0, 7)], "").unwrap();
    let idle = Duration::from_secs(u64::from(rounds(150, 300)));
    let began = Instant::now();
    while began.elapsed() < idle {
        assert_eq!(there(&ends, &group, &topic), Some(40), "after {:?}", began.elapsed());
        thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(there(&ends, &forgotten, &topic), None, "the standby does forget what nobody renews");
    stop(mirror, 0);
}

/// Removes a group as its owner does.
fn remove(bootstrap: &str, group: &str) {
    let client: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let removed =
        runtime.block_on(client.delete_groups(&[group], &rdkafka::admin::AdminOptions::new())).unwrap();
    assert!(removed.iter().all(Result::is_ok), "{removed:?}");
}

#[test]
fn a_group_removed_at_the_source_goes_only_when_asked_and_only_if_it_is_a_copy() {
    let (ends, topic) = (Ends::shared(), unique("groups-removed"));
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, numbered(0, 100)).unwrap();
    let (copied, theirs) = (format!("{topic}-copied"), format!("{topic}-theirs"));
    for group in [&copied, &theirs] {
        commit_offsets(&ends.from, group, &[(&topic, 0, 40)], "").unwrap();
    }
    // Without being asked, nothing is removed.
    let mirror = ends.mirror_with(&topic, &["--groups", &format!("{topic}-.*"), "--remove-groups"]);
    for group in [&copied, &theirs] {
        wait_until_true("the copied offset", PATIENCE, || there(&ends, group, &topic) == Some(40));
    }
    // Somebody moves one of them on the standby: it is not ours any more.
    commit_offsets(&ends.to, &theirs, &[(&topic, 0, 55)], "").unwrap();
    remove(&ends.from, &theirs);
    remove(&ends.from, &copied);
    wait_until_true("the removal of the copy", PATIENCE, || there(&ends, &copied, &topic).is_none());
    assert_eq!(there(&ends, &theirs, &topic), Some(55));
    stop(mirror, 0);

    commit_offsets(&ends.from, &copied, &[(&topic, 0, 41)], "").unwrap();
    let mirror = ends.mirror_with(&topic, &["--groups", &format!("{topic}-.*")]);
    wait_until_true("the copied offset", PATIENCE, || there(&ends, &copied, &topic) == Some(41));
    remove(&ends.from, &copied);
    // Another change that is followed says that the removal has been seen.
    let later = format!("{topic}-later");
    for at in [10, 20] {
        commit_offsets(&ends.from, &later, &[(&topic, 0, at)], "").unwrap();
        wait_until_true("a later change", PATIENCE, || there(&ends, &later, &topic) == Some(at));
    }
    assert_eq!(there(&ends, &copied, &topic), Some(41), "not asked to remove");
    stop(mirror, 0);
}

/// M32: the group's offset lies below the source's log start, and so below the standby's.
#[test]
fn m32_an_offset_below_the_standby_s_start_is_clamped() {
    let (ends, topic) = (Ends::shared(), unique("groups-clamped"));
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, numbered(0, 100)).unwrap();
    let group = format!("{topic}-g");
    commit_offsets(&ends.from, &group, &[(&topic, 0, 10)], "").unwrap();
    Admin::of(&ends.from).unwrap().delete_records(&topic, 0, 60).unwrap();
    carry(&ends, &topic, &group);
    let start = lockstep_testkit::client::watermarks(&ends.to, &topic, 0).unwrap().start;
    let at = committed(&ends.to, &group, &topic, 1).unwrap()[0].unwrap();
    assert!(at >= start && at <= 60, "at {at}, the standby starts at {start}");
    let shown = shown(&ends, &topic, &group);
    assert_eq!(shown["unread_records"].as_i64().unwrap(), 100 - at.max(start), "{shown}");
    assert_eq!(verified(&ends, &topic, &group).exit, Exit::Code(0));
}
