//! `lockstep coordinator join`: a seat for a new coordinator. It has a vote once it runs and has everything.

use std::path::PathBuf;

use lockstep_coordinator::member;

use super::load;
use crate::cmd::failure::Failure;

/// Join a system: ask a running coordinator for a seat, and keep the answer in the data folder.
///
/// The folder has to be empty, and a majority of the coordinators has to run. The seat has no vote until this coordinator
/// runs and has everything; start it soon.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep coordinator join --config /etc/lockstep/coordinator.yaml --address pr-1.example:9470 --to mi-1.example:9470")]
pub(super) struct Args {
    /// The coordinator's file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where others reach this coordinator: its certificate has to bear the name
    #[arg(long, value_name = "HOST:PORT", value_parser = super::address)]
    address: String,
    /// Any coordinator that runs
    #[arg(long, value_name = "HOST:PORT", value_parser = super::address)]
    to: String,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let spec = load(&args.config)?;
    let identity = member::join(&spec, &args.address, &args.to).await.map_err(|fault| fault.to_string())?;
    println!(
        "{} has a seat in system {}, with a vote once it has everything\nstart it with: lockstep coordinator --config {}",
        identity.member.name,
        identity.cluster_id,
        args.config.display()
    );
    Ok(())
}
