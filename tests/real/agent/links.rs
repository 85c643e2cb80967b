//! Several links in one process. One that cannot work waits and says why; the others do not notice.

use lockstep_testkit::client::{Record, Seed, assert_identical};
use lockstep_testkit::{pair, unique, wait_until_true};

use super::super::mirror::{Ends, PATIENCE};
use super::{Agent, File};

const PARTITIONS: i32 = 3;

fn write(topic: &str, from: i32, records: i32) {
    let records =
        (from..from + records).map(|n| Record::new(format!("record {n}")).partition(n % PARTITIONS));
    Seed::to(&pair().source.bootstrap()).write(topic, records).unwrap();
}

#[test]
fn links_of_one_process_mirror_side_by_side() {
    let ends = Ends::shared();
    let prefix = unique("side");
    let topics: Vec<_> = (0..6).map(|n| format!("{prefix}.{n}")).collect();
    let mut file = File::new();
    for (n, topic) in topics.iter().enumerate() {
        ends.create(topic, PARTITIONS, &[]);
        write(topic, 0, 300);
        // Two topics to a link.
        if n % 2 == 0 {
            file = file.link(&format!("{prefix}-{n}"), &format!("{prefix}\\.[{n}{}]", n + 1), "");
        }
    }
    let agent = Agent::start(&file);
    agent.wait_until_ready();
    for topic in &topics {
        write(topic, 300, 300);
        ends.wait_until_equal(topic, PARTITIONS);
    }
    agent.stop(0);
    for topic in &topics {
        assert_identical(&ends.from, &ends.to, topic, PARTITIONS);
    }
}

#[test]
fn a_link_that_cannot_work_disturbs_no_other() {
    let ends = Ends::shared();
    let (good, taken) = (unique("good"), unique("taken"));
    for topic in [&good, &taken] {
        ends.create(topic, PARTITIONS, &[]);
        write(topic, 0, 300);
    }
    // Records of somebody else stand on the destination under this name.
    Ends { from: ends.to.clone(), to: ends.from.clone() }.create(&taken, PARTITIONS, &[]);
    Seed::to(&ends.to).write(&taken, [Record::new("of somebody else")]).unwrap();
    let file = File::new()
        .link(&good, &good, "")
        .link(&format!("{good}-dead"), ".*", "")
        .line(&format!("  {taken}: {{ from: mi, to: pr, topics: '{taken}' }}"));
    // Nobody listens at the port of discard.
    let file = File(file.text().replace("links:", "  dead: { bootstrap: \"127.0.0.1:9\" }\nlinks:"));
    let dead = format!("  {good}-dead: {{ from: mi,");
    let file = File(file.text().replace(&dead, &format!("  {good}-dead: {{ from: dead,")));
    let agent = Agent::start(&file);
    ends.wait_until_equal(&good, PARTITIONS);
    let (code, words) = agent.get("/readyz");
    assert_eq!(code, 503);
    assert!(words.contains(&format!("{good}-dead: cannot use the cluster dead")), "{words}");
    assert!(!words.contains(&format!("{good}: ")), "{words}");
    assert_eq!(agent.get("/healthz").0, 200, "starting it again would not help");
    // In a daemon a topic that cannot be mirrored is blocked, and its link runs.
    agent.wait_until_said("records that this link did not write");
    wait_until_true("its link to run", PATIENCE, || !agent.get("/readyz").1.contains(&format!("{taken}: ")));
    agent.stop(0);
    assert_identical(&ends.from, &ends.to, &good, PARTITIONS);
}

/// Links that share a cluster share its metadata, too: each notices what is its own.
#[test]
fn topics_that_come_later_are_noticed_by_their_link() {
    let ends = Ends::shared();
    let prefix = unique("later");
    let topic = |link: u8, number: u8| format!("{prefix}-{link}.{number}");
    let mut file = File::new();
    for link in 0..3 {
        ends.create(&topic(link, 0), PARTITIONS, &[]);
        file = file.link(&format!("{prefix}-{link}"), &format!("{prefix}-{link}\\..*"), "");
    }
    let agent = Agent::start(&file);
    agent.wait_until_ready();
    for round in 1..3 {
        for link in 0..3 {
            ends.create(&topic(link, round), PARTITIONS, &[]);
            write(&topic(link, round), 0, 30);
        }
        for link in 0..3 {
            ends.wait_until_equal(&topic(link, round), PARTITIONS);
        }
    }
    agent.stop(0);
    for link in 0..3 {
        assert_identical(&ends.from, &ends.to, &topic(link, 2), PARTITIONS);
    }
}
