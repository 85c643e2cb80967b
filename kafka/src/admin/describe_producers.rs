//! DescribeProducers: what a partition's leader remembers of its idempotent producers (M5, M6, M8, M13).
//! Absence proves nothing: the broker forgets a producer by the timestamp of its newest record. Needs READ on the topic.

use kafka_protocol::messages::DescribeProducersRequest;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use lockstep_core::ids::TopicPartition;

use super::PerPartition;
use super::partitions::{Answers, by_topic};
use crate::connection::Connection;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// One producer as one partition remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerState {
    pub producer_id: i64,
    pub epoch: i16,
    /// Of the last data batch; −1 when it wrote only markers.
    pub last_sequence: i32,
    /// Milliseconds since 1970, of the newest record; −1 when there is none.
    pub last_timestamp: i64,
    /// Of the last transaction marker; −1 when there was none.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins; −1 when none is open.
    pub current_txn_start: i64,
}

/// Asks the leader for all producers it remembers, per partition.
///
/// # Errors
/// Per partition its code; [`Error::Unsupported`] below Kafka 2.8; else whatever a connection can meet.
pub async fn describe_producers(
    connection: &Connection,
    asked: &[TopicPartition],
) -> Result<PerPartition<Vec<ProducerState>>, Error> {
    let api = Api::DescribeProducers;
    let version = connection.version(api)?;
    let topics = by_topic(asked, |tp| tp).into_iter().map(|(name, partitions)| {
        TopicRequest::default()
            .with_name(wire_text(name).into())
            .with_partition_indexes(partitions.into_iter().map(|tp| tp.partition).collect())
    });
    let request = DescribeProducersRequest::default().with_topics(topics.collect());
    let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
    let mut answers = Answers::new();
    for topic in &answer.topics {
        for partition in &topic.partitions {
            let mut producers = Vec::with_capacity(partition.active_producers.len());
            for producer in &partition.active_producers {
                // An int32 on the wire, an int16 everywhere else in the protocol.
                let epoch = i16::try_from(producer.producer_epoch).map_err(|_| {
                    connection.protocol(api, format!("{} is no producer epoch", producer.producer_epoch))
                })?;
                producers.push(ProducerState {
                    producer_id: producer.producer_id.0,
                    epoch,
                    last_sequence: producer.last_sequence,
                    last_timestamp: producer.last_timestamp,
                    coordinator_epoch: producer.coordinator_epoch,
                    current_txn_start: producer.current_txn_start_offset,
                });
            }
            answers.add(&topic.name, partition.partition_index, partition.error_code, producers);
        }
    }
    answers.in_order(api, connection, asked.iter())
}
