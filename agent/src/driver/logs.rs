//! Ends, stable offsets, high watermarks and producers of many partitions, each asked of its leader under the epoch that
//! metadata name (M8). All of them or an error: a partition that does not answer is not left out.
//! Leaders that move are followed for half a minute.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_core::ids::{LeaderEpoch, NodeId, TopicPartition};
use lockstep_kafka::admin::{
    At, EpochQuestion, ProducerState, describe_producers, list_offsets, offset_for_leader_epoch,
};
use lockstep_kafka::{Class, Cluster, Connection, Error};
use tokio::time::{Instant, sleep};

use super::fault::DriverError;

/// How long leaders may move, and brokers may take to go by what they were told.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// One partition as its leader has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) end: i64,
    pub(super) high_watermark: i64,
    pub(super) last_stable: i64,
    pub(super) producers: Vec<ProducerState>,
}

impl Log {
    /// Everything is replicated and decided.
    pub(super) fn is_settled(&self) -> bool {
        self.end == self.high_watermark && self.end == self.last_stable
    }
}

pub(super) type Logs = BTreeMap<TopicPartition, Log>;
pub(super) type Group = Vec<(TopicPartition, LeaderEpoch)>;

/// Partitions by their leader; `Err` names one without.
pub(super) fn by_leader(
    cluster: &Cluster,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<NodeId, Group>, String> {
    let metadata = cluster.metadata();
    let mut groups: BTreeMap<NodeId, Group> = BTreeMap::new();
    for tp in partitions {
        let (node, epoch) = metadata.leader(tp).ok_or_else(|| format!("{tp} has no leader"))?;
        groups.entry(node).or_default().push((tp.clone(), epoch));
    }
    Ok(groups)
}

/// Reads all of them.
///
/// # Errors
/// [`DriverError::Unconfirmed`] with the first partition that did not answer in time.
pub(super) async fn read(cluster: &Cluster, partitions: &[TopicPartition]) -> Result<Logs, DriverError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match read_once(cluster, partitions).await {
            Ok(logs) => return Ok(logs),
            Err(Look::Final(error)) => return Err(error),
            Err(Look::Again(why)) if Instant::now() >= deadline => {
                let seconds = PATIENCE.as_secs();
                return Err(DriverError::Unconfirmed { what: "reading the ends of the logs", seconds, why });
            }
            Err(Look::Again(_)) => {
                sleep(PAUSE).await;
                cluster.refresh().await?;
            }
        }
    }
}

/// Why there is no answer.
pub(super) enum Look {
    Again(String),
    Final(DriverError),
}

impl From<Error> for Look {
    fn from(error: Error) -> Self {
        match error.class() {
            Class::Fatal => Self::Final(error.into()),
            _ => Self::Again(error.to_string()),
        }
    }
}

async fn read_once(cluster: &Cluster, partitions: &[TopicPartition]) -> Result<Logs, Look> {
    let mut logs = Logs::new();
    for (node, group) in by_leader(cluster, partitions).map_err(Look::Again)? {
        let connection = cluster.connection(node).await?;
        read_leader(&connection, group, &mut logs).await?;
    }
    Ok(logs)
}

async fn read_leader(connection: &Connection, group: Group, logs: &mut Logs) -> Result<(), Look> {
    let names: Vec<_> = group.iter().map(|(tp, _)| tp.clone()).collect();
    let producers = describe_producers(connection, &names).await?;
    let questions: Vec<_> = group
        .iter()
        .map(|(tp, epoch)| EpochQuestion { tp: tp.clone(), current: *epoch, asked: *epoch })
        .collect();
    let ends = offset_for_leader_epoch(connection, &questions).await?;
    let marks = list_offsets(connection, &group, At::Latest).await?;
    let stable = list_offsets(connection, &group, At::LastStable).await?;
    // Each answers in the order asked.
    let answers = producers.into_iter().zip(ends).zip(marks).zip(stable).zip(group);
    for (((((tp, producers), (_, end)), (_, mark)), (_, stable)), (_, epoch)) in answers {
        let end = answer(&tp, end)?;
        if end.epoch != epoch || end.end_offset < 0 {
            return Err(Look::Again(format!("{tp}: leadership has moved")));
        }
        let log = Log {
            end: end.end_offset,
            high_watermark: answer(&tp, mark)?,
            last_stable: answer(&tp, stable)?,
            producers: answer(&tp, producers)?,
        };
        logs.insert(tp, log);
    }
    Ok(())
}

fn answer<T>(tp: &TopicPartition, answer: Result<T, lockstep_kafka::ErrorCode>) -> Result<T, Look> {
    answer.map_err(|code| match code.class() {
        Class::Fatal => {
            Look::Final(DriverError::Refused { what: "reading the log of", about: tp.to_string(), code })
        }
        _ => Look::Again(format!("{tp}: {code}")),
    })
}
