//! Settings of standby topics while a mirror runs: the source's changes are followed, what the mirror depends on is put
//! back, what somebody set by hand stays and is said (M20); topics that become compacted, or cease to be (M21).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lockstep_kafka::admin::{ConfigSource, ConfigTarget, describe_configs, incremental_alter_configs};
use lockstep_testkit::client::{Record, Seed};
use lockstep_testkit::{Lockstep, unique, wait_until_true};

use super::exact::assert_exact;
use super::rules::{alter_topic as set, cluster, run};
use super::shapes::now_ms;
use super::{Ends, PATIENCE, said, stop, wait_for};

/// What is set on the topic itself; nothing where there is none yet.
pub(crate) fn own(bootstrap: &str, topic: &str) -> BTreeMap<String, String> {
    let target = [ConfigTarget::Topic(topic.to_owned())];
    let described = run(async { describe_configs(&cluster(bootstrap).await, &target).await.unwrap() });
    let entries = described.into_iter().next().unwrap().1.unwrap_or_default();
    let own = entries.into_iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
    own.map(|entry| (entry.name, entry.value.unwrap())).collect()
}

pub(crate) fn unset(bootstrap: &str, topic: &str, name: &str) {
    run(async {
        incremental_alter_configs(&cluster(bootstrap).await, topic, &[(name, None)]).await.unwrap();
    });
}

pub(crate) fn wait_until_set(bootstrap: &str, topic: &str, name: &str, value: Option<&str>) {
    wait_until_true(&format!("{name} to be {value:?}"), PATIENCE, || {
        own(bootstrap, topic).get(name).map(String::as_str) == value
    });
}

pub(crate) fn wait_for_drift(mirror: &Lockstep, setting: &str, act: &str) -> serde_json::Value {
    wait_for(mirror, "drift", |said| said["setting"] == setting && said["act"] == act)
}

fn keyless(what: &str, count: i32) -> Vec<Record> {
    (0..count).map(|n| Record::new(format!("{what} {n}")).at(now_ms())).collect()
}

fn keyed(what: &str, count: i32, partitions: i32) -> Vec<Record> {
    let record = |n| Record::new(format!("{what} {n}")).key(format!("{}", n % 50)).at(now_ms());
    (0..count).map(|n| record(n).partition(n % partitions)).collect()
}

#[test]
fn what_the_source_changes_is_followed_as_the_table_says() {
    let ends = Ends::shared();
    let topic = unique("settings-followed");
    let first = [("segment.bytes", "2097152"), ("retention.ms", "3600000"), ("flush.ms", "60000")];
    ends.create(&topic, 1, &first);
    let mirror = ends.mirror_with(&topic, &["--topic-setting", "min.insync.replicas=1"]);
    ends.wait_until_equal(&topic, 1);
    wait_for(&mirror, "progress", |said| said["caught_up"] == true);
    let created = own(&ends.to, &topic);
    assert_eq!(created.get("segment.bytes").map(String::as_str), Some("2097152"), "owned by the source");
    assert_eq!(created["retention.ms"], "-1", "owned by the standby");
    assert_eq!(created.get("flush.ms"), None, "owned by the destination");
    assert_eq!(
        created.get("min.insync.replicas").map(String::as_str),
        Some("1"),
        "owned by the command line"
    );

    set(&ends.from, &topic, "retention.ms", "7200000");
    set(&ends.from, &topic, "max.message.bytes", "500000");
    set(&ends.from, &topic, "flush.ms", "70000");
    set(&ends.from, &topic, "segment.bytes", "3145728");
    set(&ends.from, &topic, "min.cleanable.dirty.ratio", "0.25");
    wait_until_set(&ends.to, &topic, "segment.bytes", Some("3145728"));
    wait_until_set(&ends.to, &topic, "min.cleanable.dirty.ratio", Some("0.25"));
    let followed = own(&ends.to, &topic);
    assert_eq!((&*followed["retention.ms"], &*followed["max.message.bytes"]), ("-1", "2147483647"));
    assert_eq!(followed.get("flush.ms"), None);
    unset(&ends.from, &topic, "segment.bytes");
    wait_until_set(&ends.to, &topic, "segment.bytes", None);
    let finished = stop(mirror, 0);
    assert_eq!(said(&finished.stdout, "drift"), [] as [serde_json::Value; 0]);
}

#[test]
fn what_somebody_set_on_the_standby_stays_and_is_said() {
    let ends = Ends::shared();
    let topic = unique("settings-drift");
    ends.create(&topic, 1, &[("segment.bytes", "2097152")]);
    let mirror = ends.mirror(&topic);
    wait_for(&mirror, "progress", |said| said["caught_up"] == true);
    set(&ends.to, &topic, "segment.bytes", "7340032");
    let drift = wait_for_drift(&mirror, "segment.bytes", "left_alone");
    assert_eq!((&drift["wanted"], &drift["standby"]), (&"2097152".into(), &"7340032".into()));
    assert_eq!((&drift["owner"], &drift["topic"]), (&"source".into(), &topic.as_str().into()));
    wait_for(&mirror, "progress", |said| said["drift"] == 1);
    // The source's next word on it is no reason either; what it says of something else is followed.
    set(&ends.from, &topic, "segment.bytes", "4194304");
    set(&ends.from, &topic, "delete.retention.ms", "5000");
    wait_until_set(&ends.to, &topic, "delete.retention.ms", Some("5000"));
    assert_eq!(own(&ends.to, &topic)["segment.bytes"], "7340032");
    stop(mirror, 0);
    // A new process has no memory: it is still somebody's.
    let mirror = ends.mirror(&topic);
    wait_for_drift(&mirror, "segment.bytes", "left_alone");
    assert_eq!(own(&ends.to, &topic)["segment.bytes"], "7340032");
    unset(&ends.to, &topic, "segment.bytes");
    wait_until_set(&ends.to, &topic, "segment.bytes", Some("4194304"));
    wait_for(&mirror, "progress", |said| said["drift"] == 0);
    stop(mirror, 0);
}

