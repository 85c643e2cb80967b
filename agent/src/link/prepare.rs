//! Looks before touching: connects to both clusters, checks what they are and what stands on the destination,
//! and plans every topic. All faults are found before anything is changed, and each names its remedy.

use std::sync::Arc;

use lockstep_core::ids::ProducerIdentity;
use lockstep_core::mirror::guard::{Guard, PRODUCER_ID_EXPIRATION_MS_DEFAULT};
use lockstep_core::plan::topics::TopicPlan;
use lockstep_kafka::admin::{ConfigTarget, describe_configs};
use lockstep_kafka::{Cluster, Dial, Error};
use thiserror::Error as ThisError;

use super::LinkSettings;
use super::identity::look_up;
use super::topics::{Planned, TopicError, Topics};

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
    #[error("no topic of the source matches{hint}\n  remedy  patterns are anchored: 'orders' takes that topic alone, 'orders.*' everything that starts so")]
    NothingMatches { hint: String },
    #[error("{} of {wanted} topics cannot be mirrored; nothing was changed{}", refused.len(), list(refused))]
    Refused { wanted: usize, refused: Vec<Planned> },
    #[error(transparent)]
    Topic(#[from] TopicError),
}

fn list(refused: &[Planned]) -> String {
    let mut text = String::new();
    for planned in refused {
        if let TopicPlan::Refuse(refusal) = &planned.plan {
            text.push_str(&format!("\n  topic   {}: {refusal}\n  remedy  {}", planned.source.name, refusal.remedy()));
        }
    }
    text
}

/// Everything looked at and nothing touched.
pub struct Prepared {
    pub name: String,
    pub source: Cluster,
    pub dest: Cluster,
    pub guard: Guard,
    pub plan: Vec<Planned>,
    pub(super) topics: Topics,
    pub(super) memory_bytes_max: usize,
}

/// Connects, checks, plans.
///
/// # Errors
/// See [`StartError`]; in every case both clusters are as they were.
pub async fn prepare(dial: Arc<dyn Dial>, settings: LinkSettings) -> Result<Prepared, StartError> {
    let at = |side| move |source| StartError::Cluster { side, source };
    let source = Cluster::connect(Arc::clone(&dial), settings.source).await.map_err(at("source"))?;
    let dest = Cluster::connect(dial, settings.dest).await.map_err(at("destination"))?;
    if source.cluster_id() == dest.cluster_id() {
        return Err(StartError::SameCluster { cluster_id: source.cluster_id() });
    }
    let name = settings.name.unwrap_or_else(|| source.cluster_id());
    let mut topics =
        Topics { source: source.clone(), dest: dest.clone(), selection: settings.selection, identity: None };
    let wanted = topics.wanted(&source.metadata());
    if wanted.is_empty() {
        return Err(StartError::NothingMatches { hint: names_there(&source) });
    }
    topics.identity = look_up_if_needed(&dest, &name, wanted.keys()).await.map_err(at("destination"))?;
    let mut plan = Vec::new();
    for (source, id) in wanted.into_values() {
        plan.push(topics.plan(source, id).await?);
    }
    let (refused, plan): (Vec<_>, Vec<_>) =
        plan.into_iter().partition(|planned| matches!(planned.plan, TopicPlan::Refuse(_)));
    if !refused.is_empty() {
        return Err(StartError::Refused { wanted: refused.len() + plan.len(), refused });
    }
    let guard = read_guard(&dest).await.map_err(at("destination"))?;
    Ok(Prepared { name, source, dest, guard, plan, topics, memory_bytes_max: settings.memory_bytes_max })
}

/// Who the link is matters only where a destination topic exists; asking creates `__transaction_state`.
async fn look_up_if_needed<'a>(
    dest: &Cluster,
    link: &str,
    mut wanted: impl Iterator<Item = &'a Arc<str>>,
) -> Result<Option<ProducerIdentity>, Error> {
    let metadata = dest.metadata();
    if wanted.any(|name| metadata.topics.contains_key(name)) { look_up(dest, link).await } else { Ok(None) }
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

/// M6: how long the destination remembers a producer.
async fn read_guard(dest: &Cluster) -> Result<Guard, Error> {
    let nodes: Vec<_> = dest.metadata().brokers.keys().map(|node| ConfigTarget::Broker(*node)).collect();
    let mut shortest = None;
    for (_, entries) in describe_configs(dest, &nodes).await? {
        let Ok(entries) = entries else { continue };
        let value = entries
            .into_iter()
            .find(|entry| entry.name == "producer.id.expiration.ms")
            .and_then(|entry| entry.value?.parse::<i64>().ok());
        shortest = match (shortest, value) {
            (Some(a), Some(b)) => Some(i64::min(a, b)),
            (a, b) => a.or(b),
        };
    }
    Ok(Guard::new(shortest.unwrap_or(PRODUCER_ID_EXPIRATION_MS_DEFAULT)))
}
