//! What we may do on topics that are not there yet, and have no mask: each right is asked for by a request that needs it
//! and cannot have an effect on a topic that does not exist, nor on one that comes into being meanwhile.

use std::time::Duration;

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, CreatePartitionsRequest, ProducerId, TransactionalId,
};
use lockstep_core::ids::TopicPartition;
use lockstep_core::plan::permissions::{Allowed, Operation, Resource};

use super::rights::NOBODY;
use super::{delete_records, describe_producers};
use crate::cluster::Cluster;
use crate::code::ErrorCode;
use crate::connection::Connection;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

const PATIENCE: Duration = Duration::from_secs(15);

/// Learns READ, WRITE, ALTER and DELETE on topics. `id`: a transactional id in whose name is asked; without WRITE on it
/// WRITE on the topics stays unknown.
///
/// # Errors
/// [`Error::Unsupported`] below Kafka 2.8; else whatever a connection can meet.
pub async fn learn_on_absent(
    cluster: &Cluster,
    topics: &[String],
    id: &str,
    allowed: &mut Allowed,
) -> Result<(), Error> {
    if topics.is_empty() {
        return Ok(());
    }
    let connection = cluster.any().await?;
    learn_read_on_absent(&connection, topics, allowed).await?;
    let partitions: Vec<_> = topics.iter().map(|name| TopicPartition::new(name.as_str(), 0)).collect();
    // Below offset 0 there is nothing to delete.
    let nothing: Vec<_> = partitions.iter().map(|tp| (tp.clone(), 0)).collect();
    for (tp, answer) in delete_records(&connection, &nothing, PATIENCE).await? {
        learn(allowed, &tp.topic, Operation::Delete, answer.err());
    }
    alter(&cluster.controller().await?, topics, allowed).await?;
    write(&connection, topics, id, allowed).await
}

/// Learns READ alone on topics.
///
/// # Errors
/// [`Error::Unsupported`] below Kafka 2.8; else whatever a connection can meet.
pub async fn learn_read_on_absent(
    connection: &Connection,
    topics: &[String],
    allowed: &mut Allowed,
) -> Result<(), Error> {
    let partitions: Vec<_> = topics.iter().map(|name| TopicPartition::new(name.as_str(), 0)).collect();
    for (tp, answer) in describe_producers(connection, &partitions).await? {
        learn(allowed, &tp.topic, Operation::Read, answer.err());
    }
    Ok(())
}

fn learn(allowed: &mut Allowed, topic: &str, operation: Operation, code: Option<ErrorCode>) {
    let denied = code == Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    allowed.learn(Resource::Topic(topic.to_owned()), operation, !denied);
}

/// A number of partitions is only validated.
async fn alter(connection: &Connection, topics: &[String], allowed: &mut Allowed) -> Result<(), Error> {
    let api = Api::CreatePartitions;
    let topics = topics.iter().map(|name| {
        CreatePartitionsTopic::default()
            .with_name(wire_text(name).into())
            .with_count(1)
            .with_assignments(None)
    });
    let request = CreatePartitionsRequest::default()
        .with_topics(topics.collect())
        .with_validate_only(true)
        .with_timeout_ms(super::milliseconds(PATIENCE));
    let version = connection.version(api)?;
    let answer = connection.call(api, version, &request, PATIENCE + super::ANSWER_GRACE).await?;
    for result in answer.results {
        learn(allowed, &result.name, Operation::Alter, ErrorCode::from_wire(result.error_code));
    }
    Ok(())
}

/// Nobody's producer adds them to a transaction: rights come first, then the coordinator does not know it.
async fn write(
    connection: &Connection,
    topics: &[String],
    id: &str,
    allowed: &mut Allowed,
) -> Result<(), Error> {
    let api = Api::AddPartitionsToTxn;
    let topics = topics.iter().map(|name| {
        AddPartitionsToTxnTopic::default().with_name(wire_text(name).into()).with_partitions(vec![0])
    });
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(TransactionalId(wire_text(id)))
        .with_v3_and_below_producer_id(ProducerId(NOBODY))
        .with_v3_and_below_producer_epoch(0)
        .with_v3_and_below_topics(topics.collect());
    let version = connection.version(api)?;
    let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
    for topic in answer.results_by_topic_v3_and_below {
        let code = topic.results_by_partition.first();
        let code = code.and_then(|partition| ErrorCode::from_wire(partition.partition_error_code));
        if code != Some(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED) {
            learn(allowed, &topic.name, Operation::Write, code);
        }
    }
    Ok(())
}
