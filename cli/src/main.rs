//! `lockstep`: the command line. Reads what was typed, runs one verb, leaves with its exit code.
//! Exit codes are a contract (see [`exit`]); results go to standard output, everything else to standard error.

mod cmd;
mod exit;
mod show;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use tracing_subscriber::EnvFilter;

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
    log_to_stderr();
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

/// Silent unless asked for: what a person needs to know, the verbs say themselves. Only what connections notice (a
/// certificate that expires soon, files that cannot be used) comes through here.
fn log_to_stderr() {
    let notices = || EnvFilter::new(format!("off,{}=info", lockstep_kafka::NOTICES));
    let filter = EnvFilter::try_from_env("LOCKSTEP_LOG").unwrap_or_else(|_| notices());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
