//! `forget`: the operator's word that an agent is gone for good. What it held without a lease (it was alone on a link, so
//! nobody could know otherwise) may be taken by others from then on. Refused while the agent has a session: it is not gone.

use lockstep_core::state::{Command, Refusal};
use lockstep_proto::admin::{ForgetAgentAnswer, ForgetAgentRequest};

use super::{Admin, Caller, Failure};
use crate::access::Act;

const CALL: &str = "forget_agent";

impl Admin {
    /// # Errors
    /// [`Failure`]; nobody of that name is registered, or it is here.
    pub async fn forget_agent(
        &self,
        caller: &Caller,
        asked: ForgetAgentRequest,
    ) -> Result<ForgetAgentAnswer, Failure> {
        self.allow(caller, CALL, Act::ChangeSystem).await?;
        let ForgetAgentRequest { agent, reason } = asked;
        self.read().await?;
        if self.desk.seats.heard().contains_key(&agent) {
            let why = format!("agent {agent:?} has a session: stop it first, it would go on writing");
            self.tell_refused(caller, CALL, &agent, reason, &why).await;
            return Err(Failure::Rule(why));
        }
        let command = Command::ForgetAgent { agent: agent.clone() };
        let applied = self.agreement.propose(caller.actor(), reason, command).await?;
        match applied.outcome {
            Ok(_) => {
                self.desk.with_intake(|intake| intake.forget(&agent));
                Ok(ForgetAgentAnswer {})
            }
            Err(refusal @ Refusal::Unknown { .. }) => Err(Failure::NotFound(refusal.to_string())),
            Err(refusal) => Err(Failure::Rule(refusal.to_string())),
        }
    }
}
