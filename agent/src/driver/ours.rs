//! The driver of our own links: both clusters of a link as it runs now, its source being the primary.
//! Holds nothing but connections: all that counts is in the clusters, so that another process can go on at any step.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lockstep_core::dr::fence::{Exempt, TopicStage};
use lockstep_core::dr::passport::{LinkRecord, Passport, Role};
use lockstep_core::ids::TopicPartition;
use lockstep_core::plan::names::refused;
use lockstep_core::spec::rename::Rename;
use lockstep_kafka::Settings;
use tokio::time::{Instant, sleep};

use super::evidence::{AclReport, Drained, Exposed, Frozen, LinkState, Opened, Promoted, Reversed, Settled};
use super::fault::DriverError;
use super::logs::{self, PATIENCE, PAUSE};
use super::promote::Promotion;
use super::reverse::Reversal;
use super::site::{Site, partitions};
use super::topics::{Reach, close, confirm, lift};
use super::{MirrorDriver, SettlePatience, acls, settle};
use crate::link::LinkSettings;
use crate::link::fault::TopicError;
use crate::link::origin::copies;
use crate::link::watched::Ends;

/// How often a freeze looks for topics that came meanwhile.
const ROUNDS_MAX: u32 = 10;

/// What the mirrors are to a cluster's authorizer. They must never be denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MirrorRights {
    /// Principals like any other: the one we present ourselves as, and these (names that the brokers map, other agents).
    #[default]
    Ordinary,
    Also(Vec<String>),
    /// Super users.
    SuperUser,
}

impl MirrorRights {
    fn exempt(&self, settings: &Settings) -> Exempt {
        let ours = settings.security.principal();
        match self {
            Self::Ordinary => Exempt::Principals(BTreeSet::from([ours])),
            Self::Also(more) => Exempt::Principals(more.iter().cloned().chain([ours]).collect()),
            Self::SuperUser => Exempt::SuperUsers,
        }
    }
}

/// A link and the clusters it runs between: what a driver changes the sides of, and what starts the mirror of one way.
#[derive(Clone)]
pub struct Way {
    pub ends: Ends,
    pub settings: LinkSettings,
}

/// See the module's description.
pub struct LinkDriver {
    way: Way,
    source_rights: MirrorRights,
    dest_rights: MirrorRights,
    primary: Site,
    standby: Site,
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} to {:?}", self.ends.source.cluster, self.ends.dest.cluster)
    }
}

impl LinkDriver {
    /// `way` as the mirror runs; nothing is changed.
    ///
    /// # Errors
    /// Both clusters are the same.
    pub fn new(
        way: Way,
        source_rights: MirrorRights,
        dest_rights: MirrorRights,
    ) -> Result<Self, DriverError> {
        let (source, dest) = (way.ends.source.cluster.clone(), way.ends.dest.cluster.clone());
        if source.cluster_id() == dest.cluster_id() {
            return Err(DriverError::SameCluster);
        }
        let link = way.settings.name.clone().unwrap_or_else(|| source.cluster_id());
        let primary =
            Site { exempt: source_rights.exempt(source.settings()), cluster: source, link: link.clone() };
        let standby = Site { exempt: dest_rights.exempt(dest.settings()), cluster: dest, link };
        Ok(Self { way, source_rights, dest_rights, primary, standby })
    }

    /// Rights of the reverse driver: source and destination swapped.
    pub fn reversed_rights(&self) -> (MirrorRights, MirrorRights) {
        (self.dest_rights.clone(), self.source_rights.clone())
    }

