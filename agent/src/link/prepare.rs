//! Looks before touching: checks what both clusters are and what stands on the destination,
//! and plans every topic. All faults are found before anything is changed, and each names its remedy.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use lockstep_core::code::Code;
use lockstep_core::dr::denied::{Denied, Side};
use lockstep_core::dr::passport::{Standing, WrongWay, standing};
use lockstep_core::groups::policy::GroupPolicy;
use lockstep_core::ids::TopicId;
use lockstep_core::mirror::cost::AlignmentBudget;
use lockstep_core::mirror::guard::{Guard, PRODUCER_ID_EXPIRATION_MS_DEFAULT};
use lockstep_core::mirror::retention::Propagation;
use lockstep_core::plan::topics::{SourceTopic, TopicPlan};
use lockstep_core::spec::pace::Pace;
use lockstep_kafka::admin::{ConfigTarget, describe_configs};
use lockstep_kafka::{Cluster, Dial, Error, MissingPermission, Settings};
use thiserror::Error as ThisError;
use tokio::sync::watch;

use super::fault::TopicError;
use super::identity::{LinkIdentity, look_up};
use super::topics::{Planned, TOPICS_AT_ONCE, Topics};
use super::watched::{Ends, WatchedCluster};
use super::{LinkSettings, Unfit};
use crate::passport::{self, PassportError};
use crate::pipeline::budget::Budget;
use crate::pipeline::denied::by_error;
use crate::pipeline::owned::Owned;
use crate::pipeline::tail::Inherited;

/// Default of the broker's `transactional.id.expiration.ms` (Kafka: `TransactionStateManagerConfig`): seven days.
const TRANSACTIONAL_ID_EXPIRATION_MS_DEFAULT: i64 = 604_800_000;

/// Topic names shown when nothing matched.
const NAMES_SHOWN: usize = 5;

