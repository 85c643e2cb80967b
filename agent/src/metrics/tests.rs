//! Names and units as Prometheus wants them (promtool looks at text and rules), counters that survive restarts, and
//! nothing unknown that looks like zero.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use lockstep_core::mirror::Millis;

use super::*;
use crate::status::testing::{NOW, about, denied, figures, partition, report};
use crate::status::{About, LinkState, link_status, not_running};

/// As the daemon has them: looked at at moments, and how the links stood last.
struct Watched {
    metrics: Metrics,
    links: BTreeMap<String, LinkStatus>,
}

impl Watched {
    fn look(&mut self, report: &LinkReport, mono: u64) {
        let now = Now { mono: Millis(mono), ..NOW };
        let about = about();
        self.metrics.observe(&about.link, Some(report), about.rpo_ms, now);
        self.links.insert(about.link.clone(), link_status(&about, report, NOW.wall));
    }

    fn stands_still(&mut self, about: &About) {
        self.metrics.observe(&about.link, None, about.rpo_ms, NOW);
        let status = not_running(about, LinkState::Waiting, "lost", Vec::new());
        self.links.insert(about.link.clone(), status);
    }

    fn render(&self) -> Result<String, prometheus::Error> {
        self.metrics.render(&self.links.values().cloned().collect::<Vec<_>>())
    }
}

fn metrics_of(report: &LinkReport, partitions: PartitionSeries) -> Watched {
    let metrics = Metrics::new(partitions, 1_700_000_000.0);
    let mut watched = Watched { metrics, links: BTreeMap::new() };
    watched.look(report, 0);
    watched
}

fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// `None` where promtool is not installed, said loudly; with CI=true that is a failure.
fn promtool() -> Option<Command> {
    let found =
        Command::new("promtool").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Some(Command::new("promtool"));
    }
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!ci, "promtool is missing: ./dev setup installs Debian's package prometheus");
    eprintln!("NOT CHECKED: promtool is missing: ./dev setup installs Debian's package prometheus");
    None
}

fn expect_success(mut command: Command, input: &str) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    // Its lints are on standard error, with exit code 3.
    assert!(output.status.success(), "{command:?}: {}\n{input}", said.concat());
}

fn everything() -> Watched {
    let mut slow = partition("orders", 0, figures(41, 300, 200));
    slow.denied = vec![denied()];
    let mut report = report(vec![slow, partition("orders", 1, figures(1, 100, 200))]);
    report.latency.observe(7);
    report.failures.denied = 3;
    let mut metrics = metrics_of(&report, PartitionSeries::On);
    let other = About { link: "bills \"x\"\\".to_owned(), ..about() };
    metrics.stands_still(&other);
    metrics
}

#[test]
fn promtool_accepts_every_metric() {
    let text = everything().render().unwrap();
    let Some(mut promtool) = promtool() else { return };
    promtool.args(["check", "metrics"]);
    expect_success(promtool, &text);
}

#[test]
fn promtool_accepts_the_rules_and_their_tests() {
    let Some(mut check) = promtool() else { return };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus");
    check.current_dir(folder).args(["check", "rules", "rules.yaml"]);
    expect_success(check, "");
    let mut test = Command::new("promtool");
    test.current_dir(folder).args(["test", "rules", "rules_test.yaml"]);
    expect_success(test, "");
}

/// A rule about a metric that does not exist never fires.
#[test]
fn rules_and_the_list_in_operations_name_what_exists() {
    let text = everything().render().unwrap();
    let exists: BTreeSet<_> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let named = |paper: &str| -> Vec<String> {
        let words = paper.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| word.starts_with("lockstep_")).map(str::to_owned).collect()
    };
    let rules = include_str!("../../../deploy/prometheus/rules.yaml");
    for name in named(rules) {
        assert!(exists.contains(name.as_str()), "rules.yaml names {name}, which does not exist");
    }
    let operations: Vec<_> = named(include_str!("../../../docs/OPERATIONS.md"));
    for name in exists {
        assert!(operations.iter().any(|listed| listed == name), "docs/OPERATIONS.md does not list {name}");
    }
}

