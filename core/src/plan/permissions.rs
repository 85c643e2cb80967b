//! What a link may have to ask of two clusters' authorizers: the one table of rights, and what is missing of it.
//! `lockstep check --connect` compares it with what brokers allow; `docs/OPERATIONS.md`, Rights, shows it, and a test keeps
//! the two equal. Which request needs what is Kafka's own table ("Operations and Resources" of its documentation).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::dr::denied::Side;
use crate::dr::passport::TOPIC;

/// What an ACL allows, in Kafka's words (`AclOperation`); the number is the one on the wire and the bit in a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Operation {
    Read = 3,
    Write = 4,
    Create = 5,
    Delete = 6,
    Alter = 7,
    Describe = 8,
    ClusterAction = 9,
    DescribeConfigs = 10,
    AlterConfigs = 11,
}

impl Operation {
    pub const ALL: [Self; 9] = [
        Self::Read,
        Self::Write,
        Self::Create,
        Self::Delete,
        Self::Alter,
        Self::Describe,
        Self::ClusterAction,
        Self::DescribeConfigs,
        Self::AlterConfigs,
    ];

    /// As `kafka-acls` spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::Write => "Write",
            Self::Create => "Create",
            Self::Delete => "Delete",
            Self::Alter => "Alter",
            Self::Describe => "Describe",
            Self::ClusterAction => "ClusterAction",
            Self::DescribeConfigs => "DescribeConfigs",
            Self::AlterConfigs => "AlterConfigs",
        }
    }
}

/// What an ACL is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    Cluster,
    Topic(String),
    Group(String),
    TransactionalId(String),
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => write!(f, "Cluster"),
            Self::Topic(name) => write!(f, "Topic {name}"),
            Self::Group(name) => write!(f, "Group {name}"),
            Self::TransactionalId(name) => write!(f, "TransactionalId {name}"),
        }
    }
}

/// What lacks without a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The link does not do what it is there for.
    Needed,
    /// It works, but not as well.
    Better,
}

/// Which resources of a link a right is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Cluster,
    /// Each topic of the link, as it is called on that side.
    Topics,
    /// Each topic that does not stand yet; the same right on the cluster serves for all of them.
    NewTopics,
    /// The link's producer (M1), `lockstep.<link>`.
    LinkId,
    /// The producer of empty transactions (M15), `lockstep.<link>.filler`: only without the right to write markers.
    FillerId,
    /// The group that renewals of the link's id name (M2), `lockstep.<link>`.
    LinkGroup,
    /// Each consumer group of the link, if it copies any.
    Groups,
    /// The topic of the passports (M27), `__lockstep`: whether it is there or not, what it says has to be known.
    Passport,
}

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    pub side: Side,
    pub on: On,
    pub operation: Operation,
    pub weight: Weight,
    /// What it is for, or what lacks without it.
    pub why: &'static str,
}

const fn needed(side: Side, on: On, operation: Operation, why: &'static str) -> Right {
    Right { side, on, operation, weight: Weight::Needed, why }
}

const fn better(side: Side, on: On, operation: Operation, why: &'static str) -> Right {
    Right { side, on, operation, weight: Weight::Better, why }
}

/// Everything a link asks for.
pub const RIGHTS: &[Right] = &[
    needed(
        Side::Source,
        On::Topics,
        Operation::Describe,
        "to see the topics, and where their logs begin and end",
    ),
    needed(Side::Source, On::Topics, Operation::Read, "to fetch their records"),
    better(
        Side::Source,
        On::Topics,
        Operation::DescribeConfigs,
        "without it compacted topics are copied uncompacted, and no setting is followed",
    ),
    better(
        Side::Source,
        On::Cluster,
        Operation::Describe,
        "without it nothing that retention.bytes deleted is deleted on the destination",
    ),
    needed(Side::Source, On::Groups, Operation::Describe, "to read the groups' offsets"),
    better(
        Side::Source,
        On::Passport,
        Operation::Read,
        "without it what the source says of its part in the link does not count, only what the destination says",
    ),
    needed(Side::Dest, On::NewTopics, Operation::Create, "to create the topics"),
    needed(Side::Dest, On::Topics, Operation::Describe, "to see the topics, and where their logs end"),
    needed(Side::Dest, On::Topics, Operation::Read, "to see which producer wrote what (DescribeProducers)"),
    needed(Side::Dest, On::Topics, Operation::Write, "to append"),
    needed(Side::Dest, On::Topics, Operation::DescribeConfigs, "to see the topics' settings"),
    needed(Side::Dest, On::Topics, Operation::AlterConfigs, "to set the standby settings"),
    needed(Side::Dest, On::Topics, Operation::Alter, "to add partitions when the source does"),
    needed(Side::Dest, On::Topics, Operation::Delete, "to follow the source's log start"),
    needed(Side::Dest, On::LinkId, Operation::Describe, "to see who the link's producer is"),
    needed(Side::Dest, On::LinkId, Operation::Write, "to create the link's producer and keep it alive"),
    needed(Side::Dest, On::LinkGroup, Operation::Read, "to keep the link's producer alive"),
    needed(
        Side::Dest,
        On::Cluster,
        Operation::DescribeConfigs,
        "to know the settings that brokers know, and how long they remember",
    ),
    better(
        Side::Dest,
        On::Cluster,
        Operation::Alter,
        "without it offsets that hold no record are taken by empty transactions: exact, but about 200 a second",
    ),
    needed(
        Side::Dest,
        On::FillerId,
        Operation::Write,
        "to take offsets that hold no record while Alter on the cluster is missing",
    ),
    needed(Side::Dest, On::Groups, Operation::Read, "to commit the groups' offsets"),
    needed(Side::Dest, On::Passport, Operation::Read, "to know that the destination is no primary"),
];

