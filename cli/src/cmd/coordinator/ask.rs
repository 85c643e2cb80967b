//! What is asked of coordinators that run: who they are, one less, an agent less, a snapshot, the next level.

use lockstep_proto::admin::change_members_request::Change;
use lockstep_proto::admin::{ChangeMembersRequest, FinalizeRequest, ForgetAgentRequest, SnapshotRequest};

use super::super::failure::Failure;
use crate::operator::{Nature, Operator};
use crate::show::{Output, members};

/// Show who the coordinators are, and which of them leads.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep coordinator members\n  \
lockstep coordinator members -o json | jq '.members[] | select(.is_leader)'")]
pub(crate) struct MembersArgs {
    #[command(flatten)]
    operator: Operator,
    /// How they are written
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Take a coordinator out, for good: it has no say from then on, and its data folder is worth nothing.
///
/// To replace one, join the new one first. A majority of those that are left has to run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep coordinator remove praha-2 --reason 'machine retired, ticket 4711'")]
pub(crate) struct RemoveArgs {
    /// Its name, as `members` shows it
    name: String,
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    operator: Operator,
}

/// Say that an agent is gone for good: nobody waits for it any more, and others take its work over at once.
///
/// Agents of a site take over from each other without it. It is for an agent that was alone on a link: without coordinators it
/// would go on writing, so that nobody may take what it holds on the strength of its silence. Make sure that it is stopped and
/// stays so; one that has a session is not forgotten.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep coordinator forget-agent praha-1 --reason 'machine lost, ticket 4711'")]
pub(crate) struct ForgetAgentArgs {
    /// Its name, as `lockstep status -o wide` shows it
    name: String,
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    operator: Operator,
}

/// Have the coordinator that answers write a snapshot now, for a backup: its path is printed.
#[derive(Debug, clap::Args)]
pub(crate) struct SnapshotArgs {
    #[command(flatten)]
    operator: Operator,
}

/// Allow what only the present version understands, once every coordinator runs it.
///
/// Until then every coordinator can go back to the version before; afterwards none can.
#[derive(Debug, clap::Args)]
pub(crate) struct FinalizeArgs {
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    operator: Operator,
}

pub(super) async fn members(args: &MembersArgs) -> Result<(), Failure> {
    let answer = args.operator.connect()?.members().await?;
    match args.output {
        Output::Table | Output::Wide => print!("{}", members::words(&answer)),
        output => print!("{}", output.document(&members::json(&answer))),
    }
    Ok(())
}

pub(super) async fn remove(args: &RemoveArgs) -> Result<(), Failure> {
    let change = Some(Change::Remove(args.name.clone()));
    let request = ChangeMembersRequest { change, reason: args.reason.clone() };
    let answer = args
        .operator
        .connect()?
        .call(Nature::Changes, |mut client| {
            let request = request.clone();
            async move { client.change_members(request).await }
        })
        .await?;
    let names: Vec<_> = answer.members.iter().map(|member| member.name.as_str()).collect();
    println!("{} is out; left: {}", args.name, names.join(", "));
    Ok(())
}

pub(super) async fn forget_agent(args: &ForgetAgentArgs) -> Result<(), Failure> {
    let request = ForgetAgentRequest { agent: args.name.clone(), reason: args.reason.clone() };
    let coordinators = args.operator.connect()?;
    coordinators
        .call(Nature::Changes, |mut client| {
            let request = request.clone();
            async move { client.forget_agent(request).await }
        })
        .await?;
    println!("{} is forgotten; what it held is given to others", args.name);
    Ok(())
}

pub(super) async fn snapshot(args: &SnapshotArgs) -> Result<(), Failure> {
    let coordinators = args.operator.connect()?;
    let (address, answer) = coordinators
        .call_one(Nature::Changes, |mut client| async move { client.snapshot(SnapshotRequest {}).await })
        .await?;
    println!("snapshot at index {}, on the machine of {address}: {}", answer.index, answer.path);
    Ok(())
}

pub(super) async fn finalize(args: &FinalizeArgs) -> Result<(), Failure> {
    let request = FinalizeRequest { reason: args.reason.clone() };
    let answer = args
        .operator
        .connect()?
        .call(Nature::Changes, |mut client| {
            let request = request.clone();
            async move { client.finalize(request).await }
        })
        .await?;
    println!("level {} is final", answer.level);
    Ok(())
}
