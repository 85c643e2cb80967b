//! Who a link writes as (M1): one producer per link and destination, named by the transactional id
//! `lockstep.<link>` in the destination itself. Reading never bumps the epoch, so two owners of one link are
//! the same producer and cannot write past each other. A lost identity is never replaced in silence (M2).

use std::time::Duration;

use lockstep_core::ids::ProducerIdentity;
use lockstep_kafka::admin::{describe_transactions, init_producer_id};
use lockstep_kafka::{Cluster, Error};

/// The timeout of the (never used) transactions of this id; below every broker's default maximum of 15 min.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Two owners that start a new link in the same moment both create its id; the later creation raises the
/// epoch. After this long both read the same.
const SETTLE: Duration = Duration::from_millis(300);

/// The link's transactional id.
pub fn transactional_id(link: &str) -> String {
    format!("lockstep.{link}")
}

/// The identity as the destination has it now; `None` if it has none.
///
/// # Errors
/// The destination does not answer, or is older than Kafka 3.0.
pub async fn look_up(dest: &Cluster, link: &str) -> Result<Option<ProducerIdentity>, Error> {
    // It asks FindCoordinator first: that creates `__transaction_state`, without which it fails on a new cluster.
    Ok(describe_transactions(dest, &transactional_id(link)).await?.map(|found| found.producer))
}

/// The identity of the link, created if the destination has none.
///
/// # Errors
/// As [`look_up`].
pub async fn look_up_or_create(dest: &Cluster, link: &str) -> Result<ProducerIdentity, Error> {
    if let Some(found) = look_up(dest, link).await? {
        return Ok(found);
    }
    let created = init_producer_id(dest, &transactional_id(link), None, TRANSACTION_TIMEOUT).await?;
    tokio::time::sleep(SETTLE).await;
    Ok(look_up(dest, link).await?.unwrap_or(created))
}
