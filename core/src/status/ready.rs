//! Whether a link is ready for what may come: every check by a stable word, what it found, and what would help.
//! A check that could not be made is not passed.

use serde::{Deserialize, Serialize};

/// All checks of one link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyStatus {
    pub link: String,
    /// No check has failed, and each could be made.
    pub is_ready: bool,
    pub checks: Vec<Check>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The stable word.
    pub check: String,
    pub finding: Finding,
    pub words: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    Passed,
    /// Worth a look; it keeps nothing from being done.
    Warning,
    Failed,
    /// It could not be found out.
    Unknown,
}

impl Finding {
    /// Whether it stands in the way.
    #[must_use]
    pub fn is_in_the_way(self) -> bool {
        matches!(self, Self::Failed | Self::Unknown)
    }
}

impl ReadyStatus {
    #[must_use]
    pub fn of(link: &str, checks: Vec<Check>) -> Self {
        let is_ready = !checks.iter().any(|check| check.finding.is_in_the_way());
        Self { link: link.to_owned(), is_ready, checks }
    }
}
