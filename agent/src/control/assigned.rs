//! What the coordinators want of this agent: its links, their shares, and how clusters are reached. Read from an assignment
//! as a file would be: a link that cannot be read is refused by itself, with the reason, and holds up no other.
//! Words of an older incarnation or revision are refused: they were overtaken, or are of coordinators that were replaced.

use std::collections::BTreeMap;
use std::fmt;

use lockstep_core::dr::lease::{AgentName, Former, Lease, Left, LinkWork, Moment, Shares};
use lockstep_core::spec::agent::{ClusterSpec, LinkSpec};
use lockstep_core::spec::link::LinkRules;
use lockstep_core::spec::security::SecuritySpec;
use lockstep_proto::agent::{Assignment, Cluster, Link, Share};

use super::division::LinkDivision;

/// One link of an assignment.
#[derive(Clone, Debug)]
pub struct AssignedLink {
    pub spec: LinkSpec,
    pub generation: u64,
    pub work: LinkWork,
}

/// All that this agent has to do.
#[derive(Clone, Debug, Default)]
pub struct Assigned {
    pub revision: u64,
    pub incarnation: u64,
    pub links: BTreeMap<String, AssignedLink>,
    /// Those to be probed, and those of the links.
    pub clusters: BTreeMap<String, ClusterSpec>,
    /// Links and clusters that cannot be worked with, and why.
    pub refused: BTreeMap<String, String>,
}

/// Why an assignment is not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overtaken {
    Incarnation { says: u64, seen: u64 },
    Revision { says: u64, seen: u64 },
}

impl fmt::Display for Overtaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incarnation { says, seen } => write!(
                f,
                "a coordinator of incarnation {says} speaks, {seen} has been seen: it was left behind by a recovery"
            ),
            Self::Revision { says, seen } => {
                write!(f, "an assignment of revision {says} comes after one of {seen}")
            }
        }
    }
}

impl Assigned {
    /// What an assignment to `agent` says that came at `now`, after `self`. `security`: the sections of its own file.
    ///
    /// # Errors
    /// It is older than what was assigned before: nothing changes.
    pub fn follow(
        &self,
        assignment: Assignment,
        agent: &AgentName,
        security: &BTreeMap<String, SecuritySpec>,
        now: Moment,
    ) -> Result<Self, Overtaken> {
        let Assignment { revision, incarnation, links, clusters } = assignment;
        if incarnation < self.incarnation {
            return Err(Overtaken::Incarnation { says: incarnation, seen: self.incarnation });
        }
        if incarnation == self.incarnation && revision < self.revision {
            return Err(Overtaken::Revision { says: revision, seen: self.revision });
        }
        let mut next = Self { revision, incarnation, ..Self::default() };
        for cluster in clusters {
            let name = cluster.name.clone();
            match cluster_spec(&cluster, security) {
                Ok(spec) => drop(next.clusters.insert(name, spec)),
                Err(why) => drop(next.refused.insert(name, why)),
            }
        }
        for link in links {
            let name = link.name.clone();
            match assigned_link(link, agent, &next.clusters, now) {
                Ok(link) => drop(next.links.insert(name, link)),
                Err(why) => drop(next.refused.insert(name, why)),
            }
        }
        Ok(next)
    }
}

impl AssignedLink {
    /// How the link is divided at `now`.
    #[must_use]
    pub fn division(&self, lease: Lease, now: Moment) -> LinkDivision {
        LinkDivision { work: self.work.clone(), lease, now }
    }

    /// When the next former's time is over, and the division another one.
    #[must_use]
    pub fn changes_at(&self, now: Moment) -> Option<Moment> {
        let over = |former: &Former| match former.left {
            Left::Ms(left) => Some(self.work.told.after_ms(left)),
            // Only the coordinators' word ends it.
            Left::UntilCleared => None,
        };
        self.work.formers.iter().filter_map(over).filter(|over| now < *over).min()
    }
}

/// The section of the agent's file that a cluster names; without a name nothing is encrypted.
pub(super) fn section(
    name: Option<&str>,
    sections: &BTreeMap<String, SecuritySpec>,
) -> Result<SecuritySpec, String> {
    let Some(name) = name else { return Ok(SecuritySpec::default()) };
    let found = sections.get(name).cloned();
    found.ok_or_else(|| format!("the agent's file has no security section {name:?}"))
}

fn cluster_spec(cluster: &Cluster, sections: &BTreeMap<String, SecuritySpec>) -> Result<ClusterSpec, String> {
    let security = section(cluster.security.as_deref(), sections)?;
    let bootstrap = cluster.bootstrap.split(',').map(|address| address.trim().to_owned()).collect();
    Ok(ClusterSpec { bootstrap, security })
}

fn assigned_link(
    link: Link,
    agent: &AgentName,
    clusters: &BTreeMap<String, ClusterSpec>,
    now: Moment,
) -> Result<AssignedLink, String> {
    for end in [&link.from, &link.to] {
        if !clusters.contains_key(end) {
            return Err(format!("nothing tells how its cluster {end:?} is reached"));
        }
    }
    let rules: LinkRules =
        serde_json::from_str(&link.spec_json).map_err(|error| format!("cannot be read: {error}"))?;
    let spec = rules
        .link(&link.from, &link.to)
        .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let formers = link.formers.into_iter().map(|former| Former {
        agent: former.agent,
        epoch: former.epoch,
        shares: shares(former.shares),
        left: former.left_ms.map_or(Left::UntilCleared, Left::Ms),
    });
    let work = LinkWork {
        link: link.name,
        agent: agent.clone(),
        epoch: link.epoch,
        shares: shares(link.shares),
        formers: formers.collect(),
        told: now,
    };
    Ok(AssignedLink { spec, generation: link.generation, work })
}

