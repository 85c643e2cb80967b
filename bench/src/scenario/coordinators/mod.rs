//! Three coordinators on this machine: how long an entry takes to be agreed on, how soon they answer after all were away, and
//! what a thousand links cost their leader.
//! The agreed state holds no topics: a spec names them, and agents tell of them every second. So the spec here names every
//! topic by itself, and the state, the log and the snapshots hold them that way.

mod load;
mod proposals;
mod restart;

use super::Found;
use crate::council::{Council, spec};
use crate::site::Site;
use crate::{Result, Settings};

const LINKS: usize = 1_000;
/// In the spec.
const NAMED_EACH: usize = 5;
/// In a report.
const TOLD_EACH: usize = 10;

pub(super) fn run(site: &Site, settings: &Settings) -> Result<Found> {
    eprintln!("  three coordinators");
    let mut council = Council::found(&site.program, site.scratch.path())?;
    let mut figures = proposals::measure(&council, settings)?;
    let leader = council.leader()?;
    council.wait(async { council.operator(leader).await?.apply("large", spec(LINKS, NAMED_EACH)).await })?;
    figures.extend(restart::measure(&mut council, settings)?);
    figures.extend(load::measure(&council, settings)?);
    council.stop_all()?;
    let facts = format!(
        "Three processes on one disk and two cores or more, with mTLS. {} {} {}",
        proposals::facts(),
        restart::facts(),
        load::facts(),
    );
    Ok(Found { facts, figures })
}