/// What a link works with, as far as its clusters show.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    pub link: String,
    pub source_topics: Vec<String>,
    /// With whether it stands already.
    pub dest_topics: Vec<(String, bool)>,
    pub groups: Vec<String>,
}

/// One right on one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub side: Side,
    pub resource: Resource,
    pub operation: Operation,
    pub weight: Weight,
    pub why: &'static str,
}

/// The table, applied to a link.
#[must_use]
pub fn needs(reach: &Reach) -> Vec<Need> {
    let own = |suffix: &str| format!("lockstep.{}{suffix}", reach.link);
    let mut all = Vec::new();
    for right in RIGHTS {
        let topics = || match right.side {
            Side::Source => reach.source_topics.clone(),
            Side::Dest => reach.dest_topics.iter().map(|(name, _)| name.clone()).collect(),
        };
        let resources: Vec<Resource> = match right.on {
            On::Cluster => vec![Resource::Cluster],
            On::Topics => topics().into_iter().map(Resource::Topic).collect(),
            On::NewTopics => {
                let new = reach.dest_topics.iter().filter(|(_, stands)| !stands);
                new.map(|(name, _)| Resource::Topic(name.clone())).collect()
            }
            On::LinkId => vec![Resource::TransactionalId(own(""))],
            On::FillerId => vec![Resource::TransactionalId(own(".filler"))],
            On::LinkGroup => vec![Resource::Group(own(""))],
            On::Groups => reach.groups.iter().cloned().map(Resource::Group).collect(),
            On::Passport => vec![Resource::Topic(TOPIC.to_owned())],
        };
        let Right { side, operation, weight, why, .. } = *right;
        all.extend(resources.into_iter().map(|resource| Need { side, resource, operation, weight, why }));
    }
    all
}

/// What one cluster was found to allow. What nobody asked about is neither allowed nor denied.
#[derive(Clone, Debug, Default)]
pub struct Allowed(BTreeMap<(Resource, Operation), bool>);

impl Allowed {
    pub fn learn(&mut self, resource: Resource, operation: Operation, allowed: bool) {
        self.0.insert((resource, operation), allowed);
    }

    /// A broker's mask for a resource (KIP-430): one bit for each operation.
    pub fn learn_mask(&mut self, resource: &Resource, mask: u32) {
        for operation in Operation::ALL {
            self.learn(resource.clone(), operation, mask & (1 << operation as u8) != 0);
        }
    }

    /// `None`: not known.
    #[must_use]
    pub fn allows(&self, resource: &Resource, operation: Operation) -> Option<bool> {
        let by_itself = self.0.get(&(resource.clone(), operation)).copied();
        // Kafka takes these from the cluster as well.
        let also = match (resource, operation) {
            (Resource::Topic(_), Operation::Create) => Some(Operation::Create),
            (Resource::Cluster, Operation::Alter) => Some(Operation::ClusterAction),
            _ => None,
        };
        match also.and_then(|operation| self.0.get(&(Resource::Cluster, operation))) {
            Some(true) => Some(true),
            _ => by_itself,
        }
    }
}

/// What of `needs` is denied, in their order. What is not known is left out: see [`unknown`].
#[must_use]
pub fn missing<'a>(needs: &'a [Need], source: &Allowed, dest: &Allowed) -> Vec<&'a Need> {
    wanted(needs, dest).filter(|need| allows(need, source, dest) == Some(false)).collect()
}

/// What of `needs` nobody could tell.
#[must_use]
pub fn unknown<'a>(needs: &'a [Need], source: &Allowed, dest: &Allowed) -> Vec<&'a Need> {
    wanted(needs, dest).filter(|need| allows(need, source, dest).is_none()).collect()
}