#[test]
fn m20_what_the_mirror_depends_on_is_put_back_and_said() {
    let ends = Ends::shared();
    let topic = unique("settings-broken");
    ends.create(&topic, 1, &[]);
    let mirror = ends.mirror(&topic);
    wait_for(&mirror, "progress", |said| said["caught_up"] == true);
    let broken = [
        ("retention.ms", "3600000", "-1"),
        ("compression.type", "gzip", "producer"),
        ("cleanup.policy", "compact", "delete"),
        ("max.message.bytes", "1000", "2147483647"),
        ("message.timestamp.type", "LogAppendTime", "CreateTime"),
    ];
    for (name, value, _) in broken {
        set(&ends.to, &topic, name, value);
    }
    unset(&ends.to, &topic, "message.timestamp.before.max.ms");
    for (name, value, right) in broken {
        let put_back = wait_for_drift(&mirror, name, "put_back");
        assert_eq!((&put_back["standby"], &put_back["wanted"]), (&value.into(), &right.into()), "{put_back}");
        wait_until_set(&ends.to, &topic, name, Some(right));
    }
    wait_until_set(&ends.to, &topic, "message.timestamp.before.max.ms", Some("9223372036854775807"));
    set(&ends.to, &topic, "retention.ms", "1800000");
    wait_for(&mirror, "drift", |said| said["setting"] == "retention.ms" && said["times"] == 2);
    Seed::to(&ends.from).write(&topic, keyless("after", 50)).unwrap();
    ends.wait_until_equal(&topic, 1);
    let finished = stop(mirror, 0);
    let end = &said(&finished.stdout, "end")[0];
    assert_eq!(end["drift"], 0, "what was put back differs no more");
    assert_exact(&ends, &topic, 1);
}

#[test]
fn m21_a_topic_made_compacted_while_it_is_mirrored_with_null_keys_in_flight() {
    let ends = Ends::shared();
    let topic = unique("settings-compacted");
    // The source's cleaner keeps its hands off, so that both sides can be compared whole.
    ends.create(&topic, 2, &[("min.compaction.lag.ms", "86400000")]);
    let mirror = ends.mirror(&topic);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // Records without a key until the source refuses them.
        let writer = scope.spawn(|| {
            let seeder = Seed::to(&ends.from).batch_records(20).open().unwrap();
            while !done.load(Ordering::Relaxed) {
                let both = keyless("null", 40).into_iter().enumerate();
                if seeder.write(&topic, both.map(|(n, r)| r.partition(n as i32 % 2))).is_err() {
                    return;
                }
            }
        });
        wait_until_true("null keys to be mirrored", PATIENCE, || ends.held(&topic, 0) > 100);
        set(&ends.from, &topic, "cleanup.policy", "compact");
        wait_until_true("the source to refuse null keys", PATIENCE, || writer.is_finished());
        done.store(true, Ordering::Relaxed);
    });
    let seeder = Seed::to(&ends.from).batch_records(20).open().unwrap();
    seeder.write(&topic, keyed("compacted", 200, 2)).unwrap();
    wait_until_set(&ends.to, &topic, "cleanup.policy", Some("compact,delete"));
    ends.wait_until_equal(&topic, 2);
    // And back: what has no key is taken again.
    set(&ends.from, &topic, "cleanup.policy", "delete");
    seeder.write(&topic, keyless("uncompacted", 100)).unwrap();
    ends.wait_until_equal(&topic, 2);
    wait_until_set(&ends.to, &topic, "cleanup.policy", Some("delete"));
    stop(mirror, 0);
    assert_exact(&ends, &topic, 2);
}

/// Story: a topic that was compacted, took null keys for a while and is compacted again looks as if nothing had happened.
#[test]
fn m21_null_keys_that_nobody_expects_uncompact_the_mirror_until_it_is_past_them() {
    let ends = Ends::shared();
    let topic = unique("settings-surprise");
    ends.create(&topic, 1, &[("cleanup.policy", "compact"), ("min.compaction.lag.ms", "86400000")]);
    let seeder = Seed::to(&ends.from).batch_records(20).open().unwrap();
    seeder.write(&topic, keyed("first", 100, 1)).unwrap();
    let mirror = ends.mirror(&topic);
    wait_until_set(&ends.to, &topic, "cleanup.policy", Some("compact,delete"));
    stop(mirror, 0);
    set(&ends.from, &topic, "cleanup.policy", "delete");
    seeder.write(&topic, keyless("surprise", 100)).unwrap();
    set(&ends.from, &topic, "cleanup.policy", "compact");
    seeder.write(&topic, keyed("last", 100, 1)).unwrap();
    let mirror = ends.mirror(&topic);
    ends.wait_until_equal(&topic, 1);
    wait_until_set(&ends.to, &topic, "cleanup.policy", Some("compact,delete"));
    stop(mirror, 0);
    assert_exact(&ends, &topic, 1);
}
