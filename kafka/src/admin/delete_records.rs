//! DeleteRecords: moves a log's start forward (M14, M20). Goes to the leader; repeating it is harmless.

use std::time::Duration;

use kafka_protocol::messages::DeleteRecordsRequest;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use lockstep_core::ids::TopicPartition;

use super::partitions::{Answers, by_topic};
use super::{ANSWER_GRACE, PerPartition, milliseconds};
use crate::connection::Connection;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// Deletes every record below the given offset (−1: below the high watermark) and answers each log's new start.
/// `timeout` is the broker's; the answer may take five seconds more.
///
/// # Errors
/// Per partition its code (1 above the high watermark); else whatever a connection can meet.
pub async fn delete_records(
    connection: &Connection,
    before: &[(TopicPartition, i64)],
    timeout: Duration,
) -> Result<PerPartition<i64>, Error> {
    let api = Api::DeleteRecords;
    let version = connection.version(api)?;
    let topics = by_topic(before, |(tp, _)| tp).into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(tp, offset)| {
            DeleteRecordsPartition::default().with_partition_index(tp.partition).with_offset(*offset)
        });
        DeleteRecordsTopic::default().with_name(wire_text(name).into()).with_partitions(partitions.collect())
    });
    let request =
        DeleteRecordsRequest::default().with_topics(topics.collect()).with_timeout_ms(milliseconds(timeout));
    let answer = connection.call(api, version, &request, timeout + ANSWER_GRACE).await?;
    let mut answers = Answers::new();
    for topic in &answer.topics {
        for partition in &topic.partitions {
            answers.add(
                &topic.name,
                partition.partition_index,
                partition.error_code,
                partition.low_watermark,
            );
        }
    }
    answers.in_order(api, connection, before.iter().map(|(tp, _)| tp))
}
