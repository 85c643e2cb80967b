//! A fetch answer in our words: raw records per partition, and what the broker says about each log.
//! Promises: every partition in it was asked for; records are slices of the one frame, whose size is told.
//! Never looks inside the records.

use std::collections::HashMap;

use bytes::Bytes;
use kafka_protocol::messages::FetchResponse;
use kafka_protocol::messages::fetch_response::PartitionData;
use lockstep_core::ids::{LeaderEpoch, NodeId, TopicId, TopicPartition};
use lockstep_core::transactions::AbortedTransaction;

use super::FetchTarget;
use crate::code::ErrorCode;
use crate::connection::Connection;
use crate::error::Error;
use crate::versions::Api;

/// What a fetch brought.
#[derive(Clone, Debug)]
pub struct FetchAnswer {
    /// Memory of the whole frame, at least its length; any slice of it keeps all of it.
    pub frame_bytes: usize,
    /// In a session: only partitions with news. Absence says nothing about a log's end (M11).
    pub partitions: Vec<FetchedPartition>,
}

/// One partition's part of an answer.
#[derive(Clone, Debug)]
pub struct FetchedPartition {
    pub tp: TopicPartition,
    pub error: Option<ErrorCode>,
    /// −1 with an error.
    pub high_watermark: i64,
    /// −1 with an error, or where the broker did not say.
    pub last_stable_offset: i64,
    /// −1 with an error, or below Kafka 1.0.
    pub log_start: i64,
    /// Our log and the broker's went different ways: the last epoch both may share, and its end (M10).
    pub diverging: Option<Diverging>,
    /// Where to ask instead, with errors 6 and 74.
    pub leader_hint: Option<(NodeId, LeaderEpoch)>,
    /// Aborted transactions with records in this answer, by first offset; also those that began before the asked
    /// offset. Only in read_committed answers. Ended by their abort marker, which may come in a later answer.
    pub aborted: Vec<AbortedTransaction>,
    /// Raw batches; the last may be cut off, the first may start before the asked offset. Empty proves nothing (M11).
    pub records: Bytes,
}

/// The largest epoch not above ours that the broker knows, and where it ends there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diverging {
    pub epoch: LeaderEpoch,
    pub end_offset: i64,
}

pub(super) struct Read {
    pub(super) session_id: i32,
    pub(super) answer: FetchAnswer,
}

pub(super) fn read(
    answer: FetchResponse,
    frame_bytes: usize,
    wanted: &[FetchTarget],
    connection: &Connection,
) -> Result<Read, Error> {
    if answer.responses.is_empty() {
        let nothing = FetchAnswer { frame_bytes, partitions: Vec::new() };
        return Ok(Read { session_id: answer.session_id, answer: nothing });
    }
    let by_id: HashMap<TopicId, _> =
        wanted.iter().map(|target| (target.topic_id, &target.tp.topic)).collect();
    let by_name: HashMap<&str, _> =
        wanted.iter().map(|target| (&*target.tp.topic, &target.tp.topic)).collect();
    let mut partitions = Vec::new();
    for topic in answer.responses {
        let id = TopicId(*topic.topic_id.as_bytes());
        let name = if id.is_known() { by_id.get(&id) } else { by_name.get(topic.topic.as_str()) };
        let Some(name) = name else {
            let which = if id.is_known() { id.to_string() } else { topic.topic.to_string() };
            return Err(
                connection.protocol(Api::Fetch, format!("the answer holds topic {which}, not asked for"))
            );
        };
        let read = topic.partitions.into_iter().map(|data| {
            partition(
                TopicPartition { topic: std::sync::Arc::clone(name), partition: data.partition_index },
                data,
            )
        });
        partitions.extend(read);
    }
    Ok(Read { session_id: answer.session_id, answer: FetchAnswer { frame_bytes, partitions } })
}

fn partition(tp: TopicPartition, data: PartitionData) -> FetchedPartition {
    let diverging = (data.diverging_epoch.end_offset >= 0).then_some(Diverging {
        epoch: LeaderEpoch(data.diverging_epoch.epoch),
        end_offset: data.diverging_epoch.end_offset,
    });
    let leader = data.current_leader;
    let mut aborted: Vec<_> = data
        .aborted_transactions
        .unwrap_or_default()
        .into_iter()
        .map(|each| AbortedTransaction { producer_id: each.producer_id.0, first_offset: each.first_offset })
        .collect();
    aborted.sort_by_key(|each| each.first_offset);
    FetchedPartition {
        tp,
        error: ErrorCode::from_wire(data.error_code),
        high_watermark: data.high_watermark,
        last_stable_offset: data.last_stable_offset,
        log_start: data.log_start_offset,
        diverging,
        leader_hint: (leader.leader_id.0 >= 0)
            .then_some((NodeId(leader.leader_id.0), LeaderEpoch(leader.leader_epoch))),
        aborted,
        records: data.records.unwrap_or_default(),
    }
}
