//! What agents report, with the moment of receipt by this process's own clock: the leader's only knowledge of figures.
//! Promises: a status is computed when asked for: ages have grown by then, a silent agent makes its link UNKNOWN, and a
//! part of the work that nobody reports on is never left out of the picture. Holds the last report of each pair of link
//! and agent, nothing older; lost with the process: agents report anew every second.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_core::dr::posture::{Judged, Posture, Reason};
use lockstep_core::status::{About, LinkState, LinkStatus, aged, judged_status, merge};
use lockstep_proto::agent::{LinkReport, Probe};
use lockstep_proto::report::{Malformed, from_report};
use thiserror::Error;
use tokio::time::Instant;

/// Links that one agent may report on.
pub const LINKS_MAX: usize = 10_000;
/// Clusters that one agent may tell of.
pub const PROBES_MAX: usize = 1_000;

/// Why a report is not taken. The agent's session goes on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotTaken {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("an agent may report on at most {LINKS_MAX} links")]
    TooManyLinks,
    #[error("an agent may tell of at most {PROBES_MAX} clusters")]
    TooManyProbes,
    #[error("a report of epoch {told}, after one of epoch {known}")]
    OldEpoch { told: u64, known: u64 },
}

/// The moment of receipt, by both of this process's clocks: ages count by the first, moments are shown by the second.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    pub at: Instant,
    /// Since 1970.
    pub wall_seconds: f64,
}

/// What one agent told of one link.
#[derive(Clone, Debug)]
struct Part {
    epoch: u64,
    status: LinkStatus,
    received: Instant,
}

/// What one agent's site sees of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub probe: Probe,
    /// Since the agent told it.
    pub age: Duration,
}

/// The last report of everybody.
#[derive(Debug)]
pub struct Intake {
    /// When this member began to listen: who has told nothing since is silent for that long at least.
    since: Instant,
    /// By agent, then by link.
    parts: BTreeMap<String, BTreeMap<String, Part>>,
    probes: BTreeMap<String, (Vec<Probe>, Instant)>,
    /// Reports of links that were taken.
    taken: u64,
}

impl Intake {
    #[must_use]
    pub fn new(since: Instant) -> Self {
        Self { since, parts: BTreeMap::new(), probes: BTreeMap::new(), taken: 0 }
    }

    /// This member leads anew. What it was told in an earlier reign is no picture of now: agents have talked to others since,
    /// and what was missing then may be there by now.
    pub fn begin(&mut self, at: Instant) {
        self.since = at;
        self.parts.clear();
        self.probes.clear();
    }

    /// How many reports of links this process has taken.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// When it began to listen.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Replaces what the agent told of the link before.
    ///
    /// # Errors
    /// [`NotTaken`]; what was known stays.
    pub fn take(&mut self, agent: &str, report: LinkReport, received: Received) -> Result<(), NotTaken> {
        let (link, epoch) = (report.link.clone(), report.epoch);
        let status = from_report(report, received.wall_seconds)?;
        let links = self.parts.entry(agent.to_owned()).or_default();
        match links.get(&link) {
            Some(known) if known.epoch > epoch => {
                return Err(NotTaken::OldEpoch { told: epoch, known: known.epoch });
            }
            None if links.len() >= LINKS_MAX => return Err(NotTaken::TooManyLinks),
            _ => {}
        }
        links.insert(link, Part { epoch, status, received: received.at });
        self.taken += 1;
        Ok(())
    }

    /// Replaces what the agent told of clusters before.
    ///
    /// # Errors
    /// [`NotTaken::TooManyProbes`].
    pub fn take_probes(
        &mut self,
        agent: &str,
        probes: Vec<Probe>,
        received: Received,
    ) -> Result<(), NotTaken> {
        if probes.len() > PROBES_MAX {
            return Err(NotTaken::TooManyProbes);
        }
        self.probes.insert(agent.to_owned(), (probes, received.at));
        Ok(())
    }

    /// How a link stands at `now`. `agents`: who has a share of its work; what others told before is their past.
    #[must_use]
    pub fn status(&self, about: &About, agents: &[String], now: Instant) -> LinkStatus {
        let silent = || {
            let reasons = vec![Reason::AgentSilent { age_ms: milliseconds(now, self.since) }];
            judged_status(about, LinkState::Waiting, &Judged { posture: Posture::Unknown, reasons })
        };
        let part = |agent: &String| match self.parts.get(agent).and_then(|links| links.get(&about.link)) {
            Some(part) => aged(part.status.clone(), milliseconds(now, part.received)),
            None => silent(),
        };
        let parts: Vec<LinkStatus> = agents.iter().map(part).collect();
        // Without an agent nobody can tell anything.
        merge(&parts).unwrap_or_else(silent)
    }

    /// What each agent's site sees of a cluster, by agent.
    #[must_use]
    pub fn seen(&self, cluster: &str, now: Instant) -> BTreeMap<String, Seen> {
        let of = |(agent, (probes, at)): (&String, &(Vec<Probe>, Instant))| {
            let probe = probes.iter().find(|probe| probe.cluster == cluster)?.clone();
            Some((agent.clone(), Seen { probe, age: now.saturating_duration_since(*at) }))
        };
        self.probes.iter().filter_map(of).collect()
    }

    /// Forgets an agent that is no longer part of the system.
    pub fn forget(&mut self, agent: &str) {
        self.parts.remove(agent);
        self.probes.remove(agent);
    }
}

fn milliseconds(now: Instant, then: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(then).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
