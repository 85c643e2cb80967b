//! ListOffsets: where logs start, where the high watermark is, where the last stable offset is.
//! Never the log's true end: the high watermark stays behind it while a follower is slow.
//! [`offset_for_leader_epoch`](super::offset_for_leader_epoch) answers that (M8).

use kafka_protocol::messages::ListOffsetsRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use lockstep_core::ids::{LeaderEpoch, TopicPartition};

use super::PerPartition;
use super::partitions::{Answers, by_topic};
use crate::connection::Connection;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::{Api, Versions};

/// Which offset is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The log's start.
    Earliest,
    /// The high watermark: what every replica in sync holds.
    Latest,
    /// The last stable offset: below it nothing is undecided. Needs v2.
    LastStable,
    /// The first record whose timestamp (milliseconds since 1970) is at least this; −1 if there is none.
    FirstSince(i64),
}

/// Asks the leader for one offset per partition. A known leader epoch guards against a deposed leader (from v4).
///
/// # Errors
/// Per partition its code; else whatever a connection can meet.
pub async fn list_offsets(
    connection: &Connection,
    asked: &[(TopicPartition, LeaderEpoch)],
    at: At,
) -> Result<PerPartition<i64>, Error> {
    let api = Api::ListOffsets;
    let least = if at == At::LastStable { 2 } else { 1 };
    let version = connection.version_within(api, Versions::new(least, api.ours().max))?;
    let topics = by_topic(asked, |(tp, _)| tp).into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(tp, epoch)| {
            let partition = ListOffsetsPartition::default().with_partition_index(tp.partition);
            let partition =
                if version >= 4 { partition.with_current_leader_epoch(epoch.0) } else { partition };
            // Kafka's two magic timestamps.
            partition.with_timestamp(match at {
                At::Earliest => -2,
                At::Latest | At::LastStable => -1,
                At::FirstSince(timestamp_ms) => timestamp_ms,
            })
        });
        ListOffsetsTopic::default().with_name(wire_text(name).into()).with_partitions(partitions.collect())
    });
    let request = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level(i8::from(at == At::LastStable))
        .with_topics(topics.collect());
    let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
    let mut answers = Answers::new();
    for topic in &answer.topics {
        for partition in &topic.partitions {
            answers.add(&topic.name, partition.partition_index, partition.error_code, partition.offset);
        }
    }
    answers.in_order(api, connection, asked.iter().map(|(tp, _)| tp))
}
