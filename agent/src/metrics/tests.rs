//! Names and units as Prometheus wants them (promtool looks at text and rules), counters that survive restarts, and
//! nothing unknown that looks like zero.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use lockstep_core::groups::copies::Standing;
use lockstep_core::groups::kind::GroupKind;
use lockstep_core::ids::{DestOffset, SourceOffset, TopicPartition};
use lockstep_core::mirror::Millis;

use super::*;
use crate::pipeline::groups::report::{GroupReport, GroupState, OffsetReport};
use crate::status::testing::{NOW, about, denied, figures, partition, report};
use crate::status::{About, LinkState, link_status, not_running};

/// As the daemon has them: looked at at moments, and how the links stood last.
struct Watched {
    metrics: Metrics,
    links: BTreeMap<String, LinkNow>,
}

impl Watched {
    fn look(&mut self, report: &LinkReport, mono: u64) {
        let now = Now { mono: Millis(mono), ..NOW };
        let about = About { groups: Some(report.groups.summary()), ..about() };
        self.metrics.observe(&about.link, Some(report), about.rpo_ms, now);
        let (status, groups) = (link_status(&about, report, NOW.wall), Arc::clone(&report.groups));
        self.links.insert(about.link.clone(), LinkNow { status, groups });
    }

    fn stands_still(&mut self, about: &About) {
        self.metrics.observe(&about.link, None, about.rpo_ms, NOW);
        let status = not_running(about, LinkState::Waiting, "lost", Vec::new());
        self.links.insert(about.link.clone(), LinkNow { status, groups: Arc::default() });
    }

    fn render(&self) -> Result<String, prometheus::Error> {
        self.metrics.render(&self.links.values().cloned().collect::<Vec<_>>(), Some(1_700_000_010.0))
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

/// One that is in step since a moment, and others on their way that never were.
fn groups(others: usize) -> Arc<GroupsReport> {
    let group = |group: Arc<str>, state, synced| {
        let at = |offset| Some(SourceOffset(offset));
        let offset = OffsetReport {
            tp: TopicPartition { topic: "orders".into(), partition: 0 },
            source: SourceOffset(70),
            source_end: at(100),
            standby: Some(DestOffset(70)),
            standby_end: Some(DestOffset(90)),
            resumes_at: Some(DestOffset(70)),
            repeats: Some(0),
            standing: Standing::InStep,
        };
        GroupReport { group, kind: GroupKind::Consumer, state, synced, offsets: vec![offset] }
    };
    let moment = UNIX_EPOCH + Duration::from_secs(1_700_000_003);
    let mut groups = vec![group("a".into(), GroupState::InStep, Some(moment))];
    groups.extend((0..others).map(|n| group(format!("b{n:04}").into(), GroupState::Behind, None)));
    Arc::new(GroupsReport { groups, ..GroupsReport::default() })
}

fn everything() -> Watched {
    let mut slow = partition("orders", 0, figures(41, 300, 200));
    slow.denied = vec![denied()];
    let mut report = report(vec![slow, partition("orders", 1, figures(1, 100, 200))]);
    report.latency.observe(7);
    report.failures.denied = 3;
    report.groups = groups(1);
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
fn groups_tell_how_far_they_are_and_since_when_they_were_in_step() {
    let report = LinkReport { groups: groups(GROUPS_MAX), ..report(Vec::new()) };
    let text = metrics_of(&report, PartitionSeries::Off).render().unwrap();
    let of = |name: &str, group: &str| {
        value(&text, &format!("lockstep_{name}{{link=\"claims\",group=\"{group}\"}}"))
    };
    assert_eq!((of("group_lag_records", "a"), of("group_unread_records", "a")), (Some(30.0), Some(20.0)));
    assert_eq!(of("group_sync_timestamp_seconds", "a"), Some(1_700_000_003.0));
    assert_eq!(of("group_sync_timestamp_seconds", "b0000"), None, "it was never in step");
    let count =
        |state: &str| value(&text, &format!("lockstep_link_groups{{link=\"claims\",state=\"{state}\"}}"));
    assert_eq!((count("in_step"), count("behind"), count("skipped")), (Some(1.0), Some(500.0), Some(0.0)));
    assert_eq!(text.matches("lockstep_group_lag_records{").count(), GROUPS_MAX);
    assert_eq!(value(&text, "lockstep_link_groups_without_series{link=\"claims\"}"), Some(1.0));
    assert_eq!(value(&text, "lockstep_lease_expiry_timestamp_seconds"), Some(1_700_000_010.0));
}

#[test]
fn topics_have_series_up_to_a_bound() {
    let topics = (0..TOPICS_MAX + 3).map(|n| partition(&format!("t{n:04}"), 0, figures(1, 1, 1)));
    let text = metrics_of(&report(topics.collect()), PartitionSeries::Off).render().unwrap();
    assert_eq!(text.matches("lockstep_topic_exposure_records{").count(), TOPICS_MAX);
    assert_eq!(value(&text, "lockstep_link_topics_without_series{link=\"claims\"}"), Some(3.0));
}
