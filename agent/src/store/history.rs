//! A day of each link's exposure in steps of five minutes, and its last verdict. One entry per link and step, so that its
//! size is bounded by the number of links; older ones go when a new one comes. Lost history is shown as missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockstep_core::status::{
    HistoryStatus, HistoryStep, KEPT_SECONDS, LastVerdict, LinkStatus, STEP_SECONDS,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Health, Store};

/// Steps of a day, and the two at its edges.
const STEPS_MAX: usize = (KEPT_SECONDS / STEP_SECONDS) as usize + 2;

/// See the module's description.
pub struct History {
    store: Arc<dyn Store>,
    /// The step that each link is in.
    open: BTreeMap<String, HistoryStep>,
}

impl History {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, open: BTreeMap::new() }
    }

    /// Notes how a link stands at `now` (seconds since 1970).
    pub fn look(&mut self, status: &LinkStatus, now: f64) {
        let link = &status.link;
        // A clock before 1970 counts as 1970.
        let at = now.max(0.0) as u64 / STEP_SECONDS * STEP_SECONDS;
        // After a restart, or a clock that went back, the step goes on where it was.
        let known = self.open.remove(link).filter(|step| step.at_timestamp_seconds == at);
        let step = match known.or_else(|| self.read(&step_key(link, at))) {
            Some(mut step) => {
                step.look(status);
                step
            }
            None => {
                self.prune(link, at);
                HistoryStep::first(at, status)
            }
        };
        self.write(&step_key(link, at), &step);
        self.write(&last_key(link), &LastVerdict::of(status, now));
        self.open.insert(link.clone(), step);
    }

    /// What is known of a link's past.
    pub fn of(&self, link: &str) -> HistoryStatus {
        let entries = self.store.scan(&link_prefix(link), STEPS_MAX);
        let steps = entries.into_iter().filter_map(|(_, value)| serde_json::from_slice(&value).ok());
        HistoryStatus {
            link: link.to_owned(),
            step_seconds: STEP_SECONDS,
            steps: steps.collect(),
            last: self.read(&last_key(link)),
        }
    }

    pub fn health(&self) -> Health {
        self.store.health()
    }

    /// Everything a day before `at`, and whatever is too much.
    fn prune(&self, link: &str, at: u64) {
        let entries = self.store.scan(&link_prefix(link), 2 * STEPS_MAX);
        let too_many = (entries.len() + 1).saturating_sub(STEPS_MAX);
        let oldest = step_key(link, at.saturating_sub(KEPT_SECONDS));
        for (n, (key, _)) in entries.into_iter().enumerate() {
            if n < too_many || key < oldest {
                self.store.remove(&key);
            }
        }
    }

    fn read<T: DeserializeOwned>(&self, key: &[u8]) -> Option<T> {
        serde_json::from_slice(&self.store.get(key)?).ok()
    }

    fn write(&self, key: &[u8], value: &impl Serialize) {
        // These types always have a JSON form.
        if let Ok(value) = serde_json::to_vec(value) {
            self.store.put(key, &value);
        }
    }
}

/// Names of links hold no zero byte: no link's entries begin with another's prefix.
fn link_prefix(link: &str) -> Vec<u8> {
    [b"history/", link.as_bytes(), b"\0"].concat()
}

fn step_key(link: &str, at: u64) -> Vec<u8> {
    [&link_prefix(link)[..], &at.to_be_bytes()].concat()
}

fn last_key(link: &str) -> Vec<u8> {
    [b"last/", link.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use lockstep_core::status::{LinkState, not_running};

    use super::super::MemoryStore;
    use super::*;
    use crate::status::testing::about;

    fn history() -> History {
        History::new(Arc::new(MemoryStore::default()))
    }

    fn status(posture: &str) -> LinkStatus {
        LinkStatus {
            posture: posture.to_owned(),
            ..not_running(&about(), LinkState::Waiting, "x", Vec::new())
        }
    }

    #[test]
    fn a_day_is_kept_in_steps_and_no_more() {
        let mut history = history();
        for minute in 0..3 * 1_440u32 {
            history.look(&status("WITHIN_RPO"), 1_700_000_000.0 + f64::from(minute) * 60.0);
        }
        let kept = history.of("claims");
        assert_eq!((kept.steps.len(), kept.steps[5].looks), (289, 5));
        let times: Vec<_> = kept.steps.iter().map(|step| step.at_timestamp_seconds).collect();
        assert!(times.is_sorted() && times.windows(2).all(|pair| pair[1] - pair[0] == STEP_SECONDS));
        assert!(1_700_000_000 + 3 * 86_400 - times[288] <= STEP_SECONDS);
        assert_eq!(
            history.of("claim"),
            HistoryStatus { link: "claim".to_owned(), step_seconds: 300, ..HistoryStatus::default() }
        );
    }

    #[test]
    fn a_restart_goes_on_in_the_same_step_and_knows_the_last_verdict() {
        let mut before = history();
        before.look(&status("UNKNOWN"), 1_700_000_100.0);
        let mut after = History::new(Arc::clone(&before.store));
        after.look(&status("WITHIN_RPO"), 1_700_000_101.0);
        let kept = after.of("claims");
        assert_eq!(
            (kept.steps.len(), kept.steps[0].looks, kept.steps[0].posture.as_str()),
            (1, 2, "UNKNOWN")
        );
        assert_eq!(kept.last.unwrap().at_timestamp_seconds, 1_700_000_101.0);
    }

    #[test]
    fn what_was_not_looked_at_is_missing() {
        let mut history = history();
        for at in [1_700_000_000.0, 1_700_003_600.0] {
            history.look(&status("WITHIN_RPO"), at);
        }
        assert_eq!(history.of("claims").steps.len(), 2);
    }

    #[test]
    fn a_clock_that_jumps_back_and_forth_keeps_it_bounded() {
        let mut history = history();
        for n in 0..4_000u32 {
            let at = 1_700_000_000.0 + f64::from(n * 7_919 % 100_000) * 300.0;
            history.look(&status("WITHIN_RPO"), at);
        }
        assert!(history.of("claims").steps.len() <= STEPS_MAX);
    }
}
