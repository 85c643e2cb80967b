//! What only agents know, asked of them now: a link with all its partitions, its groups, its last day.
//! Promises: who has not answered is named; moments are by this coordinator's clock, by the difference to the agent's as
//! the answer shows it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lockstep_core::dr::lease::{WHOLE_LINK, owner};
use lockstep_core::status::{
    AgentStatus, DetailStatus, GroupsStatus, HistoryStatus, LinkStatus, SystemGroups, SystemHistory, merge,
    shifted,
};
use lockstep_proto::admin::{DocumentAnswer, LinkRequest};
use lockstep_proto::agent::AskKind;
use tokio::task::JoinSet;

use super::failure::json;
use super::{Admin, Caller, Failure};
use crate::access::Act;
use crate::dispatch::{AskFault, Question, Seats};

const PATIENCE: Duration = Duration::from_secs(10);

impl Admin {
    /// # Errors
    /// [`Failure`]; agents that do not answer are named in the document.
    pub async fn link_detail(&self, caller: &Caller, asked: LinkRequest) -> Result<DocumentAnswer, Failure> {
        let LinkRequest { link } = asked;
        self.allow(caller, "link_detail", Act::See { link: &link }).await?;
        let Told { parts, missing } = self.of_all(&link, part).await?;
        Ok(DocumentAnswer { document: json(&DetailStatus { link: merge(&parts), missing })? })
    }

    /// # Errors
    /// As [`Admin::link_detail`].
    pub async fn history(&self, caller: &Caller, asked: LinkRequest) -> Result<DocumentAnswer, Failure> {
        let LinkRequest { link } = asked;
        self.allow(caller, "history", Act::See { link: &link }).await?;
        let Told { parts, missing } = self.of_all(&link, past).await?;
        let history = HistoryStatus::merged(&link, parts);
        Ok(DocumentAnswer { document: json(&SystemHistory { history, missing })? })
    }

    /// What every agent that has a share of a link says, all asked at once.
    async fn of_all<T: Send + 'static, Saying>(
        &self,
        link: &str,
        says: fn(Seats, String, String) -> Saying,
    ) -> Result<Told<T>, Failure>
    where
        Saying: Future<Output = Result<T, AskFault>> + Send + 'static,
    {
        let state = self.read().await?;
        if !state.spec().links.contains_key(link) {
            return Err(Failure::NoLink(link.to_owned()));
        }
        let agents = state.work(link).map(|work| work.shares.keys().cloned().collect::<Vec<_>>());
        let mut asking = JoinSet::new();
        for agent in agents.unwrap_or_default() {
            let saying = says(self.desk.seats.clone(), agent.clone(), link.to_owned());
            asking.spawn(async move { (agent, saying.await) });
        }
        let (mut parts, mut missing) = (BTreeMap::new(), BTreeMap::new());
        while let Some(answered) = asking.join_next().await {
            match answered {
                Ok((agent, Ok(part))) => drop(parts.insert(agent, part)),
                Ok((agent, Err(fault))) => drop(missing.insert(agent, fault.to_string())),
                Err(error) => return Err(Failure::Unwritable(error.to_string())),
            }
        }
        Ok(Told { parts: parts.into_values().collect(), missing })
    }

    /// # Errors
    /// [`Failure`]; also when nobody has a share of the link, or the one that copies its groups does not answer.
    pub async fn groups(&self, caller: &Caller, asked: LinkRequest) -> Result<DocumentAnswer, Failure> {
        let LinkRequest { link } = asked;
        self.allow(caller, "groups", Act::See { link: &link }).await?;
        let state = self.read().await?;
        if !state.spec().links.contains_key(&link) {
            return Err(Failure::NoLink(link));
        }
        let (topic, partition) = WHOLE_LINK;
        let caretaker = state.work(&link).and_then(|work| owner(&work.shares, &link, topic, partition));
        let Some(agent) = caretaker else {
            let why = format!(
                "no agent works on link {link:?}, so nobody knows its groups: start one at its standby"
            );
            return Err(Failure::Rule(why));
        };
        let groups: GroupsStatus = ask(&self.desk.seats, agent, AskKind::Groups, &link).await?;
        let document = json(&SystemGroups { agent: agent.to_owned(), groups, link })?;
        Ok(DocumentAnswer { document })
    }
}

/// What agents said, by their names, and who has not answered.
struct Told<T> {
    parts: Vec<T>,
    missing: BTreeMap<String, String>,
}

async fn past(seats: Seats, agent: String, link: String) -> Result<HistoryStatus, AskFault> {
    ask(&seats, &agent, AskKind::History, &link).await
}

/// One agent's part of a link.
async fn part(seats: Seats, agent: String, link: String) -> Result<LinkStatus, AskFault> {
    let told: AgentStatus = ask(&seats, &agent, AskKind::LinkDetail, &link).await?;
    let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let found = told.links.into_iter().find(|part| part.link == link);
    let part = found.ok_or_else(|| refused(&agent, "it does not work on this link"))?;
    Ok(shifted(part, here - told.as_of_timestamp_seconds))
}

async fn ask<T: serde::de::DeserializeOwned>(
    seats: &Seats,
    agent: &str,
    kind: AskKind,
    link: &str,
) -> Result<T, AskFault> {
    let question = Question { kind, argument: link.to_owned(), patience: PATIENCE };
    let document = seats.ask(agent, question).await?;
    let odd = |error: serde_json::Error| {
        refused(agent, &format!("it has answered what this version does not understand: {error}"))
    };
    serde_json::from_str(&document).map_err(odd)
}

fn refused(agent: &str, words: &str) -> AskFault {
    AskFault::Refused { agent: agent.to_owned(), words: words.to_owned() }
}
