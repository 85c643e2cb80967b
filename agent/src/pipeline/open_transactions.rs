//! What holds a source's last stable offset back: the open transaction that begins first, as the leader remembers its
//! producer (M16). Only reads; says nothing where the broker cannot tell (DescribeProducers: Kafka 2.8, READ on the
//! topic). A leader that does not answer fails its partitions only.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use lockstep_core::ids::{SourceOffset, TopicPartition};
use lockstep_core::mirror::{Trouble, WallMillis};
use lockstep_kafka::admin::{ProducerState, describe_producers};
use lockstep_kafka::{Class, Cluster, Error};

use super::routes::by_leader;

/// A transaction without an end: nothing behind its first record is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    pub producer_id: i64,
    /// Of its first record on the partition: the last stable offset.
    pub start: SourceOffset,
    /// Of its producer's last record on the partition, in milliseconds since 1970; −1 when it has none.
    pub last_timestamp_ms: i64,
}

impl OpenTransaction {
    /// Time since its producer's last record, by the record's own timestamp; `None` where it has none.
    #[must_use]
    pub fn silent_for(&self, now: WallMillis) -> Option<Duration> {
        let since = u64::try_from(now.0.saturating_sub(self.last_timestamp_ms)).unwrap_or(0);
        (self.last_timestamp_ms >= 0).then(|| Duration::from_millis(since))
    }
}

impl fmt::Display for OpenTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "open transaction of producer {} since offset {}", self.producer_id, self.start)
    }
}

/// The open transaction that begins first; `None` if none is open.
#[must_use]
pub fn first_open(producers: &[ProducerState]) -> Option<OpenTransaction> {
    let open = producers.iter().filter(|producer| producer.current_txn_start >= 0);
    open.min_by_key(|producer| producer.current_txn_start).map(|producer| OpenTransaction {
        producer_id: producer.producer_id,
        start: SourceOffset(producer.current_txn_start),
        last_timestamp_ms: producer.last_timestamp,
    })
}

/// Asks the leaders of partitions whose last stable offset stands below the high watermark. One entry for each
/// partition; `None` when it was decided meanwhile.
pub async fn open_transactions(
    source: &Cluster,
    partitions: &[TopicPartition],
) -> BTreeMap<TopicPartition, Result<Option<OpenTransaction>, Trouble>> {
    let no_leader = || Err(Trouble::soon("no leader on the source at the moment"));
    let mut found: BTreeMap<_, _> = partitions.iter().map(|tp| (tp.clone(), no_leader())).collect();
    for (node, group) in by_leader(source, partitions.iter()) {
        let names: Vec<_> = group.into_iter().map(|(tp, _)| tp).collect();
        let answers = match source.connection(node).await {
            Ok(connection) => describe_producers(&connection, &names).await,
            Err(error) => Err(error),
        };
        match answers {
            Ok(answers) => found.extend(answers.into_iter().map(|(tp, producers)| {
                let open = producers.map(|producers| first_open(&producers));
                (tp, open.map_err(|code| trouble(code.class(), format!("DescribeProducers: {code}"))))
            })),
            Err(error) => {
                let trouble = of_broker(&error, &format!("source broker {node}"));
                found.extend(names.into_iter().map(|tp| (tp, Err(trouble.clone()))));
            }
        }
    }
    found
}

fn of_broker(error: &Error, broker: &str) -> Trouble {
    trouble(error.class(), format!("{broker}: {error}"))
}

fn trouble(class: Class, text: String) -> Trouble {
    if class == Class::Fatal { Trouble::slow(text) } else { Trouble::soon(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn producer(producer_id: i64, current_txn_start: i64) -> ProducerState {
        ProducerState {
            producer_id,
            epoch: 0,
            last_sequence: 0,
            last_timestamp: 1_000,
            coordinator_epoch: 0,
            current_txn_start,
        }
    }

    #[test]
    fn the_one_that_begins_first_holds_back() {
        assert_eq!(first_open(&[producer(1, -1)]), None);
        let open = first_open(&[producer(1, -1), producer(2, 70), producer(3, 0), producer(4, 50)]);
        assert_eq!(open.map(|open| (open.producer_id, open.start)), Some((3, SourceOffset(0))));
    }

    #[test]
    fn an_age_is_never_negative_and_unknown_without_a_timestamp() {
        let open = OpenTransaction { producer_id: 4711, start: SourceOffset(9), last_timestamp_ms: 1_000 };
        assert_eq!(open.silent_for(WallMillis(541_000)), Some(Duration::from_secs(540)));
        assert_eq!(open.silent_for(WallMillis(900)), Some(Duration::ZERO));
        let timeless = OpenTransaction { last_timestamp_ms: -1, ..open };
        assert_eq!(timeless.silent_for(WallMillis(541_000)), None);
        assert_eq!(open.to_string(), "open transaction of producer 4711 since offset 9");
    }
}
