//! One file per verb. A verb parses its flags, calls one crate below, and hands figures to `show`.

mod agent;
mod ask;
mod between;
mod check;
mod config;
pub(crate) mod failure;
mod grouping;
mod groups;
mod mirror;
mod signals;
mod status;
mod verify;

use clap::Subcommand;
use lockstep_core::spec::quantity;

use crate::exit::Exit;
use failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Mirror topics from one cluster to another with identical offsets
    Mirror(mirror::Args),
    /// Compare topics of two clusters offset by offset
    Verify(verify::Args),
    /// Show where consumer groups stand on both clusters, and where they would resume
    Groups(groups::Args),
    /// Run the daemon of a datacenter
    Agent(agent::Args),
    /// Show how the links of an agent stand
    Status(status::Args),
    /// Check a file of ours, and what it names
    Check(check::Args),
}

pub(crate) async fn run(command: Command) -> Exit {
    match command {
        Command::Mirror(args) => mirror::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Groups(args) => groups::run(args).await,
        Command::Agent(args) => agent::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Check(args) => check::run(args).await,
    }
}

/// Says an error the way every verb does.
fn fail(error: impl Into<Failure>) -> Exit {
    eprintln!("{}", error.into());
    Exit::Error
}

/// A size as typed: bytes, or with KB, MB, GB (powers of 1000) or KiB, MiB, GiB (powers of 1024).
fn parse_size(text: &str) -> Result<usize, String> {
    let bytes = quantity::size(text)?;
    usize::try_from(bytes).map_err(|_| "larger than this machine can count".to_owned())
}
