//! A day of a link's exposure, in steps of five minutes, and the last verdict: what an agent keeps for itself and shows
//! when asked. A step in which nobody looked is missing; it is not a good one.

use std::collections::BTreeMap;

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
        self.join(Self::first(self.at_timestamp_seconds, status));
    }

    /// The same step, as somebody else looked.
    fn join(&mut self, this: Self) {
        self.looks += this.looks;
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

impl HistoryStatus {
    /// A link that several agents share: of each step the worst of all.
    #[must_use]
    pub fn merged(link: &str, parts: impl IntoIterator<Item = Self>) -> Self {
        let mut steps: BTreeMap<u64, HistoryStep> = BTreeMap::new();
        let mut last: Option<LastVerdict> = None;
        for part in parts {
            for step in part.steps {
                match steps.get_mut(&step.at_timestamp_seconds) {
                    Some(there) => there.join(step),
                    None => drop(steps.insert(step.at_timestamp_seconds, step)),
                }
            }
            // The newest; several agents are summed up by a status, not here.
            let is_newer = |verdict: &LastVerdict| {
                last.as_ref().is_none_or(|last| last.at_timestamp_seconds < verdict.at_timestamp_seconds)
            };
            if part.last.as_ref().is_some_and(is_newer) {
                last = part.last;
            }
        }
        Self { link: link.to_owned(), step_seconds: STEP_SECONDS, steps: steps.into_values().collect(), last }
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

    #[test]
    fn agents_that_share_a_link_have_one_history_and_the_worst_counts() {
        let step = |at, posture: &str, records| HistoryStep::first(at, &status(posture, records, 0.3, 0.2));
        let part = |steps, at: f64| {
            let last = Some(LastVerdict::of(&status("WITHIN_RPO", 1, 0.1, 0.2), at));
            HistoryStatus { link: "l".to_owned(), step_seconds: STEP_SECONDS, steps, last }
        };
        let one = part(vec![step(300, "WITHIN_RPO", 4), step(600, "OVER_RPO", 9)], 700.0);
        let other = part(vec![step(600, "WITHIN_RPO", 40), step(900, "WITHIN_RPO", 1)], 905.0);
        let whole = HistoryStatus::merged("l", [one, other]);
        let told: Vec<_> =
            whole.steps.iter().map(|s| (s.at_timestamp_seconds, &*s.posture, s.seen_records)).collect();
        assert_eq!(
            told,
            [(300, "WITHIN_RPO", Some(4)), (600, "OVER_RPO", Some(40)), (900, "WITHIN_RPO", Some(1))]
        );
        assert_eq!((whole.steps[1].looks, whole.last.unwrap().at_timestamp_seconds), (2, 905.0));
    }
}
