//! How old records are when a client reads them: a consumer that is always waiting at the broker (long polls in one
//! fetch session), so that it adds no interval of its own. A record carries its number and the moment it was handed to
//! the producer, by this process's own clock; several readers of one run are comparable record by record.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lockstep_batch::records::{Limits, decode};
use lockstep_batch::split;
use lockstep_core::ids::{LeaderEpoch, SourceOffset, TopicPartition};
use lockstep_kafka::{Cluster, FetchLimits, FetchSession, FetchTarget, Isolation, fetch};

use crate::Result;
use crate::watch::{connect, runtime};

/// The broker answers as soon as there is anything.
const LONG_POLL: FetchLimits =
    FetchLimits { max_wait: Duration::from_millis(100), min_bytes: 1, bytes_max: 8 << 20 };
const PARTITION_BYTES_MAX: i32 = 1 << 20;
/// Nothing new for so long: it will not come.
const SILENCE_LIMIT: Duration = Duration::from_secs(20);
/// Number and moment, 8 bytes each.
const STAMP_BYTES: usize = 16;

/// A record's value: number, moment in nanoseconds since `epoch`, and filling.
pub(crate) fn stamped(number: u64, epoch: Instant, length: usize) -> Vec<u8> {
    let mut value = vec![b'x'; length.max(STAMP_BYTES)];
    let now = u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
    value[..8].copy_from_slice(&number.to_be_bytes());
    value[8..STAMP_BYTES].copy_from_slice(&now.to_be_bytes());
    value
}

/// `None` for a value that carries no stamp.
fn stamp(value: &[u8]) -> Option<(u64, Duration)> {
    let number = u64::from_be_bytes(*value.first_chunk()?);
    let nanos = u64::from_be_bytes(*value.get(8..)?.first_chunk()?);
    Some((number, Duration::from_nanos(nanos)))
}

/// A client that reads a whole topic as it comes.
pub(crate) struct Reader {
    reading: JoinHandle<Result<Vec<Duration>>>,
}

impl Reader {
    /// Reads a topic that exists from its beginning, in the background, until stamped records 0 to `count` − 1 came.
    pub(crate) fn begin(bootstrap: &str, topic: &str, count: usize, epoch: Instant) -> Result<Self> {
        let runtime = runtime()?;
        let cluster = runtime.block_on(connect(bootstrap))?;
        let targets = runtime.block_on(targets(&cluster, topic))?;
        let reading = thread::spawn(move || runtime.block_on(read(&cluster, targets, count, epoch)));
        Ok(Self { reading })
    }

    /// The age of each record when it was read, by number.
    ///
    /// # Errors
    /// When a record was refused, came twice, or did not come.
    pub(crate) fn ages(self) -> Result<Vec<Duration>> {
        self.reading.join().map_err(|_| "a reading thread panicked")?
    }
}

async fn targets(cluster: &Cluster, topic: &str) -> Result<Vec<FetchTarget>> {
    let metadata = cluster.refresh().await?;
    let found = metadata.topics.get(topic).ok_or_else(|| format!("no topic {topic} to read"))?;
    let name: Arc<str> = topic.into();
    let target = |partition| FetchTarget {
        tp: TopicPartition { topic: Arc::clone(&name), partition },
        topic_id: found.id,
        offset: SourceOffset(0),
        current_leader_epoch: LeaderEpoch::UNKNOWN,
        last_fetched_epoch: LeaderEpoch::UNKNOWN,
        partition_bytes_max: PARTITION_BYTES_MAX,
    };
    Ok(found.partitions.iter().map(|each| target(each.partition)).collect())
}

async fn read(
    cluster: &Cluster,
    mut targets: Vec<FetchTarget>,
    count: usize,
    epoch: Instant,
) -> Result<Vec<Duration>> {
    let connection = cluster.any().await?;
    let mut session = FetchSession::new(Isolation::ReadCommitted);
    let mut ages = vec![None; count];
    let mut missing = count;
    let mut last_news = Instant::now();
    while missing > 0 {
        let answer = fetch(&connection, &mut session, &Arc::from(targets.as_slice()), LONG_POLL).await?;
        let (now, arrived) = (epoch.elapsed(), Instant::now());
        for partition in answer.partitions {
            if let Some(code) = partition.error {
                return Err(format!("{} cannot be read: {code}", partition.tp).into());
            }
            let Some(target) = targets.iter_mut().find(|target| target.tp == partition.tp) else { continue };
            for batch in split(partition.records) {
                let batch = batch?;
                target.offset = SourceOffset(batch.header().next_offset());
                for record in decode(&batch.view(), Limits::default())? {
                    let Some((number, sent)) = record?.value.as_deref().and_then(stamp) else { continue };
                    let at = usize::try_from(number)?;
                    let slot = ages.get_mut(at).ok_or("a record with a number too large")?;
                    if slot.replace(now.saturating_sub(sent)).is_some() {
                        return Err(format!("{} has record {number} twice", partition.tp).into());
                    }
                    missing -= 1;
                    last_news = arrived;
                }
            }
        }
        if arrived.duration_since(last_news) > SILENCE_LIMIT {
            return Err(format!("{missing} of {count} records did not come").into());
        }
    }
    Ok(ages.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let epoch = Instant::now();
        let value = stamped(77, epoch, 1_000);
        assert_eq!(value.len(), 1_000);
        let (number, sent) = stamp(&value).unwrap();
        assert_eq!(number, 77);
        assert!(sent <= epoch.elapsed());
        assert_eq!(stamp(b"first"), None);
    }
}
