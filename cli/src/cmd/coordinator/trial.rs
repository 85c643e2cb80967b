//! `lockstep coordinator init --dev DIR`: everything for a trial on one machine, and the commands that start it.

use std::path::PathBuf;

use crate::trial::{Layout, write};

/// Found a system: on one machine, to try it.
///
/// Writes certificates, files for three coordinators, two agents and an operator, a spec that links two clusters, and a
/// script that starts everything. Listens on loopback only; the certificates are valid for a year.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep coordinator init --dev trial\n  \
lockstep coordinator init --dev trial --east 127.0.0.1:9092 --west 127.0.0.1:9192 && trial/start.sh")]
pub(crate) struct Args {
    /// The folder for it: empty, or not there yet
    #[arg(long, value_name = "DIR", required = true)]
    dev: PathBuf,
    /// The first coordinator's port; the other two have the next ones
    #[arg(long, value_name = "PORT", default_value_t = 9470, value_parser = clap::value_parser!(u16).range(1..=65_533))]
    port: u16,
    /// The first agent's port for its status; the other one has the next
    #[arg(long, value_name = "PORT", default_value_t = 9464, value_parser = clap::value_parser!(u16).range(1..=65_534))]
    agent_port: u16,
    /// The Kafka cluster of site east
    #[arg(long, value_name = "BOOTSTRAP", default_value = "127.0.0.1:9092")]
    east: String,
    /// The Kafka cluster of site west
    #[arg(long, value_name = "BOOTSTRAP", default_value = "127.0.0.1:9192")]
    west: String,
}

pub(super) fn run(args: &Args) -> Result<(), String> {
    let layout = Layout {
        port: args.port,
        agent_port: args.agent_port,
        east: args.east.clone(),
        west: args.west.clone(),
    };
    write(&args.dev, &layout)?;
    let dir = args.dev.display();
    println!("{dir}: three coordinators, two agents, an operator and a spec");
    Ok(())
}
