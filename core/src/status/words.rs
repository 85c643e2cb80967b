//! From what `core::dr` judged to the words and figures of a status. A link that does not run has no figures at all.

use super::{About, ExposureStatus, LinkState, LinkStatus, PartitionCounts, ReasonStatus, RunwayStatus};
use crate::dr::denied::{Cause, Denied};
use crate::dr::posture::{Judged, LinkFacts, Reason, judge};
use crate::dr::runway::Runway;
use crate::dr::total::Total;
use crate::mirror::Now;

/// The status of a link that does not run, whatever it does instead. `denied`: what a cluster refuses, if that is why.
pub fn not_running(about: &About, state: LinkState, why: &str, denied: Vec<Denied>) -> LinkStatus {
    let facts = LinkFacts {
        role: about.role,
        write_protection: about.write_protection,
        rpo_ms: about.rpo_ms,
        not_running: Some(why.to_owned()),
        denied,
        ..LinkFacts::default()
    };
    judged_status(about, state, &judge(&facts))
}

/// Everything that does not come from a report: figures are unknown until somebody fills them in.
pub fn judged_status(about: &About, state: LinkState, judged: &Judged) -> LinkStatus {
    LinkStatus {
        link: about.link.clone(),
        from: about.from.clone(),
        to: about.to.clone(),
        state,
        posture: judged.posture.word().to_owned(),
        reasons: judged.reasons.iter().map(reason_status).collect(),
        rpo_seconds: about.rpo_ms as f64 / 1_000.0,
        as_of_timestamp_seconds: None,
        exposure: ExposureStatus::default(),
        retention_runway: RunwayStatus { kind: "unknown".to_owned(), ..RunwayStatus::default() },
        source_end_timestamp_seconds: None,
        last_replicated_timestamp_seconds: None,
        copied_records: 0,
        copied_bytes: 0,
        aligned_offsets: 0,
        lost_records: 0,
        memory_bytes: 0,
        memory_max_bytes: 0,
        partitions: PartitionCounts::default(),
        topics_total: 0,
        topics_good: 0,
        groups: about.groups,
        drift: about.drift,
        topics: Vec::new(),
    }
}

/// A reason in words, with the command that helps where there is one.
pub(super) fn reason_status(reason: &Reason) -> ReasonStatus {
    let grant = match reason {
        Reason::Auth(Denied { cause: Cause::Permission(permission), .. }) => Some(permission.grant.clone()),
        _ => None,
    };
    ReasonStatus {
        reason: reason.word().to_owned(),
        posture: reason.posture().map(|posture| posture.word().to_owned()),
        text: reason.to_string(),
        grant,
    }
}

/// What would be lost, in seconds and words; `now`: when the ages were taken.
pub fn exposure_status(total: &Total, now: Option<Now>) -> ExposureStatus {
    let (seen, estimated) = (total.seen(), total.estimated());
    ExposureStatus {
        seen_records: seen.map(|seen| seen.records),
        seen_estimated_bytes: seen.and_then(|seen| seen.bytes),
        seen_seconds: seen.map(|seen| seen.milliseconds as f64 / 1_000.0),
        held_back_records: total.held_back_records,
        estimated_records: estimated.map(|estimated| estimated.records),
        estimated_bytes: estimated.and_then(|estimated| estimated.bytes),
        estimated_seconds: estimated.map(|estimated| estimated.milliseconds as f64 / 1_000.0),
        unknown_partitions: total.unknown,
        datum_age_seconds: total.datum_age_ms.map(|age| age as f64 / 1_000.0),
        datum_timestamp_seconds: ago(now, total.datum_age_ms),
        is_fresh: total.is_fresh(),
    }
}

/// The same of a runway.
pub fn runway_status(runway: Runway) -> RunwayStatus {
    let kind = |kind: &str| RunwayStatus { kind: kind.to_owned(), ..RunwayStatus::default() };
    match runway {
        Runway::NothingWaits => kind("nothing_waits"),
        Runway::Endless => kind("endless"),
        Runway::Unknown(missing) => {
            RunwayStatus { missing: Some(missing.name().to_owned()), ..kind("unknown") }
        }
        Runway::Lasts { milliseconds, basis, missing } => RunwayStatus {
            seconds: Some(milliseconds as f64 / 1_000.0),
            basis: Some(basis.name().to_owned()),
            missing: missing.map(|missing| missing.name().to_owned()),
            ..kind("lasts")
        },
    }
}

/// Seconds since 1970 of what is so old.
pub fn ago(now: Option<Now>, age_ms: Option<u64>) -> Option<f64> {
    let age = i64::try_from(age_ms?).ok()?;
    Some(seconds(now?.wall.0.saturating_sub(age)))
}

fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1_000.0
}
