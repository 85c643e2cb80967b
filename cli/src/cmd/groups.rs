//! `lockstep groups`: where consumer groups stand on both clusters, and where they would resume on the standby.
//! Asks both clusters once and changes nothing. Exit 0: every copied group is in step; 4: some are not; 1: an error.

use std::sync::Arc;

use lockstep_agent::pipeline::groups::report::GroupState;
use lockstep_agent::pipeline::groups::survey::{Asked, survey};
use lockstep_core::spec::select::{GroupSelection, Patterns};
use lockstep_kafka::{Cluster, Error, Settings, Tcp};

use super::between::{Between, Checked};
use super::fail;
use super::failure::Failure;
use super::grouping::Grouping;
use crate::exit::Exit;
use crate::show::Output;
use crate::show::groups;

/// Show where consumer groups stand on both clusters, and where they would resume on the standby.
///
/// For each group of the source: how far it is there, what stands on the standby, how many records it would find
/// unread, how many it would read again (0 in lockstep), and why it is skipped. Asks both clusters once; no mirror has to
/// run. Exit code 0: every group is in step or skipped; 4: some are behind; 1: could not tell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
lockstep groups --from a:9092 --to b:9092 --topics 'claims\\..*' --groups 'claims-.*' -o json | jq '.groups[]'")]
pub(crate) struct Args {
    #[command(flatten)]
    between: Between,
    #[command(flatten)]
    grouping: Grouping,
    /// How results are written
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) async fn run(args: Args) -> Exit {
    let checked = args.between.check().and_then(|c| Ok((c, args.grouping.check()?)));
    let (checked, selection) = match checked {
        Ok(checked) => checked,
        Err(error) => return fail(error),
    };
    let groups = match selection.map_or_else(all, Ok) {
        Ok(groups) => groups,
        Err(error) => return fail(error),
    };
    let Checked { source, dest, selection, rename } = checked;
    let asked = Asked { topics: selection, groups, rename };
    let ask = async {
        let (source, dest) = (connect("source", source).await?, connect("destination", dest).await?);
        survey(&source, &dest, &asked).await.map_err(|error| Failure::with(error.page(), &error))
    };
    let groups = match ask.await {
        Ok(groups) => groups,
        Err(failure) => return fail(failure),
    };
    groups::show(&groups, args.output);
    if groups.iter().any(|group| group.state == GroupState::Behind) { Exit::NotReady } else { Exit::Ok }
}

fn all() -> Result<GroupSelection, String> {
    let include = Patterns::new([".*"]).map_err(|bad| bad.to_string())?;
    Ok(GroupSelection { include, exclude: Patterns::default() })
}

async fn connect(side: &str, settings: Settings) -> Result<Cluster, Failure> {
    let words = |error: Error| Failure::with(error.page(), format!("cannot use the {side} cluster: {error}"));
    Cluster::connect(Arc::new(Tcp::default()), settings).await.map_err(words)
}
