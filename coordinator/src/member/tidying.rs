//! A link that was removed leaves entries in the passports of its clusters: the leader asks an agent to delete them, once
//! nobody can be at the link any more, and then agrees that it is done. Again and again, with pauses: a cluster may be away.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_core::state::{Command, Removed, State};
use lockstep_core::status::{TidyAnswer, TidyQuestion};
use lockstep_proto::agent::AskKind;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::dispatch::{AskFault, Desk, Question};

/// After an attempt that failed.
const PAUSE: Duration = Duration::from_secs(10);
/// For both clusters; agents have less.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a leader remembers of it.
#[derive(Default)]
pub(super) struct Tidying {
    /// One link at a time.
    asking: Option<(String, JoinHandle<Result<TidyAnswer, AskFault>>)>,
    /// Links that were tried, by how often and when last.
    tried: BTreeMap<String, (usize, Instant)>,
}

impl Tidying {
    /// What is done is to be agreed on; then the next link's turn comes.
    pub(super) async fn step(&mut self, state: &State, desk: &Desk) -> Option<Command> {
        self.tried.retain(|link, _| state.removed().contains_key(link));
        desk.with_untidy(|untidy| untidy.retain(|link, _| state.removed().contains_key(link)));
        let done = match self.asking.take() {
            Some((link, asking)) if !asking.is_finished() => {
                self.asking = Some((link, asking));
                return None;
            }
            Some((link, asking)) => self.answered(link, asking.await, desk),
            None => None,
        };
        if done.is_none() {
            self.asking = self.next(state, desk);
        }
        done
    }

    fn answered(
        &mut self,
        link: String,
        answer: Result<Result<TidyAnswer, AskFault>, tokio::task::JoinError>,
        desk: &Desk,
    ) -> Option<Command> {
        let why = match answer {
            Ok(Ok(TidyAnswer { deleted })) => {
                tracing::info!(link, ?deleted, "a removed link is tidied up");
                return Some(Command::Tidied { link });
            }
            Ok(Err(fault)) => fault.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(link, "a removed link is not tidied up yet: {why}");
        desk.with_untidy(|untidy| untidy.insert(link, why));
        None
    }

    fn next(
        &mut self,
        state: &State,
        desk: &Desk,
    ) -> Option<(String, JoinHandle<Result<TidyAnswer, AskFault>>)> {
        let is_due = |link: &String| self.tried.get(link).is_none_or(|(_, at)| at.elapsed() >= PAUSE);
        // Whoever was at it has let go, or cannot be any more.
        let is_free = |link: &String| state.work(link).is_none();
        let (link, removed) = state.removed().iter().find(|(link, _)| is_free(link) && is_due(link))?;
        let tries = self.tried.get(link).map_or(0, |(tries, _)| *tries);
        self.tried.insert(link.clone(), (tries + 1, Instant::now()));
        let heard = desk.seats.heard();
        let able = able(state, removed);
        let here: Vec<_> = able.into_iter().filter(|agent| heard.contains_key(*agent)).collect();
        if here.is_empty() {
            let why = "no agent of its clusters' sites is here".to_owned();
            desk.with_untidy(|untidy| untidy.insert(link.clone(), why));
            return None;
        }
        let agent = here[tries % here.len()].to_owned();
        let question = TidyQuestion { link: link.clone(), clusters: removed.clusters.clone() };
        // Names, numbers and texts: this is always possible.
        let argument = serde_json::to_string(&question).ok()?;
        let (seats, link) = (desk.seats.clone(), link.clone());
        let question = Question { kind: AskKind::TidyLink, argument, patience: PATIENCE };
        Some((
            link,
            tokio::spawn(async move {
                let document = seats.ask(&agent, question).await?;
                let odd = |error: serde_json::Error| AskFault::Refused { agent, words: error.to_string() };
                serde_json::from_str(&document).map_err(odd)
            }),
        ))
    }
}

/// Agents of the sites of its clusters: they know how both are reached.
fn able<'a>(state: &'a State, removed: &Removed) -> Vec<&'a str> {
    let is_near = |site: &str| removed.clusters.values().any(|cluster| cluster.site == site);
    let near = state.agents().iter().filter(|(_, agent)| is_near(&agent.site));
    near.map(|(name, _)| name.as_str()).collect()
}
