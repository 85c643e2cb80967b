//! `lockstep apply`: makes a spec what is wanted from now on. Bound to a revision, it is refused when somebody else was
//! quicker; it is done as a whole or not at all.

use std::path::PathBuf;

use lockstep_core::status::PlanStatus;
use lockstep_proto::admin::{ApplyAnswer, ApplyRequest};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::fail;
use super::failure::Failure;
use super::plan::{self, Saved};
use super::spec_files::SpecFiles;
use crate::exit::Exit;
use crate::operator::{Coordinators, Nature, Operator};
use crate::show::{Output, change, change::Change};

/// Apply a spec: from now on it is what is wanted.
///
/// The whole spec is replaced: what is no longer in it is removed (mirrored topics, their data and group offsets stay).
/// Which cluster of a link is primary is not its affair. With --expected-revision, or a saved plan, it is refused (exit 3)
/// when another spec was applied meanwhile. Who applied what, and why, is in the audit trail.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep apply -f dr.yaml --reason 'new link for claims, ticket 4711'\n  \
lockstep apply -f dr.yaml --expected-revision 41\n  \
lockstep apply --plan plan.json")]
pub(crate) struct Args {
    #[command(flatten)]
    files: SpecFiles,
    /// Apply a plan that `lockstep plan --out` has kept
    #[arg(long, value_name = "FILE", conflicts_with_all = ["paths", "expected_revision"])]
    plan: Option<PathBuf>,
    /// Refuse if another revision stands; `plan` and `spec show` say which one does
    #[arg(long, value_name = "N")]
    expected_revision: Option<u64>,
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    operator: Operator,
    /// How the outcome is written
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) async fn run(args: Args) -> Exit {
    match apply(&args).await {
        Ok(exit) => exit,
        Err(failure) => fail(failure),
    }
}

async fn apply(args: &Args) -> Result<Exit, Failure> {
    let (coordinators, request) = match &args.plan {
        Some(path) => {
            let saved = Saved::read(path)?;
            let coordinators = args.operator.connect()?;
            let request = of_plan(saved, &coordinators, args.reason.clone()).await?;
            (coordinators, request)
        }
        None if args.files.is_given() => {
            let request = ApplyRequest {
                files: args.files.read()?,
                expected_revision: args.expected_revision,
                reason: args.reason.clone(),
                request_id: request_id()?,
            };
            (args.operator.connect()?, request)
        }
        None => return Err("name the spec: -f FILE, a folder, - for standard input, or --plan FILE".into()),
    };
    let answer = coordinators
        .call(Nature::Changes, |mut client| {
            let request = request.clone();
            async move { client.apply(request).await }
        })
        .await?;
    show(args.output, &answer)
}

/// The plan of another system is nobody's here.
async fn of_plan(
    saved: Saved,
    coordinators: &Coordinators,
    reason: Option<String>,
) -> Result<ApplyRequest, Failure> {
    let here = coordinators.members().await?.cluster_id;
    if saved.cluster_id != here {
        let words = format!(
            "refused: the plan was made for the system {}, and this is {here}\n  remedy  name its coordinators with \
             --operator, or plan again",
            saved.cluster_id
        );
        return Err(Failure::ending(Exit::Refused, words));
    }
    Ok(ApplyRequest {
        files: saved.files.into_iter().map(Into::into).collect(),
        expected_revision: Some(saved.revision),
        reason,
        request_id: request_id()?,
    })
}

fn show(output: Output, answer: &ApplyAnswer) -> Result<Exit, Failure> {
    if !answer.faults.is_empty() {
        return plan::faults(output, answer.revision, &answer.faults, &answer.warnings);
    }
    let plan: PlanStatus = super::document(&answer.document)?;
    let shown = Change { revision: answer.revision, plan: &plan, warnings: &answer.warnings };
    match output {
        Output::Json | Output::Yaml => {
            print!("{}", output.document(&change::json(&shown, answer.is_change)?));
        }
        Output::Table | Output::Wide if answer.is_change => {
            let summary = plan.summary.split(". ").next().unwrap_or_default();
            println!("{}applied as revision {}: {summary}", change::words(&shown), answer.revision);
        }
        Output::Table | Output::Wide => {
            println!("{}no change: revision {} stays", change::words(&shown), answer.revision);
        }
    }
    Ok(Exit::Ok)
}

/// 128 bits that nobody else has, as hexadecimal.
fn request_id() -> Result<String, String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "this machine gives no random numbers".to_owned())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::{Fake, Trust};

    #[tokio::test]
    async fn a_plan_of_another_system_is_refused() {
        let trust = Trust::new();
        let fake = Fake::good().serve(&trust).await;
        let coordinators = trust.coordinators(&[&fake.address]);
        let saved = |cluster_id: &str| -> Saved {
            let text =
                format!(r#"{{"lockstep_plan":1,"cluster_id":"{cluster_id}","revision":41,"files":[]}}"#);
            serde_json::from_str(&text).unwrap()
        };
        let request = of_plan(saved("0b6f"), &coordinators, None).await.unwrap();
        assert_eq!(request.expected_revision, Some(41));
        let refused = of_plan(saved("ffff"), &coordinators, None).await.unwrap_err();
        assert_eq!(refused.exit(), Exit::Refused);
    }

    #[test]
    fn calls_have_ids_of_their_own() {
        let ids = [request_id().unwrap(), request_id().unwrap()];
        assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() == 32), "{ids:?}");
    }
}
