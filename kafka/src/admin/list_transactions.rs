//! ListTransactions: which transactional ids a producer id is registered under (M2). Every broker knows the ids it
//! coordinates, so all are asked. Ids without the DESCRIBE right on them are left out by the broker.

use kafka_protocol::messages::{ListTransactionsRequest, ProducerId};

use crate::cluster::Cluster;
use crate::code::ErrorCode;
use crate::error::Error;
use crate::versions::Api;

/// The transactional ids that the producer id is registered under now, sorted; usually one or none.
///
/// # Errors
/// [`Error::Refused`] when a coordinator is still loading (14) or refuses; else whatever a connection can meet. All
/// brokers have to answer: an id that one of them keeps must not be missed.
pub async fn list_transactions(cluster: &Cluster, producer_id: i64) -> Result<Vec<String>, Error> {
    let request = ListTransactionsRequest::default().with_producer_id_filters(vec![ProducerId(producer_id)]);
    list(cluster, &request, format!("producer id {producer_id}")).await
}

/// All transactional ids that the cluster keeps and that we may describe, sorted.
///
/// # Errors
/// As [`list_transactions`].
pub async fn list_transactional_ids(cluster: &Cluster) -> Result<Vec<String>, Error> {
    list(cluster, &ListTransactionsRequest::default(), "all producers".to_owned()).await
}

async fn list(
    cluster: &Cluster,
    request: &ListTransactionsRequest,
    about: String,
) -> Result<Vec<String>, Error> {
    let api = Api::ListTransactions;
    let nodes: Vec<_> = cluster.metadata().brokers.keys().copied().collect();
    let mut ids = Vec::new();
    for node in nodes {
        let connection = cluster.connection(node).await?;
        let version = connection.version(api)?;
        let answer = connection.call(api, version, request, connection.request_timeout()).await?;
        if let Some(code) = ErrorCode::from_wire(answer.error_code) {
            return Err(Error::Refused { api, code, detail: None, about });
        }
        ids.extend(answer.transaction_states.into_iter().map(|state| state.transactional_id.to_string()));
    }
    ids.sort();
    Ok(ids)
}
