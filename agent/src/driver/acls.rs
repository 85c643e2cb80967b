//! Denials on one side of a link: given to everybody who may write there, confirmed on every broker that leads, lifted.
//! A broker answers the access control list it goes by itself, so that asking each of them proves that it has arrived.
//! Promises: what is added is in the passport first, and only what is there is ever removed.

use std::collections::BTreeSet;

use lockstep_core::dr::acl::{AclBinding, ResourceKind};
use lockstep_core::dr::fence::acl_fence;
use lockstep_core::dr::passport::ChangesRecord;
use lockstep_core::ids::NodeId;
use lockstep_kafka::ErrorCode;
use lockstep_kafka::admin::{create_acls, delete_acls, describe_acls};
use tokio::time::{Instant, sleep};

use super::evidence::AclReport;
use super::fault::DriverError;
use super::logs::{PATIENCE, PAUSE};
use super::site::{Site, leaders, partitions};

/// Denies writing to these topics to every principal that an entry permits it, as often as new ones turn up (M23).
pub(super) async fn hold(
    site: &Site,
    topics: &BTreeSet<String>,
    generation: u64,
) -> Result<AclReport, DriverError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let standing = match describe_acls(&site.cluster.any().await?, ResourceKind::Topic).await {
            Ok(standing) => standing,
            Err(error) if error.code() == Some(ErrorCode::SECURITY_DISABLED) => {
                return Ok(AclReport::NoAuthorizer);
            }
            Err(error) => return Err(error.into()),
        };
        let fence = acl_fence(&standing, topics, &site.exempt);
        if !fence.missing.is_empty() {
            note(site, &fence.missing, generation).await?;
            create_acls(&site.cluster, &fence.missing).await?;
            tracing::info!(link = site.link, count = fence.missing.len(), "denied writing");
        }
        let nodes = brokers(site, topics);
        let waiting = first_without(site, topics, &nodes).await?;
        let Some(node) = waiting else {
            let confirmed_on = nodes.into_iter().collect();
            return Ok(match fence.unstoppable {
                none if none.is_empty() => AclReport::Denied { confirmed_on },
                unstoppable => AclReport::Incomplete { confirmed_on, unstoppable },
            });
        };
        if Instant::now() >= deadline {
            let why = format!("broker {node} does not go by it yet");
            return Err(unconfirmed("the denial of writing", why));
        }
        sleep(PAUSE).await;
    }
}

fn unconfirmed(what: &'static str, why: String) -> DriverError {
    DriverError::Unconfirmed { what, seconds: PATIENCE.as_secs(), why }
}

/// M27: before the act.
async fn note(site: &Site, missing: &[AclBinding], generation: u64) -> Result<(), DriverError> {
    let changes = site.passport().await?.changes;
    let mut acls: BTreeSet<_> = changes.acls.iter().cloned().collect();
    acls.extend(missing.iter().cloned());
    let acls: Vec<_> = acls.into_iter().collect();
    if acls == changes.acls {
        return Ok(());
    }
    site.note_changes(ChangesRecord { generation, acls, ..changes }).await
}

fn brokers(site: &Site, topics: &BTreeSet<String>) -> BTreeSet<NodeId> {
    let metadata = site.cluster.metadata();
    leaders(&metadata, &partitions(&metadata, topics))
}

/// A broker by whose list somebody may still write.
async fn first_without(
    site: &Site,
    topics: &BTreeSet<String>,
    nodes: &BTreeSet<NodeId>,
) -> Result<Option<NodeId>, DriverError> {
    for node in nodes {
        let standing = describe_acls(&site.cluster.connection(*node).await?, ResourceKind::Topic).await?;
        if !acl_fence(&standing, topics, &site.exempt).missing.is_empty() {
            return Ok(Some(*node));
        }
    }
    Ok(None)
}

/// Removes what the passport says was added, and confirms it on every leading broker.
pub(super) async fn lift(site: &Site, topics: &BTreeSet<String>) -> Result<Vec<AclBinding>, DriverError> {
    let changes = site.passport().await?.changes;
    if changes.acls.is_empty() {
        return Ok(Vec::new());
    }
    delete_acls(&site.cluster, &changes.acls).await?;
    let deadline = Instant::now() + PATIENCE;
    for node in brokers(site, topics) {
        loop {
            let standing = describe_acls(&site.cluster.connection(node).await?, ResourceKind::Topic).await?;
            if !changes.acls.iter().any(|entry| standing.contains(entry)) {
                break;
            }
            if Instant::now() >= deadline {
                let why = format!("broker {node} still goes by it");
                return Err(unconfirmed("lifting the denial of writing", why));
            }
            sleep(PAUSE).await;
        }
    }
    let lifted = changes.acls.clone();
    site.note_changes(ChangesRecord { acls: Vec::new(), ..changes }).await?;
    tracing::info!(link = site.link, count = lifted.len(), "writing is allowed again");
    Ok(lifted)
}
