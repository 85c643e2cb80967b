//! Wrong input: a clear message with the remedy, exit 1, and nothing changed.

use std::io::Write;
use std::net::TcpListener;

use lockstep_testkit::client::{Admin, Record, Seed};
use lockstep_testkit::lockstep::Finished;
use lockstep_testkit::{Exit, Lockstep, unique};

use super::{Ends, PATIENCE};

/// Runs `lockstep mirror` and expects exit 1; returns what it said.
fn refused(arguments: &[&str]) -> String {
    let mut all = vec!["mirror"];
    all.extend(arguments);
    let Finished { exit, stdout, stderr } = Lockstep::run(&all, PATIENCE).unwrap();
    assert_eq!(exit, Exit::Code(1), "{stdout}{stderr}");
    assert!(stderr.starts_with("error: ") || stderr.starts_with("error[L-"), "{stderr}");
    stderr
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

fn topics_at(bootstrap: &str, topic: &str) -> usize {
    Admin::of(bootstrap).unwrap().leaders(topic).unwrap().len()
}

#[test]
fn addresses_that_lead_nowhere() {
    let ends = Ends::shared();
    let topic = unique("nowhere");
    ends.create(&topic, 1, &[]);
    let to = |to: &str| refused(&["--from", &ends.from, "--to", to, "--topics", &topic]);
    assert_says(&to("no-such-host.invalid:9092"), &["destination", "no-such-host.invalid", "unknown host"]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_says(&to(&format!("127.0.0.1:{free}")), &["destination", "refused"]);
    assert_says(&to("localhost"), &["--to", "localhost", "port"]);
    assert_says(&to("localhost:notaport"), &["--to", "notaport"]);
    let from = refused(&["--from", "no-such-host.invalid:1", "--to", &ends.to, "--topics", &topic]);
    assert_says(&from, &["source", "unknown host"]);
}

#[test]
fn a_port_that_speaks_tls() {
    let ends = Ends::shared();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // What a TLS server answers to bytes that are no ClientHello: a fatal alert.
    std::thread::spawn(move || {
        for stream in listener.incoming().take(20) {
            let _ = stream.and_then(|mut s| s.write_all(&[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x46]));
        }
    });
    let text = refused(&["--from", &address, "--to", &ends.to, "--topics", "x"]);
    assert_says(&text, &["source", "TLS"]);
}

#[test]
fn patterns_that_do_not_parse_or_match() {
    let ends = Ends::shared();
    let topic = unique("there");
    ends.create(&topic, 1, &[]);
    let with = |pattern: &str| refused(&["--from", &ends.from, "--to", &ends.to, "--topics", pattern]);
    assert_says(&with("orders("), &["--topics", "orders(", "unclosed group", "remedy"]);
    assert_says(&with("no-topic-has-this-name"), &["no topic of the source matches", "remedy"]);
    let part_of_a_name = &topic[..topic.len() - 1];
    assert_says(&with(part_of_a_name), &["no topic of the source matches", "anchored"]);
    let excluded =
        refused(&["--from", &ends.from, "--to", &ends.to, "--topics", &topic, "--exclude", &topic]);
    assert_says(&excluded, &["no topic of the source matches"]);
    assert_eq!(topics_at(&ends.to, &topic), 0, "nothing was created");
}

#[test]
fn source_and_destination_are_one_cluster() {
    let ends = Ends::shared();
    let text = refused(&["--from", &ends.from, "--to", &ends.from, "--topics", "x"]);
    assert_says(&text, &["same cluster", "--to", "remedy"]);
}

#[test]
fn wrong_usage_is_exit_one_too() {
    let finished = Lockstep::run(&["mirror", "--from", "a:1"], PATIENCE).unwrap();
    assert_eq!(finished.exit, Exit::Code(1));
    assert!(finished.stderr.contains("--to"), "{}", finished.stderr);
    let help = Lockstep::run(&["mirror", "--help"], PATIENCE).unwrap();
    assert_eq!(help.exit, Exit::Code(0));
    assert!(help.stdout.contains("Examples"), "{}", help.stdout);
}

#[test]
fn a_destination_topic_with_foreign_data_or_another_size_changes_nothing_at_all() {
    let ends = Ends::shared();
    let prefix = unique("stands");
    let name = |part: &str| format!("{prefix}.{part}");
    let dest = Admin::of(&ends.to).unwrap();
    for part in ["good", "foreign", "smaller", "larger"] {
        ends.create(&name(part), 3, &[]);
        Seed::to(&ends.from).write(&name(part), [Record::new("from the source")]).unwrap();
    }
    dest.create(&name("foreign"), 3, &[]).unwrap();
    Seed::to(&ends.to).write(&name("foreign"), [Record::new("already here").partition(1)]).unwrap();
    dest.create(&name("smaller"), 2, &[]).unwrap();
    dest.create(&name("larger"), 4, &[]).unwrap();
    let pattern = format!("{prefix}\\..*");
    let text = refused(&["--from", &ends.from, "--to", &ends.to, "--topics", &pattern, "--link", &prefix]);
    assert_says(&text, &["3 of 4 topics", "nothing was changed", "remedy"]);
    assert_says(&text, &[&name("foreign"), "did not write", "partition 1, offset 0"]);
    assert_says(&text, &["has 2 partitions, the source 3", "has 4 partitions, the source 3"]);
    assert_eq!(topics_at(&ends.to, &name("good")), 0, "not even the good topic was created");
    assert_eq!(topics_at(&ends.to, &name("smaller")), 2);
    assert_eq!(ends.held(&name("foreign"), 1), 1);
}

#[test]
fn data_of_another_link_is_not_ours() {
    let ends = Ends::shared();
    let topic = unique("whose");
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, (0..10).map(|n| Record::new(n.to_string()))).unwrap();
    ends.mirror_all(&topic);
    let text =
        refused(&["--from", &ends.from, "--to", &ends.to, "--topics", &topic, "--link", "another-link"]);
    assert_says(&text, &["did not write", "--link"]);
    assert_eq!(ends.held(&topic, 0), 10);
}

#[test]
fn a_dry_run_shows_the_plan_and_creates_nothing() {
    let ends = Ends::shared();
    let topic = unique("dry");
    ends.create(&topic, 7, &[]);
    let arguments = ["mirror", "--from", &ends.from, "--to", &ends.to, "--topics", &topic, "--dry-run"];
    let finished = Lockstep::run(&arguments, PATIENCE).unwrap();
    assert_eq!(finished.exit, Exit::Code(0), "{}", finished.stderr);
    assert_says(&finished.stdout, &[&topic, "7 partitions"]);
    assert_eq!(topics_at(&ends.to, &topic), 0);
}
