//! `lockstep status`: how links stand, from the coordinators, or with `--local` from the agent of this machine over HTTP.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{SystemTime, UNIX_EPOCH};

use lockstep_agent::status::AgentStatus;
use lockstep_core::status::{DetailStatus, HistoryStatus, SystemHistory, SystemStatus};
use lockstep_proto::admin::{LinkRequest, StatusRequest};

use super::ask::ask;
use super::fail;
use super::failure::Failure;
use super::watch::Watch;
use crate::exit::Exit;
use crate::operator::{Coordinators, Nature, Operator};
use crate::show::Output;
use crate::show::history::words;
use crate::show::status::{Arrow, as_it_is, render};
use crate::show::system;

/// Show how links stand: posture, exposure with the age of that knowledge, and why.
///
/// The coordinators know all links of the system, and how clusters look from every site. With --local the agent of this
/// machine is asked, which knows its own links, also while no coordinator answers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep status\n  \
lockstep status claims -o wide --watch\n  \
lockstep status claims --history\n  \
lockstep status --local\n  \
lockstep status -o json | jq '.links[] | select(.posture != \"WITHIN_RPO\")'")]
pub(crate) struct Args {
    /// Only this link
    link: Option<String>,
    #[command(flatten)]
    operator: Operator,
    /// Ask an agent, not the coordinators
    #[arg(long, conflicts_with = "operator")]
    local: bool,
    /// Where the agent listens: `listen` in its file
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9464")]
    agent: String,
    /// How the status is written
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    /// The last 24 hours of a link instead, as its agents have seen it
    #[arg(long, requires = "link")]
    history: bool,
    #[command(flatten)]
    watch: Watch,
}

pub(crate) async fn run(args: Args) -> Exit {
    let coordinators = match args.local {
        true => None,
        false => match args.operator.connect() {
            Ok(coordinators) => Some(coordinators),
            Err(failure) => return fail(failure),
        },
    };
    args.watch.show(async || Ok((text(&args, coordinators.as_ref()).await?, Exit::Ok))).await
}

async fn text(args: &Args, coordinators: Option<&Coordinators>) -> Result<String, Failure> {
    let arrow = if std::io::stdout().is_terminal() { Arrow::Unicode } else { Arrow::Ascii };
    if let (true, Some(link)) = (args.history, &args.link) {
        return history(args, coordinators, link).await;
    }
    Ok(match coordinators {
        None => render(&of_agent(args).await?, args.output, arrow)?,
        Some(coordinators) => {
            let mut status = of_coordinators(coordinators, args.link.as_deref()).await?;
            if let (Some(link), Output::Wide) = (&args.link, args.output) {
                with_partitions(coordinators, link, &mut status).await?;
            }
            system::render(&status, args.output, arrow)?
        }
    })
}

/// The system as the coordinators' leader knows it; of one link, its topics too.
///
/// # Errors
/// [`Failure`]: nobody answers, or there is no such link.
pub(super) async fn of_coordinators(
    coordinators: &Coordinators,
    link: Option<&str>,
) -> Result<SystemStatus, Failure> {
    let request = StatusRequest { link: link.unwrap_or_default().to_owned() };
    let answer = coordinators
        .call(Nature::Reads, |mut client| {
            let request = request.clone();
            async move { client.status(request).await }
        })
        .await?;
    Ok(super::document(&answer.document)?)
}

/// What only agents know of a link: its partitions. Where none answers, topics have to do.
async fn with_partitions(
    coordinators: &Coordinators,
    link: &str,
    status: &mut SystemStatus,
) -> Result<(), Failure> {
    let detail = detail_of(coordinators, link).await?;
    for (agent, why) in &detail.missing {
        eprintln!("warning: agent {agent} has not told its partitions: {why}");
    }
    if let Some(found) = detail.link {
        for known in status.links.iter_mut().filter(|known| known.link == link) {
            // Posture and reasons are the leader's: it sees every agent.
            known.topics.clone_from(&found.topics);
        }
    }
    Ok(())
}

/// # Errors
/// [`Failure`]: nobody answers, or there is no such link.
pub(super) async fn detail_of(coordinators: &Coordinators, link: &str) -> Result<DetailStatus, Failure> {
    let request = LinkRequest { link: link.to_owned() };
    let answer = coordinators
        .call(Nature::AsksAgents, |mut client| {
            let request = request.clone();
            async move { client.link_detail(request).await }
        })
        .await?;
    Ok(super::document(&answer.document)?)
}

/// A day of a link.
async fn history(args: &Args, coordinators: Option<&Coordinators>, link: &str) -> Result<String, Failure> {
    let told: SystemHistory = match coordinators {
        None => {
            let body = ask(&args.agent, &format!("/history/{link}")).await?;
            let unknown =
                |error| format!("what listens at {} is no agent of this version: {error}", args.agent);
            let history: HistoryStatus = serde_json::from_str(&body).map_err(unknown)?;
            SystemHistory { history, missing: BTreeMap::new() }
        }
        Some(coordinators) => {
            let request = LinkRequest { link: link.to_owned() };
            let answer = coordinators
                .call(Nature::AsksAgents, |mut client| {
                    let request = request.clone();
                    async move { client.history(request).await }
                })
                .await?;
            super::document(&answer.document)?
        }
    };
    for (agent, why) in &told.missing {
        eprintln!("warning: agent {agent} has not told what it saw: {why}");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    Ok(match args.output {
        Output::Json | Output::Yaml => as_it_is(&told, args.output)?,
        Output::Table | Output::Wide => words(&told.history, now),
    })
}

async fn of_agent(args: &Args) -> Result<AgentStatus, String> {
    let body = ask(&args.agent, "/status").await?;
    let mut status: AgentStatus = serde_json::from_str(&body)
        .map_err(|error| format!("what listens at {} is no agent of this version: {error}", args.agent))?;
    if let Some(link) = &args.link {
        status.links.retain(|known| known.link == *link);
        if status.links.is_empty() {
            return Err(format!("the agent at {} has no link {link:?}", args.agent));
        }
    }
    Ok(status)
}
