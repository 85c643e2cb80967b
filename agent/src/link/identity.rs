//! Who a link writes as (M1): one producer per link and destination, named by the transactional id
//! `lockstep.<link>` in the destination itself. Reading never bumps the epoch, so two owners of one link are
//! the same producer and cannot write past each other. The id is kept alive, and once it is lost never replaced
//! in silence: the identity is taken from the mirror's own log (M2).

use std::time::Duration;

use lockstep_core::ids::ProducerIdentity;
use lockstep_core::mirror::identity::recover;
use lockstep_kafka::admin::{
    describe_transactions, init_producer_id, list_transactions, run_empty_transaction,
};
use lockstep_kafka::{Cluster, Error, ErrorCode};

use super::fault::TopicError;
use super::origin::leave_mark;
use super::standing::read_topic;
use crate::pipeline::tail::Inherited;

/// The timeout of the (never used) transactions of this id; below every broker's default maximum of 15 min.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Two owners that start a new link in the same moment both create its id; the later creation raises the
/// epoch. After this long both read the same.
const SETTLE: Duration = Duration::from_millis(300);

/// How far below its expiry an id is renewed: so many times, so that some may fail.
const RENEWALS_PER_LIFE: u32 = 8;
const RENEWAL_SHORTEST: Duration = Duration::from_millis(250);
const RENEWAL_LONGEST: Duration = Duration::from_secs(12 * 3_600);

/// A link's producer, and where we know it from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkIdentity {
    /// The destination keeps it under the link's transactional id.
    Registered(ProducerIdentity),
    /// The destination has forgotten the id; the mirror's own records say who wrote them (M2). Plain appends need
    /// no more; there is nothing to keep alive.
    Recovered(ProducerIdentity),
}

impl LinkIdentity {
    pub fn producer(self) -> ProducerIdentity {
        match self {
            Self::Registered(producer) | Self::Recovered(producer) => producer,
        }
    }
}

/// The link's transactional id; the group that its renewals name is called the same.
pub fn transactional_id(link: &str) -> String {
    format!("lockstep.{link}")
}

/// The identity as the destination has it now, or as the mirror's log says; `None` for a new link.
/// `topics`: destination topics that the link takes. `inherited`: what stands on a former primary below these offsets
/// was written by its clients, and says nothing about who the link is (M27).
///
/// # Errors
/// The destination does not answer, or is older than Kafka 3.0.
pub async fn look_up(
    dest: &Cluster,
    link: &str,
    topics: impl Iterator<Item = &str>,
    inherited: &Inherited,
) -> Result<Option<LinkIdentity>, TopicError> {
    if let Some(producer) = registered(dest, link).await? {
        return Ok(Some(LinkIdentity::Registered(producer)));
    }
    let mut writers = Vec::new();
    for topic in topics {
        if let Some(standing) = read_topic(dest, topic).await?
            && standing.is_standby()
        {
            writers.extend(standing.writers_since(topic, inherited));
        }
    }
    let Some(producer) = recover(writers.iter()) else { return Ok(None) };
    // Registered under another id: another link writes these topics, and its data are not ours.
    let owners = list_transactions(dest, producer.id).await?;
    Ok(owners.is_empty().then_some(LinkIdentity::Recovered(producer)))
}

/// The identity of a new link. Another owner that creates it in the same moment gets the same one.
///
/// # Errors
/// The destination does not answer, or is older than Kafka 3.0.
pub async fn create(dest: &Cluster, link: &str) -> Result<LinkIdentity, Error> {
    if let Some(found) = registered(dest, link).await? {
        return Ok(LinkIdentity::Registered(found));
    }
    let created = init_producer_id(dest, &transactional_id(link), None, TRANSACTION_TIMEOUT).await?;
    tokio::time::sleep(SETTLE).await;
    Ok(LinkIdentity::Registered(registered(dest, link).await?.unwrap_or(created)))
}

async fn registered(dest: &Cluster, link: &str) -> Result<Option<ProducerIdentity>, Error> {
    // It asks FindCoordinator first: that creates `__transaction_state`, without which it fails on a new cluster.
    Ok(describe_transactions(dest, &transactional_id(link)).await?.map(|found| found.producer))
}

/// Renews the id well below `expiration` (`transactional.id.expiration.ms`), for as long as it is polled: its life
/// runs from the last *transaction*, so steady writes do not keep it (M2).
pub async fn keep_alive(
    dest: Cluster,
    link: String,
    source_cluster: String,
    ours: LinkIdentity,
    expiration: Duration,
) {
    let LinkIdentity::Registered(producer) = ours else {
        tracing::warn!(
            link,
            "the destination has forgotten the link's transactional id: writing on as {}",
            ours.producer()
        );
        return;
    };
    let id = transactional_id(&link);
    let every = (expiration / RENEWALS_PER_LIFE).clamp(RENEWAL_SHORTEST, RENEWAL_LONGEST);
    loop {
        match run_empty_transaction(&dest, &id, producer, &id).await {
            Ok(()) => tracing::debug!(link, "the link's transactional id is renewed"),
            // Two owners renew in turn; the other one's transaction is as good as ours.
            Err(error) if error.code() == Some(ErrorCode::CONCURRENT_TRANSACTIONS) => {}
            Err(error) => tracing::warn!(link, %error, "the link's transactional id could not be renewed"),
        }
        tokio::time::sleep(every).await;
        leave_mark(&dest, &link, &source_cluster).await;
    }
}
