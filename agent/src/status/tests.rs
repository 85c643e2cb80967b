//! What a status shows of a link that works, of one that does not, and of what is not known.

use lockstep_core::ids::TopicPartition;
use lockstep_core::mirror::{Millis, WallMillis};
use lockstep_core::status::not_running;

use super::super::testing::{NOW, about, denied, figures, partition, report};
use super::*;

fn words(status: &LinkStatus) -> Vec<&str> {
    status.reasons.iter().map(|reason| reason.reason.as_str()).collect()
}

#[test]
fn a_good_link_shows_its_figures_and_their_age() {
    let status =
        link_status(&about(), &report(vec![partition("orders", 0, figures(41, 300, 200))]), NOW.wall);
    assert_eq!((status.posture.as_str(), status.reasons.len()), ("WITHIN_RPO", 0));
    let exposure = &status.exposure;
    assert_eq!((exposure.seen_records, exposure.seen_seconds), (Some(41), Some(0.3)));
    assert_eq!((exposure.seen_estimated_bytes, exposure.is_fresh), (Some(4_100), true));
    assert_eq!(exposure.datum_timestamp_seconds, Some(1_699_999_999.8));
    assert_eq!(status.last_replicated_timestamp_seconds, Some(1_699_999_999.0));
    assert_eq!((status.topics_good, status.topics_total, status.partitions.copying), (1, 1, 1));
}

#[test]
fn a_silent_source_is_seen_and_estimated_and_never_zero() {
    let silent = partition("orders", 0, figures(0, 0, 41_000));
    let status = link_status(&about(), &report(vec![silent]), NOW.wall);
    assert_eq!((status.posture.as_str(), words(&status)), ("UNKNOWN", vec!["SOURCE_SILENT"]));
    assert_eq!(status.exposure.estimated_seconds, Some(41.0));
    assert_eq!(status.exposure.estimated_records, Some(20));
    assert!(!status.exposure.is_fresh);
}

#[test]
fn nothing_known_is_null() {
    let status = link_status(&about(), &LinkReport::default(), NOW.wall);
    assert_eq!(status.posture, "UNKNOWN");
    assert_eq!(status.exposure.seen_records, None);
    let json = serde_json::to_value(&status).unwrap();
    assert!(json["exposure"]["seen_records"].is_null() && json["drift"].is_null());
    let none = not_running(&about(), LinkState::Waiting, "same cluster", vec![(*denied()).clone()]);
    assert_eq!((none.posture.as_str(), words(&none)), ("UNPROTECTED", vec!["NOT_RUNNING", "AUTH"]));
    assert_eq!(none.reasons[1].grant.as_deref(), Some("kafka-acls --add"));
    assert_eq!((none.exposure.seen_records, none.state), (None, LinkState::Waiting));
}

#[test]
fn a_refusal_is_shown_once_however_many_partitions_it_concerns() {
    let refused = |n| {
        let mut refused = partition("orders", n, figures(5, 9_000, 60_000));
        refused.denied = vec![denied()];
        refused
    };
    let status = link_status(&about(), &report(vec![refused(0), refused(1)]), NOW.wall);
    assert_eq!((status.posture.as_str(), words(&status)), ("UNPROTECTED", vec!["AUTH", "OVER_RPO"]));
}

#[test]
fn a_blocked_topic_counts_from_its_start() {
    let mut report = report(vec![partition("orders", 0, figures(0, 0, 100))]);
    report.blocked_topics = vec![("bills".to_owned(), "more partitions here".to_owned())];
    report.unheld = vec![(TopicPartition::new("bills", 0), figures(900, 7_000, 100))];
    let status = link_status(&about(), &report, NOW.wall);
    assert_eq!((status.posture.as_str(), words(&status)), ("UNPROTECTED", vec!["TOPIC_BLOCKED", "OVER_RPO"]));
    assert_eq!(status.exposure.seen_records, Some(900));
    assert_eq!((status.topics_good, status.topics_total), (1, 2));
    let bills = status.topics.iter().find(|topic| topic.topic == "bills").unwrap();
    assert_eq!((bills.partitions[0].phase.as_str(), bills.blocked.is_some()), ("blocked", true));
}

#[test]
fn topics_ahead_of_schemas_are_named() {
    let mut schemas = partition("_schemas", 0, figures(1, 8_000, 100));
    schemas.behind_since = Some(Millis(92_000));
    let mut old = partition("old", 0, figures(0, 0, 100));
    old.held_as_of = Some(Millis(92_000));
    let status = link_status(
        &about(),
        &report(vec![schemas, old, partition("orders", 0, figures(0, 0, 100))]),
        NOW.wall,
    );
    let ahead: Vec<_> = status.reasons.iter().filter(|r| r.reason == "AHEAD_OF_SCHEMAS").collect();
    assert_eq!(ahead.len(), 1, "{:?}", status.reasons);
    assert!(ahead[0].text.starts_with("topic orders is ahead of _schemas"), "{}", ahead[0].text);
}

#[test]
fn what_is_written_can_be_read_again() {
    let status =
        link_status(&about(), &report(vec![partition("orders", 0, figures(41, 300, 200))]), NOW.wall);
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<LinkStatus>(&text).unwrap(), status);
    assert!(text.contains("\"state\":\"running\""), "{text}");
}

#[test]
fn a_stuck_engine_is_silence() {
    let report = report(vec![partition("orders", 0, figures(41, 300, 200))]);
    let later = |milliseconds| link_status(&about(), &report, WallMillis(NOW.wall.0 + milliseconds));
    assert_eq!(later(2_000).posture, "WITHIN_RPO", "reports of the largest links come every few seconds");
    let stuck = later(60_000);
    assert_eq!(stuck.posture, "UNKNOWN", "{:?}", stuck.reasons);
    assert_eq!((stuck.exposure.datum_age_seconds, stuck.exposure.seen_seconds), (Some(60.2), Some(60.3)));
    assert_eq!(stuck.exposure.datum_timestamp_seconds, Some(1_699_999_999.8), "the moment stays");
    assert_eq!(stuck.exposure.estimated_seconds, None);
}