/// Why a link does not start. Nothing has been changed.
#[derive(Debug, ThisError)]
pub enum StartError {
    #[error("cannot use the {side} cluster: {source}")]
    Cluster { side: &'static str, source: Error },
    #[error(
        "source and destination are the same cluster ({cluster_id})\n  remedy  --from and --to have to name different clusters"
    )]
    SameCluster { cluster_id: String },
    #[error(
        "no topic of the source matches{hint}\n  remedy  patterns are anchored: 'orders' takes that topic alone, 'orders.*' everything that starts so"
    )]
    NothingMatches { hint: String },
    #[error("{} of {wanted} topics cannot be mirrored; nothing was changed{}", refused.len(), list(refused))]
    Refused { wanted: usize, refused: Vec<Planned> },
    #[error(transparent)]
    Topic(#[from] TopicError),
    #[error(transparent)]
    WrongWay(#[from] WrongWay),
    #[error("{side}: {source}")]
    Passport { side: Side, source: PassportError },
}

impl StartError {
    /// The page for whoever has to act on it, if there is one.
    #[must_use]
    pub fn page(&self) -> Option<Code> {
        match self {
            Self::Cluster { source, .. }
            | Self::Topic(TopicError::Kafka(source) | TopicError::Source(source)) => source.page(),
            Self::Topic(TopicError::Refused { code, .. }) if code.is_missing_permission() => {
                Some(Code::PermissionMissing)
            }
            Self::Passport { source, .. } => source.page(),
            _ => None,
        }
    }

    /// What a cluster refuses, if that is the cause.
    #[must_use]
    pub fn denied(&self, source: &Settings, dest: &Settings) -> Option<Denied> {
        match self {
            Self::Cluster { side: "source", source: error } => by_error(Side::Source, source, error),
            Self::Cluster { source: error, .. } => by_error(Side::Dest, dest, error),
            Self::Topic(error) => error.denied(source, dest),
            Self::Passport { side: Side::Source, source: error } => error.denied(Side::Source, source),
            Self::Passport { side: Side::Dest, source: error } => error.denied(Side::Dest, dest),
            _ => None,
        }
    }

    /// The ACL that is missing, if that is the cause, and the cluster where it is.
    #[must_use]
    pub fn missing_permission(&self, source: &Settings, dest: &Settings) -> Option<MissingPermission> {
        match self {
            Self::Cluster { side: "source", source: error } => MissingPermission::of(source, error),
            Self::Cluster { source: error, .. } => MissingPermission::of(dest, error),
            Self::Topic(error) => error.missing_permission(source, dest),
            Self::Passport { side: Side::Source, source: error } => error.missing_permission(source),
            Self::Passport { side: Side::Dest, source: error } => error.missing_permission(dest),
            _ => None,
        }
    }
}

fn list(refused: &[Planned]) -> String {
    let mut text = String::new();
    for planned in refused {
        if let TopicPlan::Refuse(refusal) = &planned.plan {
            text.push_str(&format!(
                "\n  topic   {}: {refusal}\n  remedy  {}",
                planned.names(),
                refusal.remedy()
            ));
        }
    }
    text
}

/// Everything looked at and nothing touched.
pub struct Prepared {
    pub name: String,
    pub ends: Ends,
    /// `None`: a new link, whose identity is created at the start.
    pub identity: Option<LinkIdentity>,
    pub memory: Memory,
    pub plan: Vec<Planned>,
    /// Topics that cannot be mirrored as things stand: they are blocked at the start.
    pub refused: Vec<Planned>,
    pub(super) topics: Topics,
    pub(super) propagation: Propagation,
    pub(super) alignment: AlignmentBudget,
    pub(super) unfit: Unfit,
    pub(super) drain: Duration,
    pub(super) pace: Pace,
    pub(super) budget: Budget,
    pub(super) groups: Option<GroupPolicy>,
    pub(super) owned: watch::Receiver<Owned>,
}

impl Ends {
    /// Reaches both clusters.
    ///
    /// # Errors
    /// [`StartError::Cluster`], with the side.
    pub async fn connect(dial: Arc<dyn Dial>, source: Settings, dest: Settings) -> Result<Self, StartError> {
        let at = |side| move |source| StartError::Cluster { side, source };
        Ok(Self {
            source: WatchedCluster::connect(Arc::clone(&dial), source).await.map_err(at("source"))?,
            dest: WatchedCluster::connect(dial, dest).await.map_err(at("destination"))?,
        })
    }
}

/// Checks, plans.
///
/// # Errors
/// See [`StartError`]; in every case both clusters are as they were.
pub async fn prepare(ends: Ends, settings: LinkSettings) -> Result<Prepared, StartError> {
    let (source, dest) = (ends.source.cluster.clone(), ends.dest.cluster.clone());
    if source.cluster_id() == dest.cluster_id() {
        return Err(StartError::SameCluster { cluster_id: source.cluster_id() });
    }
    let name = settings.name.unwrap_or_else(|| source.cluster_id());
    let inherited = Arc::new(inherited(&source, &dest, &name).await?);
    let LinkSettings { selection, rename, topic_settings: policy, .. } = settings;
    let mut topics = Topics {
        source: source.clone(),
        dest: dest.clone(),
        selection,
        rename,
        identity: None,
        policy,
        inherited,
    };
    let wanted = topics.wanted(&source.metadata());
    if wanted.is_empty() && settings.unfit == Unfit::RefuseLink {
        return Err(StartError::NothingMatches { hint: names_there(&source) });
    }
    let there = dest.metadata();
    let dest_topics = wanted.keys().map(|name| topics.dest_topic(name));
    let standing: Vec<_> = dest_topics.filter(|name| there.topics.contains_key(name)).collect();
    // Who the link is matters only where a topic stands; asking creates `__transaction_state`.
    let identity = match standing.is_empty() {
        true => None,
        false => look_up(&dest, &name, standing.iter().map(|name| &**name), &topics.inherited).await?,
    };
    topics.identity = identity.map(LinkIdentity::producer);
    let plan = plan_all(&topics, wanted, settings.unfit).await?;
    let (refused, plan): (Vec<_>, Vec<_>) =
        plan.into_iter().partition(|planned| matches!(planned.plan, TopicPlan::Refuse(_)));
    if !refused.is_empty() && settings.unfit == Unfit::RefuseLink {
        return Err(StartError::Refused { wanted: refused.len() + plan.len(), refused });
    }
    let memory = Memory::read(&dest).await;
    let memory = memory.map_err(|source| StartError::Cluster { side: "destination", source })?;
    let LinkSettings { propagation, alignment, unfit, drain, pace, budget, groups, owned, .. } = settings;
    // Every link has its share of the process's memory.
    let budget = budget.holder();
    Ok(Prepared {
        name,
        ends,
        identity,
        memory,
        plan,
        refused,
        topics,
        propagation,
        alignment,
        unfit,
        drain,
        pace,
        budget,
        groups,
        owned,
    })
}

/// Plans a few topics beside each other; in their order.
async fn plan_all(
    topics: &Topics,
    wanted: BTreeMap<Arc<str>, (SourceTopic, TopicId)>,
    unfit: Unfit,
) -> Result<Vec<Planned>, TopicError> {
    let mut refused_names = topics.refused_names(&wanted);
    let planned = wanted.into_iter().map(|(name, (source, id))| {
        let refused = refused_names.remove(&name);
        async move {
            match (refused, unfit) {
                (Some(why), _) => Ok(topics.refuse_name(source, id, why)),
                (None, Unfit::RefuseLink) => topics.plan(source, id).await,
                // Whatever waits for leaders is the follower's: the others do not wait with it.
                (None, Unfit::BlockTopic) => topics.plan_once(source, id).await,
            }
        }
    });
    let mut planned = pin!(stream::iter(planned).buffered(TOPICS_AT_ONCE));
    let mut plan = Vec::new();
    while let Some(planned) = planned.next().await {
        match planned {
            Ok(planned) => plan.push(planned),
            // Left to the follower, which says why and tries again.
            Err(error) if unfit == Unfit::BlockTopic => tracing::debug!(%error, "a topic is left for later"),
            Err(error) => return Err(error),
        }
    }
    Ok(plan)
}

/// What the link finds on its destination from before, and whether it may run this way at all (M27).
async fn inherited(source: &Cluster, dest: &Cluster, link: &str) -> Result<Inherited, StartError> {
    let at = |side| move |source| StartError::Passport { side, source };
    let there = passport::read(dest, link).await.map_err(at(Side::Dest))?;
    let here = match passport::read(source, link).await {
        Ok(passport) => Some(passport),
        // The destination's word alone counts then; it is what stands between us and a primary.
        Err(error @ PassportError::Refused { code, .. }) if code.is_missing_permission() => {
            let grant = error.missing_permission(source.settings()).map(|missing| missing.grant());
            tracing::warn!(link, %error, grant, "the source's passport does not count: it may not be read");
            None
        }
        Err(error) => return Err(at(Side::Source)(error)),
    };
    Ok(match standing(here.as_ref(), &there)? {
        Standing::Fresh => Inherited::new(),
        Standing::FormerPrimary { generation, inherited } => {
            tracing::info!(link, generation, "the destination is a former primary: its records are kept");
            inherited
        }
    })
}

fn names_there(source: &Cluster) -> String {
    let metadata = source.metadata();
    let names: Vec<_> =
        metadata.topics.iter().filter(|(_, t)| !t.internal).map(|(name, _)| name.to_string()).collect();
    if names.is_empty() {
        return " (it has no topics)".to_owned();
    }
    let shown = names.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    let more = if names.len() > NAMES_SHOWN { ", …" } else { "" };
    format!(" (it has {} topics: {shown}{more})", names.len())
}

/// How long the destination remembers: a partition's producer (M6) and a transactional id (M2).
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub guard: Guard,
    pub transactional_id_expiration: Duration,
}

impl Memory {
    /// The shortest of all brokers; Kafka's defaults where they do not tell.
    async fn read(dest: &Cluster) -> Result<Self, Error> {
        let nodes: Vec<_> = dest.metadata().brokers.keys().map(|node| ConfigTarget::Broker(*node)).collect();
        let described = describe_configs(dest, &nodes).await?;
        let entries: Vec<_> =
            described.into_iter().filter_map(|(_, entries)| entries.ok()).flatten().collect();
        let shortest = |name: &str, default: i64| {
            let values = entries.iter().filter(|entry| entry.name == name);
            values.filter_map(|entry| entry.value.as_ref()?.parse().ok()).min().unwrap_or(default)
        };
        let id_ms = shortest("transactional.id.expiration.ms", TRANSACTIONAL_ID_EXPIRATION_MS_DEFAULT);
        Ok(Self {
            guard: Guard::new(shortest("producer.id.expiration.ms", PRODUCER_ID_EXPIRATION_MS_DEFAULT)),
            transactional_id_expiration: Duration::from_millis(id_ms.max(0).unsigned_abs()),
        })
    }
}
