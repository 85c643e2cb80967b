//! `lockstep coordinator …`: one file for what is asked of those that run, one for a trial on one machine.

mod ask;
mod trial;

use crate::exit::Exit;

use super::fail;

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Found a system
    Init(trial::Args),
    /// Show who the coordinators are, and which of them leads
    Members(ask::MembersArgs),
    /// Take a coordinator out, for good
    Remove(ask::RemoveArgs),
    /// Have the leader write a snapshot now
    Snapshot(ask::SnapshotArgs),
    /// Allow what only the present version understands: there is no way back to the one before
    Finalize(ask::FinalizeArgs),
}

pub(crate) async fn run(Args { command }: Args) -> Exit {
    let ended = match command {
        Command::Init(args) => trial::run(&args).map_err(Into::into),
        Command::Members(args) => ask::members(&args).await,
        Command::Remove(args) => ask::remove(&args).await,
        Command::Snapshot(args) => ask::snapshot(&args).await,
        Command::Finalize(args) => ask::finalize(&args).await,
    };
    ended.map_or_else(fail, |()| Exit::Ok)
}
