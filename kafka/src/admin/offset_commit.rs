//! OffsetCommit from outside a group: offsets of one without members (M30). Goes to the group's coordinator, which
//! refuses it while the group has members: what a consumer commits there can never be overwritten by us.
//! Promises: how long an offset is kept is left to the broker (`offsets.retention.minutes`).

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};
use lockstep_core::ids::TopicPartition;

use super::PerPartition;
use super::offset_fetch::Committed;
use super::partitions::{Answers, by_topic};
use crate::connection::{Connection, Pending};
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// Nobody's membership (Kafka: `OffsetCommitRequest.DEFAULT_GENERATION_ID`).
const NO_GENERATION: i32 = -1;

/// A commit on its way.
#[must_use]
pub struct PendingCommit {
    pending: Pending,
    partitions: Vec<TopicPartition>,
}

/// Queues the offsets of one group, so that many groups' can be on their way at once. Needs READ on the group and on
/// the topics.
///
/// # Errors
/// Whatever a connection can meet.
pub async fn submit_offset_commit(
    connection: &Connection,
    group: &str,
    offsets: &[(TopicPartition, Committed)],
) -> Result<PendingCommit, Error> {
    let api = Api::OffsetCommit;
    let version = connection.version(api)?;
    let topics = by_topic(offsets, |(tp, _)| tp).into_iter().map(|(name, offsets)| {
        let partitions = offsets.into_iter().map(|(tp, committed)| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(tp.partition)
                .with_committed_offset(committed.offset)
                .with_committed_leader_epoch(committed.leader_epoch.0)
                .with_committed_metadata(Some(wire_text(&committed.metadata)))
        });
        OffsetCommitRequestTopic::default()
            .with_name(wire_text(name).into())
            .with_partitions(partitions.collect())
    });
    let request = OffsetCommitRequest::default()
        .with_group_id(wire_text(group).into())
        .with_generation_id_or_member_epoch(NO_GENERATION)
        .with_topics(topics.collect());
    let body = connection.encode(api, version, &request)?;
    let pending = connection.submit(api, version, vec![body], connection.request_timeout()).await?;
    Ok(PendingCommit { pending, partitions: offsets.iter().map(|(tp, _)| tp.clone()).collect() })
}

impl PendingCommit {
    /// Waits for the answer: one outcome for each partition, in the order given. 25: the group has members.
    ///
    /// # Errors
    /// Whatever a connection can meet; what was committed is unknown then.
    pub async fn answer(self) -> Result<PerPartition<()>, Error> {
        let Self { pending, partitions } = self;
        let connection = pending.connection().clone();
        let answer: OffsetCommitResponse = pending.decoded().await?;
        let mut answers = Answers::new();
        for topic in &answer.topics {
            for partition in &topic.partitions {
                answers.add(&topic.name, partition.partition_index, partition.error_code, ());
            }
        }
        answers.in_order(Api::OffsetCommit, &connection, partitions.iter())
    }
}
