//! `lockstep ready LINK`: every check that a change of sides would make beforehand. Changes nothing.

use lockstep_core::status::ReadyStatus;
use lockstep_proto::admin::LinkRequest;

use super::fail;
use super::failure::Failure;
use super::watch::Watch;
use crate::exit::Exit;
use crate::operator::{Coordinators, Nature, Operator};
use crate::show::{Output, ready};

/// Show whether a link is ready for a change of sides: every check, what it found, and what would help.
///
/// A check that could not be made is not passed. Exit code 0: ready, perhaps with warnings; 4: not ready; 1: could not ask.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep ready claims\n  \
lockstep ready claims --watch\n  \
lockstep ready claims -o json | jq '.checks[] | select(.finding != \"passed\")'")]
pub(crate) struct Args {
    /// The link
    link: String,
    #[command(flatten)]
    operator: Operator,
    /// How the checks are written
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    watch: Watch,
}

pub(crate) async fn run(args: Args) -> Exit {
    match args.operator.connect() {
        Ok(coordinators) => args.watch.show(async || ask(&args, &coordinators).await).await,
        Err(failure) => fail(failure),
    }
}

async fn ask(args: &Args, coordinators: &Coordinators) -> Result<(String, Exit), Failure> {
    let request = LinkRequest { link: args.link.clone() };
    let answer = coordinators
        .call(Nature::AsksAgents, |mut client| {
            let request = request.clone();
            async move { client.ready(request).await }
        })
        .await?;
    let status: ReadyStatus = super::document(&answer.document)?;
    let text = match args.output {
        Output::Table | Output::Wide => ready::words(&status),
        // As it was told: a newer coordinator may know more.
        Output::Json | Output::Yaml => args.output.document(&super::document(&answer.document)?),
    };
    Ok((text, if status.is_ready { Exit::Ok } else { Exit::NotReady }))
}
