//! ListTransactions: the transactional ids that brokers coordinate, by producer id (M2) or by state (M24). Every broker
//! knows the ids it coordinates, so all are asked. Ids without the DESCRIBE right on them are left out by the broker.

use kafka_protocol::messages::{ListTransactionsRequest, ProducerId};

use super::describe_transactions::TransactionPhase;
use crate::cluster::Cluster;
use crate::code::ErrorCode;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// One transactional id as its coordinator lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTransaction {
    pub transactional_id: String,
    pub producer_id: i64,
    pub phase: TransactionPhase,
}

/// The transactional ids that the producer id is registered under now, sorted; usually one or none.
///
/// # Errors
/// [`Error::Refused`] when a coordinator is still loading (14) or refuses; else whatever a connection can meet. All
/// brokers have to answer: an id that one of them keeps must not be missed.
pub async fn list_transactions(cluster: &Cluster, producer_id: i64) -> Result<Vec<String>, Error> {
    let listed = list_transactions_of(cluster, &[producer_id]).await?;
    Ok(listed.into_iter().map(|listed| listed.transactional_id).collect())
}

/// All transactional ids that the cluster keeps and that we may describe, sorted.
///
/// # Errors
/// As [`list_transactions`].
pub async fn list_transactional_ids(cluster: &Cluster) -> Result<Vec<String>, Error> {
    let listed = list(cluster, ListTransactionsRequest::default()).await?;
    Ok(listed.into_iter().map(|listed| listed.transactional_id).collect())
}

/// The transactional ids that any of these producer ids is registered under now, sorted.
///
/// # Errors
/// As [`list_transactions`].
pub async fn list_transactions_of(
    cluster: &Cluster,
    producer_ids: &[i64],
) -> Result<Vec<ListedTransaction>, Error> {
    if producer_ids.is_empty() {
        return Ok(Vec::new());
    }
    let filters = producer_ids.iter().map(|id| ProducerId(*id)).collect();
    list(cluster, ListTransactionsRequest::default().with_producer_id_filters(filters)).await
}

/// The transactional ids with a transaction that is open or about to be ended (`Ongoing`, `PrepareCommit`,
/// `PrepareAbort`), sorted.
///
/// # Errors
/// As [`list_transactions`].
pub async fn list_open_transactions(cluster: &Cluster) -> Result<Vec<ListedTransaction>, Error> {
    let states = ["Ongoing", "PrepareCommit", "PrepareAbort"].map(wire_text);
    list(cluster, ListTransactionsRequest::default().with_state_filters(states.to_vec())).await
}

async fn list(cluster: &Cluster, request: ListTransactionsRequest) -> Result<Vec<ListedTransaction>, Error> {
    let api = Api::ListTransactions;
    let nodes: Vec<_> = cluster.metadata().brokers.keys().copied().collect();
    let mut listed = Vec::new();
    for node in nodes {
        let connection = cluster.connection(node).await?;
        let version = connection.version(api)?;
        let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
        if let Some(code) = ErrorCode::from_wire(answer.error_code) {
            let about = format!("the transactions of broker {node}");
            return Err(Error::Refused { api, code, detail: None, about });
        }
        // A broker that does not know a filter answers as if it had not been given: too much, never too little.
        listed.extend(answer.transaction_states.into_iter().map(|state| ListedTransaction {
            transactional_id: state.transactional_id.to_string(),
            producer_id: state.producer_id.0,
            phase: TransactionPhase::from_wire(&state.transaction_state),
        }));
    }
    listed.sort_by(|a, b| a.transactional_id.cmp(&b.transactional_id));
    Ok(listed)
}
