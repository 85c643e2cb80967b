//! Groups that an authorizer keeps from the mirror: skipped with the missing right and its grant, all others copied, and
//! copied as well once the right is there, without a restart.

use lockstep_testkit::broker::CLIENTS;
use lockstep_testkit::client::{Seed, commit_offsets};
use lockstep_testkit::{Kafka, pair, unique, wait_until_true};

use super::{numbered, there};
use crate::mirror::{Ends, PATIENCE, stop, wait_for};

/// One broker with an authorizer, on either side in turn.
#[test]
fn a_group_without_its_right_is_skipped_alone_and_heals_when_granted() {
    let guarded = Kafka::builder("group-rights").authorized().start().unwrap();
    let allow = ["--add", "--allow-principal", CLIENTS, "--operation", "All"];
    let all = ["--topic", "*", "--group", "*", "--transactional-id", "*", "--cluster"];
    guarded.acls(&[&allow[..], &all].concat()).unwrap();
    let out = Ends::of(&guarded, &pair().destination);
    let into = Ends::of(&pair().source, &guarded);
    for (ends, operation, side) in
        [(&out, "Describe", "the source refuses"), (&into, "Read", "the standby refuses")]
    {
        let topic = unique("group-rights");
        wait_until_true("the rights to take effect", PATIENCE, || {
            lockstep_testkit::client::Admin::of(&ends.from).unwrap().create(&topic, 1, &[]).is_ok()
        });
        Seed::to(&ends.from).write(&topic, numbered(0, 100)).unwrap();
        let [closed, open] = ["closed", "open"].map(|name| format!("{topic}-{name}"));
        for group in [&closed, &open] {
            commit_offsets(&ends.from, group, &[(&topic, 0, 40)], "").unwrap();
        }
        let deny = ["--deny-principal", CLIENTS, "--operation", operation, "--group", &closed];
        guarded.acls(&[&["--add"], &deny[..]].concat()).unwrap();
        let mirror = ends.mirror_with(&topic, &["--groups", &format!("{topic}-.*")]);
        let skipped = wait_for(&mirror, "group_skipped", |said| said["group"] == *closed);
        let why = skipped["reason"].as_str().unwrap();
        let needs = format!("needs {operation} on Group {closed} for {CLIENTS}");
        let grant = format!("--operation {operation} --group '{closed}'");
        for part in [side, "L-103", &needs, "kafka-acls --bootstrap-server", &grant] {
            assert!(why.contains(part), "{part} in {why}");
        }
        wait_until_true("the other group", PATIENCE, || there(ends, &open, &topic) == Some(40));
        assert_eq!(there(ends, &closed, &topic), None, "{operation}");
        guarded.acls(&[&["--remove"], &deny[..]].concat()).unwrap();
        wait_until_true("the group that may be copied now", PATIENCE, || {
            there(ends, &closed, &topic) == Some(40)
        });
        wait_for(&mirror, "progress", |said| said["groups"]["in_step"] == 2);
        stop(mirror, 0);
    }
}
