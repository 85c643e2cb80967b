//! What the daemon tells: /status, /metrics, and `lockstep status --local` over it.

use std::time::Duration;

use lockstep_testkit::client::{Record, Seed, commit_offsets};
use lockstep_testkit::{Exit, Lockstep, pair, unique, wait_until_true};
use serde_json::Value;

use super::super::mirror::{Ends, PATIENCE};
use super::{Agent, File};

const LIMIT: Duration = Duration::from_secs(30);

fn status(agent: &Agent) -> Value {
    let (code, body) = agent.get("/status");
    assert_eq!(code, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The sample of a metric with these labels, as text.
fn sample(agent: &Agent, series: &str) -> Option<f64> {
    let (code, body) = agent.get("/metrics");
    assert_eq!(code, 200, "{body}");
    let line = body.lines().find(|line| line.starts_with(series))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn status_and_metrics_say_how_every_link_stands() {
    let ends = Ends::shared();
    let (good, paused) = (unique("told"), unique("told-paused"));
    ends.create(&good, 2, &[]);
    let records = (0..1_000).map(|n| Record::new(format!("record {n}")).partition(n % 2));
    Seed::to(&pair().source.bootstrap()).write(&good, records).unwrap();
    let group = unique("told-group");
    commit_offsets(&ends.from, &group, &[(&good, 0, 200), (&good, 1, 500)], "").unwrap();
    let with_groups = format!(", rpo: 7s, groups: {group}");
    let agent = Agent::start(&File::new().link("good", &good, &with_groups).link(
        "paused",
        &paused,
        ", paused: true",
    ));
    ends.wait_until_equal(&good, 2);
    wait_until_true("the link to be known as safe", PATIENCE, || {
        let link = &status(&agent)["links"][0];
        link["exposure"]["seen_records"] == 0 && link["copied_records"] == 1_000
    });
    let told = status(&agent);
    assert_eq!(told["site"], "test");
    assert_eq!(told["config"]["refused"], Value::Null);
    let link = &told["links"][0];
    assert_eq!((&link["link"], &link["from"], &link["to"]), (&"good".into(), &"mi".into(), &"pr".into()));
    assert_eq!((&link["state"], &link["rpo_seconds"]), (&"running".into(), &7.0.into()));
    assert_eq!(link["partitions"]["caught_up"], 2);
    assert_eq!(link["exposure"]["is_fresh"], true, "{link}");
    assert_eq!(told["links"][1]["state"], "paused");
    assert_ne!(told["links"][1]["posture"], "WITHIN_RPO", "a paused link protects nothing");

    assert_eq!(sample(&agent, "lockstep_link_replicated_records_total{link=\"good\"}"), Some(1_000.0));
    assert_eq!(sample(&agent, "lockstep_rpo_target_seconds{link=\"good\"}"), Some(7.0));
    assert_eq!(sample(&agent, "lockstep_link_state{link=\"paused\",state=\"paused\"}"), Some(1.0));

    let of_group =
        |name: &str| sample(&agent, &format!("lockstep_{name}{{link=\"good\",group=\"{group}\"}}"));
    wait_until_true("the group to be in step", PATIENCE, || {
        of_group("group_sync_timestamp_seconds").is_some()
    });
    assert_eq!((of_group("group_lag_records"), of_group("group_unread_records")), (Some(300.0), Some(300.0)));
    assert_eq!(sample(&agent, "lockstep_link_groups{link=\"good\",state=\"in_step\"}"), Some(1.0));

    let shown = |more: &[&str]| {
        let all = [&["status", "--local", "--agent", &agent.address], more].concat();
        Lockstep::run(&all, LIMIT).unwrap()
    };
    let table = shown(&[]);
    assert_eq!(table.exit, Exit::Code(0), "{}", table.stderr);
    assert!(table.stdout.starts_with("LINK ") && table.stdout.contains("mi -> pr"), "{}", table.stdout);
    let json: Value = serde_json::from_str(&shown(&["good", "-o", "json"]).stdout).unwrap();
    assert_eq!(json["links"].as_array().unwrap().len(), 1);
    let unknown = shown(&["nobody"]);
    assert_eq!(unknown.exit, Exit::Code(1));
    assert!(unknown.stderr.contains("has no link \"nobody\""), "{}", unknown.stderr);
    agent.stop(0);
}

#[test]
fn nobody_who_answers_is_an_error_with_the_remedy() {
    let finished = Lockstep::run(&["status", "--local", "--agent", "127.0.0.1:9"], LIMIT).unwrap();
    assert_eq!(finished.exit, Exit::Code(1));
    assert!(finished.stderr.contains("remedy  start `lockstep agent`"), "{}", finished.stderr);
}
