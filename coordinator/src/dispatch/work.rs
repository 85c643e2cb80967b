//! What an agent has to do: the links in which it has a share, and every cluster, because every site probes them all.
//! Promises: the time a former holder has left is counted from the moment of the message, never from somebody's clock.

use lockstep_proto::agent::{Assignment, Cluster, Former, Link, Share};
use tokio::time::Instant;

/// An agent of an earlier epoch that may still hold what it was given then.
#[derive(Clone, Debug, PartialEq)]
pub struct Formerly {
    pub agent: String,
    pub epoch: u64,
    /// Everybody's in that epoch.
    pub shares: Vec<Share>,
    /// From then on it is certain that it holds nothing. `None`: only its own word makes it certain.
    pub until: Option<Instant>,
}

/// A link with its work.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedLink {
    /// Without formers.
    pub link: Link,
    pub formerly: Vec<Formerly>,
}

/// All work of the system, of one revision of the agreed state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    pub revision: u64,
    pub links: Vec<WantedLink>,
    pub clusters: Vec<Cluster>,
}

impl Wanted {
    /// What an agent is told at `now`. Formers whose time is over are left out, and so is the agent itself: it knows
    /// what it holds.
    #[must_use]
    pub fn assignment(&self, agent: &str, incarnation: u64, now: Instant) -> Assignment {
        let link = |wanted: &WantedLink| {
            let others =
                wanted.formerly.iter().filter(|former| former.agent != agent && !former.is_over(now));
            Link { formers: others.map(|former| told(former, now)).collect(), ..wanted.link.clone() }
        };
        Assignment {
            revision: self.revision,
            incarnation,
            links: self.links.iter().filter(|wanted| wanted.has(agent)).map(link).collect(),
            clusters: self.clusters.clone(),
        }
    }

    /// Whether an agent may speak of a link: it has a share in it.
    #[must_use]
    pub fn is_work_of(&self, agent: &str, link: &str) -> bool {
        self.links.iter().any(|wanted| wanted.link.name == link && wanted.has(agent))
    }
}

impl WantedLink {
    fn has(&self, agent: &str) -> bool {
        self.link.shares.iter().any(|share| share.agent == agent)
    }
}

impl Formerly {
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

fn told(former: &Formerly, now: Instant) -> Former {
    // Never rounded down: whoever waits too short writes beside somebody.
    let left = |until: Instant| {
        let left = until.saturating_duration_since(now).as_millis();
        u64::try_from(left).unwrap_or(u64::MAX).saturating_add(1)
    };
    Former {
        agent: former.agent.clone(),
        epoch: former.epoch,
        shares: former.shares.clone(),
        left_ms: former.until.map(left),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn share(agent: &str) -> Share {
        Share { agent: agent.to_owned(), weight: 1 }
    }

    fn wanted(now: Instant) -> Wanted {
        let link = |name: &str, agents: &[&str]| WantedLink {
            link: Link {
                name: name.to_owned(),
                epoch: 3,
                shares: agents.iter().map(|agent| share(agent)).collect(),
                ..Link::default()
            },
            formerly: vec![Formerly {
                agent: "a2".to_owned(),
                epoch: 2,
                shares: vec![share("a2")],
                until: Some(now + Duration::from_secs(12)),
            }],
        };
        Wanted {
            revision: 9,
            links: vec![link("claims", &["a1"]), link("orders", &["a1", "a2"]), link("stock", &["a3"])],
            clusters: vec![Cluster { name: "east".to_owned(), ..Cluster::default() }],
        }
    }

    #[test]
    fn an_agent_gets_its_links_and_everybody_every_cluster() {
        let now = Instant::now();
        let of = |agent: &str| {
            let assignment = wanted(now).assignment(agent, 5, now);
            assert_eq!((assignment.revision, assignment.incarnation, assignment.clusters.len()), (9, 5, 1));
            assignment.links.into_iter().map(|link| link.name).collect::<Vec<_>>()
        };
        assert_eq!(of("a1"), ["claims", "orders"]);
        assert_eq!(of("a2"), ["orders"]);
        assert!(of("witness").is_empty());
        assert!(wanted(now).is_work_of("a2", "orders") && !wanted(now).is_work_of("a2", "claims"));
    }

    #[test]
    fn formers_are_told_to_others_with_the_time_they_have_left() {
        let now = Instant::now();
        let left = |agent: &str, link: usize, after: u64| {
            let later = now + Duration::from_secs(after);
            let formers = wanted(now).assignment(agent, 5, later).links[link].formers.clone();
            formers.into_iter().map(|former| (former.agent, former.left_ms)).collect::<Vec<_>>()
        };
        assert_eq!(left("a1", 0, 0), [("a2".to_owned(), Some(12_001))]);
        assert_eq!(left("a1", 0, 5), [("a2".to_owned(), Some(7_001))]);
        assert_eq!(left("a1", 0, 12), [], "its time is over");
        assert_eq!(left("a2", 0, 0), [], "it knows itself");
    }

    #[test]
    fn who_was_alone_is_waited_for_until_it_says_so() {
        let now = Instant::now();
        let mut wanted = wanted(now);
        wanted.links[0].formerly[0].until = None;
        let years_later = now + Duration::from_secs(100_000_000);
        let formers = &wanted.assignment("a1", 5, years_later).links[0].formers;
        assert_eq!((formers.len(), formers[0].left_ms), (1, None));
    }
}
