//! Parts of a link together: nothing unknown disappears, nothing counts twice, nothing gets better.

use proptest::prelude::*;

use super::*;

/// A running link's part: one topic `orders`, one partition.
pub(in crate::status) fn status(posture: &str, records: u64, seconds: f64, age: f64) -> LinkStatus {
    part(posture, &[(0, exposure(Some(records), seconds, Some(age)))], 0)
}

fn exposure(records: Option<u64>, seconds: f64, age: Option<f64>) -> ExposureStatus {
    ExposureStatus {
        seen_records: records,
        seen_estimated_bytes: records.map(|records| records * 100),
        seen_seconds: records.map(|_| seconds),
        held_back_records: 0,
        estimated_records: records.map(|records| records + 20),
        estimated_bytes: None,
        estimated_seconds: records.map(|_| seconds),
        unknown_partitions: u64::from(records.is_none()),
        datum_age_seconds: age,
        datum_timestamp_seconds: age.map(|_| 1_700_000_000.0),
        is_fresh: age.is_some_and(|age| age <= 5.0),
    }
}

fn part(posture: &str, partitions: &[(i32, ExposureStatus)], elsewhere: u64) -> LinkStatus {
    let total = partitions.len() as u64;
    let of = |(partition, exposure): &(i32, ExposureStatus)| PartitionStatus {
        partition: *partition,
        phase: "copying".to_owned(),
        verdict: None,
        source_end_offset: None,
        source_last_stable_offset: None,
        replicated_offset: None,
        exposure: *exposure,
        trouble: None,
    };
    let all = partitions.iter().map(|(_, exposure)| exposure).fold(None, plus).unwrap_or_default();
    let runway = RunwayStatus { kind: "nothing_waits".to_owned(), ..RunwayStatus::default() };
    let topic = TopicStatus {
        topic: "orders".to_owned(),
        exposure: all,
        retention_runway: runway.clone(),
        is_good: true,
        blocked: None,
        partitions: partitions.iter().map(of).collect(),
    };
    LinkStatus {
        link: "claims".to_owned(),
        from: "core-mi".to_owned(),
        to: "core-pr".to_owned(),
        state: LinkState::Running,
        posture: posture.to_owned(),
        reasons: Vec::new(),
        rpo_seconds: 5.0,
        as_of_timestamp_seconds: Some(1_700_000_000.0),
        exposure: all,
        retention_runway: runway,
        source_end_timestamp_seconds: Some(1_700_000_000.0),
        last_replicated_timestamp_seconds: None,
        copied_records: 7,
        copied_bytes: 700,
        aligned_offsets: 0,
        lost_records: 0,
        memory_bytes: 1,
        memory_max_bytes: 2,
        partitions: PartitionCounts { total, copying: total, elsewhere, ..PartitionCounts::default() },
        topics_total: 1,
        topics_good: 1,
        groups: None,
        drift: None,
        topics: if partitions.is_empty() { Vec::new() } else { vec![topic] },
    }
}

fn known(records: u64) -> ExposureStatus {
    exposure(Some(records), 0.3, Some(0.2))
}

#[test]
fn two_halves_are_the_whole() {
    let whole = merge(&[
        part("WITHIN_RPO", &[(0, known(3))], 1),
        part("WITHIN_RPO", &[(1, exposure(Some(4), 1.5, Some(0.9)))], 1),
    ])
    .unwrap();
    assert_eq!((whole.posture.as_str(), whole.reasons.len()), ("WITHIN_RPO", 0));
    let shown = whole.exposure;
    assert_eq!(
        (shown.seen_records, shown.seen_seconds, shown.datum_age_seconds),
        (Some(7), Some(1.5), Some(0.9))
    );
    assert_eq!((shown.estimated_records, shown.is_fresh), (Some(47), true));
    assert_eq!((whole.partitions.total, whole.partitions.elsewhere), (2, 0));
    assert_eq!((whole.topics.len(), whole.topics[0].partitions.len()), (1, 2));
    assert_eq!((whole.topics_good, whole.topics_total, whole.copied_records), (1, 1, 14));
}

#[test]
fn partitions_that_nobody_reports_make_the_link_unknown() {
    let half = merge(&[part("WITHIN_RPO", &[(0, known(0))], 1)]).unwrap();
    assert_eq!((half.posture.as_str(), half.reasons[0].reason.as_str()), ("UNKNOWN", "UNCOVERED"));
    assert_eq!(half.reasons[0].text, "1 partitions are in no agent's report");
}

#[test]
fn an_agent_without_a_share_takes_nothing_away() {
    let idle = part("WITHIN_RPO", &[], 1);
    let whole = merge(&[idle.clone(), part("WITHIN_RPO", &[(0, known(3))], 0)]).unwrap();
    assert_eq!((whole.posture.as_str(), whole.exposure), ("WITHIN_RPO", known(3)));
    let nobody = merge(&[idle]).unwrap();
    assert_eq!((nobody.posture.as_str(), nobody.exposure.seen_records), ("UNKNOWN", None));
}

#[test]
fn a_part_without_figures_takes_freshness_and_estimate_away() {
    let mut waiting = part("UNPROTECTED", &[], 0);
    waiting.state = LinkState::Waiting;
    waiting.exposure = ExposureStatus::default();
    let whole = merge(&[part("WITHIN_RPO", &[(0, known(3))], 0), waiting]).unwrap();
    assert_eq!((whole.posture.as_str(), whole.state), ("UNPROTECTED", LinkState::Waiting));
    let shown = whole.exposure;
    assert_eq!((shown.seen_records, shown.estimated_records, shown.is_fresh), (Some(3), None, false));
    assert_eq!(shown.datum_age_seconds, None);
}

