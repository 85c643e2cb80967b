//! InitProducerId for a transactional id: takes it over, fencing the previous owner (M1, M24, M26).
//! With the expected identity it is a compare-and-swap, and repeating it answers the same result.

use std::time::Duration;

use kafka_protocol::messages::{InitProducerIdRequest, ProducerId};
use lockstep_core::ids::ProducerIdentity;

use super::find_coordinator::ask_transaction_coordinator;
use super::milliseconds;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::{Api, Versions};

/// The expected identity came with this version (KIP-360, Kafka 2.5).
const FIRST_WITH_EXPECTATION: i16 = 3;

/// Asks the id's coordinator for the next epoch; repeats while that is loading, moving or finishing a transaction
/// (14, 15, 16, 51), for one request timeout. `transaction_timeout` bounds later transactions of this id; brokers
/// refuse more than their `transaction.max.timeout.ms` (15 minutes) with 50.
///
/// # Errors
/// [`Error::Refused`]: 90 or 47 when `expected` is no longer the owner. [`Error::Unsupported`] when `expected` is given
/// to a broker that cannot compare. Else whatever a connection can meet; then the epoch may have been raised.
pub async fn init_producer_id(
    cluster: &Cluster,
    transactional_id: &str,
    expected: Option<ProducerIdentity>,
    transaction_timeout: Duration,
) -> Result<ProducerIdentity, Error> {
    let api = Api::InitProducerId;
    let least = if expected.is_some() { FIRST_WITH_EXPECTATION } else { 0 };
    let mut request = InitProducerIdRequest::default()
        .with_transactional_id(Some(wire_text(transactional_id).into()))
        .with_transaction_timeout_ms(milliseconds(transaction_timeout));
    if let Some(expected) = expected {
        request = request.with_producer_id(ProducerId(expected.id)).with_producer_epoch(expected.epoch);
    }
    let versions = Versions::new(least, api.ours().max);
    let answer =
        ask_transaction_coordinator(cluster, transactional_id, api, versions, &request, |a| a.error_code)
            .await?;
    Ok(ProducerIdentity { id: answer.producer_id.0, epoch: answer.producer_epoch })
}
