//! DescribeProducers: what a partition's leader remembers of its idempotent producers (M5, M6, M8, M13).
//! Absence proves nothing: the broker forgets a producer by the timestamp of its newest record. Needs READ on the topic.

use std::time::Duration;

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::ProducerState as WireState;
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};
use lockstep_core::ids::TopicPartition;

use super::PerPartition;
use super::partitions::{Answers, by_topic};
use crate::connection::{Connection, Pending};
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// One producer as one partition remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerState {
    pub producer_id: i64,
    pub epoch: i16,
    /// Of the last data batch; −1 when it wrote only markers since the broker met it: data then begin at 0.
    pub last_sequence: i32,
    /// Milliseconds since 1970, of the newest record; −1 when there is none.
    pub last_timestamp: i64,
    /// Of the last transaction marker; −1 when there was none.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins; −1 when none is open.
    pub current_txn_start: i64,
}

/// A question on its way, in its place on the wire.
#[must_use]
pub struct PendingProducers {
    pending: Pending,
    partitions: Vec<TopicPartition>,
}

/// Asks the leader for all producers it remembers, per partition.
///
/// # Errors
/// Per partition its code; [`Error::Unsupported`] below Kafka 2.8; else whatever a connection can meet.
pub async fn describe_producers(
    connection: &Connection,
    asked: &[TopicPartition],
) -> Result<PerPartition<Vec<ProducerState>>, Error> {
    submit_describe_producers(connection, asked, connection.request_timeout()).await?.answer().await
}

/// Queues the question: a broker works through a connection in order, so that the answer knows what every request
/// submitted before has written. `timeout` has to cover those, too.
///
/// # Errors
/// [`Error::Unsupported`] below Kafka 2.8; else whatever a connection can meet.
pub async fn submit_describe_producers(
    connection: &Connection,
    asked: &[TopicPartition],
    timeout: Duration,
) -> Result<PendingProducers, Error> {
    let api = Api::DescribeProducers;
    let version = connection.version(api)?;
    let topics = by_topic(asked, |tp| tp).into_iter().map(|(name, partitions)| {
        TopicRequest::default()
            .with_name(wire_text(name).into())
            .with_partition_indexes(partitions.into_iter().map(|tp| tp.partition).collect())
    });
    let request = DescribeProducersRequest::default().with_topics(topics.collect());
    let body = connection.encode(api, version, &request)?;
    let pending = connection.submit(api, version, vec![body], timeout).await?;
    Ok(PendingProducers { pending, partitions: asked.to_vec() })
}

impl PendingProducers {
    /// Waits for the answer: one for each partition, in the order asked.
    ///
    /// # Errors
    /// Whatever a connection can meet.
    pub async fn answer(self) -> Result<PerPartition<Vec<ProducerState>>, Error> {
        let api = Api::DescribeProducers;
        let Self { pending, partitions } = self;
        let connection = pending.connection().clone();
        let answer: DescribeProducersResponse = pending.decoded().await?;
        let mut answers = Answers::new();
        for topic in &answer.topics {
            for partition in &topic.partitions {
                let states = partition.active_producers.iter().map(|state| producer(state, &connection));
                let states = states.collect::<Result<Vec<_>, _>>()?;
                answers.add(&topic.name, partition.partition_index, partition.error_code, states);
            }
        }
        answers.in_order(api, &connection, partitions.iter())
    }
}

fn producer(state: &WireState, connection: &Connection) -> Result<ProducerState, Error> {
    // An int32 on the wire, an int16 everywhere else in the protocol.
    let epoch = i16::try_from(state.producer_epoch).map_err(|_| {
        connection.protocol(Api::DescribeProducers, format!("{} is no producer epoch", state.producer_epoch))
    })?;
    Ok(ProducerState {
        producer_id: state.producer_id.0,
        epoch,
        last_sequence: state.last_sequence,
        last_timestamp: state.last_timestamp,
        coordinator_epoch: state.coordinator_epoch,
        current_txn_start: state.current_txn_start_offset,
    })
}
