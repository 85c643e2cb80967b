//! `apply`: a spec becomes what is wanted. Bound to the revision that it was compared with: if another one is there by
//! then, it is compared anew, or refused where the caller named a revision. Done once for each request, across leaders too:
//! who asks again after an answer was lost, naming the revision it had planned for, hears of what was done.

use std::sync::Arc;

use lockstep_core::state::{Command, Outcome, Refusal, State};
use lockstep_core::status::PlanStatus;
use lockstep_proto::admin::{ApplyAnswer, ApplyRequest};

use super::failure::json;
use super::weigh::{Weighed, weigh};
use super::{Admin, Caller, Failure};
use crate::access::Act;
use crate::agreement::NotDone;

const CALL: &str = "apply_spec";
/// Others that were first while this one was compared.
const ROUNDS_MAX: u32 = 5;

impl Admin {
    /// # Errors
    /// [`Failure`]; what is wrong with the spec stands in the answer, and nothing was done.
    pub async fn apply(
        self: &Arc<Self>,
        caller: &Caller,
        asked: ApplyRequest,
    ) -> Result<ApplyAnswer, Failure> {
        self.allow(caller, CALL, Act::ChangeSystem).await?;
        let (admin, caller, request) = (Arc::clone(self), caller.clone(), asked.clone());
        let holder = caller.holder.clone();
        self.once.run(&holder, &asked, async move { admin.apply_now(&caller, request).await }).await
    }

    async fn apply_now(&self, caller: &Caller, asked: ApplyRequest) -> Result<ApplyAnswer, Failure> {
        for _ in 0..ROUNDS_MAX {
            let state = self.read().await?;
            let weighed = match weigh(&state, &self.position(), &asked.files).await? {
                Ok(weighed) => weighed,
                Err(faults) => return Ok(self.faulty(caller, &asked, &state, faults).await),
            };
            if was_done(&state, asked.expected_revision, &weighed) {
                let summary = "done by an earlier call, whose answer was lost".to_owned();
                return answer(state.revision(), summary, weighed, true);
            }
            let summary = weighed.diff.summary();
            let command = Command::ApplySpec {
                text: weighed.text.clone(),
                spec: weighed.spec.clone(),
                expected_revision: Some(asked.expected_revision.unwrap_or(state.revision())),
            };
            let applied = self.agreement.propose(caller.actor(), asked.reason.clone(), command).await?;
            match applied.outcome {
                Ok(Outcome::Revision(revision)) => return answer(revision, summary, weighed, true),
                Ok(_) => return answer(state.revision(), summary, weighed, false),
                Err(Refusal::Stale { .. }) if asked.expected_revision.is_none() => {}
                Err(stale @ Refusal::Stale { .. }) => return Err(Failure::Stale(stale.to_string())),
                Err(refusal) => return Err(Failure::Rule(refusal.to_string())),
            }
        }
        Err(NotDone::Busy.into())
    }

    async fn faulty(
        &self,
        caller: &Caller,
        asked: &ApplyRequest,
        state: &State,
        faults: Vec<String>,
    ) -> ApplyAnswer {
        let first = faults.first().map_or("", String::as_str);
        let why = match faults.len() {
            1 => first.to_owned(),
            all => format!("{all} faults, the first: {first}"),
        };
        self.tell_refused(caller, CALL, "", asked.reason.clone(), &why).await;
        ApplyAnswer { revision: state.revision(), faults, ..ApplyAnswer::default() }
    }
}

/// Whether the revision that follows the expected one is this very spec: the answer to it was lost.
fn was_done(state: &State, expected: Option<u64>, weighed: &Weighed) -> bool {
    expected.and_then(|expected| expected.checked_add(1)) == Some(state.revision())
        && state.text() == weighed.text
        && *state.spec() == weighed.spec
}

fn answer(revision: u64, summary: String, weighed: Weighed, is_change: bool) -> Result<ApplyAnswer, Failure> {
    let document = json(&PlanStatus { summary, diff: weighed.diff, ..PlanStatus::default() })?;
    Ok(ApplyAnswer { revision, document, faults: Vec::new(), warnings: weighed.warnings, is_change })
}
