//! `lockstep groups`: where consumer groups stand on both clusters, and where they would resume on the standby.
//! Asks the coordinators, the agent that carries the link, or both clusters once, and changes nothing.
//! Exit 0: every copied group is in step; 4: some are not; 1: an error.

use std::sync::Arc;

use lockstep_agent::pipeline::groups::survey::{Asked, survey};
use lockstep_agent::status::{GroupsStatus, groups_status};
use lockstep_core::spec::select::{GroupSelection, Patterns};
use lockstep_core::status::SystemGroups;
use lockstep_kafka::{Cluster, Error, Settings, Tcp};
use lockstep_proto::admin::LinkRequest;

use super::ask::ask;
use super::between::{Between, Checked};
use super::failure::Failure;
use super::grouping::Grouping;
use super::watch::Watch;
use crate::exit::Exit;
use crate::operator::{Nature, Operator};
use crate::show::Output;
use crate::show::groups;

/// Show where consumer groups stand on both clusters, and where they would resume on the standby.
///
/// For each group of the source: how far it is there, what stands on the standby, how many records it would find
/// unread, how many it would read again (0 in lockstep), and why it is skipped. Of a link it asks the
/// coordinators, who ask the agent that carries it; with --local it asks that agent itself; of two clusters it asks both
/// once, and no mirror has to run. Exit code 0: every group is in step or skipped; 4: some
/// are behind; 1: could not tell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep groups claims\n  \
lockstep groups claims --local --watch\n  \
lockstep groups --from a:9092 --to b:9092 --topics 'claims\\..*' --groups 'claims-.*' -o json | jq '.groups[]'", mut_args(|arg| arg.required(false)))]
pub(crate) struct Args {
    /// A link of the coordinators' spec, or of the agent with --local
    #[arg(conflicts_with = "Between")]
    link: Option<String>,
    #[command(flatten)]
    operator: Operator,
    #[command(flatten)]
    between: Option<Between>,
    #[command(flatten)]
    grouping: Grouping,
    /// Ask an agent how the groups of its link stand
    #[arg(long, requires = "link", conflicts_with_all = ["Between", "groups", "operator"])]
    local: bool,
    /// Where the agent listens: `listen` in its file
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9464")]
    agent: String,
    /// How results are written
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    watch: Watch,
}

pub(crate) async fn run(args: Args) -> Exit {
    args.watch.show(async || look(&args).await).await
}

async fn look(args: &Args) -> Result<(String, Exit), Failure> {
    let found = match (&args.link, &args.between) {
        (Some(link), _) if args.local => of_agent(&args.agent, link).await,
        (Some(link), _) => of_coordinators(&args.operator, link).await,
        (None, Some(between)) => of_clusters(between, &args.grouping).await,
        (None, None) => Err("name a link, or two clusters (--from, --to, --topics)".into()),
    };
    let groups = found?;
    let exit = if groups.is_any_behind() { Exit::NotReady } else { Exit::Ok };
    Ok((groups::text(&groups, args.output)?, exit))
}

async fn of_coordinators(operator: &Operator, link: &str) -> Result<GroupsStatus, Failure> {
    let request = LinkRequest { link: link.to_owned() };
    let answer = operator
        .connect()?
        .call(Nature::AsksAgents, |mut client| {
            let request = request.clone();
            async move { client.groups(request).await }
        })
        .await?;
    let found: SystemGroups = super::document(&answer.document)?;
    Ok(found.groups)
}

async fn of_agent(agent: &str, link: &str) -> Result<GroupsStatus, Failure> {
    let body = ask(agent, &format!("/groups/{link}")).await?;
    let unknown = |error| format!("what listens at {agent} is no agent of this version: {error}");
    Ok(serde_json::from_str(&body).map_err(unknown)?)
}

async fn of_clusters(between: &Between, grouping: &Grouping) -> Result<GroupsStatus, Failure> {
    let Checked { source, dest, selection, rename } = between.check()?;
    let groups = grouping.check()?.map_or_else(all, Ok)?;
    let asked = Asked { topics: selection, groups, rename };
    let (source, dest) = (connect("source", source).await?, connect("destination", dest).await?);
    let found = survey(&source, &dest, &asked).await.map_err(|error| Failure::with(error.page(), &error))?;
    Ok(groups_status(&found))
}

fn all() -> Result<GroupSelection, String> {
    let include = Patterns::new([".*"]).map_err(|bad| bad.to_string())?;
    Ok(GroupSelection { include, exclude: Patterns::default() })
}

async fn connect(side: &str, settings: Settings) -> Result<Cluster, Failure> {
    let words = |error: Error| Failure::with(error.page(), format!("cannot use the {side} cluster: {error}"));
    Cluster::connect(Arc::new(Tcp::default()), settings).await.map_err(words)
}
