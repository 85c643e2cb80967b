//! The file is read again on SIGHUP and when it changes: only what differs is restarted, and a file with a fault changes
//! nothing.

use lockstep_testkit::client::{Record, Seed, assert_identical};
use lockstep_testkit::{Signal, pair, unique, wait_until_true};

use super::super::mirror::{Ends, PATIENCE};
use super::{Agent, File};

fn topic_with(records: i32) -> String {
    let topic = unique("reload");
    Ends::shared().create(&topic, 1, &[]);
    write(&topic, records);
    topic
}

fn write(topic: &str, records: i32) {
    let records = (0..records).map(|n| Record::new(format!("record {n}")));
    Seed::to(&pair().source.bootstrap()).write(topic, records).unwrap();
}

/// How often the log says that this link began to run.
fn starts(agent: &Agent, link: &str) -> usize {
    let said = agent.process.stderr();
    said.lines()
        .filter(|line| line.contains("life: running: ") && line.contains(&format!("name=\"{link}\"")))
        .count()
}

#[test]
fn a_changed_file_restarts_only_what_differs() {
    let ends = Ends::shared();
    let (stays, changes, comes) = (topic_with(100), topic_with(100), topic_with(100));
    let agent = Agent::start(&File::new().link("stays", &stays, "").link("changes", &changes, ""));
    agent.wait_until_ready();
    ends.wait_until_equal(&stays, 1);

    agent.rewrite(
        &File::new()
            .link("stays", &stays, "")
            .link("changes", &changes, ", rpo: 1m")
            .link("comes", &comes, ""),
    );
    agent.wait_until_said("configuration reloaded");
    for topic in [&stays, &changes, &comes] {
        write(topic, 100);
        ends.wait_until_equal(topic, 1);
    }
    assert_eq!((starts(&agent, "stays"), starts(&agent, "changes"), starts(&agent, "comes")), (1, 2, 1));

    agent.rewrite(&File::new().link("stays", &stays, "").link("changes", &changes, ", paused: true"));
    let drained = || agent.process.stderr().matches("stopped: everything in flight was answered").count();
    wait_until_true("the removed and the paused link to have stopped", PATIENCE, || drained() == 3);
    write(&changes, 100);
    write(&stays, 100);
    ends.wait_until_equal(&stays, 1);
    assert_eq!(ends.held(&changes, 0), 200, "paused");
    agent.rewrite(&File::new().link("stays", &stays, "").link("changes", &changes, ""));
    ends.wait_until_equal(&changes, 1);
    assert_eq!(starts(&agent, "stays"), 1);
    agent.stop(0);
    for topic in [&stays, &changes, &comes] {
        assert_identical(&ends.from, &ends.to, topic, 1);
    }
}

#[test]
fn a_file_with_a_fault_changes_nothing_and_is_said_until_it_is_right() {
    let ends = Ends::shared();
    let topic = topic_with(100);
    let mut agent = Agent::start(&File::new().link("goes-on", &topic, ""));
    agent.wait_until_ready();

    agent.rewrite(&File::new().link("goes-on", &topic, ", rpo: soon").line("nonsense: 1"));
    agent.wait_until_said("refused, everything goes on as before");
    let said = agent.process.stderr();
    assert!(said.contains("links.goes-on.rpo") && said.contains("nonsense"), "both faults: {said}");
    write(&topic, 100);
    ends.wait_until_equal(&topic, 1);

    std::fs::remove_file(agent.path()).unwrap();
    agent.process.signal(Signal::Hangup).unwrap();
    agent.wait_until_said("cannot be read");
    write(&topic, 100);
    ends.wait_until_equal(&topic, 1);

    agent.rewrite(&File::new().link("goes-on", &topic, ""));
    agent.process.signal(Signal::Hangup).unwrap();
    agent.wait_until_said("configuration reloaded");
    assert_eq!(starts(&agent, "goes-on"), 1, "nothing differed");
    agent.stop(0);
    assert_identical(&ends.from, &ends.to, &topic, 1);
}

#[test]
fn a_link_that_a_reload_breaks_leaves_the_others() {
    let ends = Ends::shared();
    let (good, broken) = (topic_with(100), topic_with(100));
    let file = || File::new().link("good", &good, "");
    let agent = Agent::start(&file().link("broken", &broken, ""));
    agent.wait_until_ready();
    let dead = file().link("broken", &broken, "");
    let dead = File(dead.text().replace("links:", "  dead: { bootstrap: \"127.0.0.1:9\" }\nlinks:"));
    agent.rewrite(&File(dead.text().replace("broken: { from: mi", "broken: { from: dead")));
    wait_until_true("the broken link to be named", PATIENCE, || {
        let (code, words) = agent.get("/readyz");
        code == 503 && words.contains("broken: cannot use the cluster dead")
    });
    write(&good, 100);
    ends.wait_until_equal(&good, 1);
    assert_eq!(starts(&agent, "good"), 1);
    agent.stop(0);
    assert_identical(&ends.from, &ends.to, &good, 1);
}
