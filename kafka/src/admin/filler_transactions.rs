//! Transactions that hold nothing: begun by adding partitions, aborted at once. Each leaves one abort marker, and so
//! takes one offset, on each of its partitions (M15), under a transactional id of its own (M3).
//! Promises: a transaction begins only after the one before has all its markers. After a failure the last one may be
//! open: whoever takes the id over (InitProducerId) aborts it, and only then do the partitions stand still.
//! Speaks AddPartitionsToTxn and EndTxn v3 at most: later ends raise the producer epoch (KIP-890).

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, EndTxnRequest, ProducerId, TransactionalId,
};
use lockstep_core::ids::{ProducerIdentity, TopicPartition};

use super::find_coordinator::{CoordinatorKind, find_coordinator};
use super::partitions::by_topic;
use super::patience::Patience;
use crate::cluster::Cluster;
use crate::code::ErrorCode;
use crate::connection::Connection;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// The first pause while the coordinator finishes the transaction before: usually it takes some milliseconds.
const PAUSE_FIRST: Duration = Duration::from_millis(2);

/// Runs one transaction after the other as one producer.
#[derive(Debug)]
pub struct FillerTransactions {
    cluster: Cluster,
    transactional_id: String,
    owner: ProducerIdentity,
    /// Of the coordinator, as long as it answers for the id.
    connection: Option<Connection>,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filled {
    /// Begun and aborted. The coordinator writes the markers behind its answer.
    Ended,
    /// Not begun: these partitions cannot be added, each with its code (3 unknown, 29 no WRITE on the topic).
    Refused(BTreeMap<TopicPartition, ErrorCode>),
}

impl FillerTransactions {
    /// `owner` is what InitProducerId answered for the id.
    #[must_use]
    pub fn new(cluster: Cluster, transactional_id: String, owner: ProducerIdentity) -> Self {
        Self { cluster, transactional_id, owner, connection: None }
    }

    #[must_use]
    pub fn owner(&self) -> ProducerIdentity {
        self.owner
    }

    /// Takes one offset on each of the partitions. Repeats while the coordinator is loading, moving or finishing the
    /// transaction before (14, 15, 16, 51), for one request timeout.
    ///
    /// # Errors
    /// [`Error::Refused`]: 47 or 90 when another one took the id over, 53 without WRITE on it; else whatever a
    /// connection can meet. The transaction may be open then.
    pub async fn run(&mut self, partitions: &[TopicPartition]) -> Result<Filled, Error> {
        let refused = self.begin(partitions).await?;
        if !refused.is_empty() {
            return Ok(Filled::Refused(refused));
        }
        self.abort().await?;
        Ok(Filled::Ended)
    }

    async fn begin(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, ErrorCode>, Error> {
        let api = Api::AddPartitionsToTxn;
        let topics = by_topic(partitions, |tp| tp).into_iter().map(|(name, partitions)| {
            AddPartitionsToTxnTopic::default()
                .with_name(wire_text(name).into())
                .with_partitions(partitions.into_iter().map(|tp| tp.partition).collect())
        });
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(wire_text(&self.transactional_id)))
            .with_v3_and_below_producer_id(ProducerId(self.owner.id))
            .with_v3_and_below_producer_epoch(self.owner.epoch)
            .with_v3_and_below_topics(topics.collect());
        let mut patience = Patience::brisk(&self.cluster, PAUSE_FIRST);
        loop {
            let connection = self.coordinator().await?;
            let version = connection.version(api)?;
            let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
            let refused = refusals(&answer);
            let Some(code) = of_the_whole(&refused) else { return Ok(refused) };
            self.after(api, code, &mut patience).await?;
        }
    }

    async fn abort(&mut self) -> Result<(), Error> {
        let api = Api::EndTxn;
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(wire_text(&self.transactional_id)))
            .with_producer_id(ProducerId(self.owner.id))
            .with_producer_epoch(self.owner.epoch)
            .with_committed(false);
        let mut patience = Patience::brisk(&self.cluster, PAUSE_FIRST);
        loop {
            let connection = self.coordinator().await?;
            let version = connection.version(api)?;
            let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
            let Some(code) = ErrorCode::from_wire(answer.error_code) else { return Ok(()) };
            self.after(api, code, &mut patience).await?;
        }
    }

