//! Destination topics: plans them, and carries a plan out. Planning changes nothing; carrying out may be repeated.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::ids::{ProducerIdentity, TopicId};
use lockstep_core::plan::configs::{Base, Own, Rules, Views, compare};
use lockstep_core::plan::names::{NameRefusal, refused};
use lockstep_core::plan::owners::{Owner, TopicSettingsPolicy};
use lockstep_core::plan::topics::{
    Compaction, Refusal, SourceCompaction, SourceTopic, TopicPlan, compaction, plan_topic,
};
use lockstep_core::spec::rename::Rename;
use lockstep_core::spec::select::TopicSelection;
use lockstep_kafka::admin::{
    NewTopic, create_partitions, create_topics, delete_topics, incremental_alter_configs,
};
use lockstep_kafka::{Cluster, ErrorCode, Metadata};

use super::described::read_source;
use super::fault::TopicError;
use super::keeper::Known;
use super::origin::circle;
use super::standing::{for_new_topics, read_topic};
use crate::pipeline::event::ReadyTopic;
use crate::pipeline::names::topic_names;
use crate::pipeline::tail::Inherited;

/// Topics planned or carried out beside each other: one that is slow holds up few, and brokers are not flooded.
pub(super) const TOPICS_AT_ONCE: usize = 8;
/// How long a created topic may take until its partitions have leaders.
const LEADERS_DEADLINE: Duration = Duration::from_secs(15);
const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);
/// `-1`: the destination's own default replication factor (KIP-464).
const REPLICATION_FACTOR_DEFAULT: i16 = -1;

/// A plan is tried again this long where leaders are moving or a topic is just coming into being.
const PLAN_PATIENCE: Duration = Duration::from_secs(30);
const PLAN_PAUSE: Duration = Duration::from_millis(100);

/// A topic of the source and what has to happen on the destination.
#[derive(Clone, Debug)]
pub struct Planned {
    pub source: SourceTopic,
    pub source_id: TopicId,
    /// What the destination calls it.
    pub dest_topic: Arc<str>,
    pub plan: TopicPlan,
    pub compaction: Compaction,
    /// What stands there as it should, or will once the plan is carried out.
    pub base: Base,
    /// What is set there on the topic itself now.
    pub found: Own,
}

impl Planned {
    /// What the keeper of its settings has to know.
    pub(super) fn known(self) -> Known {
        Known { dest_topic: self.dest_topic, source_id: self.source_id, base: self.base }
    }
}

impl Planned {
    /// `orders`, or `orders → east.orders`.
    pub fn names(&self) -> String {
        topic_names(&self.source.name, &self.dest_topic)
    }
}

/// Plans and changes destination topics of one link. Cheap to clone.
#[derive(Clone)]
pub struct Topics {
    pub source: Cluster,
    pub dest: Cluster,
    pub selection: TopicSelection,
    /// What topics are called on the destination.
    pub rename: Rename,
    /// What the destination knows of the link's producer; `None`: nothing there can be ours.
    pub identity: Option<ProducerIdentity>,
    /// Whose word counts for which setting.
    pub policy: TopicSettingsPolicy,
    /// What a former primary holds from before (M27).
    pub inherited: Arc<Inherited>,
}

impl Topics {
    /// The source's topics that the link takes and that can be read now.
    pub fn wanted(&self, metadata: &Metadata) -> BTreeMap<Arc<str>, (SourceTopic, TopicId)> {
        let taken = metadata.topics.iter().filter(|(name, topic)| {
            topic.error.is_none()
                && !topic.partitions.is_empty()
                && self.selection.takes(name, topic.internal)
        });
        taken
            .map(|(name, topic)| {
                let source = SourceTopic {
                    name: name.to_string(),
                    partitions: topic.partitions.len(),
                    compaction: SourceCompaction::Off,
                };
                (Arc::clone(name), (source, topic.id))
            })
            .collect()
    }

    /// What the destination calls a topic of the source.
    pub fn dest_topic(&self, source: &str) -> Arc<str> {
        self.rename.dest_name(source).into()
    }

    /// Those of the wanted topics whose new name cannot be.
    pub fn refused_names(
        &self,
        wanted: &BTreeMap<Arc<str>, (SourceTopic, TopicId)>,
    ) -> BTreeMap<Arc<str>, NameRefusal> {
        refused(&self.rename, wanted.keys())
    }

