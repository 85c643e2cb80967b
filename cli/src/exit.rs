//! Exit codes. Scripts depend on them: a number never changes its meaning.

use std::process::ExitCode;

/// Shown below every `--help`.
pub(crate) const HELP: &str = "Exit codes: 0 ok, 1 error (also wrong usage), 2 differences, 3 refused by a safety rule, \
4 not ready, 5 done but incomplete, 6 aborted, 7 timed out and still running.\n\
Logs: LOCKSTEP_LOG=info (or debug, lockstep_agent=debug, …) writes them to standard error.";

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok = 0,
    /// Also wrong usage, and "could not tell".
    Error = 1,
    Differences = 2,
    /// A rule says no; nothing was done.
    Refused = 3,
    /// Not as it should be yet.
    NotReady = 4,
    /// Done, but something is outstanding that the output names.
    Incomplete = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
