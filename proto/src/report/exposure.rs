//! Exposure and retention runway, there and back. What is absent there is null here; neither ever becomes 0.

use lockstep_core::status::{ExposureStatus, RunwayStatus};

use super::{milliseconds, seconds};
use crate::agent::{Exposure, Runway};

/// A runway of a word that only newer versions know: nothing is claimed.
const UNKNOWN: &str = "unknown";

pub(super) fn to(exposure: &ExposureStatus, since_made_ms: u64) -> Exposure {
    let age = exposure.datum_age_seconds.map(milliseconds);
    Exposure {
        seen_records: exposure.seen_records,
        seen_estimated_bytes: exposure.seen_estimated_bytes,
        seen_ms: exposure.seen_seconds.map(milliseconds),
        held_back_records: exposure.held_back_records,
        estimated_records: exposure.estimated_records,
        estimated_bytes: exposure.estimated_bytes,
        estimated_ms: exposure.estimated_seconds.map(milliseconds),
        unknown_partitions: exposure.unknown_partitions,
        datum_age_ms: age.map(|age| age.saturating_add(since_made_ms)),
        is_fresh: exposure.is_fresh,
    }
}

pub(super) fn from(exposure: Exposure, now_seconds: f64) -> ExposureStatus {
    let age = exposure.datum_age_ms.map(seconds);
    ExposureStatus {
        seen_records: exposure.seen_records,
        seen_estimated_bytes: exposure.seen_estimated_bytes,
        seen_seconds: exposure.seen_ms.map(seconds),
        held_back_records: exposure.held_back_records,
        estimated_records: exposure.estimated_records,
        estimated_bytes: exposure.estimated_bytes,
        estimated_seconds: exposure.estimated_ms.map(seconds),
        unknown_partitions: exposure.unknown_partitions,
        datum_age_seconds: age,
        datum_timestamp_seconds: age.map(|age| now_seconds - age),
        is_fresh: exposure.is_fresh,
    }
}

pub(super) fn to_runway(runway: &RunwayStatus) -> Runway {
    Runway {
        kind: runway.kind.clone(),
        ms: runway.seconds.map(milliseconds),
        basis: runway.basis.clone(),
        missing: runway.missing.clone(),
    }
}

pub(super) fn from_runway(runway: Runway) -> RunwayStatus {
    let kind = if runway.kind.is_empty() { UNKNOWN.to_owned() } else { runway.kind };
    RunwayStatus { kind, seconds: runway.ms.map(seconds), basis: runway.basis, missing: runway.missing }
}