    /// The link's topics on the primary, now: those that the mirror takes. What it leaves alone is neither fenced nor
    /// promoted: names that cannot be on the standby, and copies that another link makes of the standby's own topics.
    async fn topics(&self) -> Result<BTreeSet<String>, DriverError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metadata = self.primary.cluster.refresh().await?;
            let LinkSettings { selection, rename, .. } = &self.way.settings;
            let taken =
                || metadata.topics.iter().filter(|(name, topic)| selection.takes(name, topic.internal));
            let refused = refused(rename, taken().map(|(name, _)| name));
            let named = taken().filter(|(name, _)| !refused.contains_key(*name));
            let topics: BTreeSet<_> = named.map(|(name, _)| name.to_string()).collect();
            match copies(&self.primary.cluster, &self.standby.cluster.cluster_id(), &topics).await {
                Ok(copies) if copies.len() == topics.len() => return Err(DriverError::NoTopics),
                Ok(copies) => return Ok(topics.difference(&copies).cloned().collect()),
                Err(TopicError::Moving { .. }) if Instant::now() < deadline => sleep(PAUSE).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Before anything is changed: who goes there has to be able to come back.
    fn reversible(&self) -> Result<(), DriverError> {
        match self.way.settings.rename {
            Rename::Keep => Ok(()),
            Rename::Prefix(_) | Rename::Pattern { .. } => Err(DriverError::Renamed),
        }
    }

    fn standby_name(&self, topic: &str) -> String {
        self.way.settings.rename.dest_name(topic).into_owned()
    }

    async fn standby_topics(&self) -> Result<BTreeSet<String>, DriverError> {
        let topics = self.topics().await?;
        let metadata = self.standby.cluster.refresh().await?;
        let names = topics.iter().map(|topic| self.standby_name(topic));
        Ok(names.filter(|name| metadata.topics.contains_key(name.as_str())).collect())
    }

    /// The generation the link is in, both clusters together.
    async fn generation(&self) -> Result<u64, DriverError> {
        let (there, here) = (self.primary.passport().await?, self.standby.passport().await?);
        Ok(there.generation().max(here.generation()))
    }

    fn still_standby(what: &'static str, here: &Passport) -> Result<(), DriverError> {
        match here.role() {
            None | Some(Role::Standby) => Ok(()),
            role => Err(DriverError::WrongRole {
                what,
                side: "standby",
                role,
                generation: here.generation(),
                remedy: "\n  remedy  its promotion has begun: finish it",
            }),
        }
    }

    /// Ends of the primary beside what the standby holds, by the primary's names.
    async fn behind(
        &self,
        ends: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, i64>, DriverError> {
        let metadata = self.standby.cluster.refresh().await?;
        let named = |tp: &TopicPartition| TopicPartition::new(self.standby_name(&tp.topic), tp.partition);
        let there: Vec<_> = ends.keys().map(named).filter(|tp| metadata.partition(tp).is_some()).collect();
        let held = logs::read(&self.standby.cluster, &there).await?;
        let behind = ends.iter().map(|(tp, end)| {
            let held = held.get(&named(tp)).map_or(0, |log| log.high_watermark);
            (tp.clone(), end - held)
        });
        Ok(behind.filter(|(_, missing)| *missing != 0).collect())
    }
}

impl MirrorDriver for LinkDriver {
    type Reverse = Way;

    async fn state(&self) -> Result<LinkState, DriverError> {
        Ok(LinkState { primary: self.primary.passport().await?, standby: self.standby.passport().await? })
    }

    async fn exposure(&self) -> Result<Exposed, DriverError> {
        let topics = self.topics().await?;
        let partitions = partitions(&self.primary.cluster.metadata(), &topics);
        // The standby first: what arrives meanwhile makes the figure larger, never smaller.
        let unknown = partitions.iter().map(|tp| (tp.clone(), 0)).collect();
        let held = self.behind(&unknown).await?;
        let logs = logs::read(&self.primary.cluster, &partitions).await?;
        let missing = logs.iter().map(|(tp, log)| {
            // `behind` of an end of 0 is what is held, with its sign turned.
            (log.end + held.get(tp).copied().unwrap_or(0)).max(0).unsigned_abs()
        });
        Ok(Exposed { records: missing.sum(), partitions: partitions.len() })
    }

    async fn protect(&self) -> Result<AclReport, DriverError> {
        let here = self.standby.passport().await?;
        Self::still_standby("protecting the standby", &here)?;
        let topics = self.standby_topics().await?;
        acls::hold(&self.standby, &topics, self.generation().await?).await
    }

    async fn freeze(&self) -> Result<Frozen, DriverError> {
        self.reversible()?;
        let generation = self.generation().await?;
        for _ in 0..ROUNDS_MAX {
            let topics = self.topics().await?;
            let acls = acls::hold(&self.primary, &topics, generation).await?;
            close(&self.primary, &topics, TopicStage::MarkersOnly, Reach::AtLeast, generation).await?;
            let all = partitions(&self.primary.cluster.metadata(), &topics);
            confirm(&self.primary, &all, TopicStage::MarkersOnly).await?;
            // Topics and partitions that came meanwhile are not fenced yet.
            let again = self.topics().await?;
            if again == topics && partitions(&self.primary.cluster.metadata(), &again) == all {
                let refusing = all.into_iter().map(|tp| (tp, TopicStage::MarkersOnly)).collect();
                return Ok(Frozen { acls, refusing });
            }
        }
        let why = "topics of the link keep coming".to_owned();
        Err(DriverError::Unconfirmed { what: "the fence", seconds: 0, why })
    }

    async fn settle(&self, patience: SettlePatience) -> Result<Settled, DriverError> {
        // Fenced again, whatever came since: principals, topics, somebody who put a setting back.
        let frozen = self.freeze().await?;
        let topics: BTreeSet<_> = frozen.refusing.keys().map(|tp| tp.topic.to_string()).collect();
        let generation = self.generation().await?;
        let settled = settle::settle(&self.primary, &topics, frozen.acls, generation, patience).await?;
        let topics = self.topics().await?;
        let all = partitions(&self.primary.cluster.metadata(), &topics);
        match all.into_iter().find(|tp| !settled.ends.contains_key(tp)) {
            Some(tp) => Err(DriverError::Unsettled { tp }),
            None => Ok(settled),
        }
    }

    async fn drained(&self, settled: &Settled) -> Result<Drained, DriverError> {
        let behind = self.behind(&settled.ends).await?;
        Ok(if behind.is_empty() { Drained::Yes } else { Drained::Behind(behind) })
    }

    async fn unfreeze(&self) -> Result<(), DriverError> {
        Self::still_standby("lifting the fence", &self.standby.passport().await?)?;
        let changes = self.primary.passport().await?.changes;
        let metadata = self.primary.cluster.metadata();
        let fenced: BTreeSet<_> = changes.settings.keys().cloned().collect();
        lift(&self.primary, &partitions(&metadata, &fenced)).await?;
        let denied = changes.acls.iter().map(|entry| entry.name.clone()).collect();
        acls::lift(&self.primary, &denied).await?;
        Ok(())
    }

    async fn promote(&self, settled: &Settled) -> Result<Promoted, DriverError> {
        self.reversible()?;
        let (primary, standby) = (&self.primary, &self.standby);
        let LinkSettings { rename, topic_settings: policy, .. } = &self.way.settings;
        Promotion { primary, standby, rename, policy, settled }.run().await
    }

    async fn open(&self) -> Result<Opened, DriverError> {
        let here = self.standby.passport().await?;
        let generation = here.generation();
        let link = match here.link {
            Some(link) if matches!(link.role, Role::Promoted | Role::Primary) => link,
            other => {
                let role = other.map(|link| link.role);
                let remedy = "\n  remedy  promote it first";
                return Err(DriverError::WrongRole {
                    what: "opening",
                    side: "standby",
                    role,
                    generation,
                    remedy,
                });
            }
        };
        // M27: before the act. From here on clients may have written.
        self.standby.note_link(LinkRecord { role: Role::Primary, ..link }).await?;
        let denied = here.changes.acls.iter().map(|entry| entry.name.clone()).collect();
        let lifted = acls::lift(&self.standby, &denied).await?;
        Ok(Opened { generation, lifted })
    }

    async fn reverse(&self) -> Result<Reversed<Way>, DriverError> {
        self.reversible()?;
        let reversal = Reversal { former: &self.primary, promoted: &self.standby };
        let (generation, protection) = reversal.run().await?;
        let Ends { source, dest } = self.way.ends.clone();
        let settings = LinkSettings { name: Some(self.primary.link.clone()), ..self.way.settings.clone() };
        let reverse = Way { ends: Ends { source: dest, dest: source }, settings };
        Ok(Reversed { generation, protection, reverse })
    }
}
