//! DescribeLogDirs: how many bytes a broker's replica of a partition has on disk (M20). Needs DESCRIBE on the cluster.
//! A replica that is being moved between disks counts once, as it is in use.

use kafka_protocol::messages::DescribeLogDirsRequest;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use lockstep_core::ids::TopicPartition;

use super::partitions::by_topic;
use crate::code::ErrorCode;
use crate::connection::Connection;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// Bytes per partition, of those that this broker has; the others are left out.
///
/// # Errors
/// [`Error::Refused`] without the right to ask (31); else whatever a connection can meet.
pub async fn describe_log_dirs(
    connection: &Connection,
    asked: &[TopicPartition],
) -> Result<Vec<(TopicPartition, i64)>, Error> {
    let api = Api::DescribeLogDirs;
    let version = connection.version(api)?;
    let topics = by_topic(asked, |tp| tp).into_iter().map(|(name, partitions)| {
        DescribableLogDirTopic::default()
            .with_topic(wire_text(name).into())
            .with_partitions(partitions.into_iter().map(|tp| tp.partition).collect())
    });
    let request = DescribeLogDirsRequest::default().with_topics(Some(topics.collect()));
    let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
    let refused = |code| Error::Refused { api, code, detail: None, about: connection.peer().to_string() };
    if let Some(code) = ErrorCode::from_wire(answer.error_code) {
        return Err(refused(code));
    }
    let mut sizes = Vec::new();
    for directory in &answer.results {
        if let Some(code) = ErrorCode::from_wire(directory.error_code) {
            return Err(refused(code));
        }
        for topic in &directory.topics {
            for partition in topic.partitions.iter().filter(|partition| !partition.is_future_key) {
                let tp = TopicPartition::new(topic.name.to_string(), partition.partition_index);
                sizes.push((tp, partition.partition_size));
            }
        }
    }
    Ok(sizes)
}
