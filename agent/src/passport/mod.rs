//! The passport of a cluster (M27): the topic `__lockstep` on the cluster itself, read whole and appended to.
//! Promises: a write returns when every replica in sync has it; repeating one is harmless; the latest record of a key
//! counts. A cluster without the topic has an empty passport, and reading never creates it.
//! On failure: nothing is acted upon; a record of a later version is refused by name.

mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lockstep_batch::records::{Limits, Record, decode};
use lockstep_batch::split::Entry as LogEntry;
use lockstep_core::code::Code;
use lockstep_core::dr::denied::{Denied, Side};
use lockstep_core::dr::passport::{
    ChangesRecord, CutRecord, Entry, Key, LinkRecord, Passport, Role, TOPIC, Unreadable, check_version,
};
use lockstep_core::ids::TopicPartition;
use lockstep_kafka::admin::{At, list_offsets};
use lockstep_kafka::{Api, Class, Cluster, Error, ErrorCode, MissingPermission, Settings};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error as ThisError;
use tokio::time::{Instant, sleep};

pub use writing::{Forgotten, forget, write};

use crate::pipeline::denied::{by_code, by_error};
use crate::pipeline::peek::{Unread, walk};

/// How long leaders may move and a new topic may take.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// Why a passport could not be read or written.
#[derive(Debug, ThisError)]
pub enum PassportError {
    #[error(transparent)]
    Kafka(#[from] Error),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("{what} the passport of cluster {cluster}: {why}")]
    Failed { what: &'static str, cluster: String, why: String },
    /// The right to read or write the topic is missing, or a setting refuses the record.
    #[error("{what} the passport of cluster {cluster} was refused: {code}{detail}")]
    Refused { what: &'static str, cluster: String, code: ErrorCode, detail: String },
}

impl PassportError {
    /// The page for whoever has to act on it, if there is one.
    #[must_use]
    pub fn page(&self) -> Option<Code> {
        match self {
            Self::Kafka(error) => error.page(),
            Self::Refused { code, .. } if code.is_missing_permission() => Some(Code::PermissionMissing),
            _ => None,
        }
    }

    /// What the cluster refuses, if that is the cause. `settings`: of that cluster.
    #[must_use]
    pub fn denied(&self, side: Side, settings: &Settings) -> Option<Denied> {
        match self {
            Self::Kafka(error) => by_error(side, settings, error),
            Self::Refused { what, code, .. } => by_code(side, settings, api(what), *code, TOPIC),
            _ => None,
        }
    }

    /// The ACL that is missing, if that is the cause.
    #[must_use]
    pub fn missing_permission(&self, settings: &Settings) -> Option<MissingPermission> {
        match self {
            Self::Kafka(error) => MissingPermission::of(settings, error),
            Self::Refused { what, code, .. } => MissingPermission::new(settings, api(what), *code, TOPIC),
            _ => None,
        }
    }
}

/// Which request a refusal tells of, by its verb.
fn api(what: &str) -> Api {
    match what {
        "creating" => Api::CreateTopics,
        "writing" => Api::Produce,
        _ => Api::Fetch,
    }
}

/// What every record's value begins with.
#[derive(Deserialize)]
struct Envelope {
    version: u32,
}

/// What the cluster says about a link.
///
/// # Errors
/// [`PassportError`]; a record about *another* link that cannot be read is no error.
pub async fn read(cluster: &Cluster, link: &str) -> Result<Passport, PassportError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let read = match presence(cluster).await? {
            Presence::Absent => return Ok(Passport::default()),
            Presence::Stands => read_once(cluster, link).await,
            Presence::Unclear(code) => Err(code.to_string()),
        };
        match read {
            Ok(passport) => return passport,
            Err(why) if Instant::now() >= deadline => {
                return Err(PassportError::Failed { what: "reading", cluster: cluster.cluster_id(), why });
            }
            Err(_) => {
                sleep(PAUSE).await;
                cluster.refresh().await?;
            }
        }
    }
}

/// Whether the topic is there.
enum Presence {
    Stands,
    /// Proven: whoever may not see it is answered otherwise.
    Absent,
    /// Worth another look.
    Unclear(ErrorCode),
}

/// The list of all topics leaves out what we may not see, so that a topic that is not in it is asked for by name: then one
/// that hides and one that is not there have different codes, whether it exists or not (Kafka: `KafkaApis`, Metadata).
async fn presence(cluster: &Cluster) -> Result<Presence, PassportError> {
    if cluster.metadata().topics.contains_key(TOPIC) {
        return Ok(Presence::Stands);
    }
    let named = cluster.named_topics(&[Arc::from(TOPIC)]).await?;
    Ok(match named.into_iter().find(|(name, _)| &**name == TOPIC) {
        Some((_, None)) => {
            cluster.refresh().await?;
            Presence::Stands
        }
        Some((_, Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))) => Presence::Absent,
        Some((_, Some(code))) if code.is_missing_permission() => return Err(refused(cluster, code)),
        Some((_, Some(code))) => Presence::Unclear(code),
        None => Presence::Unclear(ErrorCode::UNKNOWN_SERVER_ERROR),
    })
}

