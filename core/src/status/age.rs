//! What a status says after silence: ages grow, freshness ends, and a datum that is too old for `core::dr` is UNKNOWN,
//! whatever was seen last. Moments stay where they are; nothing that was seen is taken back.
//! An estimate is made by whoever knows the rates: it counts on between two reports, and is not known once reports cease.

use super::words::reason_status;
use super::{ExposureStatus, LinkStatus, RunwayStatus};
use crate::dr::exposure::DATUM_FRESH_MS;
use crate::dr::posture::{Posture, Reason};

/// The same status when nothing new has been heard for `by_ms`, as whoever received it counts by its own clock.
#[must_use]
pub fn aged(mut status: LinkStatus, by_ms: u64) -> LinkStatus {
    if by_ms == 0 {
        return status;
    }
    age_exposure(&mut status.exposure, by_ms);
    age_runway(&mut status.retention_runway, by_ms);
    for topic in &mut status.topics {
        age_exposure(&mut topic.exposure, by_ms);
        age_runway(&mut topic.retention_runway, by_ms);
        for partition in &mut topic.partitions {
            age_exposure(&mut partition.exposure, by_ms);
        }
    }
    if is_over(&status) && !status.reasons.iter().any(|reason| reason.reason == "OVER_RPO") {
        add(&mut status, &over_rpo);
    }
    let datum_ms = status.exposure.datum_age_seconds.map_or(0, milliseconds).max(by_ms);
    if by_ms > DATUM_FRESH_MS {
        add(&mut status, &|_| Some(Reason::AgentSilent { age_ms: by_ms }));
    } else if datum_ms > DATUM_FRESH_MS && status.posture != Posture::Unknown.word() {
        // The next report names the side that is silent.
        add(&mut status, &|_| Some(Reason::DatumOld { age_ms: datum_ms }));
    }
    status
}

/// Every moment by so many seconds later (earlier: negative): from the sender's clock to the reader's.
#[must_use]
pub fn shifted(mut status: LinkStatus, seconds: f64) -> LinkStatus {
    let shift = |moment: &mut Option<f64>| *moment = moment.map(|moment| moment + seconds);
    shift(&mut status.as_of_timestamp_seconds);
    shift(&mut status.source_end_timestamp_seconds);
    shift(&mut status.last_replicated_timestamp_seconds);
    shift(&mut status.exposure.datum_timestamp_seconds);
    for topic in &mut status.topics {
        shift(&mut topic.exposure.datum_timestamp_seconds);
        for partition in &mut topic.partitions {
            shift(&mut partition.exposure.datum_timestamp_seconds);
        }
    }
    status
}

fn age_exposure(exposure: &mut ExposureStatus, by_ms: u64) {
    let by = seconds(by_ms);
    exposure.datum_age_seconds = exposure.datum_age_seconds.map(|age| age + by);
    let is_old = exposure.datum_age_seconds.is_none_or(|age| milliseconds(age) > DATUM_FRESH_MS);
    // What waits has waited longer; what was all held is so still, as far as anybody saw.
    if exposure.seen_records.is_some_and(|records| records > 0) {
        exposure.seen_seconds = exposure.seen_seconds.map(|seen| seen + by);
    }
    exposure.is_fresh &= !is_old;
    if by_ms > DATUM_FRESH_MS {
        exposure.estimated_records = None;
        exposure.estimated_bytes = None;
        exposure.estimated_seconds = None;
    } else {
        exposure.estimated_seconds = exposure.estimated_seconds.map(|estimated| estimated + by);
    }
}

fn age_runway(runway: &mut RunwayStatus, by_ms: u64) {
    runway.seconds = runway.seconds.map(|left| (left - seconds(by_ms)).max(0.0));
}

fn is_over(status: &LinkStatus) -> bool {
    status.exposure.seen_seconds.is_some_and(|seen| seen > status.rpo_seconds)
}

/// The topic that is furthest behind, if topics are told at all.
fn over_rpo(status: &LinkStatus) -> Option<Reason> {
    let seen = |topic: &&super::TopicStatus| topic.exposure.seen_seconds.unwrap_or(0.0);
    let worst = status.topics.iter().max_by(|a, b| seen(a).total_cmp(&seen(b)))?;
    Some(Reason::OverRpo {
        topic: worst.topic.as_str().into(),
        milliseconds: milliseconds(seen(&worst)),
        rpo_ms: milliseconds(status.rpo_seconds),
    })
}