#[test]
fn one_posture_is_true() {
    let text = everything().render().unwrap();
    let posture =
        |posture: &str| value(&text, &format!("lockstep_posture{{link=\"claims\",posture=\"{posture}\"}}"));
    assert_eq!((posture("UNPROTECTED"), posture("WITHIN_RPO")), (Some(1.0), Some(0.0)));
    assert_eq!(value(&text, "lockstep_exposure_records{link=\"claims\"}"), Some(42.0));
    assert_eq!(value(&text, "lockstep_link_errors_total{link=\"claims\",class=\"denied\"}"), Some(3.0));
    let bucket = "lockstep_link_replication_latency_seconds_bucket{link=\"claims\",le=\"0.01\"}";
    assert_eq!(value(&text, bucket), Some(1.0));
    let partition = "lockstep_partition_exposure_records{link=\"claims\",topic=\"orders\",partition=\"1\"}";
    assert_eq!(value(&text, partition), Some(1.0));
}

#[test]
fn what_is_not_known_has_no_series() {
    let text = metrics_of(&LinkReport::default(), PartitionSeries::Off).render().unwrap();
    assert_eq!(value(&text, "lockstep_posture{link=\"claims\",posture=\"UNKNOWN\"}"), Some(1.0));
    for name in
        ["exposure_seconds", "exposure_records", "exposure_estimated_seconds", "retention_runway_seconds"]
    {
        assert!(!text.contains(&format!("lockstep_{name}{{")), "{name} is shown");
    }
    assert!(!text.contains("lockstep_partition_"), "{text}");
}

#[test]
fn counters_survive_a_restart_of_the_link() {
    let at =
        |records, bytes| LinkReport { copied_records: records, copied_bytes: bytes, ..report(Vec::new()) };
    let mut metrics = metrics_of(&at(10, 1_000), PartitionSeries::Off);
    for told in [at(15, 1_500), at(15, 1_500), at(2, 200)] {
        metrics.look(&told, 0);
    }
    metrics.stands_still(&about());
    let text = metrics.render().unwrap();
    assert_eq!(value(&text, "lockstep_link_replicated_records_total{link=\"claims\"}"), Some(17.0));
    assert_eq!(value(&text, "lockstep_link_replicated_bytes_total{link=\"claims\"}"), Some(1_700.0));
    metrics.metrics.forget("claims");
    metrics.stands_still(&about());
    let text = metrics.render().unwrap();
    assert_eq!(value(&text, "lockstep_link_replicated_records_total{link=\"claims\"}"), Some(0.0));
}

#[test]
fn time_above_the_limit_is_counted_and_silence_counts_by_its_estimate() {
    let told =
        |milliseconds, source_age| report(vec![partition("orders", 0, figures(1, milliseconds, source_age))]);
    let mut metrics = metrics_of(&told(300, 100), PartitionSeries::Off);
    for (told, now) in
        [(told(6_000, 100), 1_000), (told(0, 41_000), 3_000), (told(0, 100), 8_000), (told(0, 100), 9_000)]
    {
        metrics.look(&told, now);
    }
    let text = metrics.render().unwrap();
    assert_eq!(value(&text, "lockstep_rpo_breach_seconds_total{link=\"claims\"}"), Some(7.0));
}

#[test]
fn topics_have_series_up_to_a_bound() {
    let topics = (0..TOPICS_MAX + 3).map(|n| partition(&format!("t{n:04}"), 0, figures(1, 1, 1)));
    let text = metrics_of(&report(topics.collect()), PartitionSeries::Off).render().unwrap();
    assert_eq!(text.matches("lockstep_topic_exposure_records{").count(), TOPICS_MAX);
    assert_eq!(value(&text, "lockstep_link_topics_without_series{link=\"claims\"}"), Some(3.0));
}