fn refused(cluster: &Cluster, code: ErrorCode) -> PassportError {
    PassportError::Refused { what: "reading", cluster: cluster.cluster_id(), code, detail: String::new() }
}

/// Where the topics of all links were cut at the last promotion, on a cluster that is a standby since. What cannot be read
/// is left out: nothing is explained by it then.
pub async fn cuts(cluster: &Cluster) -> BTreeMap<TopicPartition, i64> {
    let mut all = BTreeMap::new();
    let found = match presence(cluster).await {
        Ok(Presence::Absent) => return all,
        Ok(_) => records(cluster).await,
        Err(error) => Ok(Err(error)),
    };
    let records = match found {
        Ok(Ok(records)) => records,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the passport is left out");
            return all;
        }
        Err(why) => {
            tracing::warn!(why, "the passport is left out");
            return all;
        }
    };
    let links: BTreeSet<_> =
        records.iter().filter_map(key).map(|(key, _)| link_of(&key).to_owned()).collect();
    for link in links {
        let Ok(passport) = fold(&records, &link) else { continue };
        if passport.role() != Some(Role::Standby) {
            continue;
        }
        let generation = passport.generation();
        let last = passport.cuts.into_iter().filter(|(_, record)| record.generation == generation);
        for (tp, record) in last {
            let cut = all.entry(tp).or_insert(record.cut);
            *cut = record.cut.max(*cut);
        }
    }
    all
}

/// The outer error is worth another look, the inner one is final.
async fn read_once(cluster: &Cluster, link: &str) -> Result<Result<Passport, PassportError>, String> {
    let records = records(cluster).await?;
    Ok(records.and_then(|records| fold(&records, link).map_err(PassportError::from)))
}

/// Every record of the topic, in order.
async fn records(cluster: &Cluster) -> Result<Result<Vec<Record>, PassportError>, String> {
    let tp = TopicPartition::new(TOPIC, 0);
    let metadata = cluster.metadata();
    let (node, epoch) = metadata.leader(&tp).ok_or("its partition has no leader")?;
    let connection = cluster.connection(node).await.map_err(|error| error.to_string())?;
    let mut ends = [0, 0];
    for (end, at) in ends.iter_mut().zip([At::Earliest, At::Latest]) {
        let answers = list_offsets(&connection, &[(tp.clone(), epoch)], at).await;
        match answers.map_err(|error| error.to_string())?.pop() {
            Some((_, Ok(offset))) => *end = offset,
            Some((_, Err(code))) if code.class() == Class::Fatal => {
                return Ok(Err(refused(cluster, code)));
            }
            Some((_, Err(code))) => return Err(code.to_string()),
            None => return Err("no answer".to_owned()),
        }
    }
    let mut records = Vec::new();
    let mut fault = None;
    let walked = walk(cluster, &tp, ends[0], ends[1], |entry| {
        let LogEntry::Batch(batch) = entry else { return std::ops::ControlFlow::Continue(()) };
        if batch.header().is_control() {
            return std::ops::ControlFlow::Continue(());
        }
        match decode(&batch.view(), Limits::default()).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(found) => records.extend(found),
            Err(error) => fault = Some(error.to_string()),
        }
        std::ops::ControlFlow::Continue(())
    });
    match walked.await {
        Ok(()) => {}
        // DESCRIBE without READ, for one: no use in asking again.
        Err(Unread { code: Some(code), .. }) if code.is_missing_permission() => {
            return Ok(Err(refused(cluster, code)));
        }
        Err(unread) => return Err(unread.text),
    }
    match fault {
        Some(fault) => Err(fault),
        None => Ok(Ok(records)),
    }
}

