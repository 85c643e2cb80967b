//! From an entry's bytes to what an agent is told; and what a member does with bytes it does not understand.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_core::audit::{Actor, ActorKind, WallMillis};
use lockstep_core::spec::dr::{DrFile, DrSpec, RawDr, check};
use lockstep_core::spec::link::LinkRules;
use lockstep_core::state::{Command, LEVEL, Outcome};
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::dispatch::Wanted as Work;

fn entry(command: Command) -> Entry {
    let actor = Actor { name: "anna".to_owned(), kind: ActorKind::Operator, from: None };
    Entry::new(WallMillis(1_700_000_000_000), actor, None, command)
}

fn spec() -> DrSpec {
    let raw: RawDr = serde_json::from_value(json!({
        "sites": { "milano": {}, "praha": {}, "wien": { "witness": true } },
        "clusters": {
            "mi": { "site": "milano", "bootstrap": "mi:1,mi:2", "security": "inside" },
            "pr": { "site": "praha", "bootstrap": "pr:1" },
        },
        "links": { "claims": { "clusters": ["mi", "pr"], "prefer": "mi", "topics": "claims.*", "rpo": "7s" } },
    }))
    .unwrap();
    check(&[DrFile { name: "dr.yaml", raw: &raw }]).unwrap().spec
}

fn share(agents: &[&str]) -> Command {
    let shares = agents.iter().map(|agent| ((*agent).to_owned(), 1)).collect::<BTreeMap<_, _>>();
    Command::Share { link: "claims".to_owned(), shares }
}

fn commands() -> Vec<Command> {
    let agent = |name: &str| Command::RegisterAgent {
        agent: name.to_owned(),
        site: "praha".to_owned(),
        version: "0.1.0".to_owned(),
        level: 1,
    };
    vec![
        Command::Found { cluster_id: "0b6f".to_owned(), level: LEVEL },
        Command::ApplySpec { text: "# as written\n".to_owned(), spec: spec(), expected_revision: None },
        agent("a1"),
        agent("a2"),
        share(&["a1", "a2"]),
        share(&["a1"]),
    ]
}

/// As it goes through the log.
fn replica(commands: Vec<Command>) -> Replica {
    let mut replica = Replica::default();
    for (index, command) in commands.into_iter().enumerate() {
        let applied = replica.apply(index as u64, &encode(&entry(command)).unwrap()).unwrap();
        assert!(applied.outcome.is_ok(), "{applied:?}");
    }
    replica
}

#[test]
fn what_was_agreed_is_what_agents_are_told() {
    let replica = replica(commands());
    let now = Instant::now();
    let links = links(&replica.state(), |link, agent, epoch| {
        assert!(link == "claims" && epoch == 1 && ["a1", "a2"].contains(&agent), "{link} {agent} {epoch}");
        Some(now + Duration::from_secs(12))
    });
    let all = Work { revision: replica.state().revision(), links, clusters: clusters(&replica.state()) };
    let told = all.assignment("a1", 0, now);
    assert_eq!((told.revision, told.clusters.len()), (1, 2));
    let mi = &told.clusters[0];
    assert_eq!((mi.name.as_str(), mi.bootstrap.as_str(), mi.site.as_str()), ("mi", "mi:1,mi:2", "milano"));
    assert_eq!((mi.security.as_deref(), told.clusters[1].security.as_deref()), (Some("inside"), None));
    let link = &told.links[0];
    assert_eq!((link.from.as_str(), link.to.as_str(), link.epoch, link.generation), ("mi", "pr", 2, 0));
    assert_eq!(link.shares.iter().map(|share| share.agent.as_str()).collect::<Vec<_>>(), ["a1"]);
    assert_eq!(link.formers.len(), 1, "nobody waits for itself");
    assert_eq!((link.formers[0].agent.as_str(), link.formers[0].left_ms), ("a2", Some(12_001)));
    let rules: LinkRules = serde_json::from_str(&link.spec_json).unwrap();
    assert_eq!((rules.rpo_ms, rules.wanted), (7_000, lockstep_core::spec::link::Wanted::Running));
    assert!(all.assignment("a2", 0, now).links.is_empty(), "it lets go of what it is not told");
}

#[test]
fn a_link_that_an_operator_paused_is_told_so() {
    let mut replica = replica(commands());
    let pause = entry(Command::Pause { link: "claims".to_owned() });
    assert_eq!(replica.apply(9, &encode(&pause).unwrap()).unwrap().outcome, Ok(Outcome::Done));
    let links = links(&replica.state(), |_, _, _| None);
    let rules: LinkRules = serde_json::from_str(&links[0].link.spec_json).unwrap();
    assert_eq!(rules.wanted, lockstep_core::spec::link::Wanted::Paused);
    assert_eq!(links[0].formerly[0].until, None);
}

#[test]
fn a_snapshot_makes_the_same_state_elsewhere() {
    let here = replica(commands());
    let mut there = Replica::default();
    there.restore(&here.snapshot().unwrap()).unwrap();
    assert_eq!(there.state(), here.state());
    let before = there.state();
    assert!(matches!(there.restore(b"{\"format\":1"), Err(Stop::Snapshot(_))));
    let odd = json!({ "format": 99, "state": {} }).to_string();
    assert!(matches!(there.restore(odd.as_bytes()), Err(Stop::NotUnderstood(_))));
    assert_eq!(there.state(), before);
}

#[test]
fn what_a_newer_version_proposed_stops_the_member() {
    let mut replica = replica(commands());
    let newer = json!({ "level": LEVEL + 1, "at": 1, "actor": {}, "command": { "kind": "teleport" } });
    let stop = replica.apply(7, newer.to_string().as_bytes()).unwrap_err();
    assert!(stop.to_string().starts_with("an entry \"teleport\" of level 2 is not known"), "{stop}");
    let unknown = json!({ "level": 1, "at": 1, "actor": { "name": "x", "kind": "operator" },
        "command": { "kind": "teleport" } });
    let stop = replica.apply(8, unknown.to_string().as_bytes()).unwrap_err();
    assert!(matches!(&stop, Stop::Entry { index: 8, why } if why.contains("teleport")), "{stop}");
    assert!(matches!(replica.apply(9, b""), Err(Stop::Entry { index: 9, .. })));
    let mut more = serde_json::to_value(entry(share(&["a2"]))).unwrap();
    more["since"] = json!("tomorrow");
    assert!(replica.apply(10, more.to_string().as_bytes()).is_ok(), "a field more is skipped");
}

#[test]
fn what_is_too_large_is_not_proposed() {
    let text = "#".repeat(ENTRY_BYTES_MAX);
    let command = Command::ApplySpec { text, spec: DrSpec::default(), expected_revision: None };
    assert!(matches!(encode(&entry(command)), Err(NotEncoded::TooLarge { .. })));
}
