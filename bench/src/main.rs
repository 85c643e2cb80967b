//! `./dev bench`: what the mirror costs and how fast it is, beside a reference measured in the same minute.
//!
//! ```text
//! Args ─► Site (two real brokers) ─► scenario/ (rounds) ─► Figure (samples, reference, ratio) ─► report
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `scenario` | one file per scenario, and the table of them |
//! | `site` | the two brokers, and the folder of what children say |
//! | `mirror` | the process that is measured: how it is started |
//! | `council` | three coordinators, an operator's calls and agents that report |
//! | `meter`, `proc` | CPU, memory and time of one child process, from `/proc` |
//! | `relay` | a reference: the same bytes from socket to socket |
//! | `blast` | a reference: the same batches from memory into the destination |
//! | `mirrormaker` | MirrorMaker 2, measured beside |
//! | `http` | what daemons tell |
//! | `watch`, `ends` | when the first record of a topic can be read, and when the last one is there |
//! | `reader` | how old records are when a client reads them |
//! | `load` | the records that are mirrored |
//! | `figure`, `machine`, `report` | medians, the machine they hold for, Markdown and JSON |
//!
//! Figures are reported, never asserted: the exit code is 0 whatever they are, 1 when something could not be measured
//! or the mirror's copy was not equal to its source.

mod blast;
mod council;
mod ends;
mod figure;
mod http;
mod load;
mod machine;
mod meter;
mod mirror;
mod mirrormaker;
mod proc;
mod reader;
mod relay;
mod report;
mod scenario;
mod site;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::machine::Machine;
use crate::report::{Part, Report};
use crate::scenario::SCENARIOS;
use crate::site::Site;

/// Whatever went wrong, in words.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measure the mirror on this machine, beside two real brokers that it starts itself.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    child: Option<Child>,
    #[command(flatten)]
    settings: Settings,
}

/// How much is measured.
#[derive(Clone, Debug, clap::Args, serde::Serialize)]
pub(crate) struct Settings {
    /// Only this scenario; repeat it for several
    #[arg(long = "scenario", value_name = "NAME", value_parser = scenario::NAMES)]
    scenarios: Vec<String>,
    /// How often each thing is measured; figures are the median of so many
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Records to mirror in each round, in MB before compression
    #[arg(long = "size", value_name = "MB", default_value_t = 1_050, value_parser = clap::value_parser!(u64).range(10..=100_000))]
    size_mb: u64,
    /// Also write everything, every single measurement included, to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What this program does when it starts itself.
#[derive(Debug, Subcommand)]
enum Child {
    /// The reference: everything from one socket to another, 1 MB at a time, in one thread
    #[command(hide = true)]
    Relay { from: SocketAddr, to: SocketAddr },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.child {
        Some(Child::Relay { from, to }) => relay::relay(from, to).map_err(Into::into),
        None => measure(&args.settings),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lockstep-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(settings: &Settings) -> Result<()> {
    if cfg!(debug_assertions) {
        eprintln!(
            "WARNING: this is a dev build: its figures mean nothing. `./dev bench` makes a release build."
        );
    }
    let program = mirror::program()?;
    // Before the brokers start: their own start is load, too.
    let machine = Machine::look();
    machine.warn_if_busy();
    let site = Site::start(program)?;
    let mut report = Report::new(machine, site.kafka_version(), settings.clone());
    for scenario in SCENARIOS {
        if settings.scenarios.is_empty() || settings.scenarios.iter().any(|name| name == scenario.name) {
            eprintln!("{}:", scenario.name);
            let found = (scenario.run)(&site, settings)?;
            report.add(Part {
                name: scenario.name,
                what: scenario.what,
                facts: found.facts,
                figures: found.figures,
            });
        }
    }
    print!("{}", report.markdown());
    if let Some(path) = &settings.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n").map_err(|cause| format!("{}: {cause}", path.display()))?;
    }
    Ok(())
}
