//! Brokers start, answer, die, stop, come back and leave nothing behind.

use std::path::Path;
use std::time::Duration;

use lockstep_testkit::client::{Admin, Isolation, Record, Seed, read_all, watermarks};
use lockstep_testkit::{Error, Kafka, OldKafka, pair, stored, unique, wait_until_true};

const SECONDS: Duration = Duration::from_secs(30);

fn write(bootstrap: &str, topic: &str, value: &str) -> Result<u64, Error> {
    Seed::to(bootstrap).patience(Duration::from_secs(4)).write(topic, [Record::new(value)])
}

fn values(bootstrap: &str, topic: &str) -> Vec<String> {
    let range = watermarks(bootstrap, topic, 0).unwrap();
    let seen = read_all(bootstrap, topic, 0, range, Isolation::ReadCommitted).unwrap();
    seen.into_iter().map(|seen| String::from_utf8(seen.value.unwrap()).unwrap()).collect()
}

#[test]
fn the_shared_pair_answers_and_its_clusters_are_two() {
    let topic = unique("shared");
    let pair = pair();
    Admin::of(&pair.source.bootstrap()).unwrap().create(&topic, 3, &[]).unwrap();
    write(&pair.source.bootstrap(), &topic, "one").unwrap();
    assert_eq!(values(&pair.source.bootstrap(), &topic), ["one"]);
    let elsewhere = Admin::of(&pair.destination.bootstrap()).unwrap();
    assert!(elsewhere.leaders(&topic).unwrap().is_empty(), "the destination knows nothing of it");
}

#[test]
fn a_single_broker_keeps_its_data_over_kill_stop_and_restart() {
    let kafka = Kafka::builder("single").start().unwrap();
    let (bootstrap, folder, pid) = (kafka.bootstrap(), kafka.folder().to_owned(), kafka.pid(1).unwrap());
    let admin = Admin::of(&bootstrap).unwrap();
    admin.create("kept", 1, &[]).unwrap();
    write(&bootstrap, "kept", "before").unwrap();

    kafka.kill(1).unwrap();
    assert!(!Path::new(&format!("/proc/{pid}")).exists() && !kafka.is_running(1).unwrap());
    assert!(write(&bootstrap, "kept", "lost").is_err(), "nobody is there to acknowledge it");

    kafka.restart(1).unwrap();
    assert_eq!(kafka.bootstrap(), bootstrap);
    write(&bootstrap, "kept", "between").unwrap();

    kafka.stop(1).unwrap();
    assert!(write(&bootstrap, "kept", "to a stopped broker").is_err());
    kafka.cont(1).unwrap();
    // Both what came before and what a stopped broker found in its socket may be there; nothing else.
    wait_until_true("an answer after the stop", SECONDS, || watermarks(&bootstrap, "kept", 0).is_ok());

    kafka.terminate(1).unwrap();
    kafka.restart(1).unwrap();
    let mut kept = values(&bootstrap, "kept");
    kept.retain(|value| value != "to a stopped broker");
    assert_eq!(kept, ["before", "between"]);

    let pid = kafka.pid(1).unwrap();
    drop(kafka);
    assert!(!folder.exists() && !Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn three_brokers_replicate_lose_one_and_take_it_back() {
    let kafka =
        Kafka::builder("three").brokers(3).controllers(3).rack(1, "a").rack(2, "b").rack(3, "c").start();
    let kafka = kafka.unwrap();
    let bootstrap = kafka.bootstrap();
    let admin = Admin::of(&bootstrap).unwrap();
    admin.create_replicated("safe", 1, 3, &[("min.insync.replicas", "2")]).unwrap();
    let in_sync = |wanted: &[i32]| {
        wait_until_true(&format!("in-sync replicas {wanted:?}"), SECONDS, || {
            admin.in_sync("safe", 0).is_ok_and(|found| found == wanted)
        });
    };
    in_sync(&[1, 2, 3]);
    let leader = admin.leaders("safe").unwrap()[0];
    let others: Vec<i32> = kafka.node_ids().into_iter().filter(|id| *id != leader).collect();
    write(&bootstrap, "safe", "with three").unwrap();
    kafka.kill(leader).unwrap();
    in_sync(&others);
    wait_until_true("a write without the old leader", SECONDS, || {
        write(&bootstrap, "safe", "with two").is_ok()
    });
    kafka.restart(leader).unwrap();
    in_sync(&[1, 2, 3]);
    let back = stored::batches(&kafka.log_folder(leader, "safe", 0).unwrap()).unwrap();
    assert!(back.len() >= 2, "the old leader has caught up: {back:?}");
}

#[test]
fn an_older_kafka_runs_beside_when_its_jars_are_there() {
    const OLDER: &str = "3.9.1";
    if let Err(missing) = lockstep_testkit::jars::libs(OLDER) {
        eprintln!("not run: {missing}");
        return;
    }
    let kafka = Kafka::builder("older").version(OLDER).start().unwrap();
    Admin::of(&kafka.bootstrap()).unwrap().create("old", 1, &[]).unwrap();
    write(&kafka.bootstrap(), "old", "works").unwrap();
    assert_eq!(values(&kafka.bootstrap(), "old"), ["works"]);
}

#[test]
fn a_broker_that_cannot_start_is_reported_with_its_log() {
    let broken = Kafka::builder("broken").config("broker.heartbeat.interval.ms", "not a number").start();
    let words = broken.unwrap_err().to_string();
    assert!(
        words.contains("node 1 of `broken` ended by itself") && words.contains("not a number"),
        "{words}"
    );
}

#[test]
fn an_old_broker_that_cannot_start_is_reported_with_its_log() {
    let broken = OldKafka::start("old-broken", &[("num.io.threads", "not a number")]);
    let words = broken.unwrap_err().to_string();
    assert!(
        words.contains("node 1 of `old-broken` ended by itself") && words.contains("not a number"),
        "{words}"
    );
}

#[test]
fn an_old_broker_leaves_nothing_behind() {
    let old = OldKafka::start("old-gone", &[]).unwrap();
    let folder = old.folder().to_owned();
    Admin::of(&old.bootstrap()).unwrap().create("brief", 1, &[]).unwrap();
    assert!(old.log_folder("brief", 0).is_dir() && jvms_below(&folder) == 2, "the broker and its ZooKeeper");
    drop(old);
    assert!(!folder.exists() && jvms_below(&folder) == 0);
}

/// Java processes that name a folder on their command line.
fn jvms_below(folder: &Path) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
    lines.filter(|line| line.starts_with("java\0") && line.contains(&*folder.to_string_lossy())).count()
}
