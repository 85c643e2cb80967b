//! `lockstep check`: looks at a file of ours, and with `--connect` at the clusters that it names. Changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use lockstep_agent::config::{Config, Kind, Unusable, kind, load, load_coordinator, load_security};
use lockstep_agent::preflight::ask;
use lockstep_core::spec::agent::schema;
use lockstep_kafka::Tcp;

use super::fail;
use super::signals::Signals;
use crate::exit::Exit;
use crate::show::Output;
use crate::show::check::Show;

/// Check a configuration file: every fault at once, with its line, its key and what would be right.
///
/// Takes agent.yaml, coordinator.yaml, or a file with a `security` section as --from-config and --to-config do. Nothing is started and
/// nothing is changed.
///
/// Exit code 0: no fault; 1: faults, or with --connect a cluster that cannot be used or a right that is missing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep check agent.yaml\n  \
lockstep check agent.yaml --connect -o json | jq '.links[].missing[]'\n  \
lockstep check --schema > agent.schema.json")]
pub(crate) struct Args {
    /// The file
    #[arg(value_name = "FILE", required_unless_present = "schema")]
    file: Option<PathBuf>,
    /// Dial every cluster of agent.yaml: versions, certificates, and every right that a link lacks, with the command
    /// that grants it
    #[arg(long, conflicts_with = "schema")]
    connect: bool,
    /// Print the JSON schema of agent.yaml, for editors that know such schemas
    #[arg(long, conflicts_with = "file")]
    schema: bool,
    /// How results are written
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) async fn run(args: Args) -> Exit {
    let Some(path) = &args.file else { return print_schema() };
    let show = Show::new(args.output, path);
    match look(path) {
        Ok(Found::Agent(config)) if args.connect => connect(&show, &config).await,
        Ok(Found::Agent(config)) => {
            show.fine(&config);
            Exit::Ok
        }
        Ok(Found::Coordinator) if args.connect => fail(
            "--connect asks the clusters of agent.yaml: a coordinator never talks to a cluster\n  remedy  check this \
             file without --connect",
        ),
        Ok(Found::Coordinator) => {
            show.fine_coordinator();
            Exit::Ok
        }
        Ok(Found::Security) if args.connect => fail(
            "--connect needs to know what to dial: this file has a security section and names no cluster\n  remedy  \
             lockstep mirror --dry-run tries it with --from-config and --to-config",
        ),
        Ok(Found::Security) => {
            show.fine_security();
            Exit::Ok
        }
        Err(unusable) => {
            show.faults(&unusable);
            Exit::Error
        }
    }
}

async fn connect(show: &Show<'_>, config: &Config) -> Exit {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return fail(error),
    };
    let findings = tokio::select! {
        findings = ask(Arc::new(Tcp::default()), config) => findings,
        () = signals.next() => return fail("interrupted: nothing was changed"),
    };
    show.findings(config, &findings);
    if findings.is_fine() { Exit::Ok } else { Exit::Error }
}

enum Found {
    Agent(Box<Config>),
    Coordinator,
    Security,
}

fn look(path: &std::path::Path) -> Result<Found, Unusable> {
    match kind(path)? {
        Kind::Agent => Ok(Found::Agent(Box::new(load(path)?))),
        Kind::Coordinator => load_coordinator(path).map(|_| Found::Coordinator),
        Kind::Security => load_security(path).map(|_| Found::Security),
    }
}

fn print_schema() -> Exit {
    match serde_json::to_string_pretty(&schema()) {
        Ok(text) => {
            println!("{text}");
            Exit::Ok
        }
        Err(error) => fail(format!("the schema cannot be written: {error}")),
    }
}
