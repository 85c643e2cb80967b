//! Brokers that die, stop, come back and move their leaders, on either side, while the mirror is killed too:
//! identical, nothing twice, no human needed (M5, M8, M10).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lockstep_testkit::broker::Builder;
use lockstep_testkit::client::{Admin, Codec, Record, Seed, assert_identical};
use lockstep_testkit::{Kafka, pair, rounds, unique, wait_until_true};

use super::shapes::now_ms;
use super::{Ends, PATIENCE, stop, wait_for};

const PARTITIONS: i32 = 4;
/// The API's number on the wire.
const DESCRIBE_PRODUCERS: i16 = 61;

fn record(n: i32) -> Record {
    Record::new(format!("record {n} {}", "b".repeat(300))).partition(n % PARTITIONS).at(now_ms())
}

/// Writes small batches for about `seconds`; ends with everything acknowledged.
fn traffic(from: &str, topic: &str, seconds: i32) -> JoinHandle<()> {
    let (from, topic) = (from.to_owned(), topic.to_owned());
    thread::spawn(move || {
        let seeder = Seed::to(&from).codec(Codec::Lz4).batch_records(20).open().unwrap();
        for chunk in 0..seconds * 10 {
            seeder.write(&topic, (chunk * 100..(chunk + 1) * 100).map(record)).unwrap();
            thread::sleep(Duration::from_millis(100));
        }
    })
}

/// A cluster of brokers that notices quickly that one of them is gone.
fn cluster(name: &str, brokers: i32) -> Kafka {
    quick(name, brokers).start().unwrap()
}

fn quick(name: &str, brokers: i32) -> Builder {
    // The shared pair first: tests that hold brokers while they wait for it can wait for each other.
    pair();
    // Node 1 runs the controller.
    let replicas = brokers.to_string();
    Kafka::builder(name)
        .brokers(brokers)
        .config("default.replication.factor", &replicas)
        .config("min.insync.replicas", "1")
        .config("replica.lag.time.max.ms", "3000")
        .config("broker.session.timeout.ms", "3000")
        .config("offsets.topic.replication.factor", &replicas)
        .config("transaction.state.log.replication.factor", &replicas)
}

#[test]
fn the_destination_broker_is_killed_and_restarted() {
    let source = &pair().source;
    let dest = Kafka::builder("dies").start().unwrap();
    let ends = Ends::of(source, &dest);
    let topic = unique("dest-dies");
    ends.create(&topic, PARTITIONS, &[]);
    let writer = traffic(&ends.from, &topic, 12);
    let mut mirror = ends.mirror(&topic);
    for round in 0..rounds(2, 6) {
        thread::sleep(Duration::from_millis(1_500));
        dest.kill(1).unwrap();
        if round % 2 == 1 {
            mirror.kill().unwrap();
            mirror = ends.mirror(&topic);
        }
        dest.restart(1).unwrap();
    }
    writer.join().unwrap();
    if !mirror.is_running().unwrap() {
        // Started while the destination was down: a start needs both clusters, and said so.
        assert!(mirror.stderr().contains("destination"), "{}", mirror.stderr());
        mirror = ends.mirror(&topic);
    }
    ends.wait_until_equal(&topic, PARTITIONS);
    stop(mirror, 0);
    assert_identical(&ends.from, &ends.to, &topic, PARTITIONS);
}

#[test]
fn the_destination_broker_is_stopped_for_twenty_seconds() {
    let dest = Kafka::builder("stops").start().unwrap();
    let ends = Ends::of(&pair().source, &dest);
    let topic = unique("dest-stops");
    ends.create(&topic, PARTITIONS, &[]);
    let writer = traffic(&ends.from, &topic, 10);
    let mirror = ends.mirror(&topic);
    thread::sleep(Duration::from_secs(2));
    dest.stop(1).unwrap();
    thread::sleep(Duration::from_secs(20));
    dest.cont(1).unwrap();
    writer.join().unwrap();
    ends.wait_until_equal(&topic, PARTITIONS);
    stop(mirror, 0);
    assert_identical(&ends.from, &ends.to, &topic, PARTITIONS);
}

#[test]
fn the_source_broker_is_killed_and_restarted() {
    let source = Kafka::builder("source-dies").start().unwrap();
    let ends = Ends::of(&source, &pair().destination);
    let topic = unique("source-dies");
    ends.create(&topic, PARTITIONS, &[]);
    let writer = traffic(&ends.from, &topic, 10);
    let mut mirror = ends.mirror(&topic);
    for round in 0..rounds(2, 6) {
        thread::sleep(Duration::from_secs(2));
        source.kill(1).unwrap();
        source.restart(1).unwrap();
        if round == 0 {
            mirror.kill().unwrap();
            mirror = ends.mirror(&topic);
        }
    }
    writer.join().unwrap();
    ends.wait_until_equal(&topic, PARTITIONS);
    stop(mirror, 0);
    assert_identical(&ends.from, &ends.to, &topic, PARTITIONS);
}

