//! The table as people read it, and that nothing unknown looks like zero.

use lockstep_agent::status::{About, ConfigStatus, LinkState, PartitionCounts, ReasonStatus, not_running};
use lockstep_core::dr::posture::{Role, WriteProtection};

use super::*;

fn link(name: &str) -> LinkStatus {
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

fn good() -> LinkStatus {
    let exposure = ExposureStatus {
        seen_records: Some(41),
        seen_estimated_bytes: Some(18_000),
        seen_seconds: Some(0.3),
        datum_age_seconds: Some(0.2),
        datum_timestamp_seconds: Some(999.8),
        is_fresh: true,
        ..ExposureStatus::default()
    };
    LinkStatus {
        state: LinkState::Running,
        posture: "WITHIN_RPO".to_owned(),
        reasons: Vec::new(),
        exposure,
        partitions: PartitionCounts::default(),
        topics_total: 112,
        topics_good: 112,
        groups: Some(GroupsSummary { copied: 37, total: 37 }),
        drift: Some(0),
        ..link("claims")
    }
}

fn agent(links: Vec<LinkStatus>) -> AgentStatus {
    AgentStatus {
        site: "praha".to_owned(),
        config: ConfigStatus::default(),
        coordinators: None,
        version: "0.1.0".to_owned(),
        started_timestamp_seconds: 1.0,
        as_of_timestamp_seconds: 1_000.0,
        links,
    }
}

#[test]
fn a_line_for_each_link() {
    let silent = LinkStatus {
        posture: "UNKNOWN".to_owned(),
        exposure: ExposureStatus {
            seen_records: Some(0),
            seen_seconds: Some(0.0),
            seen_estimated_bytes: None,
            estimated_records: Some(1_204),
            estimated_seconds: Some(41.0),
            datum_timestamp_seconds: Some(959.0),
            is_fresh: false,
            ..ExposureStatus::default()
        },
        reasons: vec![ReasonStatus {
            reason: "SOURCE_SILENT".to_owned(),
            posture: Some("UNKNOWN".to_owned()),
            text: "the source has not answered for 41.0 s (9 partitions)".to_owned(),
            grant: None,
        }],
        ..good()
    };
    let text = render(&agent(vec![good(), silent]), Output::Table, Arrow::Ascii).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("LINK    DIRECTION           POSTURE     EXPOSURE"), "{text}");
    assert!(lines[1].contains("core-mi -> core-pr  WITHIN_RPO  0.3 s, 41 records"), "{text}");
    assert!(lines[1].contains("0.2 s  18.0 kB  112/112  37/37   none   -"), "{text}");
    assert!(lines[2].contains("seen 0.0 s, 0 records, estimated 41 s, 1,204 records  41 s   ?"), "{text}");
    assert!(text.is_ascii(), "{text}");
    assert!(render(&agent(vec![good()]), Output::Table, Arrow::Unicode).unwrap().contains('▶'));
}

#[test]
fn what_is_not_known_says_so() {
    let text = render(&agent(vec![link("claims")]), Output::Table, Arrow::Ascii).unwrap();
    let line = text.lines().nth(1).unwrap();
    assert!(line.contains("UNPROTECTED  unknown   ?      ?       0/0     -       -"), "{text}");
    assert!(line.ends_with("does not run: the source cannot be reached"), "{text}");
}

#[test]
fn partitions_that_are_in_no_sum_are_counted_beside_it() {
    let mut partly = good();
    partly.exposure.unknown_partitions = 3;
    let text = render(&agent(vec![partly]), Output::Table, Arrow::Ascii).unwrap();
    assert!(text.contains("0.3 s, 41 records + 3 partitions unknown"), "{text}");
}

#[test]
fn wide_lists_every_reason() {
    let text = render(&agent(vec![link("claims")]), Output::Wide, Arrow::Ascii).unwrap();
    assert!(text.contains("claims  STATE waiting  limit 5.0 s  runway unknown (no answer)"), "{text}");
    assert!(
        text.contains("  UNPROTECTED  NOT_RUNNING: does not run: the source cannot be reached"),
        "{text}"
    );
}

#[test]
fn json_and_yaml_say_the_same() {
    let status = agent(vec![good(), link("billing")]);
    let json: AgentStatus =
        serde_json::from_str(&render(&status, Output::Json, Arrow::Ascii).unwrap()).unwrap();
    assert_eq!(json, status);
    let yaml: AgentStatus =
        serde_saphyr::from_str(&render(&status, Output::Yaml, Arrow::Ascii).unwrap()).unwrap();
    assert_eq!(yaml, status);
}
