//! Appends to a passport, and deletes from it. A write returns when every replica in sync has it; repeating one is harmless.

use std::time::Duration;

use bytes::Bytes;
use lockstep_batch::build;
use lockstep_batch::header::{Codec, HEADER_LEN};
use lockstep_batch::records::Record;
use lockstep_core::dr::passport::{ChangesRecord, Entry, Key, TOPIC, VERSION};
use lockstep_core::ids::TopicPartition;
use lockstep_kafka::admin::{NewTopic, create_topics};
use lockstep_kafka::{Class, Cluster, Error, ErrorCode, ProduceBatch, submit_produce};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{PATIENCE, PAUSE, PassportError, read};

const APPEND_TIMEOUT: Duration = Duration::from_secs(15);
/// Records of one batch: well below a megabyte, whatever the names are.
const BATCH_RECORDS: usize = 500;

#[derive(Serialize)]
struct Versioned<'a, T> {
    version: u32,
    #[serde(flatten)]
    record: &'a T,
}

/// Appends records in order; the topic is created where it is missing.
///
/// # Errors
/// [`PassportError`]; some may have been written then, and writing them again is right.
pub async fn write(cluster: &Cluster, entries: &[(Key, Entry)], now_ms: i64) -> Result<(), PassportError> {
    let entries: Vec<_> = entries.iter().map(|(key, entry)| (key, Some(entry))).collect();
    put(cluster, &entries, now_ms).await
}

/// What a cluster's passport says of a link that is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// So many entries were there and are deleted now.
    Entries(usize),
    /// A fence still stands: what has to be put back is written there alone, so everything stays.
    Fenced,
}

/// Deletes what the passport says of a link that was removed; of other links nothing.
///
/// # Errors
/// [`PassportError`]; some may be deleted then, and asking again is right.
pub async fn forget(cluster: &Cluster, link: &str, now_ms: i64) -> Result<Forgotten, PassportError> {
    let passport = read(cluster, link).await?;
    if !passport.changes.settings.is_empty() || !passport.changes.acls.is_empty() {
        return Ok(Forgotten::Fenced);
    }
    let link = || link.to_owned();
    let mut keys: Vec<_> = passport
        .cuts
        .keys()
        .map(|tp| Key::Cut { link: link(), topic: tp.topic.to_string(), partition: tp.partition })
        .collect();
    if passport.changes != ChangesRecord::default() {
        keys.push(Key::Changes { link: link() });
    }
    // Last: as long as it is there, the rest counts as what it was.
    if passport.link.is_some() {
        keys.push(Key::Link { link: link() });
    }
    let entries: Vec<_> = keys.iter().map(|key| (key, None)).collect();
    put(cluster, &entries, now_ms).await?;
    Ok(Forgotten::Entries(keys.len()))
}

/// `None` deletes a key.
async fn put(
    cluster: &Cluster,
    entries: &[(&Key, Option<&Entry>)],
    now_ms: i64,
) -> Result<(), PassportError> {
    let failed = |why: String| PassportError::Failed { what: "writing", cluster: cluster.cluster_id(), why };
    for chunk in entries.chunks(BATCH_RECORDS) {
        let mut records = Vec::with_capacity(chunk.len());
        for (offset, (key, entry)) in (0..).zip(chunk) {
            let key = serde_json::to_vec(key).map_err(|error| failed(error.to_string()))?;
            let value = entry.map(encode).transpose().map_err(|error| failed(error.to_string()))?;
            let (key, value) = (Some(Bytes::from(key)), value.map(Bytes::from));
            records.push(Record { offset, timestamp: now_ms, key, value, headers: Vec::new() });
        }
        let batch = build::batch(&records, Codec::None, -1).map_err(|error| failed(error.to_string()))?;
        append(cluster, batch.bytes()).await?;
    }
    Ok(())
}

fn encode(entry: &Entry) -> serde_json::Result<Vec<u8>> {
    match entry {
        Entry::Link(record) => serde_json::to_vec(&Versioned { version: VERSION, record }),
        Entry::Cut(record) => serde_json::to_vec(&Versioned { version: VERSION, record }),
        Entry::Changes(record) => serde_json::to_vec(&Versioned { version: VERSION, record }),
    }
}

async fn append(cluster: &Cluster, batch: &Bytes) -> Result<(), PassportError> {
    let tp = TopicPartition::new(TOPIC, 0);
    let deadline = Instant::now() + PATIENCE;
    loop {
        ensure_topic(cluster).await?;
        let why = match append_once(cluster, &tp, batch).await {
            Ok(None) => return Ok(()),
            Ok(Some((code, detail))) if code.class() == Class::Fatal => {
                let (what, cluster) = ("writing", cluster.cluster_id());
                return Err(PassportError::Refused { what, cluster, code, detail });
            }
            Ok(Some((code, detail))) => format!("{code}{detail}"),
            Err(error) if error.class() == Class::Fatal => return Err(error.into()),
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            return Err(PassportError::Failed { what: "writing", cluster: cluster.cluster_id(), why });
        }
        sleep(PAUSE).await;
        cluster.refresh().await?;
    }
}

async fn append_once(
    cluster: &Cluster,
    tp: &TopicPartition,
    batch: &Bytes,
) -> Result<Option<(ErrorCode, String)>, Error> {
    let Some((node, _)) = cluster.metadata().leader(tp) else {
        return Ok(Some((ErrorCode::LEADER_NOT_AVAILABLE, String::new())));
    };
    let connection = cluster.connection(node).await?;
    let batch = ProduceBatch { header: batch.slice(..HEADER_LEN), payload: batch.slice(HEADER_LEN..) };
    let answers = submit_produce(&connection, vec![(tp.clone(), batch)], APPEND_TIMEOUT).await?;
    let refused = answers.answer().await?.into_iter().find_map(|answer| {
        Some((answer.error?, answer.message.map(|text| format!(": {text}")).unwrap_or_default()))
    });
    Ok(refused)
}

async fn ensure_topic(cluster: &Cluster) -> Result<(), PassportError> {
    if cluster.metadata().topics.contains_key(TOPIC) {
        return Ok(());
    }
    let topic = NewTopic {
        name: TOPIC.to_owned(),
        partitions: 1,
        replication_factor: -1,
        configs: vec![("cleanup.policy".to_owned(), "compact".to_owned())],
    };
    let answers = create_topics(cluster, &[topic], PATIENCE, false).await?;
    if let Some((_, Err((code, detail)))) = answers.into_iter().next()
        && code != ErrorCode::TOPIC_ALREADY_EXISTS
    {
        let (what, cluster, detail) = ("creating", cluster.cluster_id(), format!(": {detail}"));
        return Err(PassportError::Refused { what, cluster, code, detail });
    }
    cluster.refresh().await?;
    Ok(())
}
