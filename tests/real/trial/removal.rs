//! A link that is removed leaves what it mirrored, and nothing else; an agent that is gone is forgotten at the operator's word.

use std::sync::Arc;

use lockstep_agent::passport;
use lockstep_core::dr::passport::{CutRecord, Entry, Key, LinkRecord, Passport, Role};
use lockstep_kafka::{Cluster, Settings, Tcp};
use lockstep_testkit::client::{Record, Seed};
use lockstep_testkit::{pair, unique, wait_until_true};

use super::Trial;
use crate::mirror::{Ends, PATIENCE, assert_exact};

/// The passports of both clusters.
struct Passports {
    runtime: tokio::runtime::Runtime,
    clusters: Vec<Cluster>,
}

impl Passports {
    fn of(ends: &Ends) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let open = |at: &str| {
            let settings = Settings::new(at).unwrap();
            runtime.block_on(Cluster::connect(Arc::new(Tcp::default()), settings)).unwrap()
        };
        let clusters = [&ends.from, &ends.to].map(|at| open(at)).into();
        Self { runtime, clusters }
    }

    fn say(&self, link: &str, topic: &str) {
        let link = || link.to_owned();
        let standby = LinkRecord { generation: 2, role: Role::Standby, peer: "other".to_owned(), was: None };
        let cut = CutRecord { generation: 2, cut: 5, floor: 5 };
        let entries = [
            (Key::Link { link: link() }, Entry::Link(standby)),
            (Key::Cut { link: link(), topic: topic.to_owned(), partition: 0 }, Entry::Cut(cut)),
        ];
        for cluster in &self.clusters {
            self.runtime.block_on(passport::write(cluster, &entries, 1)).unwrap();
        }
    }

    fn read(&self, link: &str) -> Vec<Passport> {
        let read = |cluster| self.runtime.block_on(passport::read(cluster, link)).unwrap();
        self.clusters.iter().map(read).collect()
    }
}

#[test]
fn a_removed_link_leaves_its_topics_and_no_word_in_the_passports_and_an_agent_that_is_gone_is_forgotten() {
    let ends = Ends::shared();
    let topic = unique("removal");
    ends.create(&topic, 1, &[]);
    let records = (0..500).map(|n| Record::new(format!("record {n}")));
    Seed::to(&pair().source.bootstrap()).write(&topic, records).unwrap();
    let mut trial = Trial::with(&["--east", &ends.from, "--west", &ends.to]);
    trial.start_three();
    trial.start_agent("a-west");
    let spec = trial.file("dr.yaml");
    let text = std::fs::read_to_string(&spec).unwrap().replace("  trial:", &format!("  {topic}:"));
    let text = text.replace("topics: [\".*\"]", &format!("topics: {topic}"));
    std::fs::write(&spec, text.replace("    groups: [\".*\"]\n", "")).unwrap();
    trial.asked(0, &["apply", "-f", &spec]);
    ends.wait_until_equal(&topic, 1);
    let passports = Passports::of(&ends);
    let other = format!("{topic}-other");
    passports.say(&topic, &topic);
    passports.say(&other, &topic);
    // The same system without the link, and without its clusters.
    let bare = trial.file("bare.yaml");
    let kept = std::fs::read_to_string(&spec).unwrap();
    std::fs::write(&bare, &kept[..kept.find("clusters:").unwrap()]).unwrap();
    let planned = trial.asked(2, &["plan", "-f", &bare]).stdout;
    assert!(planned.contains("mirrored topics, their data and group offsets stay"), "{planned}");
    trial.asked(0, &["apply", "-f", &bare]);
    wait_until_true("the passports to say nothing of it", PATIENCE, || {
        passports.read(&topic).into_iter().all(|passport| passport == Passport::default())
    });
    wait_until_true("the coordinators to know", PATIENCE, || trial.json(0, &["status"])["removed"].is_null());
    for passport in passports.read(&other) {
        assert_eq!((passport.generation(), passport.cuts.len()), (2, 1), "another link's");
    }
    assert_exact(&ends, &topic, 1);
    let trail = trial.asked(0, &["audit", "export"]).stdout;
    assert!(trail.lines().any(|line| line.contains("tidied") && line.contains(&topic)), "{trail}");
    let forget = ["coordinator", "forget-agent", "a-west", "--reason", "the machine is gone"];
    let refused = trial.asked(3, &forget);
    assert!(refused.stderr.contains("has a session: stop it first"), "{refused:?}");
    trial.kill("a-west");
    wait_until_true("its session to end", PATIENCE, || {
        trial.json(0, &["status"])["agents"]["a-west"]["heard_age_ms"].is_null()
    });
    trial.asked(0, &forget);
    assert!(trial.json(0, &["status"])["agents"]["a-west"].is_null(), "nobody waits for it");
    trial.asked(1, &forget);
}
