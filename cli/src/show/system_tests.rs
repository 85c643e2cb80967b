//! The system as people read it: silence is said, and who may see less is told less.

use std::collections::BTreeMap;

use lockstep_agent::status::{About, LinkState, not_running};
use lockstep_core::dr::posture::{Role, WriteProtection};
use lockstep_core::status::{CoordinatorStatus, HasSide};

use super::*;

pub(crate) fn link(name: &str) -> LinkStatus {
    let about = About {
        link: name.to_owned(),
        from: "core-mi".to_owned(),
        to: "core-pr".to_owned(),
        rpo_ms: 5_000,
        role: Role::Standby,
        write_protection: WriteProtection::NotLooked,
        groups: None,
        drift: None,
    };
    not_running(&about, LinkState::Waiting, "the source cannot be reached", Vec::new())
}

pub(crate) fn system() -> SystemStatus {
    let seat = |site: &str, heard_age_ms| AgentSeat {
        site: site.to_owned(),
        version: "0.1.0".to_owned(),
        level: 1,
        heard_age_ms,
        links: 1,
    };
    let seen = |reach: &str, answering, fault: Option<&str>| SeenStatus {
        reach: reach.to_owned(),
        answered_age_ms: Some(41_000),
        brokers_seen: 3,
        brokers_answering: answering,
        fault: fault.map(str::to_owned),
        age_ms: 400,
    };
    let cluster = |site: &str, seen: Vec<(&str, SeenStatus)>| ClusterStatus {
        site: site.to_owned(),
        seen: seen.into_iter().map(|(agent, seen)| (agent.to_owned(), seen)).collect(),
    };
    let coordinator = |id, name: &str, is_leader| CoordinatorStatus {
        id,
        name: name.to_owned(),
        site: "milano".to_owned(),
        address: format!("{name}.test:9470"),
        kind: "voter".to_owned(),
        is_leader,
    };
    SystemStatus {
        cluster_id: "0b6f".to_owned(),
        incarnation: 1,
        revision: 41,
        as_of_timestamp_seconds: 1_000.0,
        age_ms: 600_000,
        scope: Scope::System,
        links: vec![link("claims")],
        sites: [("milano", false), ("wien", true)]
            .map(|(site, is_witness)| {
                let side = HasSide { primary: site == "milano", standby: false };
                (site.to_owned(), SiteStatus::of(is_witness, &[link("claims")], |_| side))
            })
            .into(),
        clusters: [
            (
                "core-mi".to_owned(),
                cluster(
                    "milano",
                    vec![("a-pr", seen("none", 0, Some("refused"))), ("a-mi", seen("all", 3, None))],
                ),
            ),
            ("core-pr".to_owned(), cluster("praha", vec![])),
        ]
        .into(),
        agents: [
            ("a-mi".to_owned(), seat("milano", Some(400))),
            ("a-pr".to_owned(), seat("praha", Some(63_000))),
            ("a-wi".to_owned(), seat("wien", None)),
        ]
        .into(),
        coordinators: vec![coordinator(7, "c1", false), coordinator(9, "c2", true)],
        removed: BTreeMap::new(),
    }
}

#[test]
fn what_is_wrong_around_the_links_is_said_below_them() {
    let text = render(&system(), Output::Table, Arrow::Ascii).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[1].starts_with("claims  core-mi -> core-pr  UNPROTECTED"), "{text}");
    assert_eq!(
        &lines[2..],
        [
            "",
            "! agent a-pr (praha): silent for 1 m 3 s",
            "! agent a-wi (wien): has no session with the coordinators",
            "! cluster core-mi: does not answer a-pr (praha), the last answer came 41 s ago: refused",
            "! cluster core-pr: no agent has told how it looks",
            "",
            "revision 41; 2 clusters, 3 agents, 2 coordinators: c2 leads",
        ],
        "{text}"
    );
}

#[test]
fn a_young_leader_says_that_it_has_not_heard_everything() {
    let young = SystemStatus { age_ms: 2_100, revision: 0, links: Vec::new(), ..system() };
    let text = render(&young, Output::Table, Arrow::Ascii).unwrap();
    assert!(text.contains("! the leader has listened for 2.1 s only"), "{text}");
    assert!(text.starts_with("no links: ") && text.contains("\nno spec yet; "), "{text}");
}

#[test]
fn wide_shows_every_view_and_part_of_it_where_only_links_may_be_seen() {
    let text = render(&system(), Output::Wide, Arrow::Ascii).unwrap();
    for line in [
        "SITE    PRIMARY OF  STANDBY OF  POSTURE      WORST LINK  EXPOSURE",
        "milano  1           0           UNPROTECTED  claims      unknown",
        "wien    witness     witness     -            -           -",
        "CLUSTER  SITE    SEEN BY  REACH    BROKERS  ANSWERED  TOLD",
        "core-mi  milano  a-pr     none     0/3      41 s ago  0.4 s ago",
        "core-pr  praha   -        unknown  ?        ?         never",
        "a-wi   wien    no session   1      0.1.0",
        "c2           milano  c2.test:9470  leader",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let part = SystemStatus { scope: Scope::Links, coordinators: Vec::new(), ..system() };
    let text = render(&part, Output::Wide, Arrow::Ascii).unwrap();
    assert!(!text.contains("COORDINATOR") && text.contains("(of the links that you may see)"), "{text}");
}

#[test]
fn json_and_yaml_say_the_same() {
    let status = system();
    let json: SystemStatus =
        serde_json::from_str(&render(&status, Output::Json, Arrow::Ascii).unwrap()).unwrap();
    let yaml: SystemStatus =
        serde_saphyr::from_str(&render(&status, Output::Yaml, Arrow::Ascii).unwrap()).unwrap();
    assert_eq!((&json, &yaml), (&status, &status));
}