#[test]
fn a_partition_that_changes_hands_counts_once_by_the_younger_datum() {
    let old = part("WITHIN_RPO", &[(0, exposure(Some(90), 2.0, Some(2.0))), (1, known(1))], 0);
    let new = part("WITHIN_RPO", &[(0, known(5))], 1);
    for parts in [[old.clone(), new.clone()], [new, old]] {
        let whole = merge(&parts).unwrap();
        assert_eq!((whole.exposure.seen_records, whole.partitions.total), (Some(6), 2));
        assert_eq!((whole.partitions.elsewhere, whole.posture.as_str()), (0, "WITHIN_RPO"));
    }
}

#[test]
fn reasons_are_united_worst_first_and_each_once() {
    let reason = |word: &str, posture: Option<&str>| ReasonStatus {
        reason: word.to_owned(),
        posture: posture.map(str::to_owned),
        text: word.to_lowercase(),
        grant: None,
    };
    let mut a = part("UNPROTECTED", &[(0, known(0))], 1);
    a.reasons = vec![reason("AUTH", Some("UNPROTECTED")), reason("HELD_BACK", None)];
    let mut b = part("UNKNOWN", &[(1, known(0))], 1);
    b.reasons = vec![reason("SOURCE_SILENT", Some("UNKNOWN")), reason("AUTH", Some("UNPROTECTED"))];
    let whole = merge(&[a, b]).unwrap();
    let words: Vec<_> = whole.reasons.iter().map(|reason| reason.reason.as_str()).collect();
    assert_eq!((words, whole.posture.as_str()), (vec!["SOURCE_SILENT", "AUTH", "HELD_BACK"], "UNKNOWN"));
}

#[test]
fn a_posture_of_a_newer_version_is_unknown() {
    let whole =
        merge(&[part("BETTER_THAN_EVER", &[(0, known(0))], 1), part("WITHIN_RPO", &[(1, known(0))], 1)]);
    assert_eq!(whole.unwrap().posture, "UNKNOWN");
}

fn arb_exposure() -> impl Strategy<Value = ExposureStatus> {
    (prop::option::of(0u64..1_000), 0u32..9, prop::option::of(0u32..9)).prop_map(|(records, seconds, age)| {
        exposure(records, f64::from(seconds), age.filter(|_| records.is_some()).map(f64::from))
    })
}

prop_compose! {
    /// A part of a link of sixteen partitions, from partition `first` on.
    fn arb_part(first: i32)(
        all in prop::collection::vec(arb_exposure(), 1..5),
        posture in prop::sample::select(&Posture::ALL[..]),
    ) -> LinkStatus {
        let partitions: Vec<_> = (first..).zip(all).collect();
        part(posture.word(), &partitions, 16 - partitions.len() as u64)
    }
}

/// Any status of a link that runs.
pub(in crate::status) fn arb_status() -> impl Strategy<Value = LinkStatus> {
    arb_part(0)
}

proptest! {
    /// Disjoint parts: what is known is added up, what is not stays visible, whatever the order.
    #[test]
    fn sums_never_hide_what_is_not_known(a in arb_part(0), b in arb_part(4), c in arb_part(8)) {
        let parts = [a, b, c];
        let whole = merge(&parts).unwrap();
        let each: Vec<_> = parts.iter().flat_map(|p| &p.topics).flat_map(|t| &t.partitions).collect();
        let seen: Vec<_> = each.iter().filter_map(|p| p.exposure.seen_records).collect();
        prop_assert_eq!(whole.exposure.unknown_partitions, (each.len() - seen.len()) as u64);
        prop_assert_eq!(whole.exposure.seen_records.unwrap_or(0), seen.iter().sum::<u64>());
        prop_assert_eq!(whole.exposure.seen_records.is_none(), seen.is_empty());
        prop_assert_eq!(whole.exposure.estimated_records.is_some(), seen.len() == each.len());
        prop_assert_eq!(whole.exposure.is_fresh, each.iter().all(|p| p.exposure.is_fresh));
        prop_assert_eq!(whole.partitions.total, each.len() as u64);
        prop_assert_eq!(whole.partitions.elsewhere, 16 - each.len() as u64);
        // Some partition is in no report.
        prop_assert!(Posture::of_word(&whole.posture) <= Posture::Unknown);
        prop_assert!(parts.iter().all(|p| Posture::of_word(&whole.posture) <= Posture::of_word(&p.posture)));
        let [a, b, c] = parts;
        let turned = merge(&[c, b, a]).unwrap();
        prop_assert_eq!(turned.exposure, whole.exposure);
        prop_assert_eq!((turned.posture, turned.partitions), (whole.posture, whole.partitions));
    }

    /// The same part twice is still that part.
    #[test]
    fn a_part_counts_once(a in arb_part(0)) {
        let once = merge(std::slice::from_ref(&a)).unwrap();
        let twice = merge(&[a.clone(), a]).unwrap();
        prop_assert_eq!(twice.exposure, once.exposure);
        prop_assert_eq!((twice.partitions, twice.posture), (once.partitions, once.posture));
    }
}