fn allows(need: &Need, source: &Allowed, dest: &Allowed) -> Option<bool> {
    let side = match need.side {
        Side::Source => source,
        Side::Dest => dest,
    };
    side.allows(&need.resource, need.operation)
}

/// Empty transactions (M15) are for those who may not write markers.
fn wanted<'a>(needs: &'a [Need], dest: &Allowed) -> impl Iterator<Item = &'a Need> {
    let markers = dest.allows(&Resource::Cluster, Operation::Alter) == Some(true);
    let for_filling =
        |need: &Need| matches!(&need.resource, Resource::TransactionalId(id) if id.ends_with(".filler"));
    needs.iter().filter(move |need| !(markers && for_filling(need)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach() -> Reach {
        Reach {
            link: "claims".to_owned(),
            source_topics: vec!["a".to_owned()],
            dest_topics: vec![("east.a".to_owned(), false), ("east.b".to_owned(), true)],
            groups: vec!["g".to_owned()],
        }
    }

    fn all() -> u32 {
        Operation::ALL.iter().fold(0, |mask, operation| mask | 1 << *operation as u8)
    }

    /// Knows everything about every resource of the link, and allows `mask`.
    fn knows(mask: u32) -> Allowed {
        let mut allowed = Allowed::default();
        for need in needs(&reach()) {
            allowed.learn_mask(&need.resource, mask);
        }
        allowed
    }

    #[test]
    fn whoever_may_do_all_lacks_nothing_and_whoever_may_nothing_lacks_all() {
        let needs = needs(&reach());
        assert_eq!(missing(&needs, &knows(all()), &knows(all())), Vec::<&Need>::new());
        assert_eq!(missing(&needs, &knows(0), &knows(0)).len(), needs.len());
        assert_eq!(unknown(&needs, &Allowed::default(), &Allowed::default()).len(), needs.len());
        assert_eq!(missing(&needs, &Allowed::default(), &Allowed::default()), Vec::<&Need>::new());
        let created: Vec<_> = needs.iter().filter(|need| need.operation == Operation::Create).collect();
        assert_eq!(created.len(), 1, "what stands is not created");
        assert_eq!(created[0].resource, Resource::Topic("east.a".to_owned()));
    }

    #[test]
    fn the_table_for_operators_is_this_one() {
        let page = include_str!("../../../docs/OPERATIONS.md");
        let page = page.split("## Rights\n").nth(1).unwrap().split("\n## ").next().unwrap();
        for Right { side, on, operation, weight, why } in RIGHTS {
            let side = if *side == Side::Source { "source" } else { "destination" };
            let on = match on {
                On::Cluster => "the cluster",
                On::Topics => "each topic",
                On::NewTopics => "each topic that is not there yet, or the cluster",
                On::LinkId => "transactional id `lockstep.<link>`",
                On::FillerId => "transactional id `lockstep.<link>.filler`",
                On::LinkGroup => "group `lockstep.<link>`",
                On::Groups => "each group that is copied",
                On::Passport => "topic `__lockstep`",
            };
            let weight = if *weight == Weight::Needed { "needed" } else { "better" };
            let row = format!("| {side} | {on} | {} | {weight} | {why} |\n", operation.name());
            assert!(page.contains(&row), "docs/OPERATIONS.md, Rights, lacks {row}");
        }
        let rows =
            page.lines().filter(|line| line.starts_with("| source |") || line.starts_with("| destination |"));
        assert_eq!(rows.count(), RIGHTS.len(), "a row without a right");
    }

    #[test]
    fn what_the_cluster_allows_serves_for_its_topics() {
        let mut dest = knows(all() & !(1 << Operation::Create as u8));
        let needs = needs(&reach());
        assert_eq!(missing(&needs, &knows(all()), &dest).len(), 1);
        dest.learn(Resource::Cluster, Operation::Create, true);
        assert_eq!(missing(&needs, &knows(all()), &dest).len(), 0);
    }

    #[test]
    fn empty_transactions_need_their_right_only_where_markers_are_denied() {
        let filler = Resource::TransactionalId("lockstep.claims.filler".to_owned());
        let needs = needs(&reach());
        let lacks = |dest: &Allowed| {
            let found = missing(&needs, &knows(all()), dest);
            found.iter().map(|need| (need.resource.clone(), need.weight)).collect::<Vec<_>>()
        };
        let mut dest = knows(all());
        dest.learn(filler.clone(), Operation::Write, false);
        assert_eq!(lacks(&dest), []);
        dest.learn(Resource::Cluster, Operation::Alter, false);
        assert_eq!(lacks(&dest), [], "ClusterAction is enough");
        dest.learn(Resource::Cluster, Operation::ClusterAction, false);
        assert_eq!(lacks(&dest), [(Resource::Cluster, Weight::Better), (filler, Weight::Needed)]);
    }
}
