//! Destination topics: plans them, carries a plan out, and follows the source's new topics and
//! partitions. One loop reconciles what is wanted with what is; a topic that cannot be mirrored holds up itself
//! and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::ids::{ProducerIdentity, TopicId};
use lockstep_core::plan::topics::{
    Compaction, SourceCompaction, SourceTopic, TopicPlan, compaction, plan_topic,
};
use lockstep_core::spec::select::TopicSelection;
use lockstep_kafka::admin::{
    NewTopic, create_partitions, create_topics, delete_topics, incremental_alter_configs,
};
use lockstep_kafka::{Cluster, ErrorCode, Metadata};
use tokio::sync::mpsc;

use super::fault::TopicError;
use super::standing::{read_topic, settings_for_new_topics, source_compaction};
use crate::pipeline::event::{Event, ReadyTopic};
use crate::pipeline::tail::Inherited;

/// How often somebody looks whether the source's metadata are new.
const RECONCILE_INTERVAL: Duration = Duration::from_millis(50);
/// The same topic is tried again after this long if it was blocked.
const BLOCKED_INTERVAL: Duration = Duration::from_secs(5);
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
    pub plan: TopicPlan,
    pub compaction: Compaction,
}

/// Plans and changes destination topics of one link. Cheap to clone.
#[derive(Clone)]
pub struct Topics {
    pub source: Cluster,
    pub dest: Cluster,
    pub selection: TopicSelection,
    /// What the destination knows of the link's producer; `None`: nothing there can be ours.
    pub identity: Option<ProducerIdentity>,
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

    /// Plans one topic against what stands on the destination now. Changes nothing.
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

    async fn plan_once(&self, source: SourceTopic, source_id: TopicId) -> Result<Planned, TopicError> {
        let compaction_there = source_compaction(&self.source, &source.name).await?;
        let source = SourceTopic { compaction: compaction_there, ..source };
        let standing = read_topic(&self.dest, &source.name).await?;
        let settings = match &standing {
            Some(standing) => standing.standby_settings(),
            None => settings_for_new_topics(&self.dest).await?,
        };
        let dest =
            standing.map(|standing| standing.into_dest_topic(&source.name, self.identity, &self.inherited));
        let plan = plan_topic(&source, dest.as_ref(), &settings);
        let compaction = compaction(&source, dest.as_ref());
        Ok(Planned { source, source_id, plan, compaction })
    }

    /// Carries a plan out, and waits until every partition has a leader.
    pub async fn apply(&self, planned: &Planned) -> Result<ReadyTopic, TopicError> {
        let name = &planned.source.name;
        let partitions = i32::try_from(planned.source.partitions).unwrap_or(i32::MAX);
        let mut created_from = partitions;
        match &planned.plan {
            TopicPlan::Ready => {}
            TopicPlan::Create { settings, .. } => {
                if self.create(name, partitions, settings).await? {
                    created_from = 0;
                }
            }
            TopicPlan::Adopt { grow_to, settings } => {
                if !settings.is_empty() {
                    self.alter(name, settings).await?;
                }
                if let Some(total) = grow_to {
                    let before =
                        self.dest.metadata().topics.get(name.as_str()).map_or(0, |t| t.partitions.len());
                    self.grow(name, *total).await?;
                    created_from = i32::try_from(before).unwrap_or(i32::MAX);
                }
            }
            TopicPlan::Refuse(refusal) => {
                return Err(TopicError::Unreadable { topic: name.clone(), why: refusal.to_string() });
            }
        }
        self.wait_for_leaders(name, planned.source.partitions).await?;
        Ok(ReadyTopic {
            topic: Arc::from(name.as_str()),
            source_id: planned.source_id,
            partitions,
            created_from,
            compaction: planned.compaction.clone(),
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
        let answers = create_topics(&self.dest, &[topic], ADMIN_TIMEOUT, false).await?;
        match answers.into_iter().next() {
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

    async fn alter(&self, name: &str, settings: &[(String, String)]) -> Result<(), TopicError> {
        let changes: Vec<_> = settings.iter().map(|(n, v)| (n.as_str(), Some(v.as_str()))).collect();
        incremental_alter_configs(&self.dest, name, &changes).await?;
        let list: Vec<_> = settings.iter().map(|(n, v)| format!("{n}={v}")).collect();
        tracing::info!(topic = name, settings = list.join(" "), "standby settings set on the destination");
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

    /// Follows the source: new topics that match, and partitions added to known ones. `ready`: what stands
    /// already. Runs until the engine is gone.
    /// `retired`: topics to be deleted here, because they are gone at the source (`--propagate all`).
    pub async fn follow(
        self,
        mut ready: BTreeMap<Arc<str>, usize>,
        events: mpsc::Sender<Event>,
        mut retired: mpsc::Receiver<Arc<str>>,
    ) {
        let mut blocked: BTreeMap<Arc<str>, tokio::time::Instant> = BTreeMap::new();
        let mut seen: Option<Arc<Metadata>> = None;
        while !events.is_closed() {
            tokio::time::sleep(RECONCILE_INTERVAL).await;
            while let Ok(topic) = retired.try_recv() {
                ready.remove(&topic);
                if let Err(error) = self.delete(&topic).await {
                    tracing::warn!(%topic, %error, "could not be deleted on the destination");
                }
            }
            let metadata = self.source.metadata();
            if blocked.is_empty() && seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &metadata)) {
                continue;
            }
            let wanted = self.wanted(&metadata);
            seen = Some(metadata);
            for (name, (source, id)) in wanted {
                let partitions = source.partitions;
                let stands = ready.get(&name).is_some_and(|known| *known >= partitions);
                let waits = blocked.get(&name).is_some_and(|until| *until > tokio::time::Instant::now());
                if stands || waits {
                    continue;
                }
                let event = match self.prepare(source, id).await {
                    Ok(topic) => {
                        ready.insert(Arc::clone(&name), partitions);
                        blocked.remove(&name);
                        Event::TopicReady(topic)
                    }
                    Err(error) => {
                        blocked.insert(Arc::clone(&name), tokio::time::Instant::now() + BLOCKED_INTERVAL);
                        Event::TopicBlocked { topic: name.to_string(), why: error.to_string() }
                    }
                };
                if events.send(event).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Deletes a topic on the destination and waits until it is gone there.
    async fn delete(&self, name: &str) -> Result<(), TopicError> {
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

    async fn prepare(&self, source: SourceTopic, id: TopicId) -> Result<ReadyTopic, TopicError> {
        self.dest.refresh().await?;
        let planned = self.plan(source, id).await?;
        self.apply(&planned).await
    }
}