/// Adds a reason where reasons of its posture stand, and shows that posture if it is worse.
pub(super) fn add(status: &mut LinkStatus, reason: &dyn Fn(&LinkStatus) -> Option<Reason>) {
    let Some(reason) = reason(status) else { return };
    status.reasons.retain(|known| known.reason != reason.word());
    status.reasons.push(reason_status(&reason));
    status.reasons.sort_by_key(super::merge::rank);
    let posture = reason.posture().unwrap_or(Posture::WithinRpo);
    if posture < Posture::of_word(&status.posture) {
        posture.word().clone_into(&mut status.posture);
    }
}

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1_000.0
}

fn milliseconds(seconds: f64) -> u64 {
    // Never negative; an age beyond what fits is as old as can be said.
    (seconds * 1_000.0).round() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::merge::testing::{arb_status, status};
    use super::*;

    #[test]
    fn silence_makes_a_green_link_unknown() {
        let green = status("WITHIN_RPO", 41, 0.3, 0.2);
        let young = aged(green.clone(), 1_000);
        assert_eq!((young.posture.as_str(), young.exposure.is_fresh), ("WITHIN_RPO", true));
        assert_eq!(young.exposure.datum_age_seconds, Some(1.2));
        let old = aged(green, 41_000);
        assert_eq!((old.posture.as_str(), old.exposure.is_fresh), ("UNKNOWN", false));
        assert_eq!(old.reasons[0].text, "no agent has reported for 41.0 s");
        assert_eq!((old.exposure.seen_records, old.exposure.estimated_records), (Some(41), None));
        assert_eq!(old.exposure.datum_timestamp_seconds, Some(1_700_000_000.0), "the moment stays");
    }

    #[test]
    fn records_that_wait_go_over_the_limit_while_the_datum_is_fresh() {
        let waiting = status("WITHIN_RPO", 41, 4.0, 0.2);
        let over = aged(waiting, 2_000);
        assert_eq!(over.posture, "OVER_RPO");
        assert_eq!(over.reasons[0].text, "topic orders is 6.0 s behind, limit 5.0 s");
        let held = aged(status("WITHIN_RPO", 0, 0.0, 0.2), 2_000);
        assert_eq!((held.posture.as_str(), held.exposure.seen_seconds), ("WITHIN_RPO", Some(0.0)));
    }

    #[test]
    fn moments_move_to_the_readers_clock_and_ages_stay() {
        let there = status("WITHIN_RPO", 41, 0.3, 0.2);
        let here = shifted(there.clone(), 3_600.0);
        assert_eq!(here.exposure.datum_timestamp_seconds, Some(1_700_003_600.0));
        assert_eq!(here.exposure.datum_age_seconds, there.exposure.datum_age_seconds);
        assert_eq!(shifted(here, -3_600.0), there);
    }

    #[test]
    fn a_source_that_has_just_fallen_silent_makes_it_unknown_and_the_estimate_counts_on() {
        let mut before = status("WITHIN_RPO", 41, 3.5, 3.5);
        before.exposure.estimated_records = Some(60);
        before.exposure.estimated_seconds = Some(3.5);
        let after = aged(before, 600);
        assert_eq!((after.posture.as_str(), after.exposure.is_fresh), ("UNKNOWN", false));
        assert_eq!(after.reasons[0].text, "the newest figures are 4.1 s old");
        assert_eq!(after.exposure.estimated_records, Some(60));
        assert_eq!(after.exposure.estimated_seconds, Some(4.1));
    }

    proptest! {
        /// Ages grow, nothing turns fresh or better, and what was seen stays seen.
        #[test]
        fn age_never_improves_anything(before in arb_status(), by in 0u64..100_000) {
            let after = aged(before.clone(), by);
            prop_assert!(Posture::of_word(&after.posture) <= Posture::of_word(&before.posture));
            prop_assert_eq!(after.exposure.seen_records, before.exposure.seen_records);
            prop_assert!(after.exposure.datum_age_seconds >= before.exposure.datum_age_seconds);
            prop_assert!(!after.exposure.is_fresh || before.exposure.is_fresh);
            prop_assert!(after.reasons.len() >= before.reasons.len());
            if by > DATUM_FRESH_MS {
                prop_assert!(Posture::of_word(&after.posture) <= Posture::Unknown);
                prop_assert!(!after.exposure.is_fresh && after.exposure.estimated_records.is_none());
            }
        }
    }
}
