//! A rolling restart of a source and of a destination, broker by broker, as an upgrade does it, under load and without a
//! human: nothing differs afterwards, the mirror never ends, no partition stops, no group goes backwards (M5, M8, M10, M16).

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lockstep_testkit::broker::{Builder, start_all};
use lockstep_testkit::client::Admin;
use lockstep_testkit::{Kafka, Lockstep, rounds, unique, wait_until_true};

use super::group::Committed;
use super::load::{Load, Tally, Watched};
use crate::mirror::{Ends, assert_exact, assert_verified, said, stop};

const PARTITIONS: i32 = 6;
/// A broker that starts beside five others on two cores.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

fn three(name: &str) -> Builder {
    Kafka::builder(name)
        .brokers(3)
        .config("default.replication.factor", "3")
        .config("min.insync.replicas", "2")
}

/// In order: SIGTERM, its start, every replica in sync again, the next. The node with the controller comes last.
fn roll(kafka: &Kafka, mirror: &mut Lockstep) {
    let admin = Admin::of(&kafka.bootstrap()).unwrap();
    let mut nodes = kafka.node_ids();
    nodes.rotate_left(1);
    for node in nodes {
        let began = Instant::now();
        kafka.terminate(node).unwrap();
        kafka.restart(node).unwrap();
        wait_until_true(&format!("every replica of `{}` to be in sync", kafka.name()), PATIENCE, || {
            admin.lagging().is_ok_and(|lagging| lagging.is_empty())
        });
        eprintln!("node {node} of `{}` restarted within {:?}", kafka.name(), began.elapsed());
        assert!(mirror.is_running().unwrap(), "the mirror ended: {}{}", mirror.stdout(), mirror.stderr());
    }
}

#[test]
fn a_rolling_restart_of_both_clusters_under_load() {
    let [source, dest] = start_all([three("rolls-from"), three("rolls-to")]).unwrap();
    let ends = Ends::of(&source, &dest);
    let (topic, group) = (unique("rolling"), unique("rolling-group"));
    Admin::of(&ends.from).unwrap().create_replicated(&topic, PARTITIONS, 3, &[]).unwrap();
    let mut mirror = ends.mirror_with(&topic, &["--groups", &group]);
    let done = AtomicBool::new(false);
    let load = Load { from: &ends.from, topic: &topic, partitions: PARTITIONS, done: &done };

    let visible = thread::scope(|scope| {
        let _ends_all = EndsAll(&done);
        let plain = ["plain-0", "plain-1"].map(|who| scope.spawn(|| load.write(who)));
        let transactional = ["tx-0", "tx-1"].map(|who| scope.spawn(|| load.transact(who)));
        let consumer = scope.spawn(|| load.consume(&group));
        let watched = [&ends.from, &ends.to].map(|at| scope.spawn(|| load.watch(at, &group)));
        wait_until_true("the mirror to begin", PATIENCE, || ends.held(&topic, 0) > 0);
        for _ in 0..rounds(1, 3) {
            roll(&source, &mut mirror);
            roll(&dest, &mut mirror);
        }
        done.store(true, Ordering::Release);
        let read = consumer.join().unwrap();
        let watched = watched.map(|each| each.join().unwrap());
        let plain = plain.map(|each| each.join().unwrap());
        let transactional = transactional.map(|each| each.join().unwrap());
        eprintln!("{plain:?}\n{transactional:?}\n{read} records read; {watched:?}");
        let seen = |(answers, last): &Watched| *answers > 10 && last.iter().any(Option::is_some);
        assert!(read > 0 && watched.iter().all(seen), "the group was watched on both sides: {watched:?}");
        let moved = |tally: &Tally| tally.committed > 0 && tally.aborted > 0;
        assert!(transactional.iter().all(moved), "{transactional:?}");
        plain.iter().chain(&transactional).map(|tally| tally.visible).sum::<u64>()
    });

    ends.wait_until_equal(&topic, PARTITIONS);
    let [here, there] = [&ends.from, &ends.to].map(|at| Committed::of(at, &group));
    wait_until_true("the group's last offsets on the standby", PATIENCE, || {
        let last = here.read(&topic, PARTITIONS);
        last.is_some() && last == there.read(&topic, PARTITIONS)
    });
    let finished = stop(mirror, 0);
    assert_eq!(said(&finished.stdout, "stopped"), [] as [serde_json::Value; 0], "no partition may stop");
    let records = assert_exact(&ends, &topic, PARTITIONS).records;
    assert!(visible > 0 && records >= visible, "{records} records of {visible} that were acknowledged");
    assert_verified(&ends, &topic);
}

/// Whoever panics here ends the load too: the scope waits for it.
struct EndsAll<'a>(&'a AtomicBool);

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
