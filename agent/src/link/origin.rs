//! Where a standby topic of the source came from: a link never takes back what a link from its own destination wrote,
//! or two links with renames would make copies of copies for ever (docs/decisions/0010).
//! A link's name says it where it is the source's cluster id; else a mark does: the transactional id
//! `lockstep.<link>.from.<source>` on the destination, which nobody writes with. Reads only, except for that mark.
//! Without the right to see or leave marks a circle of links with other names is not found, which is said.

use std::collections::BTreeSet;
use std::time::Duration;

use lockstep_core::mirror::identity::LastWriter;
use lockstep_core::plan::topics::{is_set, standby_settings};
use lockstep_kafka::admin::{
    ConfigEntry, ConfigTarget, describe_configs, describe_transactions, init_producer_id,
    list_transactional_ids, list_transactions,
};
use lockstep_kafka::{Class, Cluster, Error, ErrorCode};

use super::described::{describe_many, own};
use super::fault::TopicError;
use super::identity::transactional_id;
use super::standing::last_writers;

/// Of transactions that are never begun; below every broker's default maximum of 15 min.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

fn mark(link: &str, source_cluster: &str) -> String {
    format!("{}.from.{source_cluster}", transactional_id(link))
}

/// Notes on the destination where this link's records come from. To be repeated below
/// `transactional.id.expiration.ms`, as with the link's own id (M2).
pub async fn leave_mark(dest: &Cluster, link: &str, source_cluster: &str) {
    if link == source_cluster {
        return;
    }
    let id = mark(link, source_cluster);
    if let Err(error) = init_producer_id(dest, &id, None, TRANSACTION_TIMEOUT).await {
        tracing::warn!(link, %error, "could not note where the link comes from: a link back would not be known as one");
    }
}

/// The link from `home`, our destination, that wrote this topic of the source; `None` if it is no standby, or if
/// anything in it was written by somebody else.
///
/// # Errors
/// The source does not answer, or its leaders are moving.
pub async fn circle(source: &Cluster, home: &str, topic: &str) -> Result<Option<String>, TopicError> {
    let Some(writers) = standby_writers(source, topic).await? else { return Ok(None) };
    match link_from(source, home, &writers).await {
        Ok(link) => Ok(link),
        // A source without these requests, or that does not let us ask, has no link from anywhere that we could know of.
        Err(Error::Unsupported { .. }) => Ok(None),
        Err(error) if error.code() == Some(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED) => Ok(None),
        Err(error) if error.class() == Class::Retry => {
            Err(TopicError::Moving { topic: topic.to_owned(), why: error.to_string() })
        }
        Err(error) => Err(TopicError::Kafka(error)),
    }
}

async fn link_from(source: &Cluster, home: &str, writers: &[LastWriter]) -> Result<Option<String>, Error> {
    if writers.is_empty() {
        // Nobody has written it: it may be any link's, so one from home will do.
        return Ok(list_transactional_ids(source).await?.iter().find_map(|id| link_marked(id, home)));
    }
    let producers: BTreeSet<i64> = writers.iter().map(|writer| writer.producer.id).collect();
    let mut found = None;
    for producer in producers {
        let ids = if producer < 0 { Vec::new() } else { list_transactions(source, producer).await? };
        let mut from_home = None;
        for link in ids.iter().filter_map(|id| id.strip_prefix("lockstep.")) {
            if link == home || describe_transactions(source, &mark(link, home)).await?.is_some() {
                from_home = Some(link.to_owned());
            }
        }
        // Somebody else's records make it more than a copy.
        let Some(link) = from_home else { return Ok(None) };
        found = Some(link);
    }
    Ok(found)
}

/// The link from `home` that a transactional id tells of.
fn link_marked(id: &str, home: &str) -> Option<String> {
    let link = id.strip_prefix("lockstep.")?;
    let marked = link.strip_suffix(home).and_then(|link| link.strip_suffix(".from."));
    marked.or((link == home).then_some(link)).map(str::to_owned)
}

/// Those of these topics that [`circle`] finds a link for. One request for many; only standbys are looked at further.
///
/// # Errors
/// As [`circle`].
pub async fn copies(
    source: &Cluster,
    home: &str,
    topics: &BTreeSet<String>,
) -> Result<BTreeSet<String>, TopicError> {
    let names: Vec<_> = topics.iter().map(String::as_str).collect();
    let described = describe_many(source, &names, None).await?;
    let mut copies = BTreeSet::new();
    for (topic, entries) in topics.iter().zip(described) {
        if entries.is_ok_and(|entries| is_standby(&entries)) && circle(source, home, topic).await?.is_some() {
            copies.insert(topic.clone());
        }
    }
    Ok(copies)
}

/// Whether these settings of a topic have every standby setting (M20).
fn is_standby(entries: &[ConfigEntry]) -> bool {
    let wanted = standby_settings(|name| entries.iter().any(|entry| entry.name == name));
    let own = own(entries);
    wanted.iter().all(|(name, value)| is_set(name, value, &own))
}

/// Who wrote last, partition by partition, if the topic is a standby.
async fn standby_writers(cluster: &Cluster, topic: &str) -> Result<Option<Vec<LastWriter>>, TopicError> {
    let configs = describe_configs(cluster, &[ConfigTarget::Topic(topic.to_owned())]).await?;
    // Settings that we may not read are not known to be a standby's.
    let Some((_, Ok(entries))) = configs.into_iter().next() else { return Ok(None) };
    if !is_standby(&entries) {
        return Ok(None);
    }
    let partitions = cluster.metadata().topics.get(topic).map_or(0, |topic| topic.partitions.len());
    last_writers(cluster, topic, partitions).await.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_where_its_link_comes_from() {
        let home = "kRfA_3xQT0OwJ5m8sVwWtA";
        assert_eq!(link_marked(&mark("claims", home), home).as_deref(), Some("claims"));
        assert_eq!(link_marked(&transactional_id(home), home).as_deref(), Some(home));
        for other in ["lockstep.claims", "lockstep.claims.filler", "app", home] {
            assert_eq!(link_marked(other, home), None, "{other}");
        }
        assert_eq!(link_marked(&mark("claims", "elsewhere"), home), None);
    }
}
