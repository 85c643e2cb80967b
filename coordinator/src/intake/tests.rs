//! The last report of each agent as time goes by: ages, silence, shares that went elsewhere, bounds.

use lockstep_core::dr::posture::{Role, WriteProtection};
use lockstep_proto::agent::{Exposure, Partitions, Reach};

use super::*;

const WALL: f64 = 1_700_000_000.0;

fn about(link: &str) -> About {
    About {
        link: link.to_owned(),
        from: "a".to_owned(),
        to: "b".to_owned(),
        rpo_ms: 60_000,
        role: Role::Standby,
        write_protection: WriteProtection::Protected,
        groups: None,
        drift: None,
    }
}

fn report(epoch: u64, seen: u64) -> LinkReport {
    LinkReport {
        link: "claims".to_owned(),
        from: "a".to_owned(),
        to: "b".to_owned(),
        epoch,
        state: "running".to_owned(),
        posture: "WITHIN_RPO".to_owned(),
        rpo_ms: 60_000,
        age_ms: Some(100),
        exposure: Some(Exposure {
            seen_records: Some(seen),
            seen_ms: Some(200),
            datum_age_ms: Some(300),
            is_fresh: true,
            ..Exposure::default()
        }),
        partitions: Some(Partitions { total: 2, copying: 2, ..Partitions::default() }),
        ..LinkReport::default()
    }
}

fn agents(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn at(at: Instant) -> Received {
    Received { at, wall_seconds: WALL }
}

#[test]
fn ages_grow_while_nothing_comes_and_a_silent_agent_is_unknown() {
    let start = Instant::now();
    let mut intake = Intake::new(start);
    intake.take("a1", report(1, 5), at(start)).unwrap();
    let status =
        |after: u64| intake.status(&about("claims"), &agents(&["a1"]), start + Duration::from_millis(after));
    let young = status(1_000);
    assert_eq!((young.posture.as_str(), young.exposure.datum_age_seconds), ("WITHIN_RPO", Some(1.3)));
    let old = status(10_000);
    assert_eq!((old.posture.as_str(), old.exposure.datum_age_seconds), ("UNKNOWN", Some(10.3)));
    assert_eq!(old.exposure.seen_records, Some(5), "a lower bound stays one");
    assert!(!old.exposure.is_fresh);
}

#[test]
fn an_agent_with_a_share_that_never_reported_hides_nothing() {
    let start = Instant::now();
    let mut intake = Intake::new(start);
    intake.take("a1", report(1, 5), at(start)).unwrap();
    let both = intake.status(&about("claims"), &agents(&["a1", "a2"]), start + Duration::from_secs(1));
    assert_eq!(both.posture, "UNKNOWN");
    assert!(!both.exposure.is_fresh);
    let nobody = intake.status(&about("claims"), &[], start + Duration::from_secs(9));
    assert_eq!((nobody.posture.as_str(), nobody.exposure.seen_records), ("UNKNOWN", None));
    assert!(
        nobody.reasons.iter().any(|reason| reason.text == "no agent has reported for 9.0 s"),
        "{nobody:?}"
    );
}

/// Story: a leader of long ago led again, and showed records as missing that had been copied under the leaders between.
#[test]
fn a_new_reign_knows_nothing_of_an_earlier_one() {
    let start = Instant::now();
    let mut intake = Intake::new(start);
    intake.take("a1", report(1, 5), at(start)).unwrap();
    let again = start + Duration::from_secs(3_600);
    intake.begin(again);
    let status = |now| intake.status(&about("claims"), &agents(&["a1"]), now);
    let young = status(again + Duration::from_millis(400));
    assert_eq!((young.posture.as_str(), young.exposure.seen_records), ("UNKNOWN", None));
    let texts: Vec<_> = young.reasons.iter().map(|reason| reason.text.as_str()).collect();
    assert_eq!(texts, ["no agent has reported for 0.4 s"]);
    intake.take("a1", report(1, 7), at(again)).unwrap();
    assert_eq!(intake.status(&about("claims"), &agents(&["a1"]), again).exposure.seen_records, Some(7));
}

#[test]
fn what_an_agent_told_before_it_lost_its_share_is_not_counted() {
    let start = Instant::now();
    let mut intake = Intake::new(start);
    intake.take("a1", report(1, 5), at(start)).unwrap();
    intake.take("a2", report(2, 7), at(start)).unwrap();
    let seen = |names: &[&str]| intake.status(&about("claims"), &agents(names), start).exposure.seen_records;
    assert_eq!((seen(&["a2"]), seen(&["a1", "a2"])), (Some(7), Some(12)));
}

#[test]
fn a_report_of_an_earlier_epoch_changes_nothing() {
    let start = Instant::now();
    let mut intake = Intake::new(start);
    intake.take("a1", report(3, 5), at(start)).unwrap();
    let late = intake.take("a1", report(2, 99), at(start));
    assert_eq!(late, Err(NotTaken::OldEpoch { told: 2, known: 3 }));
    let status = intake.status(&about("claims"), &agents(&["a1"]), start);
    assert_eq!(status.exposure.seen_records, Some(5));
}

#[test]
fn a_malformed_report_leaves_what_was_known() {
    let start = Instant::now();
    let mut intake = Intake::new(start);
    intake.take("a1", report(1, 5), at(start)).unwrap();
    let bare = LinkReport { exposure: None, ..report(1, 6) };
    assert_eq!(intake.take("a1", bare, at(start)), Err(NotTaken::Malformed(Malformed::Missing("exposure"))));
    let status = intake.status(&about("claims"), &agents(&["a1"]), start);
    assert_eq!(status.exposure.seen_records, Some(5));
}

#[test]
fn links_and_probes_are_bounded() {
    let start = Instant::now();
    let mut intake = Intake::new(start);
    for number in 0..LINKS_MAX {
        intake.take("a1", LinkReport { link: number.to_string(), ..report(1, 0) }, at(start)).unwrap();
    }
    assert_eq!(intake.take("a1", report(1, 0), at(start)), Err(NotTaken::TooManyLinks));
    intake.take("a1", LinkReport { link: "7".to_owned(), ..report(1, 0) }, at(start)).unwrap();
    let probes = vec![Probe::default(); PROBES_MAX + 1];
    assert_eq!(intake.take_probes("a1", probes, at(start)), Err(NotTaken::TooManyProbes));
}

#[test]
fn probes_are_told_by_agent_with_their_age_until_it_is_forgotten() {
    let start = Instant::now();
    let mut intake = Intake::new(start);
    let probe = Probe { cluster: "a".to_owned(), reach: Reach::None.into(), ..Probe::default() };
    intake.take_probes("w1", vec![probe.clone()], at(start)).unwrap();
    intake.take_probes("a1", vec![], at(start)).unwrap();
    let seen = intake.seen("a", start + Duration::from_secs(2));
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["w1"]);
    assert_eq!(seen["w1"], Seen { probe, age: Duration::from_secs(2) });
    intake.forget("w1");
    assert!(intake.seen("a", start).is_empty());
}
