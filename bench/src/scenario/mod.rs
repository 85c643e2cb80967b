//! One file per scenario: it prepares, measures round by round, reference and mirror interleaved, and hands back figures.
//! A scenario that could not measure, or whose copy is not equal to its source, is an error: no figure without a copy.

mod age;
mod backlog;
mod coordinators;
mod estimate;
mod groups;
mod idle;
mod links;
mod mirrormaker;
mod new_topic;
mod small;
mod transactions;

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

/// In the order in which they run: what leaves thousands of partitions behind comes last.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: NAMES[0],
        what: "a topic mirrored from its beginning, then the mirror leaves",
        run: backlog::run,
    },
    Scenario { name: NAMES[1], what: "the same topic, Lockstep and MirrorMaker 2", run: mirrormaker::run },
    Scenario {
        name: NAMES[5],
        what: "single-record batches, mirrored by a process that is behind",
        run: small::run,
    },
    Scenario {
        name: NAMES[6],
        what: "transactional producers and a mirror beside them",
        run: transactions::run,
    },
    Scenario { name: NAMES[2], what: "a topic is created while the mirror runs", run: new_topic::run },
    Scenario { name: NAMES[3], what: "how old records are when they can be read", run: age::run },
    Scenario {
        name: NAMES[8],
        what: "offsets of a thousand groups beside a running mirror",
        run: groups::run,
    },
    Scenario { name: NAMES[9], what: "three coordinators, a thousand links", run: coordinators::run },
    Scenario { name: NAMES[10], what: "a source is killed under traffic", run: estimate::run },
    Scenario { name: NAMES[4], what: "a mirror that has caught up and waits", run: idle::run },
    Scenario { name: NAMES[7], what: "many links of one agent, idle and one of them busy", run: links::run },
];

pub(crate) const NAMES: [&str; 11] = [
    "backlog",
    "mirrormaker",
    "new-topic",
    "age",
    "idle",
    "small",
    "transactions",
    "links",
    "groups",
    "coordinators",
    "estimate",
];

const GB: f64 = 1e9;
const MB: f64 = 1e6;
const MIB: f64 = 1024.0 * 1024.0;

fn samples<T>(rounds: &[T], value: impl Fn(&T) -> f64) -> Result<Samples> {
    Samples::new(rounds.iter().map(value)).ok_or_else(|| "a round without a number".into())
}
