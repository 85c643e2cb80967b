//! What makes a link green, and what never does.

use proptest::prelude::*;

use super::super::denied::{Cause, Permission};
use super::super::estimate::Amount;
use super::super::exposure::DATUM_FRESH_MS;
use super::*;
use crate::code::Code;
use crate::ids::DestOffset;

fn figures(records: u64, milliseconds: u64) -> Figures {
    Figures {
        seen: Some(Amount { records, bytes: Some(0), milliseconds }),
        held_back_records: 0,
        estimated: None,
        source_age_ms: Some(100),
        dest_age_ms: Some(100),
    }
}

fn partition(figures: Figures) -> PartitionFacts {
    PartitionFacts {
        partition: 0,
        figures,
        doing: Doing::Copying,
        is_refused: false,
        held_back_by: None,
        runway: Runway::NothingWaits,
        runway_is_short: false,
        lost_records: 0,
    }
}

fn link(partitions: Vec<PartitionFacts>) -> LinkFacts {
    let topic = TopicFacts { topic: "orders".into(), partitions, is_ahead_of_schemas: false };
    LinkFacts { rpo_ms: 5_000, topics: vec![topic], ..LinkFacts::default() }
}

fn denied() -> Denied {
    let permission = Permission {
        principal: "User:dr".to_owned(),
        operation: "Read",
        resource: "Topic orders".to_owned(),
        grant: "kafka-acls".to_owned(),
    };
    Denied { side: Side::Source, code: Code::PermissionMissing, cause: Cause::Permission(permission) }
}

fn words(judged: &Judged) -> Vec<&'static str> {
    judged.reasons.iter().map(Reason::word).collect()
}

#[test]
fn green_has_no_reasons() {
    let judged = judge(&link(vec![partition(figures(3, 300))]));
    assert_eq!(judged, Judged { posture: Posture::WithinRpo, reasons: Vec::new() });
}

#[test]
fn nothing_measured_is_unknown() {
    assert_eq!(judge(&link(Vec::new())).posture, Posture::Unknown);
    assert_eq!(judge(&LinkFacts::default()).posture, Posture::Unknown);
    let judged = judge(&link(vec![partition(Figures::default()), partition(figures(0, 0))]));
    assert_eq!((judged.posture, words(&judged)), (Posture::Unknown, vec!["UNMEASURED"]));
}

#[test]
fn a_silent_source_is_unknown_whatever_was_seen_last() {
    let silent = Figures { source_age_ms: Some(DATUM_FRESH_MS + 1), ..figures(0, 0) };
    let judged = judge(&link(vec![partition(silent)]));
    assert_eq!((judged.posture, words(&judged)), (Posture::Unknown, vec!["SOURCE_SILENT"]));
    let silent = Figures { dest_age_ms: Some(DATUM_FRESH_MS + 1), ..figures(0, 0) };
    assert_eq!(words(&judge(&link(vec![partition(silent)]))), ["DESTINATION_SILENT"]);
}

#[test]
fn a_refusal_is_an_answer() {
    let old = Figures { source_age_ms: Some(60_000), ..figures(7, 60_000) };
    let refused = PartitionFacts { is_refused: true, ..partition(old) };
    let facts = LinkFacts { denied: vec![denied()], ..link(vec![refused.clone()]) };
    let judged = judge(&facts);
    assert_eq!((judged.posture, words(&judged)), (Posture::Unprotected, vec!["AUTH", "OVER_RPO"]));
    assert!(judged.reasons[0].to_string().contains("needs Read on Topic orders for User:dr (L-103)"));
    let also_silent = LinkFacts { denied: vec![denied()], ..link(vec![refused, partition(old)]) };
    assert_eq!(judge(&also_silent).posture, Posture::Unknown, "another partition's silence is silence");
}

