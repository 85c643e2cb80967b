//! OffsetDelete (KIP-496): removes single committed offsets of a group; the others stay. Goes to the group's
//! coordinator; repeating it is harmless. Needs Kafka 2.4.

use kafka_protocol::messages::OffsetDeleteRequest;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use lockstep_core::ids::TopicPartition;

use super::PerPartition;
use super::partitions::{Answers, by_topic};
use crate::code::ErrorCode;
use crate::connection::Connection;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// Removes the group's offsets of these partitions. Needs DELETE on the group and READ on the topics.
///
/// # Errors
/// Per partition its code (86: a member is subscribed to the topic); [`Error::Refused`] for the group as a whole: 68,
/// 69, 16. Else whatever a connection can meet.
pub async fn offset_delete(
    connection: &Connection,
    group: &str,
    partitions: &[TopicPartition],
) -> Result<PerPartition<()>, Error> {
    let api = Api::OffsetDelete;
    let version = connection.version(api)?;
    let topics = by_topic(partitions, |tp| tp).into_iter().map(|(name, partitions)| {
        let partitions = partitions
            .into_iter()
            .map(|tp| OffsetDeleteRequestPartition::default().with_partition_index(tp.partition));
        OffsetDeleteRequestTopic::default()
            .with_name(wire_text(name).into())
            .with_partitions(partitions.collect())
    });
    let request =
        OffsetDeleteRequest::default().with_group_id(wire_text(group).into()).with_topics(topics.collect());
    let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
    if let Some(code) = ErrorCode::from_wire(answer.error_code) {
        return Err(Error::Refused { api, code, detail: None, about: group.to_owned() });
    }
    let mut answers = Answers::new();
    for topic in &answer.topics {
        for partition in &topic.partitions {
            answers.add(&topic.name, partition.partition_index, partition.error_code, ());
        }
    }
    answers.in_order(api, connection, partitions.iter())
}
