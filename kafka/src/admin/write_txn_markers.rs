//! WriteTxnMarkers (KIP-98): control records of a producer, one offset for each entry of a partition (M12, M13).
//! Promises: submission fixes the place on the wire, so that the log's end can be asked right behind it.
//! Never retries: after any failure, and after an answer too, how many were written is read from the log's end.

use std::time::Duration;

use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{ProducerId, WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use lockstep_core::ids::{ProducerIdentity, TopicPartition};

use super::PerPartition;
use super::partitions::{Answers, by_topic};
use crate::connection::{Connection, Pending};
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// What a marker says about the producer's transaction. For one without an open transaction it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerKind {
    Commit,
    Abort,
}

/// One marker on each of these partitions.
#[derive(Clone, Debug)]
pub struct MarkerEntry {
    /// The broker refuses a lower one than the last of this producer on a partition (52) and takes an equal one (M13).
    pub coordinator_epoch: i32,
    pub partitions: Vec<TopicPartition>,
}

/// A request on its way, in its place on the wire.
#[must_use]
pub struct PendingMarkers {
    pending: Pending,
    partitions: Vec<TopicPartition>,
}

/// Queues the markers of one producer; the broker writes the entries in their order. When this returns, later
/// submissions on the same connection are worked on after all of them are written and replicated. `timeout` is ours
/// alone: the broker goes by its own `request.timeout.ms`. Needs ALTER or CLUSTER_ACTION on the cluster.
///
/// # Errors
/// Everything a connection can meet; nothing was written then unless the connection is lost.
pub async fn submit_write_txn_markers(
    connection: &Connection,
    producer: ProducerIdentity,
    kind: MarkerKind,
    entries: &[MarkerEntry],
    timeout: Duration,
) -> Result<PendingMarkers, Error> {
    let api = Api::WriteTxnMarkers;
    let version = connection.version(api)?;
    let markers = entries.iter().map(|entry| {
        let topics = by_topic(&entry.partitions, |tp| tp).into_iter().map(|(name, partitions)| {
            WritableTxnMarkerTopic::default()
                .with_name(wire_text(name).into())
                .with_partition_indexes(partitions.into_iter().map(|tp| tp.partition).collect())
        });
        WritableTxnMarker::default()
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_transaction_result(kind == MarkerKind::Commit)
            .with_topics(topics.collect())
            .with_coordinator_epoch(entry.coordinator_epoch)
    });
    let request = WriteTxnMarkersRequest::default().with_markers(markers.collect());
    let body = connection.encode(api, version, &request)?;
    let pending = connection.submit(api, version, vec![body], timeout).await?;
    let mut partitions: Vec<_> = entries.iter().flat_map(|entry| entry.partitions.iter().cloned()).collect();
    partitions.sort();
    partitions.dedup();
    Ok(PendingMarkers { pending, partitions })
}

impl PendingMarkers {
    /// Waits for the answer: one outcome for each partition, in their order, however many entries named it. The broker
    /// keeps the code of whichever of them it finished last (`KafkaApis.handleWriteTxnMarkersRequest`), so that a
    /// success may hide that an earlier one was refused.
    ///
    /// # Errors
    /// Everything a connection can meet; how many markers were written is unknown then.
    pub async fn answer(self) -> Result<PerPartition<()>, Error> {
        let Self { pending, partitions } = self;
        let connection = pending.connection().clone();
        let answer: WriteTxnMarkersResponse = pending.decoded().await?;
        let mut answers = Answers::new();
        for topic in answer.markers.iter().flat_map(|marker| &marker.topics) {
            for partition in &topic.partitions {
                answers.add(&topic.name, partition.partition_index, partition.error_code, ());
            }
        }
        answers.in_order(Api::WriteTxnMarkers, &connection, partitions.iter())
    }
}
