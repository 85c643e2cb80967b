//! Asks both clusters once how groups stand, without a link: what `lockstep groups` shows and `lockstep verify` compares.
//! Reads only. Every figure is of the moment it was asked; a cluster that does not answer is an error.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use lockstep_core::groups::copies::Standing;
use lockstep_core::groups::judge::{StandbyRange, clamped};
use lockstep_core::groups::kind::Membership;
use lockstep_core::ids::{DestOffset, SourceOffset, TopicPartition};
use lockstep_core::spec::rename::Rename;
use lockstep_core::spec::select::{GroupSelection, TopicSelection};
use lockstep_kafka::admin::{At, list_offsets};
use lockstep_kafka::{Cluster, Error};

use super::report::{GroupReport, GroupState, OffsetReport};
use super::source::{Known, SourceGroups};
use super::standby::{StandbyGroups, Stands};
use crate::pipeline::routes::by_leader;

/// What to ask for.
#[derive(Clone, Debug)]
pub struct Asked {
    pub topics: TopicSelection,
    pub groups: GroupSelection,
    pub rename: Rename,
}

/// Every group of the source that is asked for, by name.
///
/// # Errors
/// Groups or ends could not be read on one of the clusters.
pub async fn survey(source: &Cluster, dest: &Cluster, asked: &Asked) -> Result<Vec<GroupReport>, Error> {
    let mut here = SourceGroups::new(source.clone(), asked.groups.clone(), asked.topics.clone());
    let look = here.look().await?;
    here.accept(&look.changed);
    let wanted: BTreeMap<Arc<str>, Vec<TopicPartition>> = here
        .groups
        .iter()
        .map(|(group, known)| (Arc::clone(group), known.offsets.keys().cloned().collect()))
        .collect();
    let mut there = StandbyGroups::new(dest.clone(), asked.rename.clone());
    let stands: HashMap<_, _> = there.read(&wanted).await?.into_iter().collect();
    let partitions: BTreeSet<_> = wanted.values().flatten().cloned().collect();
    let named: HashMap<_, _> = partitions
        .iter()
        .map(|tp| (TopicPartition::new(&*asked.rename.dest_name(&tp.topic), tp.partition), tp.clone()))
        .collect();
    let source_ends = marks(source, partitions.iter(), At::Latest).await?;
    let ends = by_source_name(marks(dest, named.keys(), At::Latest).await?, &named);
    let starts = by_source_name(marks(dest, named.keys(), At::Earliest).await?, &named);
    let range = |tp: &TopicPartition| {
        Some(StandbyRange { start: DestOffset(*starts.get(tp)?), end: DestOffset(*ends.get(tp)?) })
    };
    let report = |(group, known): (&Arc<str>, &Known)| {
        let stands = stands.get(group);
        let offsets = known.offsets.iter().map(|(tp, seen)| {
            let range = range(tp);
            let stands = stands.and_then(|s| s.as_ref().ok()?.offsets.get(tp));
            let wanted = range.map_or(seen.commit.offset.mirrored(), |r| clamped(&seen.commit, r).offset);
            let resumes_at = stands.map(|s| range.map_or(s.offset, |r| s.offset.max(r.start)));
            OffsetReport {
                tp: tp.clone(),
                source: seen.commit.offset,
                source_end: source_ends.get(tp).map(|end| SourceOffset(*end)),
                standby: stands.map(|s| s.offset),
                standby_end: range.map(|r| r.end),
                resumes_at,
                repeats: resumes_at.map(|at| (wanted.0 - at.0).max(0).unsigned_abs()),
                standing: match stands {
                    Some(stands) if resumes_at == Some(wanted) || stands.offset == wanted => Standing::InStep,
                    Some(stands) if stands.leader_epoch.is_known() || stands.offset > wanted => {
                        Standing::LeftAlone
                    }
                    _ => Standing::Due,
                },
            }
        });
        let offsets: Vec<_> = offsets.collect();
        let (group, kind) = (Arc::clone(group), known.kind.clone());
        GroupReport { state: state(known, stands, &offsets), synced: None, group, kind, offsets }
    };
    Ok(here.groups.iter().map(report).collect())
}

fn state(
    known: &Known,
    stands: Option<&Result<Stands, lockstep_core::groups::copies::Written>>,
    offsets: &[OffsetReport],
) -> GroupState {
    use lockstep_core::groups::copies::Written;
    match stands {
        Some(Ok(stands)) if stands.membership == Membership::Members && !offsets.is_empty() => {
            GroupState::Skipped("it has members on the standby".to_owned())
        }
        Some(Err(Written::Refused(refusal))) => GroupState::Skipped(refusal.why.clone()),
        Some(Err(_)) => GroupState::Skipped("the standby did not answer for it".to_owned()),
        _ => super::summary::state(known, None, offsets),
    }
}

/// One offset of each partition that has a leader and exists.
pub(crate) async fn marks(
    cluster: &Cluster,
    partitions: impl Iterator<Item = &TopicPartition>,
    at: At,
) -> Result<HashMap<TopicPartition, i64>, Error> {
    let groups = by_leader(cluster, partitions);
    let asked = groups.iter().map(|(node, group)| async move {
        let connection = cluster.connection(*node).await?;
        list_offsets(&connection, group, at).await
    });
    let answers = futures_util::future::try_join_all(asked).await?;
    Ok(answers.into_iter().flatten().filter_map(|(tp, mark)| Some((tp, mark.ok()?))).collect())
}

fn by_source_name(
    marks: HashMap<TopicPartition, i64>,
    named: &HashMap<TopicPartition, TopicPartition>,
) -> HashMap<TopicPartition, i64> {
    marks.into_iter().filter_map(|(tp, mark)| Some((named.get(&tp)?.clone(), mark))).collect()
}
