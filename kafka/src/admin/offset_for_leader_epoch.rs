//! OffsetForLeaderEpoch: where an epoch of a log ends; for the current epoch, the log's true end (M8).
//! The current leader epoch must be given: a broker that moved on answers a stale end without it, and no error.

use std::time::Duration;

use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use lockstep_core::ids::{LeaderEpoch, TopicPartition};

use super::PerPartition;
use super::partitions::{Answers, by_topic};
use crate::connection::{Connection, Pending};
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// A question about one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochQuestion {
    pub tp: TopicPartition,
    /// What we believe the leadership to be; another one is refused (74, 75).
    pub current: LeaderEpoch,
    /// The epoch whose end is asked for. For the log's end, the same as `current`.
    pub asked: LeaderEpoch,
}

/// Where an epoch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest epoch not above the asked one that the log knows; must equal it to mean the log's end (M8).
    pub epoch: LeaderEpoch,
    /// The offset behind its last record; −1 when the log knows no such epoch.
    pub end_offset: i64,
}

/// A question on its way, in its place on the wire.
#[must_use]
pub struct PendingEnds {
    pending: Pending,
    partitions: Vec<TopicPartition>,
}

/// Asks the leader, as an ordinary client.
///
/// # Errors
/// Per partition its code; else whatever a connection can meet.
pub async fn offset_for_leader_epoch(
    connection: &Connection,
    questions: &[EpochQuestion],
) -> Result<PerPartition<EpochEnd>, Error> {
    submit_offset_for_leader_epoch(connection, questions, connection.request_timeout()).await?.answer().await
}

/// Queues the question: a broker works through a connection in order, so that the answer knows what every request
/// submitted before has written. `timeout` has to cover those, too.
///
/// # Errors
/// Whatever a connection can meet.
pub async fn submit_offset_for_leader_epoch(
    connection: &Connection,
    questions: &[EpochQuestion],
    timeout: Duration,
) -> Result<PendingEnds, Error> {
    let api = Api::OffsetForLeaderEpoch;
    let version = connection.version(api)?;
    let topics = by_topic(questions, |question| &question.tp).into_iter().map(|(name, questions)| {
        let partitions = questions.into_iter().map(|question| {
            OffsetForLeaderPartition::default()
                .with_partition(question.tp.partition)
                .with_current_leader_epoch(question.current.0)
                .with_leader_epoch(question.asked.0)
        });
        OffsetForLeaderTopic::default()
            .with_topic(wire_text(name).into())
            .with_partitions(partitions.collect())
    });
    let request =
        OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(topics.collect());
    let body = connection.encode(api, version, &request)?;
    let pending = connection.submit(api, version, vec![body], timeout).await?;
    let partitions = questions.iter().map(|question| question.tp.clone()).collect();
    Ok(PendingEnds { pending, partitions })
}

impl PendingEnds {
    /// Waits for the answer: one for each question, in the order asked.
    ///
    /// # Errors
    /// Whatever a connection can meet.
    pub async fn answer(self) -> Result<PerPartition<EpochEnd>, Error> {
        let Self { pending, partitions } = self;
        let connection = pending.connection().clone();
        let answer: OffsetForLeaderEpochResponse = pending.decoded().await?;
        let mut answers = Answers::new();
        for topic in &answer.topics {
            for partition in &topic.partitions {
                let end =
                    EpochEnd { epoch: LeaderEpoch(partition.leader_epoch), end_offset: partition.end_offset };
                answers.add(&topic.topic, partition.partition, partition.error_code, end);
            }
        }
        answers.in_order(Api::OffsetForLeaderEpoch, &connection, partitions.iter())
    }
}
