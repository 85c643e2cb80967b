//! What `coordinator init --dev` makes is a system that works.

use lockstep_testkit::client::{Admin, Record, Seed};
use lockstep_testkit::{pair, unique, wait_until_true};

use super::Trial;
use crate::mirror::{Ends, PATIENCE, assert_exact};

#[test]
fn what_one_command_makes_carries_records_and_tells_of_it() {
    let ends = Ends::shared();
    let topic = unique("whole");
    ends.create(&topic, 3, &[]);
    let records = (0..3_000).map(|n| Record::new(format!("record {n}")).partition(n % 3));
    Seed::to(&pair().source.bootstrap()).write(&topic, records).unwrap();
    let mut trial = Trial::with(&["--east", &ends.from, "--west", &ends.to]);
    trial.start_three();
    trial.start_agent("a-east");
    trial.start_agent("a-west");
    wait_until_true("both agents to be heard", PATIENCE, || {
        let agents = &trial.json(0, &["status"])["agents"];
        agents["a-east"]["heard_age_ms"].is_u64() && agents["a-west"]["heard_age_ms"].is_u64()
    });
    // The clusters are shared with other tests: one topic, and a link of this test's own.
    let spec = trial.file("dr.yaml");
    let text = std::fs::read_to_string(&spec).unwrap().replace("  trial:", &format!("  {topic}:"));
    let text = text.replace("topics: [\".*\"]", &format!("topics: {topic}"));
    std::fs::write(&spec, text.replace("    groups: [\".*\"]\n", "")).unwrap();
    let planned = trial.asked(2, &["plan", "-f", &spec]).stdout;
    let line = planned.lines().find(|line| line.contains("+ topic ") && line.contains(&topic));
    assert!(line.is_some_and(|line| line.contains("3 partitions")), "{planned}");
    plans_tell_what_a_link_would_do(&trial, &ends, &spec, &topic);
    trial.asked(0, &["apply", "-f", &spec]);
    ends.wait_until_equal(&topic, 3);
    assert_exact(&ends, &topic, 3);
    wait_until_true("the link to be known as safe, from any site", PATIENCE, || {
        let link = &trial.json(0, &["status", &topic])["links"][0];
        link["posture"] == "WITHIN_RPO" && link["exposure"]["seen_records"] == 0
    });
    // A leader that is new has to be told of the clusters first.
    wait_until_true("every agent to have told its partitions and clusters", PATIENCE, || {
        let wide = trial.asked(0, &["status", &topic, "-o", "wide"]);
        let table = wide.stdout.contains("kafka-east  east  a-west") && wide.stdout.contains("leader");
        table && wide.stderr.is_empty()
    });
    wait_until_true("every check to be made", PATIENCE, || {
        let ready = trial.ask(&["ready", &topic]);
        !ready.stdout.contains("UNKNOWN ")
    });
}

/// A late start, a topic that stands there with other settings, and one with data of its own.
fn plans_tell_what_a_link_would_do(trial: &Trial, ends: &Ends, spec: &str, topic: &str) {
    let [late, there, own] = ["late", "there", "own"].map(|what| format!("{topic}.{what}"));
    ends.create(&late, 1, &[]);
    let source = Seed::to(&ends.from);
    source.write(&late, (0..40).map(|n| Record::new(format!("record {n}")))).unwrap();
    Admin::of(&ends.from).unwrap().delete_records(&late, 0, 25).unwrap();
    let dest = Admin::of(&ends.to).unwrap();
    ends.create(&there, 1, &[("segment.ms", "3600000")]);
    dest.create(&there, 1, &[]).unwrap();
    ends.create(&own, 1, &[]);
    dest.create(&own, 1, &[]).unwrap();
    Seed::to(&ends.to).write(&own, [Record::new("not a mirror's")]).unwrap();
    let wide = trial.file("wide.yaml");
    let text = std::fs::read_to_string(spec).unwrap();
    let topics = format!("topics: {topic}\n");
    assert!(text.contains(&topics), "{text}");
    std::fs::write(&wide, text.replace(&topics, &format!("topics: {topic}\\..*\n"))).unwrap();
    let planned = trial.asked(2, &["plan", "-f", &wide]).stdout;
    let has = |sign: &str, name: &str, words: &str| {
        let mut lines = planned.lines().map(str::trim).filter(|line| line.starts_with(sign));
        assert!(lines.any(|line| line.contains(name) && line.contains(words)), "{name} {words}: {planned}");
    };
    has("+", &late, "1 partitions, aligned at offset 25 (25 offsets by fillers");
    has("~", &there, "compared, then continued");
    has("~", &there, "segment.ms (unset) -> 3600000 (owner: source)");
    has("!", &own, "is not mirrored");
}
