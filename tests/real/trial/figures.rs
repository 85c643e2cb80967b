//! What coordinators tell Prometheus, and whether they are of use: over HTTP, as monitoring asks for it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use lockstep_testkit::wait_until_true;

use super::{METRICS, Trial, offset_of};
use crate::agent::get;
use crate::mirror::PATIENCE;

const COORDINATORS: [&str; 3] = ["c-east", "c-west", "c-witness"];

impl Trial {
    fn http(&self, name: &str, path: &str) -> (u16, String) {
        get(&self.address(METRICS + offset_of(name)), path)
    }

    pub(super) fn figure(&self, name: &str, series: &str) -> Option<f64> {
        let (_, text) = self.http(name, "/metrics");
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }
}

/// `None` where promtool is not installed, said loudly; with CI=true that is a failure.
fn promtool() -> Option<Command> {
    let version =
        Command::new("promtool").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if version.is_ok_and(|status| status.success()) {
        return Some(Command::new("promtool"));
    }
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!ci, "promtool is missing: ./dev setup installs Debian's package prometheus");
    eprintln!("NOT CHECKED: promtool is missing: ./dev setup installs Debian's package prometheus");
    None
}

fn named(paper: &str) -> BTreeSet<&str> {
    let words = paper.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("lockstep_")).collect()
}

#[test]
fn coordinators_tell_of_themselves_and_say_when_they_are_of_no_use() {
    let mut trial = Trial::of_three();
    trial.asked(0, &["apply", "-f", &trial.file("dr.yaml")]);
    let leader = trial.led_by_somebody();
    for name in COORDINATORS {
        wait_until_true(&format!("{name} to be ready"), PATIENCE, || trial.http(name, "/readyz").0 == 200);
        assert_eq!(trial.http(name, "/healthz"), (200, "ok\n".to_owned()));
    }
    wait_until_true("all to have applied the same", PATIENCE, || {
        let applied =
            COORDINATORS.map(|name| trial.figure(name, "lockstep_raft_applied_index").unwrap() as u64);
        applied[0] > 0 && applied.iter().all(|index| *index == applied[0])
    });
    let leads: Vec<_> = COORDINATORS.map(|name| trial.figure(name, "lockstep_raft_leader")).into();
    assert_eq!(leads.iter().filter(|leads| **leads == Some(1.0)).count(), 1, "{leads:?}");
    let proposed = trial.figure(leader, "lockstep_coordinator_proposals_total{outcome=\"done\"}");
    assert!(proposed >= Some(1.0), "{proposed:?}");
    assert_eq!(trial.figure(leader, "lockstep_coordinator_links{posture=\"UNKNOWN\"}"), Some(1.0));
    let ready = trial.ask(&["ready", "trial"]).stdout;
    for name in COORDINATORS {
        assert!(ready.contains(&format!("{name}'s certificate is valid for ")), "{ready}");
    }
    text_rules_and_the_manual_name_the_same(&trial.http(leader, "/metrics").1);

    let others = COORDINATORS.into_iter().filter(|name| *name != leader);
    others.for_each(|other| trial.kill(other));
    wait_until_true("the lone one to say that it is of no use", PATIENCE, || {
        let (code, words) = trial.http(leader, "/readyz");
        code == 503 && words.starts_with("no leader is known")
    });
    assert_eq!(trial.http(leader, "/healthz").0, 200, "a restart would not bring the others");
    assert_eq!(trial.figure(leader, "lockstep_raft_has_leader"), Some(0.0));
    assert_eq!(trial.figure(leader, "lockstep_coordinator_links{posture=\"UNKNOWN\"}"), None);
}

fn text_rules_and_the_manual_name_the_same(text: &str) {
    let exists: BTreeSet<_> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let deploy = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus");
    let rules = std::fs::read_to_string(format!("{deploy}/coordinator_rules.yaml")).unwrap();
    for name in named(&rules) {
        assert!(exists.contains(name), "coordinator_rules.yaml names {name}, which does not exist");
    }
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPERATIONS.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    for name in exists {
        assert!(named(&manual).contains(name), "docs/OPERATIONS.md does not list {name}");
    }
    let Some(mut check) = promtool() else { return };
    let mut child = check.args(["check", "metrics"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{text}");
    let rules = Command::new("promtool")
        .current_dir(deploy)
        .args(["check", "rules", "coordinator_rules.yaml"])
        .status();
    assert!(rules.unwrap().success());
}
