//! What would be lost is counted wherever it stands: behind an open transaction, in a partition that has stopped, in a
//! topic that cannot be mirrored at all; and it is never shown as zero.

use lockstep_testkit::client::{Admin, Codec, Record, Seed, Transactor};
use lockstep_testkit::{Lockstep, unique, wait_until_true};
use serde_json::Value;

use super::{Ends, PATIENCE, said, stop};

fn records(count: i32) -> impl Iterator<Item = Record> {
    (0..count).map(|n| Record::new(format!("record {n}")).partition(0))
}

/// Waits for a progress object that fits.
fn until(mirror: &Lockstep, what: &str, fits: impl Fn(&Value) -> bool) {
    wait_until_true(what, PATIENCE, || said(&mirror.stdout(), "progress").last().is_some_and(&fits));
}

fn has(progress: &Value, word: &str) -> bool {
    progress["reasons"].as_array().is_some_and(|all| all.iter().any(|reason| reason["reason"] == word))
}

#[test]
fn what_has_stopped_and_what_never_began_goes_on_counting() {
    let ends = Ends::shared();
    let name = unique("counts");
    let (good, bad) = (format!("{name}-good"), format!("{name}-bad"));
    ends.create(&good, 1, &[]);
    Seed::to(&ends.from).write(&good, records(20)).unwrap();
    let pattern = format!("{name}-.*");
    let mut arguments = vec!["mirror", "--from", &ends.from, "--to", &ends.to, "--topics", &pattern];
    arguments.extend(["--link", &name, "-o", "json", "--interval", "500ms"]);
    let mirror = Lockstep::spawn(&arguments).unwrap();
    until(&mirror, "a green link", |p| p["posture"] == "WITHIN_RPO" && p["caught_up"] == true);

    // It holds records of its own on the destination: blocked, and all of the source's count.
    Admin::of(&ends.to).unwrap().create(&bad, 1, &[]).unwrap();
    Seed::to(&ends.to).write(&bad, records(3)).unwrap();
    ends.create(&bad, 1, &[]);
    Seed::to(&ends.from).write(&bad, records(50)).unwrap();
    until(&mirror, "the blocked topic to count", |p| {
        p["posture"] == "UNPROTECTED" && has(p, "TOPIC_BLOCKED") && p["exposure_detail"]["seen_records"] == 50
    });

    // A foreign record: the partition stops, its source goes on.
    Seed::to(&ends.to).write(&good, records(1)).unwrap();
    Seed::to(&ends.from).write(&good, records(5)).unwrap();
    until(&mirror, "the partition to stop", |p| has(p, "PARTITION_STOPPED"));
    Seed::to(&ends.from).write(&good, records(100)).unwrap();
    until(&mirror, "what it no longer copies to count", |p| {
        p["exposure_detail"]["seen_records"] == 155 && p["exposure_detail"]["is_fresh"] == true
    });
    stop(mirror, 5);
}

#[test]
fn what_an_open_transaction_holds_back_counts_and_is_shown_apart() {
    let ends = Ends::shared();
    let topic = unique("held-back");
    ends.create(&topic, 1, &[("retention.ms", "7200000")]);
    Seed::to(&ends.from).write(&topic, records(20)).unwrap();
    let mirror = ends.mirror(&topic);
    until(&mirror, "a green link", |p| p["posture"] == "WITHIN_RPO" && p["caught_up"] == true);
    let transactor = Transactor::open(&ends.from, &unique("tx"), Codec::Lz4).unwrap();
    transactor.begin().unwrap();
    transactor.write(&topic, records(10)).unwrap();
    Seed::to(&ends.from).write(&topic, records(30)).unwrap();
    until(&mirror, "40 records behind it", |p| {
        let exposure = &p["exposure_detail"];
        exposure["seen_records"] == 40 && exposure["held_back_records"] == 40
    });
    // The source keeps them for two hours from their timestamps.
    until(&mirror, "how long the source keeps them", |p| {
        let (runway, seconds) = (&p["retention_runway"], p["retention_runway"]["seconds"].as_f64());
        runway["basis"] == "age" && seconds.is_some_and(|seconds| seconds > 3_600.0 && seconds <= 7_200.0)
    });
    until(&mirror, "the transaction to be named", |p| has(p, "HELD_BACK") && p["posture"] == "OVER_RPO");
    transactor.commit().unwrap();
    until(&mirror, "green again", |p| {
        p["posture"] == "WITHIN_RPO" && p["exposure_detail"]["seen_records"] == 0
    });
    ends.wait_until_equal(&topic, 1);
    stop(mirror, 0);
}
