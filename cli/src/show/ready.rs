//! Checks of a link, one line each: what was found, and the remedy where something stands in the way.

use std::fmt::Write as _;

use lockstep_core::status::{Finding, ReadyStatus};

/// Every check, and one line that says it all.
pub(crate) fn words(status: &ReadyStatus) -> String {
    let width = status.checks.iter().map(|check| check.check.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for check in &status.checks {
        let mark = match check.finding {
            Finding::Passed => "ok",
            Finding::Warning => "warning",
            Finding::Failed => "FAILED",
            Finding::Unknown => "UNKNOWN",
        };
        let _ = writeln!(text, "{mark:<7}  {:width$}  {}", check.check, check.words);
        if let (Some(remedy), true) = (&check.remedy, check.finding != Finding::Passed) {
            let _ = writeln!(text, "{:<7}  {:width$}  remedy: {remedy}", "", "");
        }
    }
    let count = |finding| status.checks.iter().filter(|check| check.finding == finding).count();
    let _ = write!(text, "{}: {}, ", status.link, if status.is_ready { "ready" } else { "NOT READY" });
    let _ = write!(text, "{} of {} checks passed", count(Finding::Passed), status.checks.len());
    for (finding, noun) in [
        (Finding::Warning, "with a warning"),
        (Finding::Failed, "failed"),
        (Finding::Unknown, "could not be made"),
    ] {
        if count(finding) > 0 {
            let _ = write!(text, ", {} {noun}", count(finding));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use lockstep_core::status::Check;

    use super::*;

    #[test]
    fn what_stands_in_the_way_comes_with_its_remedy() {
        let check = |check: &str, finding, words: &str, remedy: Option<&str>| Check {
            check: check.to_owned(),
            finding,
            words: words.to_owned(),
            remedy: remedy.map(str::to_owned),
        };
        let checks = vec![
            check("agents", Finding::Passed, "2 agents heard 0.4 s ago", Some("none")),
            check("posture", Finding::Failed, "UNKNOWN: core-mi silent", Some("look at core-mi")),
            check("audit", Finding::Unknown, "not read", None),
        ];
        let text = words(&ReadyStatus::of("claims", checks));
        assert_eq!(
            text,
            "ok       agents   2 agents heard 0.4 s ago\nFAILED   posture  UNKNOWN: core-mi silent\n                  remedy: \
             look at core-mi\nUNKNOWN  audit    not read\nclaims: NOT READY, 1 of 3 checks passed, 1 failed, 1 could not be \
             made\n"
        );
    }
}
