//! `lockstep`: the command line. Reads what was typed, runs one verb, leaves with its exit code.
//! Exit codes are a contract (see [`exit`]); results go to standard output, everything else to standard error.

mod cmd;
mod exit;
mod files;
mod logs;
mod operator;
mod rehearsal;
mod show;
mod top;
mod trial;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use cmd::Command;
use exit::Exit;

/// Keeps Apache Kafka clusters in different datacenters in lock step: the same records at the same offsets.
#[derive(Debug, Parser)]
#[command(name = "lockstep", version, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Printing can only fail for want of somewhere to print to.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Ok.into(),
                _ => Exit::Error.into(),
            };
        }
    };
    if let Err(why) = rehearsal::asked_for() {
        eprintln!("error: {why}");
        return Exit::Error.into();
    }
    // A daemon's file says how it logs.
    if !cli.command.is_daemon() {
        logs::of_a_verb();
    }
    // One thread: the data path moves bytes, it does not compute. Measured in bench/.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return Exit::Error.into();
        }
    };
    runtime.block_on(cmd::run(cli.command)).into()
}
