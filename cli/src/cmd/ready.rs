//! `lockstep ready LINK`: every check that a change of sides would make beforehand. Changes nothing.

use lockstep_core::status::ReadyStatus;
use lockstep_proto::admin::LinkRequest;

use super::fail;
use super::failure::Failure;
use crate::exit::Exit;
use crate::operator::{Nature, Operator};
use crate::show::{Output, ready};

/// Show whether a link is ready for a change of sides: every check, what it found, and what would help.
///
/// A check that could not be made is not passed. Exit code 0: ready, perhaps with warnings; 4: not ready; 1: could not ask.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep ready claims\n  \
lockstep ready claims -o json | jq '.checks[] | select(.finding != \"passed\")'")]
pub(crate) struct Args {
    /// The link
    link: String,
    #[command(flatten)]
    operator: Operator,
    /// How the checks are written
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) async fn run(args: Args) -> Exit {
    match ask(&args).await {
        Ok(exit) => exit,
        Err(failure) => fail(failure),
    }
}

async fn ask(args: &Args) -> Result<Exit, Failure> {
    let request = LinkRequest { link: args.link.clone() };
    let answer = args
        .operator
        .connect()?
        .call(Nature::Reads, |mut client| {
            let request = request.clone();
            async move { client.ready(request).await }
        })
        .await?;
    let status: ReadyStatus = super::document(&answer.document)?;
    match args.output {
        Output::Json => println!("{}", answer.document),
        Output::Table => print!("{}", ready::words(&status)),
    }
    Ok(if status.is_ready { Exit::Ok } else { Exit::NotReady })
}