    /// The plan that says no for the name's sake.
    pub fn refuse_name(&self, source: SourceTopic, source_id: TopicId, why: NameRefusal) -> Planned {
        let (dest_topic, plan) = (self.dest_topic(&source.name), TopicPlan::Refuse(Refusal::Name(why)));
        Planned {
            source,
            source_id,
            dest_topic,
            plan,
            compaction: Compaction::Off,
            base: Base::new(),
            found: Own::new(),
        }
    }

    /// Plans one topic against what stands on the destination now, and waits for leaders that move. Changes nothing.
    pub async fn plan(&self, source: SourceTopic, source_id: TopicId) -> Result<Planned, TopicError> {
        let deadline = tokio::time::Instant::now() + PLAN_PATIENCE;
        loop {
            match self.plan_once(source.clone(), source_id).await {
                Err(TopicError::Moving { .. }) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(PLAN_PAUSE).await;
                    self.dest.refresh().await?;
                }
                planned => return planned,
            }
        }
    }

    /// The same without waiting.
    pub(super) async fn plan_once(
        &self,
        source: SourceTopic,
        source_id: TopicId,
    ) -> Result<Planned, TopicError> {
        if let Some(link) = circle(&self.source, &self.dest.cluster_id(), &source.name).await? {
            return Ok(self.refuse_name(source, source_id, NameRefusal::Circle { link }));
        }
        let dest_topic = self.dest_topic(&source.name);
        let told = read_source(&self.source, &source.name).await.map_err(TopicError::at_source)?;
        let compacts = told.as_ref().map_or(SourceCompaction::Off, |told| told.compaction);
        let source = SourceTopic { compaction: compacts, ..source };
        let standing = read_topic(&self.dest, &dest_topic).await?;
        let (needed, known) = match &standing {
            Some(standing) => (standing.standby_settings(), standing.known_settings.clone()),
            None => for_new_topics(&self.dest).await?,
        };
        let overrides = standing.as_ref().map_or_else(Own::new, |standing| standing.overrides.clone());
        let views = Views { source: told.as_ref(), standby: &overrides, base: &Base::new() };
        let rules = Rules { policy: &self.policy, standby: &needed, known: &known };
        let compared = compare(views, rules);
        let followed = compared.changes.into_iter().filter(|change| change.is_followed());
        let followed: Vec<_> = followed.map(|change| (change.field, change.value)).collect();
        let policy = standing.as_ref().map(|_| overrides.get("cleanup.policy").map_or("", String::as_str));
        let compaction = compaction(compacts, policy);
        let dest =
            standing.map(|standing| standing.into_dest_topic(&dest_topic, self.identity, &self.inherited));
        let plan = plan_topic(&source, dest.as_ref(), &needed, &followed);
        let base = compared.base.into_iter().chain(followed).collect();
        Ok(Planned { source, source_id, dest_topic, plan, compaction, base, found: overrides })
    }

    /// Carries a plan out, and waits until every partition has a leader.
    pub async fn apply(&self, planned: &mut Planned) -> Result<ReadyTopic, TopicError> {
        let name = &*planned.dest_topic;
        let partitions = i32::try_from(planned.source.partitions).unwrap_or(i32::MAX);
        let mut created_from = partitions;
        match &planned.plan {
            TopicPlan::Ready => {}
            TopicPlan::Create { settings, .. } => {
                if self.create(name, partitions, settings).await? {
                    created_from = 0;
                }
            }
            TopicPlan::Adopt { grow_to, settings, followed } => {
                if !settings.is_empty() {
                    let settings: Vec<_> =
                        settings.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
                    self.alter(name, &settings).await?;
                }
                if !followed.is_empty()
                    && let Err(error) = self.alter(name, followed).await
                {
                    // Nothing depends on them: the keeper tries again, one by one, and says what is refused.
                    tracing::warn!(topic = name, %error, "the source's settings are not taken as they are");
                    planned.base.retain(|name, _| !followed.iter().any(|(refused, _)| refused == name));
                }
                if let Some(total) = grow_to {
                    let before = self.dest.metadata().topics.get(name).map_or(0, |t| t.partitions.len());
                    self.grow(name, *total).await?;
                    created_from = i32::try_from(before).unwrap_or(i32::MAX);
                }
            }
            TopicPlan::Refuse(refusal) => {
                return Err(TopicError::NotMirrored(refusal.clone()));
            }
        }
        self.wait_for_leaders(name, planned.source.partitions).await?;
        Ok(ReadyTopic {
            topic: Arc::from(planned.source.name.as_str()),
            dest_topic: Arc::clone(&planned.dest_topic),
            source_id: planned.source_id,
            partitions,
            created_from,
            compaction: planned.compaction,
            delete_retention_ms: match planned.source.compaction {
                SourceCompaction::On { delete_retention_ms, .. } => Some(delete_retention_ms),
                SourceCompaction::Off => None,
            },
        })
    }

    /// False: somebody else had created it in the meantime.
    async fn create(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(String, String)],
    ) -> Result<bool, TopicError> {
        let topic = NewTopic {
            name: name.to_owned(),
            partitions,
            replication_factor: REPLICATION_FACTOR_DEFAULT,
            configs: settings.to_vec(),
        };
        let answers = create_topics(&self.dest, std::slice::from_ref(&topic), ADMIN_TIMEOUT, false).await?;
        let mut answer = answers.into_iter().next();
        if let Some((_, Err((code, detail)))) = &answer
            && (*code == ErrorCode::INVALID_CONFIG || *code == ErrorCode::POLICY_VIOLATION)
        {
            // What the source owns is worth less than a mirror: the keeper says what the destination does not take.
            tracing::warn!(topic = name, %code, detail, "created without the source's settings");
            let needed = |(name, _): &(String, String)| self.policy.owner(name) == Owner::Standby;
            let configs = topic.configs.iter().filter(|setting| needed(setting)).cloned().collect();
            let bare = NewTopic { configs, ..topic };
            answer = create_topics(&self.dest, &[bare], ADMIN_TIMEOUT, false).await?.into_iter().next();
        }
        match answer {
            Some((_, Err((code, _)))) if code == ErrorCode::TOPIC_ALREADY_EXISTS => Ok(false),
            Some((_, Err((code, detail)))) => {
                Err(TopicError::Refused { what: "creating", topic: name.to_owned(), code, detail })
            }
            _ => {
                tracing::info!(topic = name, partitions, "created on the destination");
                Ok(true)
            }
        }
    }

    async fn alter(&self, name: &str, settings: &[(String, Option<String>)]) -> Result<(), TopicError> {
        let changes: Vec<_> = settings.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
        incremental_alter_configs(&self.dest, name, &changes).await?;
        let list: Vec<_> =
            settings.iter().map(|(n, v)| format!("{n}={}", v.as_deref().unwrap_or("(unset)"))).collect();
        tracing::info!(topic = name, settings = list.join(" "), "settings set on the destination");
        Ok(())
    }

    async fn grow(&self, name: &str, total: usize) -> Result<(), TopicError> {
        let total = i32::try_from(total).unwrap_or(i32::MAX);
        create_partitions(&self.dest, name, total).await?;
        tracing::info!(topic = name, partitions = total, "partitions added on the destination");
        Ok(())
    }

    async fn wait_for_leaders(&self, name: &str, partitions: usize) -> Result<(), TopicError> {
        let deadline = tokio::time::Instant::now() + LEADERS_DEADLINE;
        loop {
            let metadata = self.dest.metadata();
            let led = metadata.topics.get(name).map_or(0, |topic| {
                topic.partitions.iter().filter(|p| p.leader.is_some() && p.error.is_none()).count()
            });
            if led >= partitions {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(TopicError::NoLeaders {
                    topic: name.to_owned(),
                    seconds: LEADERS_DEADLINE.as_secs(),
                });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.dest.refresh().await?;
        }
    }

    /// Deletes a topic on the destination and waits until it is gone there.
    pub(super) async fn delete(&self, name: &str) -> Result<(), TopicError> {
        let answers = delete_topics(&self.dest, &[name]).await?;
        if let Some((_, Err((code, detail)))) = answers.into_iter().next()
            && code != ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        {
            return Err(TopicError::Refused { what: "deleting", topic: name.to_owned(), code, detail });
        }
        tracing::info!(topic = name, "deleted on the destination, as at the source");
        let deadline = tokio::time::Instant::now() + LEADERS_DEADLINE;
        while self.dest.refresh().await?.topics.contains_key(name) && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Plans one topic and carries it out.
    pub(super) async fn prepare(
        &self,
        source: SourceTopic,
        id: TopicId,
    ) -> Result<(ReadyTopic, Known), TopicError> {
        self.dest.refresh().await?;
        let mut planned = self.plan(source, id).await?;
        let ready = self.apply(&mut planned).await?;
        Ok((ready, planned.known()))
    }
}
