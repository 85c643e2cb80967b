//! A day of a link as people read it: how long it stood in which posture, how large the exposure was, and the last verdict.
//! Time in which nobody looked is told as such.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use lockstep_core::dr::posture::Posture;
use lockstep_core::status::{HistoryStatus, HistoryStep, KEPT_SECONDS};

use super::table::table;
use super::units::{count, duration};

/// Upper bounds of the histogram, in seconds.
const BOUNDS: [f64; 7] = [0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0];
/// Characters of its longest bar.
const BAR: usize = 40;

/// `now`: seconds since 1970.
pub(crate) fn words(history: &HistoryStatus, now: f64) -> String {
    let of_steps = |steps: usize| duration(Duration::from_secs(steps as u64 * history.step_seconds));
    let mut text = format!(
        "{}: the last 24 h in steps of {}; the worst of each step counts\n",
        history.link,
        of_steps(1)
    );
    let from = now - KEPT_SECONDS as f64;
    let steps: Vec<_> =
        history.steps.iter().filter(|step| step.at_timestamp_seconds as f64 >= from).collect();
    if steps.is_empty() {
        text.push_str("\nnobody has looked\n");
    } else {
        let _ = write!(text, "\n{}", postures(&steps, of_steps));
        let _ = write!(text, "\n{}", exposures(&steps));
        let whole = usize::try_from(KEPT_SECONDS / history.step_seconds.max(1)).unwrap_or(usize::MAX);
        let unseen = whole.saturating_sub(steps.len());
        if unseen > 0 {
            let _ = writeln!(text, "\nnobody looked for {}", of_steps(unseen));
        }
    }
    if let Some(last) = &history.last {
        let age = Duration::try_from_secs_f64(now - last.at_timestamp_seconds).unwrap_or_default();
        let reasons: Vec<_> = last.reasons.iter().map(|reason| reason.text.as_str()).collect();
        let reasons = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
        let _ = writeln!(text, "\nlast verdict {} ago: {}{reasons}", duration(age), last.posture);
    }
    text
}

fn postures(steps: &[&HistoryStep], of_steps: impl Fn(usize) -> String) -> String {
    let mut found: BTreeMap<Posture, usize> = BTreeMap::new();
    for step in steps {
        *found.entry(Posture::of_word(&step.posture)).or_default() += 1;
    }
    let rows: Vec<_> =
        found.into_iter().map(|(posture, steps)| [posture.word().to_owned(), of_steps(steps)]).collect();
    table(["POSTURE", "TIME"], &rows)
}

/// By the largest exposure seen in each step.
fn exposures(steps: &[&HistoryStep]) -> String {
    let mut counts = [0_usize; BOUNDS.len() + 1];
    let mut unknown = 0;
    for step in steps {
        match step.seen_seconds {
            None => unknown += 1,
            Some(seconds) => {
                counts[BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len())] += 1;
            }
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(unknown).max(1);
    let bar = |steps: usize| "#".repeat((steps * BAR).div_ceil(most));
    let time = |seconds: f64| duration(Duration::from_secs_f64(seconds));
    let up_to = BOUNDS.iter().map(|bound| format!("up to {}", time(*bound)));
    let names = up_to.chain([format!("above {}", time(BOUNDS[BOUNDS.len() - 1])), "unknown".to_owned()]);
    let rows: Vec<_> = names
        .zip(counts.into_iter().chain([unknown]))
        .map(|(name, steps)| [name, count(steps as u64), bar(steps)])
        .collect();
    table(["LARGEST EXPOSURE", "STEPS", ""], &rows)
}

#[cfg(test)]
mod tests {
    use lockstep_core::status::STEP_SECONDS;

    use super::*;

    fn step(at: u64, posture: &str, seconds: Option<f64>) -> HistoryStep {
        HistoryStep {
            at_timestamp_seconds: at,
            looks: 15,
            posture: posture.to_owned(),
            seen_records: seconds.map(|_| 7),
            seen_seconds: seconds,
            datum_age_seconds: seconds,
            stale_looks: 0,
        }
    }

    #[test]
    fn a_day_is_told_by_posture_and_exposure_and_what_nobody_saw_is_said() {
        let now = 1_700_086_400.0;
        let first = 1_700_000_100;
        let mut steps: Vec<_> = (0..10).map(|n| step(first + n * 300, "WITHIN_RPO", Some(0.3))).collect();
        steps.push(step(first + 3_000, "OVER_RPO", Some(41.0)));
        steps.push(step(first + 3_300, "UNKNOWN", None));
        steps.insert(0, step(first - 90_000, "UNKNOWN", None));
        let history =
            HistoryStatus { link: "claims".to_owned(), step_seconds: STEP_SECONDS, steps, last: None };
        let text = words(&history, now);
        assert!(text.contains("WITHIN_RPO  50 m 0 s"), "{text}");
        assert!(text.contains("UNKNOWN     5 m 0 s"), "older than a day does not count: {text}");
        assert!(text.contains(&format!("up to 0.5 s       10     {}", "#".repeat(BAR))), "{text}");
        assert!(text.contains("up to 1 m 0 s     1      ####"), "{text}");
        assert!(text.contains("nobody looked for 23 h 0 m"), "{text}");
        let none = HistoryStatus { link: "claims".to_owned(), ..HistoryStatus::default() };
        assert!(words(&none, now).contains("nobody has looked"));
    }
}