    /// The coordinator's connection, kept as long as it is open: asking who it is would double every round trip.
    async fn coordinator(&mut self) -> Result<Connection, Error> {
        if let Some(open) = self.connection.as_ref().filter(|known| known.is_open()) {
            return Ok(open.clone());
        }
        let node = find_coordinator(&self.cluster, CoordinatorKind::Txn, &self.transactional_id).await?;
        let connection = self.cluster.connection(node).await?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    /// Waits before the next attempt, if one can help.
    async fn after(&mut self, api: Api, code: ErrorCode, patience: &mut Patience) -> Result<(), Error> {
        let moving = [
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            ErrorCode::COORDINATOR_NOT_AVAILABLE,
            ErrorCode::NOT_COORDINATOR,
        ];
        if moving.contains(&code) {
            self.connection = None;
        } else if code != ErrorCode::CONCURRENT_TRANSACTIONS {
            return Err(self.refused(api, code));
        }
        if patience.another_try().await { Ok(()) } else { Err(self.refused(api, code)) }
    }

    fn refused(&self, api: Api, code: ErrorCode) -> Error {
        Error::Refused { api, code, detail: None, about: self.transactional_id.clone() }
    }
}

/// The partitions with a code. It is all or nothing: those that could have been added carry 55, and are left out
/// where others say why not.
fn refusals(answer: &AddPartitionsToTxnResponse) -> BTreeMap<TopicPartition, ErrorCode> {
    let mut refused = BTreeMap::new();
    for topic in &answer.results_by_topic_v3_and_below {
        for partition in &topic.results_by_partition {
            if let Some(code) = ErrorCode::from_wire(partition.partition_error_code) {
                refused.insert(TopicPartition::new(topic.name.as_str(), partition.partition_index), code);
            }
        }
    }
    if refused.values().any(|code| *code != ErrorCode::OPERATION_NOT_ATTEMPTED) {
        refused.retain(|_, code| *code != ErrorCode::OPERATION_NOT_ATTEMPTED);
    }
    refused
}

/// The code that concerns the transaction, not single partitions: the broker then gives it to each of them.
fn of_the_whole(refused: &BTreeMap<TopicPartition, ErrorCode>) -> Option<ErrorCode> {
    let of_one = [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::TOPIC_AUTHORIZATION_FAILED];
    refused.values().copied().find(|code| !of_one.contains(code))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::add_partitions_to_txn_response::{
        AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
    };

    use super::*;

    fn answer(codes: &[i16]) -> AddPartitionsToTxnResponse {
        let results = (0..).zip(codes).map(|(index, code)| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(index)
                .with_partition_error_code(*code)
        });
        let topic = AddPartitionsToTxnTopicResult::default()
            .with_name(wire_text("t").into())
            .with_results_by_partition(results.collect());
        AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(vec![topic])
    }

    #[test]
    fn a_partition_that_only_was_not_tried_is_not_to_blame() {
        let refused = refusals(&answer(&[55, 29, 55, 3]));
        let blamed: Vec<_> = refused.iter().map(|(tp, code)| (tp.partition, code.0)).collect();
        assert_eq!(blamed, [(1, 29), (3, 3)]);
        assert_eq!(of_the_whole(&refused), None);
    }

    #[test]
    fn a_code_of_the_transaction_is_told_from_those_of_partitions() {
        assert_eq!(refusals(&answer(&[0, 0])), BTreeMap::new());
        let busy = refusals(&answer(&[51, 51]));
        assert_eq!(of_the_whole(&busy), Some(ErrorCode::CONCURRENT_TRANSACTIONS));
        let fenced = refusals(&answer(&[90, 90]));
        assert_eq!(of_the_whole(&fenced), Some(ErrorCode::PRODUCER_FENCED));
    }
}