#[test]
fn leaders_move_over_three_destination_brokers_while_the_mirror_is_killed() {
    let dest = cluster("moves", 3);
    let ends = Ends::of(&pair().source, &dest);
    let topic = unique("moves");
    ends.create(&topic, PARTITIONS, &[]);
    let writer = traffic(&ends.from, &topic, i32::try_from(rounds(15, 60)).unwrap());
    let mut mirror = ends.mirror(&topic);
    wait_until_true("the mirror to begin", PATIENCE, || ends.held(&topic, 0) > 0);
    // The controller runs on node 1: kill the others, in turn.
    for round in 0..rounds(2, 8) {
        let node = 2 + i32::try_from(round % 2).unwrap();
        dest.kill(node).unwrap();
        thread::sleep(Duration::from_secs(4));
        mirror.kill().unwrap();
        mirror = ends.mirror(&topic);
        dest.restart(node).unwrap();
        in_sync(&ends.to, &topic, 3);
    }
    writer.join().unwrap();
    ends.wait_until_equal(&topic, PARTITIONS);
    stop(mirror, 0);
    assert_identical(&ends.from, &ends.to, &topic, PARTITIONS);
}

#[test]
fn m8_a_stalled_follower_lets_the_log_end_run_ahead_of_the_high_watermark() {
    let dest = cluster("stalls", 2);
    let ends = Ends::of(&pair().source, &dest);
    let topic = unique("stalls");
    ends.create(&topic, PARTITIONS, &[]);
    let mut mirror = ends.mirror(&topic);
    Seed::to(&ends.from).write(&topic, (0..1_000).map(record)).unwrap();
    ends.wait_until_equal(&topic, PARTITIONS);
    for round in 1..=rounds(2, 8) {
        let from = i32::try_from(round).unwrap() * 1_000;
        dest.stop(2).unwrap();
        let seeder = Seed::to(&ends.from).batch_records(10).open().unwrap();
        seeder.write(&topic, (from..from + 1_000).map(record)).unwrap();
        // Appended on the leader, not replicated: the high watermark stays while the end runs ahead.
        thread::sleep(Duration::from_millis(800));
        mirror.kill().unwrap();
        mirror = ends.mirror(&topic);
        thread::sleep(Duration::from_millis(1_200));
        dest.cont(2).unwrap();
        ends.wait_until_equal(&topic, PARTITIONS);
        in_sync(&ends.to, &topic, 2);
    }
    stop(mirror, 0);
    assert_identical(&ends.from, &ends.to, &topic, PARTITIONS);
}

#[test]
fn m8_a_leader_that_moves_between_the_reads_of_an_opening() {
    let dest = Arc::new(quick("between", 3).proxied().start().unwrap());
    let ends = Ends::of(&pair().source, &dest);
    let proxied = Ends { from: ends.from.clone(), to: dest.proxied_bootstrap().unwrap() };
    let topic = unique("between");
    ends.create(&topic, 1, &[]);
    Replicas::away_from_the_controller(&ends.to, &topic);
    let seeder = Seed::to(&ends.from).batch_records(10).open().unwrap();
    for round in 0..i32::try_from(rounds(2, 8)).unwrap() {
        seeder.write(&topic, (round * 300..(round + 1) * 300).map(single)).unwrap();
        let leader = Admin::of(&ends.to).unwrap().leaders(&topic).unwrap()[0];
        let moved = Arc::new(AtomicBool::new(false));
        dest.proxy(leader).unwrap().on_response({
            let (dest, to, topic, moved) = (Arc::clone(&dest), ends.to.clone(), topic.clone(), moved.clone());
            move |asked, _| {
                // The producers have been read, the end is asked for next: now another broker leads.
                if asked.api_key == DESCRIBE_PRODUCERS && !moved.swap(true, Ordering::AcqRel) {
                    dest.stop(leader).unwrap();
                    let admin = Admin::of(&to).unwrap();
                    wait_until_true("another broker to lead", PATIENCE, || {
                        admin.leaders(&topic).is_ok_and(|leaders| leaders != [leader] && leaders[0] > 0)
                    });
                    dest.cont(leader).unwrap();
                }
            }
        });
        let mirror = proxied.mirror(&topic);
        wait_until_true("the leader to have moved", PATIENCE, || moved.load(Ordering::Acquire));
        ends.wait_until_equal(&topic, 1);
        stop(mirror, 0);
        dest.proxy(leader).unwrap().clear();
        wait_until_true("both replicas to be in sync", PATIENCE, || {
            Admin::of(&ends.to).unwrap().in_sync(&topic, 0).is_ok_and(|found| found.len() == 2)
        });
    }
    assert_identical(&ends.from, &ends.to, &topic, 1);
}

