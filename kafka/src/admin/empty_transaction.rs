//! An empty transaction, begun and aborted: renews a transactional id, whose life runs from its last *transaction*
//! (M2). Its one record is the abort marker in `__consumer_offsets`: no data partition is touched.
//! Speaks EndTxn v3 at most: from v5 on every end of a transaction raises the producer epoch (KIP-890).

use kafka_protocol::messages::{AddOffsetsToTxnRequest, EndTxnRequest, GroupId, ProducerId, TransactionalId};
use lockstep_core::ids::ProducerIdentity;

use super::find_coordinator::{CoordinatorKind, ask_transaction_coordinator, find_coordinator};
use crate::cluster::Cluster;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// Begins a transaction of `owner` by adding the offsets of `group` to it, and aborts it. The group need not exist
/// and is not created. Id and epoch stay as they are. Repeats while the coordinator is loading, moving or finishing
/// another transaction (14, 15, 16, 51), for one request timeout.
///
/// # Errors
/// [`Error::Refused`]: 47 or 90 when `owner` is no longer the id's producer, 49 when the id is not known; else whatever
/// a connection can meet. A transaction that was begun and not ended is aborted by the coordinator's own timeout.
pub async fn run_empty_transaction(
    cluster: &Cluster,
    transactional_id: &str,
    owner: ProducerIdentity,
    group: &str,
) -> Result<(), Error> {
    // Its coordinator's topic has to exist before it can be added.
    find_coordinator(cluster, CoordinatorKind::Group, group).await?;
    let id = || TransactionalId(wire_text(transactional_id));
    let begin = AddOffsetsToTxnRequest::default()
        .with_transactional_id(id())
        .with_producer_id(ProducerId(owner.id))
        .with_producer_epoch(owner.epoch)
        .with_group_id(GroupId(wire_text(group)));
    let api = Api::AddOffsetsToTxn;
    ask_transaction_coordinator(cluster, transactional_id, api, api.ours(), &begin, |answer| {
        answer.error_code
    })
    .await?;
    let end = EndTxnRequest::default()
        .with_transactional_id(id())
        .with_producer_id(ProducerId(owner.id))
        .with_producer_epoch(owner.epoch)
        .with_committed(false);
    let api = Api::EndTxn;
    ask_transaction_coordinator(cluster, transactional_id, api, api.ours(), &end, |answer| answer.error_code)
        .await?;
    Ok(())
}
