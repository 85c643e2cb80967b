//! `finalize`: entries of this version's newest kinds may be proposed from now on. Only when every coordinator has said
//! just now that it knows them: one that does not would have to stop.

use lockstep_core::state::{Command, known};
use lockstep_proto::admin::{FinalizeAnswer, FinalizeRequest};

use super::{Admin, Caller, Failure};
use crate::access::Act;

const CALL: &str = "finalize";

impl Admin {
    /// # Errors
    /// [`Failure::Rule`] with the member that stands in the way.
    pub async fn finalize(&self, caller: &Caller, asked: FinalizeRequest) -> Result<FinalizeAnswer, Failure> {
        self.allow(caller, CALL, Act::ChangeSystem).await?;
        let state = self.read().await?;
        let level = known();
        if state.level() < level
            && let Err(why) = self.all_know(level).await
        {
            self.tell_refused(caller, CALL, "", asked.reason, &why).await;
            return Err(Failure::Rule(why));
        }
        // A lower one is in force on none of ours: levels only grow, and the state refuses to go back.
        let command = Command::Finalize { level };
        let applied = self.agreement.propose(caller.actor(), asked.reason, command).await?;
        match applied.outcome {
            Ok(_) => Ok(FinalizeAnswer { level }),
            Err(refusal) => Err(Failure::Rule(refusal.to_string())),
        }
    }

    /// # Errors
    /// Who does not, in words.
    pub(crate) async fn all_know(&self, level: u32) -> Result<(), String> {
        let position = self.position();
        let others: Vec<_> =
            position.seats.iter().filter(|seat| seat.member.id != position.id).cloned().collect();
        for (seat, answer) in self.peers.identify(others).await {
            let name = &seat.member.name;
            match answer {
                Ok(answer) if answer.level >= level => {}
                Ok(answer) => {
                    return Err(format!(
                        "{name} runs version {}, which knows entries up to level {}, and {level} is to be switched on: \
                         replace it by the new version first",
                        answer.version, answer.level
                    ));
                }
                Err(why) => {
                    return Err(format!(
                        "{name} at {} does not say what it knows ({why}): start it, or remove it first",
                        seat.member.address
                    ));
                }
            }
        }
        Ok(())
    }
}
