//! When a copy is complete: a small client that asks the destination for its log ends until they sum up.
//! Light on purpose: one connection, one request per look, so that waiting is no load of its own.
//! Proves that there are as many records, not that they are the same; that is compared elsewhere.

use std::thread;
use std::time::{Duration, Instant};

use lockstep_core::ids::{LeaderEpoch, TopicPartition};
use lockstep_kafka::Cluster;
use lockstep_kafka::admin::{At, list_offsets};
use tokio::runtime::Runtime;

use crate::Result;
use crate::watch::{connect, runtime};

/// Between two looks; so far may a figure be too large.
const PAUSE: Duration = Duration::from_millis(20);

/// A connected client.
pub(crate) struct Ends {
    runtime: Runtime,
    cluster: Cluster,
}

impl Ends {
    pub(crate) fn of(bootstrap: &str) -> Result<Self> {
        let runtime = runtime()?;
        let cluster = runtime.block_on(connect(bootstrap))?;
        Ok(Self { runtime, cluster })
    }

    /// Waits until the log ends of all partitions of some topics, which need not exist yet, sum up to `records`.
    ///
    /// # Errors
    /// When they do not within `limit`, exceed it, or `alive` says that waiting is in vain.
    pub(crate) fn wait(
        &self,
        topics: &[String],
        records: u64,
        limit: Duration,
        alive: impl Fn() -> Result<()>,
    ) -> Result<Instant> {
        let deadline = Instant::now() + limit;
        loop {
            let asked = Instant::now();
            let found = self.runtime.block_on(sum(&self.cluster, topics))?;
            match found {
                Some(found) if found == records => return Ok(Instant::now()),
                Some(found) if found > records => {
                    return Err(format!("{found} offsets in {topics:?} instead of {records}").into());
                }
                _ if asked > deadline => {
                    return Err(
                        format!("{found:?} offsets in {topics:?} after {limit:?}, not {records}").into()
                    );
                }
                _ => alive()?,
            }
            // Of thousands of partitions an answer is work: nine tenths of the time are not spent on it.
            thread::sleep(PAUSE.max(asked.elapsed() * 9));
        }
    }
}

/// `None` while a topic or a leader is missing.
async fn sum(cluster: &Cluster, topics: &[String]) -> Result<Option<u64>> {
    // Anew at every look: a young topic may show only some of its partitions.
    let metadata = cluster.refresh().await?;
    let mut asked = Vec::new();
    for topic in topics {
        let Some(found) = metadata.topics.get(topic.as_str()) else { return Ok(None) };
        for partition in &found.partitions {
            let tp = TopicPartition::new(topic.as_str(), partition.partition);
            asked.push((tp, LeaderEpoch::UNKNOWN));
        }
    }
    let answers = list_offsets(&cluster.any().await?, &asked, At::Latest).await?;
    let ends: Option<Vec<u64>> = answers.into_iter().map(|(_, end)| u64::try_from(end.ok()?).ok()).collect();
    Ok(ends.filter(|ends| ends.len() == asked.len()).map(|ends| ends.iter().sum()))
}
