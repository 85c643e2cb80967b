//! Asks both sides for their ends every second. Two answers are the link's heartbeat: they separate idle from
//! broken, and nothing is written to the source for it (docs/GUARANTEES.md, Exposure).
//! Source: the log *end* under the current leader epoch. Destination: the high watermark.
//! A broker that does not answer is reported in words; its partitions keep their old, ageing datum.

use std::sync::Arc;

use lockstep_core::ids::{DestOffset, LeaderEpoch, NodeId, SourceOffset, TopicPartition};
use lockstep_kafka::admin::{At, EpochQuestion, list_offsets, offset_for_leader_epoch};
use lockstep_kafka::{Cluster, Error};

use super::names::{Twin, by_dest};
use super::routes::by_leader;

/// What one round brought.
#[derive(Debug, Default)]
pub struct ProbeAnswer {
    /// Log ends under the current leader epoch.
    pub source_ends: Vec<(TopicPartition, SourceOffset)>,
    /// High watermarks.
    pub dest_high_watermarks: Vec<(TopicPartition, DestOffset)>,
    /// A cluster or broker that did not answer, in words.
    pub troubles: Vec<String>,
}

/// One round over both clusters.
pub async fn probe(source: &Cluster, dest: &Cluster, partitions: Arc<[Twin]>) -> ProbeAnswer {
    let mut answer = ProbeAnswer::default();
    for (node, group) in by_leader(source, partitions.iter().map(|twin| &twin.source)) {
        match source_ends(source, node, &group).await {
            Ok(ends) => answer.source_ends.extend(ends),
            Err(error) => answer.troubles.push(format!("source broker {node}: {error}")),
        }
    }
    let names = by_dest(partitions.iter());
    for (node, group) in by_leader(dest, partitions.iter().map(|twin| twin.dest.there())) {
        match high_watermarks(dest, node, &group).await {
            Ok(marks) => answer.dest_high_watermarks.extend(
                marks.into_iter().filter_map(|(there, mark)| Some(((*names.get(&there)?).clone(), mark))),
            ),
            Err(error) => answer.troubles.push(format!("destination broker {node}: {error}")),
        }
    }
    answer
}

async fn source_ends(
    cluster: &Cluster,
    node: NodeId,
    group: &[(TopicPartition, LeaderEpoch)],
) -> Result<Vec<(TopicPartition, SourceOffset)>, Error> {
    let connection = cluster.connection(node).await?;
    let questions: Vec<_> = group
        .iter()
        .map(|(tp, epoch)| EpochQuestion { tp: tp.clone(), current: *epoch, asked: *epoch })
        .collect();
    let answers = offset_for_leader_epoch(&connection, &questions).await?;
    Ok(answers
        .into_iter()
        .filter_map(|(tp, end)| end.ok().map(|end| (tp, SourceOffset(end.end_offset))))
        .collect())
}

async fn high_watermarks(
    cluster: &Cluster,
    node: NodeId,
    group: &[(TopicPartition, LeaderEpoch)],
) -> Result<Vec<(TopicPartition, DestOffset)>, Error> {
    let connection = cluster.connection(node).await?;
    let answers = list_offsets(&connection, group, At::Latest).await?;
    Ok(answers
        .into_iter()
        .filter_map(|(tp, offset)| offset.ok().map(|offset| (tp, DestOffset(offset))))
        .collect())
}
