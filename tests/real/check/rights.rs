//! `lockstep check --connect` against a broker with an authorizer, as a destination and as a source at once.

use lockstep_testkit::broker::CLIENTS;
use lockstep_testkit::client::{Codec, Record, Seed, Transactor};
use lockstep_testkit::{Exit, Kafka, Lockstep, pair, unique, wait_until};
use serde_json::Value;

use super::File;
use crate::mirror::{Ends, PATIENCE};

/// Two links, so that one broker stands on both sides: `into` copies to it, `out` from it.
struct Scene {
    guarded: Kafka,
    ends: Ends,
    topic: String,
    file: File,
}

impl Scene {
    fn new() -> Self {
        let guarded = Kafka::builder("guarded").authorized().start().unwrap();
        let ends = Ends::of(&pair().source, &guarded);
        let topic = unique("check-rights");
        ends.create(&topic, 2, &[]);
        let text = format!(
            "site: praha\nclusters:\n  open: {{ bootstrap: \"{}\" }}\n  guarded: {{ bootstrap: \"{}\" }}\nlinks:\n  \
             into.{topic}: {{ from: open, to: guarded, topics: {topic}, groups: {topic}-group }}\n  \
             out.{topic}: {{ from: guarded, to: open, topics: out-{topic} }}\n",
            ends.from, ends.to
        );
        Self { guarded, ends, topic, file: File::new(&text) }
    }

    /// `operation resource_type resource` of every right that is missing on the guarded broker.
    fn missing(value: &Value) -> Vec<String> {
        let links = value["links"].as_array().unwrap().iter();
        let all = links.flat_map(|link| link["missing"].as_array().unwrap());
        let all = all.map(|missing| {
            assert_eq!((&missing["cluster"], &missing["principal"]), (&"guarded".into(), &CLIENTS.into()));
            let text = |key: &str| missing[key].as_str().unwrap_or_default().to_owned();
            format!("{} {} {}", text("operation"), text("resource_type"), text("resource"))
        });
        let mut all: Vec<_> = all.collect();
        all.sort();
        all
    }

    fn grant(&self, command: &str) {
        let options: Vec<_> = command.split(' ').skip(3).map(|word| word.trim_matches('\'')).collect();
        assert!(command.starts_with("kafka-acls --bootstrap-server ") && options[0] == "--add", "{command}");
        self.guarded.acls(&options).unwrap();
    }
}

#[test]
fn all_missing_rights_are_listed_at_once_and_granting_them_is_enough() {
    let scene = Scene::new();
    let topic = &scene.topic;
    let id = format!("lockstep.into.{topic}");
    let mut expected: Vec<String> =
        ["Alter", "AlterConfigs", "Create", "Delete", "Describe", "DescribeConfigs", "Read", "Write"]
            .map(|operation| format!("{operation} topic {topic}"))
            .into_iter()
            .chain(
                ["Describe", "DescribeConfigs", "Read"]
                    .map(|operation| format!("{operation} topic out-{topic}")),
            )
            .chain(["Alter", "Describe", "DescribeConfigs"].map(|operation| format!("{operation} cluster ")))
            .chain(["Describe", "Write"].map(|operation| format!("{operation} transactional_id {id}")))
            .chain([
                format!("Write transactional_id {id}.filler"),
                format!("Read group {id}"),
                format!("Read group {topic}-group"),
                // As a destination it is needed, as a source better.
                "Read topic __lockstep".to_owned(),
                "Read topic __lockstep".to_owned(),
            ])
            .collect();
    expected.sort();
    let value = scene.file.checked(1, &["--connect"]);
    assert_eq!(Scene::missing(&value), expected, "{value:#}");
    assert!(
        value["links"].as_array().unwrap().iter().all(|link| link["unknown"] == Value::Array(Vec::new())),
        "{value:#}"
    );
    for internal in ["__transaction_state", "__consumer_offsets", topic] {
        let folder = scene.guarded.log_folder(1, internal, 0).unwrap();
        assert!(!folder.exists(), "asking has created {internal}");
    }

    let table = scene.file.check(&["--connect"]);
    assert!(table.exit == Exit::Code(1) && table.stdout.contains("docs/errors/L-103.md"), "{}", table.stdout);
    let grants: Vec<_> =
        table.stdout.lines().filter_map(|line| line.trim().strip_prefix("grant   ")).collect();
    assert!(grants.len() < expected.len(), "one command for each resource: {grants:#?}");
    for command in grants {
        scene.grant(command);
    }
    let after = wait_until("no right missing", PATIENCE, || {
        let finished = scene.file.check(&["--connect", "-o", "json"]);
        (finished.exit == Exit::Code(0)).then(|| serde_json::from_str::<Value>(&finished.stdout).unwrap())
    });
    assert_eq!((Scene::missing(&after), &after["ok"]), (Vec::new(), &Value::Bool(true)));
    let into = after["links"].as_array().unwrap().iter().find(|link| link["name"] == format!("into.{topic}"));
    assert_eq!(into.unwrap()["unknown"], Value::Array(Vec::new()), "{after:#}");
    scene.mirrors_with_these_rights();
}