#[test]
fn the_worst_is_shown_and_all_are_listed() {
    let hanging = HeldBack { producer_id: 4711, silent_ms: Some(552_000) };
    let slow = PartitionFacts { held_back_by: Some(hanging), ..partition(figures(2_911, 8_100)) };
    let stopped = Doing::Stopped(Verdict::Contaminated { at: DestOffset(4), producer_id: 9 });
    let stopped = PartitionFacts { partition: 1, doing: stopped, ..partition(figures(1, 10)) };
    let short = Runway::Lasts { milliseconds: 90_000, basis: Basis::Age, missing: None };
    let short =
        PartitionFacts { partition: 2, runway: short, runway_is_short: true, ..partition(figures(1, 10)) };
    let all = LinkFacts {
        role: Role::ReinstateRequired,
        write_protection: WriteProtection::Writable,
        blocked: vec![("big".to_owned(), "more partitions here".to_owned())],
        ..link(vec![slow, stopped, short])
    };
    let judged = judge(&all);
    assert_eq!(judged.posture, Posture::ReinstateRequired);
    assert_eq!(
        words(&judged),
        [
            "REINSTATE_REQUIRED",
            "STANDBY_WRITABLE",
            "TOPIC_BLOCKED",
            "PARTITION_STOPPED",
            "RUNWAY_SHORT",
            "OVER_RPO",
            "HELD_BACK"
        ]
    );
    let said: Vec<_> = judged.reasons.iter().map(ToString::to_string).collect();
    assert!(
        said.contains(&"orders:0 waits for an open transaction (producer 4711, 9 m)".to_owned()),
        "{said:?}"
    );
    assert!(said.contains(&"topic orders is 8.1 s behind, limit 5.0 s".to_owned()), "{said:?}");
}

#[test]
fn a_topic_that_is_gone_is_settled_only_when_everything_is_held() {
    let gone = |records| PartitionFacts {
        doing: Doing::Stopped(Verdict::Orphaned),
        ..partition(Figures { source_age_ms: Some(60_000), ..figures(records, 0) })
    };
    let judged = judge(&link(vec![gone(0)]));
    assert_eq!((judged.posture, words(&judged)), (Posture::WithinRpo, vec!["TOPIC_GONE"]));
    let judged = judge(&link(vec![gone(1)]));
    assert_eq!(
        (judged.posture, words(&judged)),
        (Posture::Unknown, vec!["SOURCE_SILENT", "PARTITION_STOPPED"])
    );
}

#[test]
fn a_link_that_does_not_run_protects_nothing() {
    let facts = LinkFacts { not_running: Some("same cluster".to_owned()), ..LinkFacts::default() };
    let judged = judge(&facts);
    assert_eq!((judged.posture, words(&judged)), (Posture::Unprotected, vec!["NOT_RUNNING"]));
}

#[test]
fn words_are_in_the_order_of_dr() {
    assert!(Posture::ALL.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(Posture::ALL.map(Posture::word).last(), Some(&"WITHIN_RPO"));
}

fn arb_partition() -> impl Strategy<Value = PartitionFacts> {
    let age = || prop::option::of(0u64..20_000);
    let doing = prop_oneof![
        3 => Just(Doing::Copying),
        1 => Just(Doing::Waiting("no leader".to_owned())),
        1 => Just(Doing::Stopped(Verdict::Orphaned)),
        1 => Just(Doing::Stopped(Verdict::Slipped { at: DestOffset(1), shift: 1 })),
    ];
    let seen = prop::option::of((0u64..3, 0u64..10_000));
    (seen, age(), age(), doing, any::<bool>(), any::<bool>()).prop_map(
        |(seen, source_age_ms, dest_age_ms, doing, is_refused, short)| PartitionFacts {
            doing,
            is_refused,
            runway: Runway::Lasts { milliseconds: 1, basis: Basis::Age, missing: None },
            runway_is_short: short,
            ..partition(Figures {
                seen: seen.map(|(records, milliseconds)| Amount { records, bytes: None, milliseconds }),
                held_back_records: 0,
                estimated: None,
                source_age_ms,
                dest_age_ms,
            })
        },
    )
}

proptest! {
    /// Green means: every partition measured, fresh, not stopped, within the limit, with time left at the source.
    #[test]
    fn green_is_never_shown_where_anything_is_unknown(all in prop::collection::vec(arb_partition(), 0..6)) {
        let denied = if all.iter().any(|p| p.is_refused) { vec![denied()] } else { Vec::new() };
        let judged = judge(&LinkFacts { denied, ..link(all.clone()) });
        if judged.posture == Posture::WithinRpo {
            prop_assert!(!all.is_empty());
            for p in all.iter().filter(|p| !is_settled(p)) {
                prop_assert!(p.figures.seen.is_some_and(|seen| seen.milliseconds <= 5_000));
                prop_assert!(p.figures.silent_side().is_none() && !p.is_refused && !p.runway_is_short);
                prop_assert!(!matches!(p.doing, Doing::Stopped(_)));
            }
        }
        let worst = judged.reasons.iter().filter_map(Reason::posture).min().unwrap_or(Posture::WithinRpo);
        prop_assert_eq!(judged.posture, worst);
    }
}