/// The key and its text. What is not a key of ours may be a later version's: it says nothing about a link that we could
/// miss, because what a later version says of a link changes the version of its `link` record.
fn key(record: &Record) -> Option<(Key, String)> {
    let text = String::from_utf8_lossy(record.key.as_deref()?).into_owned();
    Some((serde_json::from_str(&text).ok()?, text))
}

fn link_of(key: &Key) -> &str {
    match key {
        Key::Link { link } | Key::Cut { link, .. } | Key::Changes { link } => link,
    }
}

fn fold(records: &[Record], link: &str) -> Result<Passport, Unreadable> {
    let mut passport = Passport::default();
    for record in records {
        let Some((key, text)) = key(record).filter(|(key, _)| link_of(key) == link) else { continue };
        let entry = record.value.as_deref().map(|value| parse(&key, &text, value)).transpose()?;
        passport.take(&key, entry);
    }
    Ok(passport)
}

fn parse(key: &Key, text: &str, value: &[u8]) -> Result<Entry, Unreadable> {
    let malformed =
        |error: serde_json::Error| Unreadable::Malformed { key: text.to_owned(), why: error.to_string() };
    let value: Value = serde_json::from_slice(value).map_err(malformed)?;
    let Envelope { version } = Envelope::deserialize(&value).map_err(malformed)?;
    check_version(text, version)?;
    Ok(match key {
        Key::Link { .. } => Entry::Link(LinkRecord::deserialize(&value).map_err(malformed)?),
        Key::Cut { .. } => Entry::Cut(CutRecord::deserialize(&value).map_err(malformed)?),
        Key::Changes { .. } => Entry::Changes(ChangesRecord::deserialize(&value).map_err(malformed)?),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn record(key: &str, value: Option<&str>) -> Record {
        let bytes = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
        Record { offset: 0, timestamp: 0, key: bytes(key), value: value.and_then(bytes), headers: Vec::new() }
    }

    const CUT: &str = r#"{"cut":{"link":"l","topic":"t","partition":0}}"#;

    #[test]
    fn the_latest_record_counts_and_other_links_do_not_disturb() {
        let records = [
            record(CUT, Some(r#"{"version":1,"generation":1,"cut":5,"floor":5}"#)),
            record(r#"{"link":{"link":"other"}}"#, Some("from the future")),
            record("not a key of ours", Some("x")),
            record(CUT, Some(r#"{"version":1,"generation":2,"cut":9,"floor":9}"#)),
        ];
        let passport = fold(&records, "l").unwrap();
        assert_eq!(
            passport.cuts[&TopicPartition::new("t", 0)],
            CutRecord { generation: 2, cut: 9, floor: 9 }
        );
    }

    #[test]
    fn a_record_of_a_later_version_is_refused_by_name() {
        let newer = [record(CUT, Some(r#"{"version":2,"generation":1,"cut":5,"floor":5,"more":1}"#))];
        let refused = fold(&newer, "l").unwrap_err();
        assert!(matches!(&refused, Unreadable::Newer { key, found: 2 } if key == CUT), "{refused}");
        assert!(matches!(fold(&[record(CUT, Some("{"))], "l"), Err(Unreadable::Malformed { .. })));
    }
}
