//! `lockstep coordinator …`: the daemon, what is done while it does not run, and what is asked of those that run.
//!
//! | file | is for |
//! |---|---|
//! | `daemon` | the daemon |
//! | `init`, `join`, `recover` | its data folder: a first member, a further one, a lone survivor |
//! | `ask` | members, an agent that is gone, a snapshot, the next level |

mod ask;
mod daemon;
mod init;
mod join;
mod recover;

use std::path::{Path, PathBuf};

use lockstep_agent::config::load_coordinator;
use lockstep_core::spec::coordinator::CoordinatorSpec;
use lockstep_core::spec::names;

use super::fail;
use super::failure::Failure;
use crate::exit::Exit;

/// Run a coordinator, or found, join and tend them.
///
/// Without a command it is the daemon: it needs a data folder that `init` or `join` has made. SIGTERM hands the lead over and
/// stops it; SIGHUP reads `access` of the file again.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
lockstep coordinator init --dev trial\n  \
lockstep coordinator --config /etc/lockstep/coordinator.yaml\n  \
lockstep coordinator members"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The daemon's file; `lockstep check` explains what is wrong with it
    #[arg(long, value_name = "FILE", default_value = "/etc/lockstep/coordinator.yaml")]
    config: PathBuf,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Found a system
    Init(init::Args),
    /// Get a seat for a further coordinator
    Join(join::Args),
    /// Make a lone survivor the only coordinator
    Recover(recover::Args),
    /// Show who the coordinators are, and which of them leads
    Members(ask::MembersArgs),
    /// Take a coordinator out, for good
    Remove(ask::RemoveArgs),
    /// Say that an agent is gone for good
    ForgetAgent(ask::ForgetAgentArgs),
    /// Have a snapshot written now
    Snapshot(ask::SnapshotArgs),
    /// Allow what only the present version understands: there is no way back to the one before
    Finalize(ask::FinalizeArgs),
}

impl Args {
    /// Whether it runs until it is told to stop, with a log of its own.
    pub(crate) fn is_daemon(&self) -> bool {
        self.command.is_none()
    }
}

pub(crate) async fn run(Args { command, config }: Args) -> Exit {
    let ended = match command {
        None => return daemon::run(config).await.unwrap_or_else(fail),
        Some(Command::Init(args)) => init::run(&args),
        Some(Command::Join(args)) => join::run(&args).await,
        Some(Command::Recover(args)) => return recover::run(&args).unwrap_or_else(fail),
        Some(Command::Members(args)) => ask::members(&args).await,
        Some(Command::Remove(args)) => ask::remove(&args).await,
        Some(Command::ForgetAgent(args)) => ask::forget_agent(&args).await,
        Some(Command::Snapshot(args)) => ask::snapshot(&args).await,
        Some(Command::Finalize(args)) => ask::finalize(&args).await,
    };
    ended.map_or_else(fail, |()| Exit::Ok)
}

fn load(config: &Path) -> Result<CoordinatorSpec, Failure> {
    load_coordinator(config).map_err(|unusable| Failure::with(Some(unusable.page()), unusable))
}

fn address(text: &str) -> Result<String, String> {
    names::address(text).map_err(|why| format!("{why}; write host:port"))
}
