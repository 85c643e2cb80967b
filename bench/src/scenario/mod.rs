//! One file per scenario: it prepares, measures round by round, reference and mirror interleaved, and hands back figures.
//! A scenario that could not measure, or whose copy is not equal to its source, is an error: no figure without a copy.

mod backlog;
mod new_topic;

use crate::figure::{Figure, Samples};
use crate::site::Site;
use crate::{Result, Settings};

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) run: fn(&Site, &Settings) -> Result<Found>,
}

/// What a scenario hands back.
pub(crate) struct Found {
    /// What was done, in words with numbers.
    pub(crate) facts: String,
    pub(crate) figures: Vec<Figure>,
}

/// In the order in which they run.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: NAMES[0],
        what: "a topic mirrored from its beginning, then the mirror leaves",
        run: backlog::run,
    },
    Scenario { name: NAMES[1], what: "a topic is created while the mirror runs", run: new_topic::run },
];

pub(crate) const NAMES: [&str; 2] = ["backlog", "new-topic"];

fn samples<T>(rounds: &[T], value: impl Fn(&T) -> f64) -> Result<Samples> {
    Samples::new(rounds.iter().map(value)).ok_or_else(|| "a round without a number".into())
}
