//! `lockstep coordinator init`: the first coordinator of a new system, or a whole system on one machine to try it.

use std::path::{Path, PathBuf};

use lockstep_coordinator::member::found;

use super::load;
use crate::cmd::failure::Failure;
use crate::trial::{FOUNDER, Layout, write};

/// Found a system: this coordinator is its first and only member, others join it.
///
/// Works on the data folder that the file names, which has to be empty; nothing has to run. With --dev it writes a whole
/// system for one machine instead: certificates, three coordinators, two agents, an operator, a spec that links two
/// clusters, and a script that starts everything. It listens on loopback only; the certificates are valid for a year.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep coordinator init --config /etc/lockstep/coordinator.yaml --address mi-1.example:9470\n  \
lockstep coordinator init --dev trial && trial/start.sh\n  \
lockstep coordinator init --dev trial --east kafka-1:9092 --west kafka-2:9092")]
pub(super) struct Args {
    /// The coordinator's file
    #[arg(long, value_name = "FILE", required_unless_present = "dev", conflicts_with = "dev")]
    config: Option<PathBuf>,
    /// Where others reach this coordinator: its certificate has to bear the name
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "dev", conflicts_with = "dev", value_parser = super::address)]
    address: Option<String>,
    /// A system on one machine to try it, in this folder: empty, or not there yet
    #[arg(long, value_name = "DIR")]
    dev: Option<PathBuf>,
    /// With --dev: the first coordinator's port; the other two have the next ones
    #[arg(long, value_name = "PORT", default_value_t = 9470, requires = "dev", value_parser = clap::value_parser!(u16).range(1..=65_533))]
    port: u16,
    /// With --dev: the first agent's port for its status; the other one has the next
    #[arg(long, value_name = "PORT", default_value_t = 9464, requires = "dev", value_parser = clap::value_parser!(u16).range(1..=65_534))]
    agent_port: u16,
    /// With --dev: the first coordinator's port for its metrics; the other two have the next ones
    #[arg(long, value_name = "PORT", default_value_t = 9480, requires = "dev", value_parser = clap::value_parser!(u16).range(1..=65_533))]
    metrics_port: u16,
    /// With --dev: the Kafka cluster of site east
    #[arg(long, value_name = "BOOTSTRAP", default_value = "127.0.0.1:9092", requires = "dev")]
    east: String,
    /// With --dev: the Kafka cluster of site west
    #[arg(long, value_name = "BOOTSTRAP", default_value = "127.0.0.1:9192", requires = "dev")]
    west: String,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match (&args.dev, &args.config, &args.address) {
        (Some(folder), ..) => trial(args, folder),
        (None, Some(config), Some(address)) => first(config, address),
        _ => Err("name the coordinator's file with --config and where it is reached with --address".into()),
    }
}

fn first(config: &Path, address: &str) -> Result<(), Failure> {
    let identity = found(&load(config)?, address).map_err(|fault| fault.to_string())?;
    println!(
        "system {} is founded; {} is its only coordinator so far\nstart it with: lockstep coordinator --config {}",
        identity.cluster_id,
        identity.member.name,
        config.display()
    );
    Ok(())
}

/// Ourselves: the trial may be started where we are not on the path.
fn program() -> String {
    std::env::current_exe().map_or_else(|_| "lockstep".to_owned(), |path| path.display().to_string())
}

fn trial(args: &Args, folder: &Path) -> Result<(), Failure> {
    let layout = Layout {
        port: args.port,
        agent_port: args.agent_port,
        metrics_port: args.metrics_port,
        east: args.east.clone(),
        west: args.west.clone(),
        program: program(),
    };
    write(folder, &layout)?;
    let address = layout.coordinators().into_iter().find(|(name, _)| *name == FOUNDER);
    let (name, address) = address.ok_or("the trial has no first coordinator, which is a defect")?;
    let config = folder.join(name).join("coordinator.yaml");
    let identity = found(&load(&config)?, &address).map_err(|fault| fault.to_string())?;
    // So that the lines below can be typed anywhere.
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let dir = folder.display();
    println!(
        "system {} is founded in {dir}: coordinators c-east, c-west and c-witness, agents a-east and a-west, an operator, a \
         spec that links {} and {}

start everything, and stop it with Ctrl-C:
  {dir}/start.sh
in another terminal:
  export LOCKSTEP_OPERATOR={dir}/operator/operator.yaml
  lockstep coordinator members
  lockstep apply -f {dir}/dr.yaml
  lockstep status --watch",
        identity.cluster_id, layout.east, layout.west
    );
    Ok(())
}
