//! When the first record of a topic can be read: a small client waits for the topic, then fetches until a batch comes.
//! A topic that exists or a log that has an end is not enough. It takes one batch and is gone.
//! Not librdkafka, which takes a second of its own before it reads a topic this young (measured at the source, too).
//! The client is the product's, which proves nothing about the copy; that is compared elsewhere.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lockstep_core::ids::{LeaderEpoch, SourceOffset, TopicPartition};
use lockstep_kafka::{Cluster, FetchLimits, FetchTarget, Isolation, Settings, Tcp, Topic, fetch_once};
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use crate::Result;

const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at the metadata; so far may a figure be too large.
const PAUSE: Duration = Duration::from_millis(4);
/// The broker answers as soon as there is a record, and with one batch only.
const ONE_BATCH: FetchLimits =
    FetchLimits { max_wait: Duration::from_millis(100), min_bytes: 1, bytes_max: 1 };

/// A client that waits for a record.
pub(crate) struct Watch {
    waiting: JoinHandle<Result<Instant>>,
}

impl Watch {
    /// Connects, then waits in the background for a record of a topic that may not exist yet.
    pub(crate) fn begin(bootstrap: &str, topic: &str) -> Result<Self> {
        let runtime = runtime()?;
        let cluster = runtime.block_on(connect(bootstrap))?;
        let topic = topic.to_owned();
        Ok(Self { waiting: thread::spawn(move || runtime.block_on(first_record(&cluster, &topic))) })
    }

    /// When the record had been read.
    ///
    /// # Errors
    /// When there was none within a minute, counted from the beginning.
    pub(crate) fn seen(self) -> Result<Instant> {
        self.waiting.join().map_err(|_| "a watching thread panicked")?
    }
}

/// How long the same client takes from nothing to the first record of a topic: connecting, metadata, one fetch.
pub(crate) fn cold_read(bootstrap: &str, topic: &str) -> Result<Duration> {
    let started = Instant::now();
    let seen = runtime()?.block_on(async { first_record(&connect(bootstrap).await?, topic).await })?;
    Ok(seen - started)
}

pub(crate) fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

pub(crate) async fn connect(bootstrap: &str) -> Result<Cluster> {
    Ok(Cluster::connect(Arc::new(Tcp::default()), Settings::new(bootstrap)?).await?)
}

async fn first_record(cluster: &Cluster, topic: &str) -> Result<Instant> {
    let deadline = Instant::now() + LIMIT;
    let mut why = "no such topic".to_owned();
    while Instant::now() < deadline {
        let metadata = cluster.refresh().await?;
        match metadata.topics.get(topic) {
            // While it is young, requests may be refused; the next look may see more.
            Some(found) => match first_batch(cluster, topic, found).await {
                Ok(Some(0)) => return Ok(Instant::now()),
                Ok(Some(offset)) => return Err(format!("offset {offset} of {topic} came first").into()),
                Ok(None) => "it is empty".clone_into(&mut why),
                Err(cause) => why = cause.to_string(),
            },
            None => sleep(PAUSE).await,
        }
    }
    Err(format!("no record of {topic} to be read within {LIMIT:?}: {why}").into())
}

/// The base offset of the first batch that any partition has; the site's brokers are single, so any lead all.
async fn first_batch(cluster: &Cluster, topic: &str, found: &Topic) -> Result<Option<i64>> {
    let name: Arc<str> = topic.into();
    let targets: Vec<_> = found
        .partitions
        .iter()
        .map(|each| FetchTarget {
            tp: TopicPartition { topic: Arc::clone(&name), partition: each.partition },
            topic_id: found.id,
            offset: SourceOffset(0),
            current_leader_epoch: LeaderEpoch::UNKNOWN,
            last_fetched_epoch: LeaderEpoch::UNKNOWN,
            partition_bytes_max: 1,
        })
        .collect();
    let answer = fetch_once(&cluster.any().await?, &targets, ONE_BATCH, Isolation::ReadCommitted).await?;
    for partition in answer.partitions {
        if let Some(code) = partition.error {
            sleep(PAUSE).await;
            return Err(format!("{}: {code}", partition.tp).into());
        }
        // A batch begins with its base offset.
        if let Some(base) = partition.records.first_chunk::<8>() {
            return Ok(Some(i64::from_be_bytes(*base)));
        }
    }
    Ok(None)
}
