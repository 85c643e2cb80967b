//! What an agent may do: its lease, counted from when it asked, and what others may still hold of its new work.
//! Promises: a beat that nobody asked for, or that comes late, never makes a lease longer than it is.

use std::collections::BTreeMap;

use super::{AgentName, Former, Guard, Lease, Left, Moment, Shares, Standing, Terms, goes_on, owner};

/// Questions without an answer that are remembered: far more than fit into a lease.
const ASKED_MAX: usize = 64;

/// An agent's lease as the agent counts it.
#[derive(Clone, Debug)]
pub struct HeldLease {
    terms: Terms,
    number: u64,
    pub(super) asked: BTreeMap<u64, Moment>,
    until: Option<Moment>,
}

impl HeldLease {
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self { terms, number: 0, asked: BTreeMap::new(), until: None }
    }

    #[must_use]
    pub fn terms(&self) -> Terms {
        self.terms
    }

    /// A conversation with a coordinator has begun, with terms of its own. What an earlier one asked for is not answered in
    /// this one; a lease that runs goes on running.
    pub fn begin(&mut self, terms: Terms) {
        self.terms = terms;
        self.asked.clear();
    }

    /// The number of the heartbeat that is sent now.
    pub fn ask(&mut self, now: Moment) -> u64 {
        self.number += 1;
        self.asked.insert(self.number, now);
        while self.asked.len() > ASKED_MAX {
            self.asked.pop_first();
        }
        self.number
    }

    /// The heartbeat of this number was granted.
    pub fn granted(&mut self, number: u64) {
        let Some(asked) = self.asked.remove(&number) else { return };
        self.asked = self.asked.split_off(&number);
        self.until = self.until.max(Some(asked.after_ms(self.terms.lease_ms)));
    }

    #[must_use]
    pub fn state(&self, now: Moment) -> Lease {
        if self.until.is_some_and(|until| now < until) { Lease::Held } else { Lease::Over }
    }

    /// When it ends, by this agent's clock; `None`: never granted.
    #[must_use]
    pub fn until(&self) -> Option<Moment> {
        self.until
    }
}

/// One link's work as an agent was told.
#[derive(Clone, Debug)]
pub struct LinkWork {
    pub link: String,
    /// Who was told.
    pub agent: AgentName,
    pub epoch: u64,
    pub shares: Shares,
    pub formers: Vec<Former>,
    /// When it was told; what is left of the formers' time counts from here.
    pub told: Moment,
}

/// What an agent may do with a partition now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    Work,
    /// It is this agent's, but a former owner may still be at it.
    Wait,
    /// It is this agent's, but its lease is over and another may be about to take it.
    Stop,
    Elsewhere,
}

impl LinkWork {
    /// Guarded partitions are never waited for and never stopped.
    #[must_use]
    pub fn permit(&self, lease: Lease, guard: Guard, topic: &str, partition: i32, now: Moment) -> Permit {
        if owner(&self.shares, &self.link, topic, partition) != Some(&self.agent) {
            return Permit::Elsewhere;
        }
        if !goes_on(lease, guard, Standing::among(&self.shares)) {
            return Permit::Stop;
        }
        let waits = guard == Guard::Unguarded
            && self.formers.iter().any(|former| {
                self.counts(former, now)
                    && owner(&former.shares, &self.link, topic, partition) == Some(&former.agent)
            });
        if waits { Permit::Wait } else { Permit::Work }
    }

    fn counts(&self, former: &Former, now: Moment) -> bool {
        former.agent != self.agent
            && match former.left {
                Left::UntilCleared => true,
                Left::Ms(left) => now < self.told.after_ms(left),
            }
    }
}
