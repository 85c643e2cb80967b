//! A report over the wire: clocks that disagree, what is not known, what newer versions add.

use lockstep_core::status::{ExposureStatus, RunwayStatus, shifted};
use prost::Message;

use super::*;

const NOW: f64 = 1_700_000_000.0;
const UNDER: Under = Under { epoch: 7, generation: 2 };

fn exposure(seen: Option<u64>) -> ExposureStatus {
    ExposureStatus {
        seen_records: seen,
        seen_estimated_bytes: seen.map(|seen| seen * 100),
        seen_seconds: seen.map(|_| 1.25),
        held_back_records: 3,
        estimated_records: None,
        estimated_bytes: Some(9),
        estimated_seconds: Some(2.5),
        unknown_partitions: 1,
        datum_age_seconds: seen.map(|_| 0.5),
        datum_timestamp_seconds: seen.map(|_| NOW - 0.5),
        is_fresh: seen.is_some(),
    }
}

fn status() -> LinkStatus {
    let partition = PartitionStatus {
        partition: 4,
        phase: "copying".to_owned(),
        verdict: None,
        source_end_offset: Some(100),
        source_last_stable_offset: None,
        replicated_offset: Some(59),
        exposure: exposure(Some(41)),
        trouble: Some("waits".to_owned()),
    };
    let topic = TopicStatus {
        topic: "orders".to_owned(),
        exposure: exposure(None),
        retention_runway: RunwayStatus {
            kind: "lasts".to_owned(),
            seconds: Some(60.0),
            basis: Some("age".to_owned()),
            missing: None,
        },
        is_good: true,
        blocked: Some("x".to_owned()),
        partitions: vec![partition],
    };
    LinkStatus {
        link: "claims".to_owned(),
        from: "a".to_owned(),
        to: "b".to_owned(),
        state: LinkState::Running,
        posture: "OVER_RPO".to_owned(),
        reasons: vec![ReasonStatus {
            reason: "OVER_RPO".to_owned(),
            posture: Some("OVER_RPO".to_owned()),
            text: "behind".to_owned(),
            grant: None,
        }],
        rpo_seconds: 5.0,
        as_of_timestamp_seconds: Some(NOW),
        exposure: exposure(Some(0)),
        retention_runway: RunwayStatus { kind: "endless".to_owned(), ..RunwayStatus::default() },
        source_end_timestamp_seconds: Some(NOW - 0.25),
        last_replicated_timestamp_seconds: None,
        copied_records: 1,
        copied_bytes: 2,
        aligned_offsets: 3,
        lost_records: 4,
        memory_bytes: 5,
        memory_max_bytes: 6,
        partitions: PartitionCounts {
            total: 7,
            opening: 1,
            copying: 2,
            caught_up: 1,
            draining: 1,
            stopped: 2,
            elsewhere: 9,
        },
        topics_total: 8,
        topics_good: 7,
        groups: Some(GroupsSummary { copied: 1, total: 2 }),
        drift: Some(0),
        topics: vec![topic],
    }
}

/// As it comes out of the bytes that went over the network.
fn sent(report: &LinkReport) -> LinkReport {
    LinkReport::decode(report.encode_to_vec().as_slice()).unwrap()
}

#[test]
fn what_was_sent_comes_out_whatever_the_clocks_say() {
    let status = status();
    let report = sent(&to_report(&status, UNDER, Detail::Partitions, NOW));
    assert_eq!((report.epoch, report.generation), (7, 2));
    assert_eq!(from_report(report.clone(), NOW).unwrap(), status);
    assert_eq!(
        from_report(report, NOW + 3_600.0).unwrap(),
        shifted(status, 3_600.0),
        "a clock an hour ahead"
    );
}

#[test]
fn what_waited_before_it_was_sent_is_older_by_that() {
    let report = to_report(&status(), UNDER, Detail::Topics, NOW + 2.0);
    assert_eq!(report.age_ms, Some(2_000));
    assert_eq!(report.exposure.unwrap().datum_age_ms, Some(2_500));
    assert_eq!(report.source_end_age_ms, Some(2_250));
    assert_eq!(report.topics[0].exposure.unwrap().datum_age_ms, None, "what is not known does not age");
}

#[test]
fn regular_reports_name_no_partitions() {
    let report = to_report(&status(), UNDER, Detail::Topics, NOW);
    assert!(report.topics[0].partitions.is_empty());
    assert_eq!(report.topics[0].topic, "orders");
}

#[test]
fn zero_and_unknown_are_two_things_on_the_wire() {
    let report = sent(&to_report(&status(), UNDER, Detail::Topics, NOW));
    assert_eq!(report.exposure.unwrap().seen_records, Some(0));
    assert_eq!(report.topics[0].exposure.unwrap().seen_records, None);
    assert_eq!((report.drift, report.last_replicated_age_ms), (Some(0), None));
}

#[test]
fn a_state_or_a_part_that_is_missing_is_refused_in_words() {
    let report = to_report(&status(), UNDER, Detail::Topics, NOW);
    let odd = LinkReport { state: "levitating".to_owned(), ..report.clone() };
    let words = from_report(odd, NOW).unwrap_err().to_string();
    assert_eq!(words, "a link's state is \"levitating\", which this version does not know");
    let bare = LinkReport { exposure: None, ..report };
    assert_eq!(from_report(bare, NOW), Err(Malformed::Missing("exposure")));
}

#[test]
fn fields_of_a_newer_version_are_skipped() {
    let report = to_report(&status(), UNDER, Detail::Topics, NOW);
    let mut bytes = report.encode_to_vec();
    // Field 1,000, a varint.
    bytes.extend([0xc0, 0x3e, 0x05]);
    assert_eq!(LinkReport::decode(bytes.as_slice()).unwrap(), report);
}
