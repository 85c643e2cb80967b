//! An ACL that is revoked while the mirror runs: unprotected with exactly the missing right, never "nothing to lose",
//! never "the topic is gone"; granted again it heals by itself, and both sides hold the same.

use std::time::Instant;

use lockstep_testkit::broker::{CLIENTS, start_all};
use lockstep_testkit::client::{Record, Seed};
use lockstep_testkit::{Kafka, unique, wait_until_true};
use serde_json::Value;

use super::exact::assert_exact;
use super::{Ends, PATIENCE, said, stop, wait_for};

fn guarded(name: &str) -> lockstep_testkit::broker::Builder {
    Kafka::builder(name).authorized()
}

fn allow(kafka: &Kafka) {
    let given = |options: &[&str]| {
        kafka
            .acls(&[&["--add", "--allow-principal", CLIENTS, "--operation", "All"], options].concat())
            .unwrap();
    };
    given(&["--topic", "*", "--group", "*", "--transactional-id", "*", "--cluster"]);
}

fn deny(kafka: &Kafka, action: &str, operation: &str, topic: &str) {
    kafka.acls(&[action, "--deny-principal", CLIENTS, "--operation", operation, "--topic", topic]).unwrap();
}

fn write(ends: &Ends, topic: &str, name: &str) {
    let records = (0..40).map(|n| Record::new(format!("{name} {n}")).partition(n % 2));
    Seed::to(&ends.from).write(topic, records).unwrap();
}

/// The last progress object.
fn now(mirror: &lockstep_testkit::Lockstep) -> Value {
    said(&mirror.stdout(), "progress").pop().unwrap_or_default()
}

/// Waits until the mirror calls itself unprotected for want of this right.
fn until_unprotected(mirror: &lockstep_testkit::Lockstep, needs: &str) {
    let added = Instant::now();
    wait_until_true(&format!("UNPROTECTED: {needs}"), PATIENCE, || {
        let progress = now(mirror);
        let auth = |reason: &Value| {
            reason["reason"] == "AUTH" && reason["text"].as_str().unwrap_or_default().contains(needs)
        };
        progress["posture"] == "UNPROTECTED" && progress["reasons"].as_array().unwrap().iter().any(auth)
    });
    println!("{needs}: shown {:?} after the entry was added", added.elapsed());
}

fn until_green(mirror: &lockstep_testkit::Lockstep) {
    wait_until_true("WITHIN_RPO", PATIENCE, || now(mirror)["posture"] == "WITHIN_RPO");
}

#[test]
fn a_right_revoked_while_running_is_named_and_heals_when_granted() {
    let [source, dest] = start_all([guarded("source"), guarded("dest")]).unwrap();
    std::thread::scope(|both| {
        both.spawn(|| allow(&source));
        allow(&dest);
    });
    let ends = Ends::of(&source, &dest);
    let topic = unique("revoked");
    wait_until_true("the rights to take effect", PATIENCE, || {
        lockstep_testkit::client::Admin::of(&ends.from).unwrap().create(&topic, 2, &[]).is_ok()
    });
    write(&ends, &topic, "before");
    let mirror = ends.mirror(&topic);
    ends.wait_until_equal(&topic, 2);
    until_green(&mirror);

    // READ alone: the source goes on telling its ends, so what is missing is counted.
    deny(&source, "--add", "Read", &topic);
    until_unprotected(&mirror, &format!("source: needs Read on Topic {topic} for {CLIENTS}"));
    write(&ends, &topic, "unread");
    wait_until_true("what is not read to count", PATIENCE, || {
        now(&mirror)["exposure_detail"]["seen_records"] == 40
    });
    let grant = now(&mirror)["reasons"][0]["grant"].as_str().unwrap_or_default().to_owned();
    assert!(grant.contains("--operation Read --topic"), "{grant}");
    deny(&source, "--remove", "Read", &topic);
    until_green(&mirror);
    ends.wait_until_equal(&topic, 2);

    // Everything: the topic is in no list any more, and is not taken for deleted.
    deny(&source, "--add", "All", &topic);
    until_unprotected(&mirror, &format!("source: needs Describe on Topic {topic} for {CLIENTS}"));
    wait_until_true("its datum to get older than a deletion takes to be believed", PATIENCE, || {
        now(&mirror)["exposure_detail"]["datum_age_seconds"].as_f64() > Some(8.0)
    });
    let blind = now(&mirror);
    assert_eq!(
        (&blind["posture"], &blind["exposure_detail"]["is_fresh"]),
        (&"UNPROTECTED".into(), &false.into())
    );
    assert_eq!(blind["partitions"]["stopped"], 0, "{blind}");
    deny(&source, "--remove", "All", &topic);
    until_green(&mirror);
    write(&ends, &topic, "seen again");
    ends.wait_until_equal(&topic, 2);

    // WRITE on the other side.
    deny(&dest, "--add", "Write", &topic);
    // The broker may apply it slightly later: something is written until it is refused.
    wait_until_true("an append to be refused", PATIENCE, || {
        write(&ends, &topic, "unwritten");
        let progress = now(&mirror);
        progress["posture"] == "UNPROTECTED"
    });
    until_unprotected(&mirror, &format!("destination: needs Write on Topic {topic} for {CLIENTS}"));
    deny(&dest, "--remove", "Write", &topic);
    until_green(&mirror);
    ends.wait_until_equal(&topic, 2);
    wait_for(&mirror, "granted", |_| true);
    let finished = stop(mirror, 0);
    assert_eq!(said(&finished.stdout, "stopped").len(), 0, "no verdict came of it");
    assert_exact(&ends, &topic, 2);
}
