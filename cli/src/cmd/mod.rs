//! One file per verb. A verb parses its flags, calls one crate below, and hands figures to `show`.

mod agent;
mod apply;
mod ask;
mod audit;
mod between;
mod check;
mod config;
mod coordinator;
pub(crate) mod failure;
mod grouping;
mod groups;
mod mirror;
mod plan;
mod ready;
mod signals;
mod spec;
mod spec_files;
mod status;
mod top;
mod verify;
mod watch;

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
    /// Run a coordinator, or found, join and tend them
    Coordinator(coordinator::Args),
    /// Show how links stand: posture, exposure, and why
    Status(status::Args),
    /// Watch links, clusters, agents and coordinators on the whole terminal
    Top(top::Args),
    /// Show whether a link is ready for a change of sides
    Ready(ready::Args),
    /// Show what applying a spec would change
    Plan(plan::Args),
    /// Apply a spec: links, clusters and sites as they are wanted
    Apply(apply::Args),
    /// The spec that is in force
    Spec(spec::Args),
    /// The trail of who changed what
    Audit(audit::Args),
    /// Check a file of ours, and what it names
    Check(check::Args),
}

impl Command {
    /// Whether it runs until it is told to stop, with a log of its own.
    pub(crate) fn is_daemon(&self) -> bool {
        match self {
            Self::Agent(_) => true,
            Self::Coordinator(args) => args.is_daemon(),
            _ => false,
        }
    }
}

pub(crate) async fn run(command: Command) -> Exit {
    match command {
        Command::Mirror(args) => mirror::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Groups(args) => groups::run(args).await,
        Command::Agent(args) => agent::run(args).await,
        Command::Coordinator(args) => coordinator::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Top(args) => top::run(args).await,
        Command::Ready(args) => ready::run(args).await,
        Command::Plan(args) => plan::run(args).await,
        Command::Apply(args) => apply::run(args).await,
        Command::Spec(args) => spec::run(args).await,
        Command::Audit(args) => audit::run(args).await,
        Command::Check(args) => check::run(args).await,
    }
}

/// Says an error the way every verb does.
fn fail(error: impl Into<Failure>) -> Exit {
    let failure = error.into();
    eprintln!("{failure}");
    failure.exit()
}

/// What coordinators answer as JSON.
///
/// # Errors
/// In words: they are of a version that says it otherwise.
fn document<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("the coordinator's answer is none of this version: {error}"))
}

/// A size as typed: bytes, or with KB, MB, GB (powers of 1000) or KiB, MiB, GiB (powers of 1024).
fn parse_size(text: &str) -> Result<usize, String> {
    let bytes = quantity::size(text)?;
    usize::try_from(bytes).map_err(|_| "larger than this machine can count".to_owned())
}
