//! A running mirror's posture: in every progress object, and in words as soon as a cluster refuses something.
//! Never a word about what is only slow: that is progress.

use std::time::Duration;

use lockstep_agent::pipeline::report::LinkReport;
use lockstep_agent::status::{About, LinkStatus, link_status};
use lockstep_core::dr::exposure::Measured;
use lockstep_core::dr::posture::{RPO_DEFAULT_MS, Role, WriteProtection};
use lockstep_core::mirror::WallMillis;
use serde_json::{Value, json};

use super::units;

/// Judged against the usual limit: `lockstep mirror` is told none.
pub(super) fn judge(link: &str, report: &LinkReport) -> LinkStatus {
    let about = About {
        link: link.to_owned(),
        from: "source".to_owned(),
        to: "destination".to_owned(),
        rpo_ms: RPO_DEFAULT_MS,
        role: Role::Standby,
        write_protection: WriteProtection::NotLooked,
        groups: None,
        drift: None,
    };
    // It was made just now.
    link_status(&about, report, report.at.map_or(WallMillis(0), |made| made.wall))
}

/// Adds what was judged to a progress object.
pub(super) fn add(progress: &mut Value, status: &LinkStatus) {
    progress["posture"] = json!(status.posture);
    progress["reasons"] = json!(status.reasons);
    progress["exposure_detail"] = json!(status.exposure);
    progress["retention_runway"] = json!(status.retention_runway);
}

/// What the clusters refuse, one line each; empty when they refuse nothing.
pub(super) fn refusals(report: &LinkReport) -> String {
    let mut lines: Vec<_> = report
        .partitions
        .iter()
        .flat_map(|partition| &partition.denied)
        .chain(&report.denied)
        .map(|denied| format!("UNPROTECTED: {denied}"))
        .collect();
    lines.sort();
    lines.dedup();
    lines.join("\n")
}

/// Of a silent side `seen …`: what was known last.
pub(super) fn exposure_text(exposure: Measured) -> String {
    match exposure {
        Measured::Unknown => "unknown".to_owned(),
        Measured::Seen { records, milliseconds, datum_age_ms } => {
            let seen = if exposure.is_fresh() { "" } else { "seen " };
            format!(
                "{seen}{}, {} records ({} ago)",
                units::duration(Duration::from_millis(milliseconds)),
                units::count(records),
                units::duration(Duration::from_millis(datum_age_ms)),
            )
        }
    }
}

/// The same for scripts; null where it is not known.
pub(super) fn exposure_json(exposure: Measured) -> Value {
    match exposure {
        Measured::Unknown => Value::Null,
        Measured::Seen { records, milliseconds, datum_age_ms } => json!({
            "records": records,
            "seconds": milliseconds as f64 / 1_000.0,
            "datum_age_seconds": datum_age_ms as f64 / 1_000.0,
        }),
    }
}