fn shares(shares: Vec<Share>) -> Shares {
    shares.into_iter().map(|share| (share.agent, share.weight)).collect()
}

#[cfg(test)]
mod tests {
    use lockstep_core::ids::TopicPartition;
    use lockstep_proto::agent;

    use super::*;
    use crate::pipeline::owned::{Division, Duty, Licence};

    const SPEC: &str = r#"{"topics":{"include":["a.*"]},"rpo_ms":5000}"#;

    fn share(agent: &str) -> Share {
        Share { agent: agent.to_owned(), weight: 1 }
    }

    fn cluster(name: &str, security: Option<&str>) -> Cluster {
        Cluster {
            name: name.to_owned(),
            bootstrap: format!("{name}:9092, {name}-2:9092"),
            security: security.map(str::to_owned),
            site: name.to_owned(),
        }
    }

    fn link(name: &str, spec: &str) -> Link {
        Link {
            name: name.to_owned(),
            generation: 3,
            from: "mi".to_owned(),
            to: "pr".to_owned(),
            spec_json: spec.to_owned(),
            epoch: 7,
            shares: vec![share("anna")],
            formers: vec![agent::Former {
                agent: "bert".to_owned(),
                epoch: 6,
                shares: vec![share("bert")],
                left_ms: Some(12_000),
            }],
        }
    }

    fn assignment(revision: u64, incarnation: u64, links: Vec<Link>) -> Assignment {
        let clusters = vec![cluster("mi", None), cluster("pr", None)];
        Assignment { revision, incarnation, links, clusters }
    }

    fn follow(before: &Assigned, assignment: Assignment) -> Result<Assigned, Overtaken> {
        before.follow(assignment, &"anna".to_owned(), &BTreeMap::new(), Moment(1_000))
    }

    #[test]
    fn a_link_is_divided_until_its_formers_time_is_over() {
        let assigned = follow(&Assigned::default(), assignment(4, 1, vec![link("claims", SPEC)])).unwrap();
        let claims = &assigned.links["claims"];
        assert_eq!((&*claims.spec.from, &*claims.spec.to, claims.work.epoch), ("mi", "pr", 7));
        assert_eq!(assigned.clusters["pr"].bootstrap, ["pr:9092", "pr-2:9092"]);
        let duty = |lease, now| claims.division(lease, Moment(now)).duty(&TopicPartition::new("a", 0));
        assert_eq!(claims.changes_at(Moment(1_000)), Some(Moment(13_000)));
        assert_eq!(duty(Lease::Held, 12_999), Duty::Ours(Licence::Guarded));
        assert_eq!(duty(Lease::Held, 13_000), Duty::Ours(Licence::Everything));
        assert_eq!(duty(Lease::Over, 13_000), Duty::Ours(Licence::Everything), "alone, and cut off");
        assert_eq!(claims.changes_at(Moment(13_000)), None);
    }

    #[test]
    fn with_others_on_the_link_only_guarded_copying_goes_on_without_a_lease() {
        let mut shared = link("claims", SPEC);
        shared.shares.push(share("bert"));
        shared.formers[0].left_ms = None;
        let assigned = follow(&Assigned::default(), assignment(4, 1, vec![shared])).unwrap();
        let claims = &assigned.links["claims"];
        let never = Moment(u64::MAX - 1);
        let count = |lease, licence| {
            let division = claims.division(lease, never);
            let duty = |n| division.duty(&TopicPartition::new("a", n));
            (0..64).filter(|n| duty(*n) == Duty::Ours(licence)).count()
        };
        assert!(count(Lease::Over, Licence::Guarded) > 10 && count(Lease::Over, Licence::Everything) == 0);
        // No time makes it certain that the former, who had everything, holds nothing.
        assert!(count(Lease::Held, Licence::Guarded) > 10 && count(Lease::Held, Licence::Everything) == 0);
        assert_eq!(claims.changes_at(Moment(1_000)), None);
    }

    #[test]
    fn older_words_are_refused_and_change_nothing() {
        let now = follow(&Assigned::default(), assignment(4, 2, Vec::new())).unwrap();
        let older = follow(&now, assignment(9, 1, Vec::new()));
        assert_eq!(older.unwrap_err(), Overtaken::Incarnation { says: 1, seen: 2 });
        let older = follow(&now, assignment(3, 2, Vec::new()));
        assert_eq!(older.unwrap_err(), Overtaken::Revision { says: 3, seen: 4 });
        // A forced recovery may have lost the newest entries: its incarnation counts.
        assert_eq!(follow(&now, assignment(1, 3, Vec::new())).unwrap().incarnation, 3);
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_itself() {
        let mut unknown = link("unknown", SPEC);
        unknown.to = "nowhere".to_owned();
        let bad = link("bad", r#"{"topics":{"include":["("]},"rpo_ms":1}"#);
        let mut all = assignment(1, 1, vec![link("claims", SPEC), unknown, bad, link("none", "{")]);
        all.clusters.push(cluster("wi", Some("wi-section")));
        let assigned = follow(&Assigned::default(), all).unwrap();
        assert_eq!(assigned.links.keys().collect::<Vec<_>>(), ["claims"]);
        let refused: Vec<_> = assigned.refused.keys().map(String::as_str).collect();
        assert_eq!(refused, ["bad", "none", "unknown", "wi"]);
        assert!(assigned.refused["wi"].contains("wi-section"), "{:?}", assigned.refused);
    }
}
