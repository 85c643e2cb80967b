//! `plan` and `spec show`: what an apply would change, nothing is; and what is in force.

use lockstep_core::status::PlanStatus;
use lockstep_proto::admin::{PlanAnswer, PlanRequest, ShowSpecAnswer};

use super::failure::json;
use super::weigh::weigh;
use super::{Admin, Caller, Failure};
use crate::access::Act;

impl Admin {
    /// # Errors
    /// [`Failure`]; what is wrong with the spec stands in the answer.
    pub async fn plan(&self, caller: &Caller, asked: PlanRequest) -> Result<PlanAnswer, Failure> {
        self.allow(caller, "plan", Act::SeeSystem).await?;
        let state = self.read().await?;
        let revision = state.revision();
        let weighed = match weigh(&state, &self.position(), &asked.files).await? {
            Ok(weighed) => weighed,
            Err(faults) => return Ok(PlanAnswer { revision, faults, ..PlanAnswer::default() }),
        };
        let agents = self.lines(&state, &weighed.spec, &weighed.diff).await;
        let is_change = !weighed.diff.is_empty();
        let document = PlanStatus { summary: weighed.diff.summary(), diff: weighed.diff, agents };
        let warnings = weighed.warnings;
        Ok(PlanAnswer { revision, document: json(&document)?, faults: Vec::new(), warnings, is_change })
    }

    /// # Errors
    /// [`Failure`].
    pub async fn show_spec(&self, caller: &Caller) -> Result<ShowSpecAnswer, Failure> {
        self.allow(caller, "show_spec", Act::SeeSystem).await?;
        let state = self.read().await?;
        Ok(ShowSpecAnswer { revision: state.revision(), text: state.text().to_owned() })
    }
}
