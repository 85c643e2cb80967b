//! `lockstep coordinator recover`: for when a majority of the coordinators is lost for good. One survivor becomes the only
//! one, of a new incarnation; the others are refused until they join anew. Without `--force` it only says where this
//! survivor's log ends.

use std::path::PathBuf;

use lockstep_coordinator::member;

use super::load;
use crate::cmd::failure::Failure;
use crate::exit::Exit;

/// Break glass: make this survivor the only coordinator, when a majority of them is lost for good.
///
/// Stop every survivor first, run this on each without --force, and force the one with the highest log end: it has
/// everything that was ever answered as done. The others' data folders are set aside, and they join anew. A coordinator that
/// comes back with its old folder is refused. Never do it while the others are only unreachable: both sides would decide.
/// Without --force nothing is changed, and the exit code is 3.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep coordinator recover --config /etc/lockstep/coordinator.yaml\n  \
lockstep coordinator recover --config /etc/lockstep/coordinator.yaml --force --reason 'praha and wien burnt, ticket 4711'")]
pub(super) struct Args {
    /// The survivor's file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Do it
    #[arg(long, requires = "reason")]
    force: bool,
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let spec = load(&args.config)?;
    let file = args.config.display();
    let (true, Some(reason)) = (args.force, &args.reason) else {
        let last = member::last(&spec).map_err(|fault| fault.to_string())?;
        println!(
            "{} ends at term {}, index {}; nothing was changed\nof all survivors force the one with the highest term, then \
             index:\n  lockstep coordinator recover --config {file} --force --reason TEXT",
            spec.name, last.term, last.index
        );
        return Ok(Exit::Refused);
    };
    let recovered = member::recover(&spec, reason).map_err(|fault| fault.to_string())?;
    println!(
        "{} is the only coordinator of system {}, incarnation {}, from term {}, index {}\nstart it with: lockstep coordinator \
         --config {file}\non every other coordinator: set the data folder aside, then lockstep coordinator join … --to {}",
        spec.name,
        recovered.identity.cluster_id,
        recovered.identity.incarnation,
        recovered.last.term,
        recovered.last.index,
        recovered.identity.member.address
    );
    Ok(Exit::Ok)
}