impl Scene {
    /// The table is complete: what it lists is enough for records, markers and what verify reads.
    fn mirrors_with_these_rights(&self) {
        let Self { ends, topic, .. } = self;
        let transactor = Transactor::open(&ends.from, &unique("tx"), Codec::Lz4).unwrap();
        transactor.begin().unwrap();
        transactor.write(topic, (0..20).map(|n| Record::new("void").partition(n % 2))).unwrap();
        transactor.abort().unwrap();
        Seed::to(&ends.from)
            .write(topic, (0..20).map(|n| Record::new(n.to_string()).partition(n % 2)))
            .unwrap();
        let link = format!("into.{topic}");
        let both = ["--from", &ends.from, "--to", &ends.to, "--topics", topic];
        let mirror = [&["mirror"], &both[..], &["--link", &link, "--until-caught-up"]].concat();
        let finished = Lockstep::run(&mirror, PATIENCE).unwrap();
        assert_eq!(finished.exit, Exit::Code(0), "{finished:?}");
        let finished = Lockstep::run(&[&["verify"], &both[..]].concat(), PATIENCE).unwrap();
        assert_eq!(finished.exit, Exit::Code(0), "{finished:?}");
    }
}

#[test]
fn a_cluster_that_does_not_answer_is_said_and_holds_up_no_other() {
    let ends = Ends::shared();
    let topic = unique("check-dead");
    ends.create(&topic, 1, &[]);
    let text = format!(
        "site: praha\nclusters:\n  a: {{ bootstrap: \"{}\" }}\n  b: {{ bootstrap: \"{}\" }}\n  \
         dead: {{ bootstrap: \"127.0.0.1:1\" }}\nlinks:\n  good: {{ from: a, to: b, topics: {topic} }}\n  \
         bad: {{ from: a, to: dead, topics: {topic} }}\n",
        ends.from, ends.to
    );
    let value = File::new(&text).checked(1, &["--connect"]);
    let cluster = |name: &str| {
        value["clusters"].as_array().unwrap().iter().find(|cluster| cluster["name"] == name).unwrap().clone()
    };
    let link = |name: &str| {
        value["links"].as_array().unwrap().iter().find(|link| link["name"] == name).unwrap().clone()
    };
    assert!(cluster("a")["reached"] == true && cluster("a")["brokers"].as_u64() > Some(0), "{value:#}");
    assert!(cluster("dead")["reached"] == false);
    assert!(cluster("dead")["reason"].as_str().unwrap().contains("refused"), "{value:#}");
    assert!(link("good")["ok"] == true && link("good")["topics"] == 1, "{value:#}");
    assert_eq!(link("good")["missing"], Value::Array(Vec::new()), "without an authorizer all is allowed");
    assert_eq!(link("bad")["unknown"].as_array().unwrap().len(), 1);
}
