//! Producing raw batches: the frame is written by hand so that payloads are handed to the socket as they are.
//! Promises: submission fixes the order on the wire before the answer is awaited; acks=all, no transaction; every
//! partition submitted is answered once, in the order submitted, or the call fails as a whole.
//! Never looks inside a batch (that is `batch`'s part, M4). After any failure the outcome is unknown (M5).

mod frame;

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::ProduceResponse;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use lockstep_core::ids::{LeaderEpoch, NodeId, TopicPartition};

use crate::code::ErrorCode;
use crate::connection::{Connection, Pending};
use crate::error::Error;
use crate::versions::Api;

/// Beyond the broker's own deadline: what an answer may take on its way.
const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// One raw v2 batch: the rewritten header and the untouched payload behind it.
#[derive(Clone, Debug)]
pub struct ProduceBatch {
    /// The first 61 bytes. Copied into the frame.
    pub header: Bytes,
    /// Everything behind. Never copied.
    pub payload: Bytes,
}

/// What became of one partition's batch.
#[derive(Clone, Debug)]
pub struct ProduceResult {
    pub tp: TopicPartition,
    pub error: Option<ErrorCode>,
    /// The broker's words, for errors that have some (from v8).
    pub message: Option<String>,
    /// Where the batch's first record lies; −1 with most errors. With REQUEST_TIMED_OUT (7) it may be set: appended,
    /// but not yet safe.
    pub base_offset: i64,
    /// −1 with an error, or below Kafka 1.0.
    pub log_start: i64,
    /// Where to produce instead, with NOT_LEADER_OR_FOLLOWER (6).
    pub leader_hint: Option<(NodeId, LeaderEpoch)>,
}

/// A produce request on its way, in its place on the wire.
#[must_use]
pub struct PendingProduce {
    pending: Pending,
    partitions: Vec<TopicPartition>,
}

/// Queues one request with one batch for each of the partitions (M4). When this returns, later submissions on the same
/// connection reach the broker later. `timeout` is the broker's, for the acknowledgement of all replicas in sync;
/// the answer may take five seconds more.
///
/// # Errors
/// [`Error::Protocol`] when a partition is named twice, and everything a connection can meet; nothing was written then
/// unless the connection is lost.
pub async fn submit_produce(
    connection: &Connection,
    batches: Vec<(TopicPartition, ProduceBatch)>,
    timeout: Duration,
) -> Result<PendingProduce, Error> {
    let version = connection.version(Api::Produce)?;
    let topics = group(&batches).map_err(|why| connection.protocol(Api::Produce, why))?;
    let mut head = bytes::BytesMut::with_capacity(64 + 160 * batches.len());
    connection.put_header(&mut head, Api::Produce, version);
    let segments = frame::segments(head, version, timeout, &topics);
    let pending = connection.submit(Api::Produce, version, segments, timeout + ANSWER_GRACE).await?;
    let partitions = batches.into_iter().map(|(tp, _)| tp).collect();
    Ok(PendingProduce { pending, partitions })
}

impl PendingProduce {
    /// Waits for the answer: one result for each batch, in the order submitted.
    ///
    /// # Errors
    /// Everything a connection can meet; whether the batches were appended is unknown then.
    pub async fn answer(self) -> Result<Vec<ProduceResult>, Error> {
        let Self { pending, partitions } = self;
        let connection = pending.connection().clone();
        let answer: ProduceResponse = pending.decoded().await?;
        match_up(answer, partitions).map_err(|why| connection.protocol(Api::Produce, why))
    }
}

/// One topic of a request.
struct TopicBatches<'a> {
    name: &'a str,
    partitions: Vec<(i32, &'a ProduceBatch)>,
}

/// By topic, in the order of first mention. A partition may come once: the broker would answer for it once, too.
fn group(batches: &[(TopicPartition, ProduceBatch)]) -> Result<Vec<TopicBatches<'_>>, String> {
    let mut topics: Vec<TopicBatches<'_>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut seen = std::collections::HashSet::with_capacity(batches.len());
    for (tp, batch) in batches {
        if !seen.insert(tp) {
            return Err(format!("two batches for {tp} in one request"));
        }
        let place = *places.entry(&tp.topic).or_insert_with(|| {
            topics.push(TopicBatches { name: &tp.topic, partitions: Vec::new() });
            topics.len() - 1
        });
        topics[place].partitions.push((tp.partition, batch));
    }
    Ok(topics)
}

fn match_up(answer: ProduceResponse, partitions: Vec<TopicPartition>) -> Result<Vec<ProduceResult>, String> {
    let mut answered = HashMap::with_capacity(partitions.len());
    for topic in answer.responses {
        for partition in topic.partition_responses {
            let key = (topic.name.to_string(), partition.index);
            if answered.insert(key, partition).is_some() {
                return Err("the answer names a partition twice".to_owned());
            }
        }
    }
    let mut results = Vec::with_capacity(partitions.len());
    for tp in partitions {
        let found = answered.remove(&(tp.topic.to_string(), tp.partition));
        results.push(result(found.ok_or_else(|| format!("the answer leaves out {tp}"))?, tp));
    }
    match answered.into_keys().next() {
        None => Ok(results),
        Some((topic, partition)) => Err(format!("the answer holds {topic}:{partition}, not asked for")),
    }
}

fn result(answer: PartitionProduceResponse, tp: TopicPartition) -> ProduceResult {
    let of_a_record = answer.record_errors.into_iter().find_map(|record| record.batch_index_error_message);
    let leader = answer.current_leader;
    ProduceResult {
        tp,
        error: ErrorCode::from_wire(answer.error_code),
        message: of_a_record
            .or(answer.error_message)
            .map(|text| text.to_string())
            .filter(|text| !text.is_empty()),
        base_offset: answer.base_offset,
        log_start: answer.log_start_offset,
        leader_hint: (leader.leader_id.0 >= 0)
            .then_some((NodeId(leader.leader_id.0), LeaderEpoch(leader.leader_epoch))),
    }
}

#[cfg(test)]
mod tests;
