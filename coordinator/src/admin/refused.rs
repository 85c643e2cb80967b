//! Calls that were not done, told to the audit trail: who, what, why. Bounded, so that nobody fills a disk by being
//! refused: ten a minute for each caller; more are counted, and the next that is told says how many.
//! When the trail cannot be written the call is refused all the same, and the log has it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lockstep_core::state::Command;
use tokio::time::{Instant, timeout};

use super::{Admin, Caller};
use crate::holder::Holder;

const TOLD_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Callers that are counted one by one.
const CALLERS_MAX: usize = 1_000;
/// Who is refused waits so long for the trail at most.
const PATIENCE: Duration = Duration::from_secs(5);
const WORDS_MAX: usize = 1_000;

#[derive(Default)]
pub(super) struct Refused(Mutex<BTreeMap<Holder, Window>>);

struct Window {
    began: Instant,
    told: u32,
    left_out: u64,
}

impl Refused {
    /// How many of this caller's were left out since one was told; `None`: this one is, too.
    fn take(&self, holder: &Holder, now: Instant) -> Option<u64> {
        // Each change is one step: a panic elsewhere leaves it whole.
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |window: &Window| now.saturating_duration_since(window.began) >= WINDOW;
        if windows.len() >= CALLERS_MAX && !windows.contains_key(holder) {
            windows.retain(|_, window| !is_over(window));
        }
        if windows.len() >= CALLERS_MAX && !windows.contains_key(holder) {
            return None;
        }
        let fresh = Window { began: now, told: 0, left_out: 0 };
        let window = windows.entry(holder.clone()).or_insert(fresh);
        if is_over(window) {
            (window.began, window.told) = (now, 0);
        }
        if window.told >= TOLD_MAX {
            window.left_out = window.left_out.saturating_add(1);
            return None;
        }
        window.told += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

impl Admin {
    pub(super) async fn tell_refused(
        &self,
        caller: &Caller,
        call: &'static str,
        subject: &str,
        reason: Option<String>,
        why: &str,
    ) {
        tracing::warn!(caller = %caller.holder, from = caller.from.as_deref(), call, "a call is refused: {why}");
        let Some(left_out) = self.refused.take(&caller.holder, Instant::now()) else { return };
        let mut why = shortened(why);
        if left_out > 0 {
            why.push_str(&format!(
                " ({left_out} more of their calls were refused before and are not listed)"
            ));
        }
        let command = Command::RefusedCall { call: call.to_owned(), subject: shortened(subject), why };
        let told = self.agreement.propose(caller.actor(), reason.as_deref().map(shortened), command);
        match timeout(PATIENCE, told).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(call, "the audit trail has no word of a refused call: {error}"),
            Err(_) => tracing::warn!(call, "the audit trail may have no word of a refused call: no answer"),
        }
    }
}

fn shortened(words: &str) -> String {
    words.chars().take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(name: &str) -> Holder {
        Holder::Operator { name: name.to_owned() }
    }

    #[test]
    fn ten_a_minute_are_told_and_the_rest_is_counted() {
        let (refused, start) = (Refused::default(), Instant::now());
        let later = |seconds| start + Duration::from_secs(seconds);
        let told = (0..50).filter(|_| refused.take(&operator("eve"), start).is_some()).count();
        assert_eq!(told, 10);
        assert_eq!(refused.take(&operator("bob"), start), Some(0), "others have their own");
        assert_eq!(refused.take(&operator("eve"), later(59)), None);
        assert_eq!(refused.take(&operator("eve"), later(61)), Some(41));
        assert_eq!(refused.take(&operator("eve"), later(62)), Some(0));
    }

    #[test]
    fn so_many_callers_are_not_counted_one_by_one() {
        let (refused, start) = (Refused::default(), Instant::now());
        for number in 0..CALLERS_MAX {
            assert_eq!(refused.take(&operator(&format!("o{number}")), start), Some(0));
        }
        assert_eq!(refused.take(&operator("one-more"), start), None);
        assert_eq!(refused.take(&operator("o1"), start), Some(0), "who is counted goes on");
        assert_eq!(refused.take(&operator("one-more"), start + WINDOW), Some(0), "when others' time is over");
    }
}
