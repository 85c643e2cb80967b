//! A destination that does not let the mirror write markers: empty transactions instead (M15), exact and said once
//! with the command that grants the right; granted while it runs: markers from then on, without a restart.

use lockstep_testkit::broker::CLIENTS;
use lockstep_testkit::client::{Admin, Codec, Record, Seed, Transactor};
use lockstep_testkit::{Kafka, pair, unique};

use super::assert_exact;
use super::transactions::records;
use crate::mirror::{Ends, said, stop, wait_for};

fn write(from: &str, topic: &str, voids: i32) {
    let transactor = Transactor::open(from, &unique("tx"), Codec::Lz4).unwrap();
    transactor.begin().unwrap();
    transactor.write(topic, (0..voids).map(|n| Record::new("void").partition(n % 3))).unwrap();
    transactor.abort().unwrap();
    Seed::to(from).write(topic, records("plain", 90, 3)).unwrap();
}

#[test]
fn m15_without_the_right_to_write_markers_and_with_it_while_running() {
    let dest = Kafka::builder("guarded").authorized().start().unwrap();
    let allow = |options: &[&str]| {
        dest.acls(&[&["--add", "--allow-principal", CLIENTS], options].concat()).unwrap();
    };
    allow(&["--operation", "All", "--topic", "*"]);
    allow(&["--operation", "All", "--transactional-id", "lockstep.", "--resource-pattern-type", "prefixed"]);
    allow(&[
        "--operation",
        "Create",
        "--operation",
        "Describe",
        "--operation",
        "DescribeConfigs",
        "--cluster",
    ]);
    // For those who look at the result, not for the mirror.
    allow(&["--operation", "Read", "--group", "*"]);
    let ends = Ends::of(&pair().source, &dest);
    let topic = unique("exact-rights");
    ends.create(&topic, 3, &[]);
    write(&ends.from, &topic, 300);
    let mirror = ends.mirror(&topic);
    let missing = wait_for(&mirror, "missing_right", |_| true);
    let words = missing["reason"].as_str().unwrap();
    assert!(words.contains("ALTER on Cluster") && words.contains("kafka-acls --bootstrap-server"), "{words}");
    ends.wait_until_equal(&topic, 3);
    assert_eq!(assert_exact(&ends, &topic, 3).records, 90);

    allow(&["--operation", "Alter", "--cluster"]);
    // It tries again with the first offsets to be taken after ten seconds.
    for round in 0..200 {
        write(&ends.from, &topic, 30);
        if !said(&mirror.stdout(), "right_granted").is_empty() {
            break;
        }
        assert!(round < 199, "the right was granted and never used");
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    write(&ends.from, &topic, 30_000);
    ends.wait_until_equal(&topic, 3);
    let finished = stop(mirror, 0);
    assert_eq!(said(&finished.stdout, "missing_right").len(), 1, "said once");
    assert_exact(&ends, &topic, 3);
}

/// Story: a mirror that may not delete kept its fillers, stayed behind for good, and only its log said why.
#[test]
fn m14_fillers_that_may_not_be_deleted_are_said_with_the_missing_right() {
    let dest = Kafka::builder("undeleting").authorized().start().unwrap();
    let allow = |options: &[&str]| {
        dest.acls(&[&["--add", "--allow-principal", CLIENTS], options].concat()).unwrap();
    };
    allow(&["--operation", "All", "--topic", "*"]);
    allow(&["--operation", "All", "--transactional-id", "lockstep.", "--resource-pattern-type", "prefixed"]);
    allow(&["--operation", "All", "--cluster"]);
    allow(&["--operation", "Read", "--group", "*"]);
    let ends = Ends::of(&pair().source, &dest);
    let topic = unique("exact-undeleting");
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, records("old", 90, 1)).unwrap();
    Admin::of(&ends.from).unwrap().delete_records(&topic, 0, 60).unwrap();
    let deny = ["--deny-principal", CLIENTS, "--operation", "Delete", "--topic", &topic];
    dest.acls(&[&["--add"], &deny[..]].concat()).unwrap();
    let mirror = ends.mirror(&topic);
    let refused = wait_for(&mirror, "not_deleted", |_| true);
    let words = refused["reason"].as_str().unwrap();
    assert!(words.contains("Delete on Topic") && words.contains("kafka-acls --bootstrap-server"), "{words}");
    assert_eq!((&refused["topic"], &refused["partition"]), (&topic.as_str().into(), &0.into()));
    dest.acls(&[&["--remove"], &deny[..]].concat()).unwrap();
    wait_for(&mirror, "progress", |said| said["caught_up"] == true);
    stop(mirror, 0);
    assert_eq!(assert_exact(&ends, &topic, 1).records, 30);
}