#[test]
fn m9_an_unclean_election_at_the_source_that_cuts_mirrored_records_is_a_divergence() {
    let source = cluster("unclean-source", 3);
    let ends = Ends::of(&source, &pair().destination);
    let topic = unique("unclean");
    let replicas = Replicas::away_from_the_controller(&ends.from, &topic);
    Seed::to(&ends.from).batch_records(5).write(&topic, (0..100).map(single)).unwrap();
    let mirror = ends.mirror(&topic);
    ends.wait_until_equal(&topic, 1);
    replicas.cut(&source, &ends.from, &topic, || {
        Seed::to(&ends.from).batch_records(5).write(&topic, (100..160).map(single)).unwrap();
        ends.wait_until_equal(&topic, 1);
    });
    let stopped = wait_for(&mirror, "stopped", |_| true);
    assert_eq!(stopped["partition"]["verdict"], "diverged", "{stopped}");
    let reason = stopped["partition"]["reason"].as_str().unwrap();
    // Both sides' offsets, and the epochs: what the source has now and what our records came under.
    assert!(reason.contains("100") && reason.contains("160") && reason.contains("epoch"), "{reason}");
    stop(mirror, 5);
    assert_eq!(ends.held(&topic, 0), 160, "the mirror keeps what the source has lost");
}

#[test]
fn an_unclean_election_at_the_destination_is_copied_again() {
    let dest = cluster("unclean-dest", 3);
    let ends = Ends::of(&pair().source, &dest);
    let topic = unique("unclean");
    ends.create(&topic, 1, &[]);
    // An empty topic of the right size is adopted: its replicas stay where they are.
    let replicas = Replicas::away_from_the_controller(&ends.to, &topic);
    Seed::to(&ends.from).batch_records(5).write(&topic, (0..100).map(single)).unwrap();
    let mirror = ends.mirror(&topic);
    ends.wait_until_equal(&topic, 1);
    replicas.cut(&dest, &ends.to, &topic, || {
        Seed::to(&ends.from).batch_records(5).write(&topic, (100..160).map(single)).unwrap();
        ends.wait_until_equal(&topic, 1);
    });
    // Nothing new is written: the mirror notices by itself that its records are gone.
    wait_until_true("the lost records to be copied again", PATIENCE, || ends.held(&topic, 0) == 160);
    dest.restart(replicas.leader).unwrap();
    Seed::to(&ends.from).batch_records(5).write(&topic, (160..200).map(single)).unwrap();
    ends.wait_until_equal(&topic, 1);
    stop(mirror, 0);
    assert_identical(&ends.from, &ends.to, &topic, 1);
}

fn single(n: i32) -> Record {
    Record::new(format!("record {n}")).at(now_ms())
}

/// The two replicas of a topic with one partition that may elect a leader without its records.
struct Replicas {
    leader: i32,
    follower: i32,
}

impl Replicas {
    /// Creates the topic until neither replica is on node 1, which runs the controller and must live.
    fn away_from_the_controller(bootstrap: &str, topic: &str) -> Self {
        let admin = Admin::of(bootstrap).unwrap();
        let unclean = [("unclean.leader.election.enable", "true"), ("min.insync.replicas", "1")];
        lockstep_testkit::wait_until("replicas on nodes 2 and 3", PATIENCE, || {
            admin.create_replicated(topic, 1, 2, &unclean).unwrap();
            let leader = admin.leaders(topic).unwrap()[0];
            let mut replicas = admin.in_sync(topic, 0).unwrap();
            replicas.sort_unstable();
            if replicas == [2, 3] {
                return Some(Self { leader, follower: 5 - leader });
            }
            admin.delete(topic).unwrap();
            None
        })
    }

    /// The leader goes on alone while `written` happens, and dies with it; the follower leads, without it.
    fn cut(&self, kafka: &Kafka, bootstrap: &str, topic: &str, written: impl FnOnce()) {
        let admin = Admin::of(bootstrap).unwrap();
        kafka.stop(self.follower).unwrap();
        wait_until_true("the leader to be alone in sync", PATIENCE, || {
            admin.in_sync(topic, 0).is_ok_and(|found| found == [self.leader])
        });
        written();
        kafka.kill(self.leader).unwrap();
        kafka.cont(self.follower).unwrap();
        wait_until_true("the follower to lead", PATIENCE, || {
            admin.leaders(topic).is_ok_and(|leaders| leaders == [self.follower])
        });
    }
}

fn in_sync(bootstrap: &str, topic: &str, replicas: usize) {
    let admin = Admin::of(bootstrap).unwrap();
    for partition in 0..PARTITIONS {
        wait_until_true("every replica to be in sync", PATIENCE, || {
            admin.in_sync(topic, partition).is_ok_and(|found| found.len() == replicas)
        });
    }
}
