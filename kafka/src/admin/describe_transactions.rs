//! DescribeTransactions: who holds a transactional id, without disturbing them (M1, M24). Needs Kafka 3.0.

use std::time::Duration;

use kafka_protocol::messages::DescribeTransactionsRequest;
use lockstep_core::ids::{ProducerIdentity, TopicPartition};

use super::find_coordinator::{CoordinatorKind, find_coordinator};
use super::patience::Patience;
use crate::cluster::Cluster;
use crate::code::ErrorCode;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// What the coordinator knows about a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionState {
    pub producer: ProducerIdentity,
    pub phase: TransactionPhase,
    /// After this long the coordinator aborts an open transaction.
    pub timeout: Duration,
    /// Milliseconds since 1970; `None` when no transaction is open.
    pub started_ms: Option<i64>,
    /// What takes part in the open transaction: each gets a marker when it ends, whether it holds data of it or not.
    pub partitions: Vec<TopicPartition>,
}

/// Where a transaction stands, in Kafka's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionPhase {
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
    PrepareEpochFence,
    Dead,
    /// One this build does not know.
    Other(String),
}

impl TransactionPhase {
    pub(super) fn from_wire(text: &str) -> Self {
        match text {
            "Empty" => Self::Empty,
            "Ongoing" => Self::Ongoing,
            "PrepareCommit" => Self::PrepareCommit,
            "PrepareAbort" => Self::PrepareAbort,
            "CompleteCommit" => Self::CompleteCommit,
            "CompleteAbort" => Self::CompleteAbort,
            "PrepareEpochFence" => Self::PrepareEpochFence,
            "Dead" => Self::Dead,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// Asks the id's coordinator; repeats while that is loading or moving (14, 15, 16), for one request timeout.
/// `None`: the id is not known (105), its coordinator has forgotten it, or nobody was given its producer yet.
///
/// # Errors
/// [`Error::Refused`] with the last code, [`Error::Unsupported`], or whatever a connection can meet.
pub async fn describe_transactions(
    cluster: &Cluster,
    transactional_id: &str,
) -> Result<Option<TransactionState>, Error> {
    let api = Api::DescribeTransactions;
    let mut patience = Patience::new(cluster);
    loop {
        let node = find_coordinator(cluster, CoordinatorKind::Txn, transactional_id).await?;
        let connection = cluster.connection(node).await?;
        let version = connection.version(api)?;
        let request = DescribeTransactionsRequest::default()
            .with_transactional_ids(vec![wire_text(transactional_id).into()]);
        let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
        let state = answer
            .transaction_states
            .into_iter()
            .find(|state| state.transactional_id.as_str() == transactional_id);
        let state = state
            .ok_or_else(|| connection.protocol(api, format!("the answer leaves out {transactional_id}")))?;
        match ErrorCode::from_wire(state.error_code) {
            // Somebody is just creating it: the coordinator shows it before it has given its producer an epoch
            // (`TransactionCoordinator.handleInitProducerId`). Where that never ends nobody has got an identity.
            None if state.producer_epoch < 0 => {
                if !patience.another_try().await {
                    return Ok(None);
                }
            }
            None => {
                let partitions = state.topics.iter().flat_map(|topic| {
                    let name = topic.topic.to_string();
                    topic
                        .partitions
                        .iter()
                        .map(move |partition| TopicPartition::new(name.as_str(), *partition))
                });
                return Ok(Some(TransactionState {
                    producer: ProducerIdentity { id: state.producer_id.0, epoch: state.producer_epoch },
                    phase: TransactionPhase::from_wire(&state.transaction_state),
                    timeout: Duration::from_millis(u64::try_from(state.transaction_timeout_ms).unwrap_or(0)),
                    started_ms: (state.transaction_start_time_ms >= 0)
                        .then_some(state.transaction_start_time_ms),
                    partitions: partitions.collect(),
                }));
            }
            Some(ErrorCode::TRANSACTIONAL_ID_NOT_FOUND) => return Ok(None),
            Some(code) => {
                let transient = [
                    ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
                    ErrorCode::COORDINATOR_NOT_AVAILABLE,
                    ErrorCode::NOT_COORDINATOR,
                ];
                if !(transient.contains(&code) && patience.another_try().await) {
                    let about = transactional_id.to_owned();
                    return Err(Error::Refused { api, code, detail: None, about });
                }
            }
        }
    }
}
