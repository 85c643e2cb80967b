//! `lockstep verify`: identical only when proven, different with the first difference in words, and "could not
//! tell" never dressed up as either. Exit codes 0, 2, 1.

use lockstep_testkit::client::{Admin, Codec, Record, Seed};
use lockstep_testkit::lockstep::Finished;
use lockstep_testkit::{Exit, Kafka, Lockstep, pair, unique};
use serde_json::Value;

use super::{Ends, PATIENCE};

pub(crate) fn verify(ends: &Ends, topics: &str, more: &[&str]) -> Finished {
    let mut arguments = vec!["verify", "--from", &ends.from, "--to", &ends.to, "--topics", topics];
    arguments.extend(more);
    Lockstep::run(&arguments, PATIENCE).unwrap()
}

/// The exit code and the last JSON document.
fn verify_json(ends: &Ends, topics: &str) -> (Exit, Value) {
    let finished = verify(ends, topics, &["-o", "json", "--wait", "0s"]);
    let said = serde_json::from_str(&finished.stdout);
    let said = said.unwrap_or_else(|cause| panic!("{cause}: {}{}", finished.stdout, finished.stderr));
    (finished.exit, said)
}

/// The same topic on both sides, written by hand: `theirs` is what the destination got instead of the mirror's.
fn planted(name: &str, ours: Vec<Record>, theirs: Vec<Record>) -> (Ends, String) {
    let ends = Ends::shared();
    let topic = unique(name);
    ends.create(&topic, 1, &[]);
    Admin::of(&ends.to).unwrap().create(&topic, 1, &[]).unwrap();
    Seed::to(&ends.from).batch_records(3).write(&topic, ours).unwrap();
    Seed::to(&ends.to).batch_records(2).write(&topic, theirs).unwrap();
    (ends, topic)
}

fn records(count: i64) -> Vec<Record> {
    (0..count).map(|n| Record::new(format!("record {n}")).key(n.to_string()).at(1_000_000 + n)).collect()
}

#[test]
fn a_mirrored_topic_is_identical() {
    let ends = Ends::shared();
    let topic = unique("same");
    ends.create(&topic, 3, &[]);
    let many = (0..9_000).map(|n| Record::new(format!("record {n}")).partition(n % 3).header("h", "v"));
    Seed::to(&ends.from).codec(Codec::Zstd).batch_records(200).write(&topic, many).unwrap();
    ends.mirror_all(&topic);
    let finished = verify(&ends, &topic, &[]);
    assert_eq!(finished.exit, Exit::Code(0), "{}{}", finished.stdout, finished.stderr);
    assert!(
        finished.stdout.contains("identical") && finished.stdout.contains("9,000"),
        "{}",
        finished.stdout
    );
    let (exit, json) = verify_json(&ends, &topic);
    assert_eq!(exit, Exit::Code(0));
    assert_eq!(json["topics"][0]["records_compared"], 9_000, "{json}");
    assert_eq!(json["topics"][0]["result"], "identical", "{json}");
}

#[test]
fn other_batch_boundaries_are_no_difference() {
    let (ends, topic) = planted("boundaries", records(20), records(20));
    let (exit, json) = verify_json(&ends, &topic);
    assert_eq!((exit, &json["topics"][0]["result"]), (Exit::Code(0), &Value::from("identical")), "{json}");
}

#[test]
fn the_first_difference_is_said_with_its_offset() {
    type Change = fn(&mut Vec<Record>);
    let changes: [(&str, Change, &str); 5] = [
        ("value", |r| r[7] = Record::new("record X").key("7").at(1_000_007), "value"),
        ("null", |r| r[7] = Record::null().key("7").at(1_000_007), "null"),
        ("time", |r| r[7] = Record::new("record 7").key("7").at(999), "timestamp"),
        ("key", |r| r[7] = Record::new("record 7").at(1_000_007), "key"),
        ("header", |r| r[7] = Record::new("record 7").key("7").at(1_000_007).header("a", "b"), "header"),
    ];
    for (name, change, word) in changes {
        let mut theirs = records(20);
        change(&mut theirs);
        let (ends, topic) = planted(&format!("differs-{name}"), records(20), theirs);
        let (exit, json) = verify_json(&ends, &topic);
        assert_eq!(exit, Exit::Code(2), "{json}");
        let first = &json["topics"][0]["differences"][0];
        assert_eq!((&first["partition"], &first["offset"]), (&Value::from(0), &Value::from(7)), "{json}");
        assert!(first["what"].as_str().unwrap().contains(word), "{json}");
        let finished = verify(&ends, &topic, &["--wait", "0s"]);
        assert_eq!(finished.exit, Exit::Code(2));
        assert!(
            finished.stdout.contains("DIFFERENT") && finished.stdout.contains('7'),
            "{}",
            finished.stdout
        );
    }
}

#[test]
fn shorter_longer_and_missing_destinations_are_different() {
    let (ends, topic) = planted("shorter", records(20), records(15));
    assert_eq!(verify_json(&ends, &topic).0, Exit::Code(2));
    let (ends, topic) = planted("longer", records(20), records(25));
    assert_eq!(verify_json(&ends, &topic).0, Exit::Code(2));
    let ends = Ends::shared();
    let topic = unique("missing");
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, records(3)).unwrap();
    let (exit, json) = verify_json(&ends, &topic);
    assert_eq!(exit, Exit::Code(2), "{json}");
    let topic = unique("fewer");
    ends.create(&topic, 3, &[]);
    Admin::of(&ends.to).unwrap().create(&topic, 2, &[]).unwrap();
    assert_eq!(verify_json(&ends, &topic).0, Exit::Code(2));
}

#[test]
fn what_the_source_has_expired_is_a_note_and_what_the_destination_lacks_a_difference() {
    let (ends, topic) = planted("expired", records(20), records(20));
    Admin::of(&ends.from).unwrap().delete_records(&topic, 0, 5).unwrap();
    let (exit, json) = verify_json(&ends, &topic);
    assert_eq!(exit, Exit::Code(0), "{json}");
    assert!(!json["topics"][0]["notes"].as_array().unwrap().is_empty(), "{json}");
    Admin::of(&ends.to).unwrap().delete_records(&topic, 0, 9).unwrap();
    assert_eq!(verify_json(&ends, &topic).0, Exit::Code(2), "the destination lacks records the source has");
}

#[test]
fn nothing_is_identical_that_could_not_be_read() {
    // The destination's broker is stopped in the middle: it accepts connections and answers nothing.
    let stopped = Kafka::builder("stopped").start().unwrap();
    let ends = Ends::of(&pair().source, &stopped);
    let topic = unique("unreadable");
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, records(20)).unwrap();
    ends.mirror_all(&topic);
    assert_eq!(verify(&ends, &topic, &[]).exit, Exit::Code(0));
    stopped.stop(1).unwrap();
    let finished = verify(&ends, &topic, &[]);
    assert_eq!(finished.exit, Exit::Code(1), "{}{}", finished.stdout, finished.stderr);
    assert!(!finished.stdout.contains("identical:"), "{}", finished.stdout);
}

#[test]
fn a_pattern_that_matches_nothing_proves_nothing() {
    let finished = verify(&Ends::shared(), "no-topic-has-this-name", &[]);
    assert_eq!(finished.exit, Exit::Code(1));
    assert!(finished.stderr.contains("no topic"), "{}", finished.stderr);
}
