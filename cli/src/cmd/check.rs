//! `lockstep check`: looks at a file of ours, and with `--connect` at the clusters that it names. Changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use lockstep_agent::config::{Config, Unusable, load, load_coordinator};
use lockstep_agent::preflight::ask;
use lockstep_core::spec::dr::Checked;
use lockstep_kafka::Tcp;

use super::fail;
use super::signals::Signals;
use crate::exit::Exit;
use crate::files::{self, Kind, kind};
use crate::show::Output;
use crate::show::check::Show;

/// Check a configuration file: every fault at once, with its line, its key and what would be right.
///
/// Takes agent.yaml, coordinator.yaml, dr.yaml, operator.yaml, or a file with a `security` section as --from-config and
/// --to-config do. Nothing is started and nothing is changed.
///
/// Exit code 0: no fault; 1: faults, or with --connect a cluster that cannot be used or a right that is missing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep check agent.yaml\n  \
lockstep check agent.yaml --connect -o json | jq '.links[].missing[]'\n  \
lockstep check dr.yaml\n  \
lockstep check --schema dr > dr.schema.json")]
pub(crate) struct Args {
    /// The file
    #[arg(value_name = "FILE", required_unless_present = "schema")]
    file: Option<PathBuf>,
    /// Dial every cluster of agent.yaml: versions, certificates, and every right that a link lacks, with the command
    /// that grants it
    #[arg(long, conflicts_with = "schema")]
    connect: bool,
    /// Print the JSON schema of one of our files, for editors that know such schemas [default: agent]
    #[arg(long, value_name = "KIND", value_enum, num_args = 0..=1, default_missing_value = "agent", conflicts_with = "file")]
    schema: Option<Kind>,
    /// How results are written
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) async fn run(args: Args) -> Exit {
    let Some(path) = &args.file else { return print_schema(args.schema.unwrap_or(Kind::Agent)) };
    let show = Show::new(args.output, path);
    match look(path) {
        Ok(Found::Agent(config)) if args.connect => connect(&show, &config).await,
        Ok(Found::Agent(config)) => {
            show.fine(&config);
            Exit::Ok
        }
        Ok(Found::Coordinator | Found::Spec(_) | Found::Operator) if args.connect => fail(
            "--connect asks the clusters of agent.yaml: this file is another one\n  remedy  check this file without \
             --connect",
        ),
        Ok(Found::Coordinator) => {
            show.fine_coordinator();
            Exit::Ok
        }
        Ok(Found::Spec(checked)) => {
            show.fine_spec(&checked);
            Exit::Ok
        }
        Ok(Found::Operator) => {
            show.fine_operator();
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
    Spec(Box<Checked>),
    Operator,
    Security,
}

fn look(path: &std::path::Path) -> Result<Found, Unusable> {
    match kind(path)? {
        Kind::Agent => Ok(Found::Agent(Box::new(load(path)?))),
        Kind::Coordinator => load_coordinator(path).map(|_| Found::Coordinator),
        Kind::Dr => Ok(Found::Spec(Box::new(files::dr(path)?))),
        Kind::Operator => files::operator(path).map(|_| Found::Operator),
        Kind::Security => files::security(path).map(|()| Found::Security),
    }
}

fn print_schema(kind: Kind) -> Exit {
    let Some(schema) = kind.schema() else {
        return fail("a security section is part of agent.yaml's schema");
    };
    match serde_json::to_string_pretty(&schema) {
        Ok(text) => {
            println!("{text}");
            Exit::Ok
        }
        Err(error) => fail(format!("the schema cannot be written: {error}")),
    }
}
