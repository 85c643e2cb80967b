//! A day of a link's exposure, in steps of five minutes, and the last verdict: what an agent keeps for itself and shows
//! when asked. A step in which nobody looked is missing; it is not a good one.

use serde::{Deserialize, Serialize};

use super::{ExposureStatus, LinkStatus, ReasonStatus};
use crate::dr::posture::Posture;

/// The length of a step, in seconds.
pub const STEP_SECONDS: u64 = 300;
/// How far back it goes, in seconds: 24 hours.
pub const KEPT_SECONDS: u64 = 86_400;

/// What is known of a link's past.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HistoryStatus {
    pub link: String,
    pub step_seconds: u64,
    /// Oldest first; steps that nobody looked in are missing.
    pub steps: Vec<HistoryStep>,
    /// As judged last; null: never, or the store has been lost since.
    pub last: Option<LastVerdict>,
}

/// The worst of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryStep {
    /// When the step began.
    pub at_timestamp_seconds: u64,
    /// How often somebody looked.
    pub looks: u64,
    /// The worst.
    pub posture: String,
    /// The largest that were seen; null: in no look was anything known.
    pub seen_records: Option<u64>,
    pub seen_seconds: Option<f64>,
    /// The oldest; null: in some look one was missing.
    pub datum_age_seconds: Option<f64>,
    /// Looks in which the figures were not of then.
    pub stale_looks: u64,
}

/// What was said of a link last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastVerdict {
    pub at_timestamp_seconds: f64,
    pub posture: String,
    pub reasons: Vec<ReasonStatus>,
    pub exposure: ExposureStatus,
}

impl HistoryStep {
    /// The first look of a step.
    #[must_use]
    pub fn first(at_timestamp_seconds: u64, status: &LinkStatus) -> Self {
        let exposure = &status.exposure;
        Self {
            at_timestamp_seconds,
            looks: 1,
            posture: status.posture.clone(),
            seen_records: exposure.seen_records,
            seen_seconds: exposure.seen_seconds,
            datum_age_seconds: exposure.datum_age_seconds,
            stale_looks: u64::from(!exposure.is_fresh),
        }
    }

    /// Another look of the same step.
    pub fn look(&mut self, status: &LinkStatus) {
        let this = Self::first(self.at_timestamp_seconds, status);
        self.looks += 1;
        self.stale_looks += this.stale_looks;
        if Posture::of_word(&this.posture) < Posture::of_word(&self.posture) {
            self.posture = this.posture;
        }
        self.seen_records = self.seen_records.max(this.seen_records);
        self.seen_seconds = self.seen_seconds.into_iter().chain(this.seen_seconds).reduce(f64::max);
        self.datum_age_seconds =
            self.datum_age_seconds.zip(this.datum_age_seconds).map(|(before, now)| before.max(now));
    }
}

impl LastVerdict {
    #[must_use]
    pub fn of(status: &LinkStatus, at_timestamp_seconds: f64) -> Self {
        Self {
            at_timestamp_seconds,
            posture: status.posture.clone(),
            reasons: status.reasons.clone(),
            exposure: status.exposure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::merge::testing::status;
    use super::*;

    #[test]
    fn a_step_keeps_the_worst_and_forgets_no_gap() {
        let mut step = HistoryStep::first(600, &status("WITHIN_RPO", 41, 0.3, 0.2));
        let mut unknown = status("UNKNOWN", 7, 9.0, 41.0);
        unknown.exposure.datum_age_seconds = None;
        step.look(&unknown);
        step.look(&status("WITHIN_RPO", 0, 0.0, 0.1));
        assert_eq!((step.posture.as_str(), step.looks, step.stale_looks), ("UNKNOWN", 3, 1));
        assert_eq!((step.seen_records, step.seen_seconds), (Some(41), Some(9.0)));
        assert_eq!(step.datum_age_seconds, None, "in one look nobody knew");
    }
}
