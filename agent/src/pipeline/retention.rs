//! Follows the source's log start on the standby (M20): gathers what explains a step, lets `core::mirror::retention`
//! decide, deletes. Nothing it cannot explain is deleted; what fails is tried again in the next round.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lockstep_batch::build::is_filler;
use lockstep_core::dr::runway::SourceRetention;
use lockstep_core::ids::{DestOffset, LeaderEpoch, NodeId, SourceOffset, TopicPartition};
use lockstep_core::mirror::WallMillis;
use lockstep_core::mirror::retention::{Propagation, RetentionEvidence, Step, follow};
use lockstep_kafka::admin::{
    At, ConfigTarget, delete_records, describe_configs, describe_log_dirs, list_offsets,
};
use lockstep_kafka::fetch::Isolation;
use lockstep_kafka::{Api, Class, Cluster, Error, ErrorCode, MissingPermission};

use super::names::{DestPartition, Twin, by_dest};
use super::peek::batch_at;
use super::routes::by_leader;

const DELETE_TIMEOUT: Duration = Duration::from_secs(10);

/// A partition whose source starts later than the standby.
#[derive(Clone, Debug)]
pub struct Behind {
    pub twin: Twin,
    pub source_start: SourceOffset,
    pub dest_start: DestOffset,
    pub durable: DestOffset,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Followed {
    pub tp: TopicPartition,
    /// The standby's log start now.
    pub dest_start: DestOffset,
    /// The source's log start that was not followed.
    pub held_back: Option<SourceOffset>,
    /// The destination's refusal to delete, with the missing right if that is the cause.
    pub refused: Option<String>,
}

/// A source topic's settings about deletion.
#[derive(Clone, Copy, Debug, Default)]
struct Settings {
    deletes: bool,
    /// −1: no limit.
    retention_ms: i64,
    /// −1: no limit.
    retention_bytes: i64,
}

/// One round over partitions whose source starts later.
///
/// # Errors
/// What a cluster answers or does not; what was deleted until then stays deleted and is found in the next round.
pub async fn follow_log_starts(
    source: &Cluster,
    dest: &Cluster,
    propagation: Propagation,
    behind: &[Behind],
    now: WallMillis,
) -> Result<Vec<Followed>, Error> {
    let evidence = match propagation {
        Propagation::All => BTreeMap::new(),
        Propagation::None => gather(source, dest, behind, now).await?,
    };
    let unexplained = RetentionEvidence { deletes: false, young_from: None, still_full: None };
    let mut followed = Vec::with_capacity(behind.len());
    let names = by_dest(behind.iter().map(|b| &b.twin));
    let mut steps: BTreeMap<NodeId, Vec<(TopicPartition, i64)>> = BTreeMap::new();
    let metadata = dest.metadata();
    for Behind { twin, source_start, dest_start, durable } in behind {
        let Twin { source: tp, dest: there } = twin;
        let evidence = evidence.get(tp).copied().unwrap_or(unexplained);
        // Fillers are ours and stand for nothing: they go, whatever the source's retention says (M14).
        let propagation = match starts_with_fillers(dest, there, *dest_start).await {
            true => Propagation::All,
            false => propagation,
        };
        let following = follow(*source_start, *dest_start, *durable, propagation, evidence);
        if let (Step::DeleteBefore(offset), Some((node, _))) =
            (following.step, metadata.leader(there.there()))
        {
            steps.entry(node).or_default().push((there.there().clone(), offset.0));
        }
        let (dest_start, held_back) = (*dest_start, following.held_back);
        followed.push(Followed { tp: tp.clone(), dest_start, held_back, refused: None });
    }
    for (node, before) in steps {
        let connection = dest.connection(node).await?;
        let answers: BTreeMap<_, _> = delete_records(&connection, &before, DELETE_TIMEOUT)
            .await?
            .into_iter()
            .filter_map(|(there, start)| Some(((*names.get(&there)?).clone(), (there, start))))
            .collect();
        for one in &mut followed {
            match answers.get(&one.tp) {
                Some((_, Ok(start))) => one.dest_start = DestOffset(*start),
                Some((there, Err(code))) => one.refused = refusal(dest, there, *code),
                None => {}
            }
        }
    }
    Ok(followed)
}

/// Leaders that move are no reason: the next round asks again.
fn refusal(dest: &Cluster, tp: &TopicPartition, code: ErrorCode) -> Option<String> {
    if code.class() == Class::Retry {
        return None;
    }
    let missing = MissingPermission::aside(dest.settings(), Api::DeleteRecords, code, &tp.topic);
    Some(format!("the destination does not delete what the source no longer has: {code}{missing}"))
}

/// What cannot be read is looked at again in the next round.
async fn starts_with_fillers(dest: &Cluster, partition: &DestPartition, start: DestOffset) -> bool {
    let first = batch_at(dest, partition.there(), start.0, Isolation::ReadUncommitted).await;
    matches!(first, Ok(Some(batch)) if is_filler(&batch))
}

async fn gather(
    source: &Cluster,
    dest: &Cluster,
    behind: &[Behind],
    now: WallMillis,
) -> Result<BTreeMap<TopicPartition, RetentionEvidence>, Error> {
    let settings = read_settings(source, behind.iter().map(|b| &*b.twin.source.topic).collect()).await?;
    let of = |tp: &TopicPartition| settings.get(&*tp.topic).copied().unwrap_or_default();
    let sizes =
        read_sizes(source, behind.iter().map(|b| &b.twin.source).filter(|tp| of(tp).retention_bytes >= 0))
            .await?;
    let mut evidence = BTreeMap::new();
    let limits: BTreeSet<i64> =
        behind.iter().map(|b| of(&b.twin.source).retention_ms).filter(|ms| *ms >= 0).collect();
    let mut young: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    for limit in limits {
        let partitions = behind.iter().map(|b| &b.twin).filter(|twin| of(&twin.source).retention_ms == limit);
        young.extend(first_since(dest, partitions, now.0.saturating_sub(limit)).await?);
    }
    for Behind { twin, durable, .. } in behind {
        let tp = &twin.source;
        let Settings { deletes, retention_ms, retention_bytes } = of(tp);
        let young_from = match young.get(tp) {
            // Every record is older than the limit.
            Some(-1) => Some(*durable),
            Some(offset) => Some(DestOffset(*offset)),
            None => None,
        };
        let still_full = sizes.get(tp).filter(|_| retention_bytes >= 0).map(|size| *size >= retention_bytes);
        let young_from = young_from.filter(|_| retention_ms >= 0);
        evidence.insert(tp.clone(), RetentionEvidence { deletes, young_from, still_full });
    }
    Ok(evidence)
}

/// What the source's settings say about deletion, of each topic that may be described (runway).
///
/// # Errors
/// What the cluster answers or does not.
pub async fn read_retentions(
    source: &Cluster,
    topics: &[Arc<str>],
) -> Result<Vec<(Arc<str>, SourceRetention)>, Error> {
    let settings = read_settings(source, topics.iter().map(|topic| &**topic).collect()).await?;
    let limit = |value: i64| u64::try_from(value).ok();
    Ok(settings
        .into_iter()
        .map(|(topic, Settings { deletes, retention_ms, retention_bytes })| {
            let (milliseconds, bytes) = (limit(retention_ms), limit(retention_bytes));
            (Arc::from(topic), SourceRetention { deletes, milliseconds, bytes })
        })
        .collect())
}

async fn read_settings(
    source: &Cluster,
    topics: BTreeSet<&str>,
) -> Result<BTreeMap<String, Settings>, Error> {
    let targets: Vec<_> = topics.into_iter().map(|topic| ConfigTarget::Topic(topic.to_owned())).collect();
    let mut settings = BTreeMap::new();
    for (target, entries) in describe_configs(source, &targets).await? {
        let (ConfigTarget::Topic(topic), Ok(entries)) = (target, entries) else { continue };
        let value = |name: &str| entries.iter().find(|entry| entry.name == name)?.value.as_deref();
        let number = |name: &str| value(name).and_then(|text| text.parse().ok()).unwrap_or(-1);
        let deletes = value("cleanup.policy").is_some_and(|policy| policy.contains("delete"));
        let (retention_ms, retention_bytes) = (number("retention.ms"), number("retention.bytes"));
        settings.insert(topic, Settings { deletes, retention_ms, retention_bytes });
    }
    Ok(settings)
}

async fn read_sizes<'a>(
    source: &Cluster,
    partitions: impl Iterator<Item = &'a TopicPartition>,
) -> Result<BTreeMap<TopicPartition, i64>, Error> {
    let mut sizes = BTreeMap::new();
    for (node, group) in by_leader(source, partitions) {
        let partitions: Vec<_> = group.into_iter().map(|(tp, _)| tp).collect();
        let connection = source.connection(node).await?;
        match describe_log_dirs(&connection, &partitions).await {
            Ok(found) => sizes.extend(found),
            // Without the right to ask nothing is explained by size, and nothing deleted for it.
            Err(error @ Error::Refused { .. }) => tracing::warn!(%error, "sizes at the source are not known"),
            Err(error) => return Err(error),
        }
    }
    Ok(sizes)
}

async fn first_since<'a>(
    dest: &Cluster,
    twins: impl Iterator<Item = &'a Twin> + Clone,
    timestamp_ms: i64,
) -> Result<Vec<(TopicPartition, i64)>, Error> {
    let mut offsets = Vec::new();
    let names = by_dest(twins.clone());
    for (node, group) in by_leader(dest, twins.map(|twin| twin.dest.there())) {
        let asked: Vec<_> = group.into_iter().map(|(tp, _)| (tp, LeaderEpoch::UNKNOWN)).collect();
        let connection = dest.connection(node).await?;
        let answers = list_offsets(&connection, &asked, At::FirstSince(timestamp_ms)).await?;
        let known = |(there, offset): (TopicPartition, Result<i64, _>)| {
            Some(((*names.get(&there)?).clone(), offset.ok()?))
        };
        offsets.extend(answers.into_iter().filter_map(known));
    }
    Ok(offsets)
}
