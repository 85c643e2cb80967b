//! How long the leader counts with an agent that it does not hear: from its last answer, a whole lease and the margin.
//! Promises: a new leader, which cannot know what the one before answered, waits a whole lease and margin from its start;
//! an agent that was alone on a link is waited for until it lets go.

use std::collections::BTreeMap;

use super::{AgentName, Former, Left, Moment, Terms};
use crate::state::Work;

/// The leader's memory of what it granted; a new leader begins with an empty one.
#[derive(Clone, Debug)]
pub struct Grantor {
    terms: Terms,
    started: Moment,
    answered: BTreeMap<AgentName, Moment>,
    /// When everybody was told that an epoch of a link is over: no beat after that makes its leases longer.
    pub(super) superseded: BTreeMap<String, BTreeMap<u64, Moment>>,
}

impl Grantor {
    /// `now`: when this leader took over, or later. `works`: as the state has them then; whatever of them is over may
    /// have been granted by the leader before until this moment.
    #[must_use]
    pub fn new<'a>(
        terms: Terms,
        now: Moment,
        works: impl IntoIterator<Item = (&'a String, &'a Work)>,
    ) -> Self {
        let epochs = |work: &Work| work.earlier.keys().map(|epoch| (*epoch, now)).collect();
        let superseded = works.into_iter().map(|(link, work)| (link.clone(), epochs(work))).collect();
        Self { terms, started: now, answered: BTreeMap::new(), superseded }
    }

    /// A heartbeat is answered now.
    pub fn answered(&mut self, agent: &str, now: Moment) {
        self.answered.insert(agent.to_owned(), now);
    }

    /// The shares of `epoch` are over from now on: the new ones go on every stream before any further beat. To be said
    /// before the assignments are made; an epoch of which it is not said is counted with for ever.
    pub fn superseded(&mut self, link: &str, epoch: u64, now: Moment) {
        self.superseded.entry(link.to_owned()).or_default().entry(epoch).or_insert(now);
    }

    /// Whether an agent's lease is certainly over.
    #[must_use]
    pub fn is_silent(&self, agent: &str, now: Moment) -> bool {
        let last = self.answered.get(agent).copied().unwrap_or(self.started);
        last.after_ms(self.terms.certain_ms()).left_ms(now) == 0
    }

    /// Who may still hold what of a link, for an assignment to `to`.
    #[must_use]
    pub fn formers(&self, link: &str, work: &Work, to: &str, now: Moment) -> Vec<Former> {
        let mut formers = Vec::new();
        for (epoch, earlier) in &work.earlier {
            for agent in earlier.waits.iter().filter(|agent| *agent != to) {
                formers.push(Former {
                    agent: agent.clone(),
                    epoch: *epoch,
                    shares: earlier.shares.clone(),
                    left: self.left(link, *epoch, earlier.shares.len(), now),
                });
            }
        }
        formers
    }

    fn left(&self, link: &str, epoch: u64, agents: usize, now: Moment) -> Left {
        if agents < 2 {
            return Left::UntilCleared;
        }
        let told = self.superseded.get(link).and_then(|epochs| epochs.get(&epoch));
        Left::Ms(told.unwrap_or(&now).after_ms(self.terms.certain_ms()).left_ms(now))
    }

    /// Agents that certainly hold nothing of a link any more from before the epoch beside each: entries to be proposed
    /// ([`Command::Cleared`](crate::state::Command::Cleared)).
    #[must_use]
    pub fn outlived(&self, link: &str, work: &Work, now: Moment) -> Vec<(AgentName, u64)> {
        let mut found = BTreeMap::<&AgentName, Option<u64>>::new();
        for (epoch, earlier) in &work.earlier {
            let is_over = self.left(link, *epoch, earlier.shares.len(), now) == Left::Ms(0);
            for agent in &earlier.waits {
                // Clearing an epoch clears those before it: one that is not over holds all later ones back.
                match found.get(agent) {
                    Some(None) => {}
                    _ if is_over => drop(found.insert(agent, Some(epoch + 1))),
                    Some(Some(_)) => {}
                    None => drop(found.insert(agent, None)),
                }
            }
        }
        found.into_iter().filter_map(|(agent, epoch)| Some((agent.clone(), epoch?))).collect()
    }

    /// Forgets what no link waits for any more.
    pub fn tidy<'a>(&mut self, works: impl IntoIterator<Item = (&'a String, &'a Work)>) {
        let works: BTreeMap<_, _> = works.into_iter().collect();
        self.superseded.retain(|link, epochs| {
            epochs.retain(|epoch, _| works.get(link).is_some_and(|work| work.earlier.contains_key(epoch)));
            !epochs.is_empty()
        });
    }
}
