//! One partition under test, reached as the product reaches it: appended to, fetched from, asked about.
//! Every append goes over a connection of its own unless the test names one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lockstep_batch::FetchedBatch;
use lockstep_batch::split::split;
use lockstep_core::ids::{LeaderEpoch, NodeId, ProducerIdentity, SourceOffset, TopicPartition};
use lockstep_core::plan::topics::standby_settings;
use lockstep_kafka::admin::{
    At, EpochEnd, EpochQuestion, NewTopic, ProducerState, create_topics, describe_producers, list_offsets,
    offset_for_leader_epoch,
};
use lockstep_kafka::{
    Cluster, Connection, ErrorCode, FetchLimits, FetchTarget, FetchedPartition, Isolation, ProduceBatch,
    ProduceResult, Settings, Tcp, fetch_once, submit_produce,
};
use lockstep_testkit::{unique, wait_until_async};

use super::PATIENCE;
use super::batches::Batch;

/// What the broker may wait for its replicas.
const APPEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Far above what any answer here needs.
pub(crate) const ROOMY: FetchLimits =
    FetchLimits { max_wait: Duration::from_millis(500), min_bytes: 1, bytes_max: 64 << 20 };

pub(crate) async fn connect(bootstrap: &str) -> Cluster {
    let dial = Arc::new(Tcp::default());
    Cluster::connect(dial, Settings::new(bootstrap).unwrap()).await.unwrap()
}

/// A partition of a topic of this test.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) cluster: Cluster,
    pub(crate) tp: TopicPartition,
}

impl Log {
    /// The one partition of a new topic with the settings of a standby (M20), so that old records pass.
    pub(crate) async fn create(bootstrap: &str, name: &str) -> Self {
        Self::create_several(bootstrap, name, 1).await.remove(0)
    }

    /// All partitions of a new topic.
    pub(crate) async fn create_several(bootstrap: &str, name: &str, partitions: i32) -> Vec<Self> {
        let cluster = connect(bootstrap).await;
        let topic = NewTopic {
            name: unique(name),
            partitions,
            // As many as there are brokers: a cluster of several is there for its replicas.
            replication_factor: i16::try_from(cluster.metadata().brokers.len()).unwrap(),
            configs: standby_settings(|_| true),
        };
        let created = create_topics(&cluster, std::slice::from_ref(&topic), PATIENCE, false).await.unwrap();
        created[0].1.clone().unwrap();
        let mut logs = Vec::new();
        for partition in 0..partitions {
            let tp = TopicPartition::new(topic.name.as_str(), partition);
            logs.push(Self::of(&cluster, tp, LeaderEpoch(0)).await);
        }
        logs
    }

    /// A partition that exists, once it is led under this epoch or a later one. A broker names itself as leader a
    /// little before it acts as one (until then it answers 6), so that it is asked for something, too.
    pub(crate) async fn of(cluster: &Cluster, tp: TopicPartition, since: LeaderEpoch) -> Self {
        let log = Self { cluster: cluster.clone(), tp };
        wait_until_async(&format!("a leader of {}", log.tp), PATIENCE, async || {
            let metadata = cluster.refresh().await.ok()?;
            let (_, epoch) = metadata.leader(&log.tp).filter(|(_, epoch)| *epoch >= since)?;
            log.end_of_epoch(epoch, epoch).await.ok()
        })
        .await;
        log
    }

    pub(crate) fn leader(&self) -> NodeId {
        self.cluster.metadata().leader(&self.tp).unwrap().0
    }

    /// The epoch of the leadership, as metadata has it.
    pub(crate) fn epoch(&self) -> LeaderEpoch {
        self.cluster.metadata().leader(&self.tp).unwrap().1
    }

    /// A new connection to the leader.
    pub(crate) async fn connection(&self) -> Connection {
        self.cluster.dedicated(self.leader()).await.unwrap()
    }

    /// Where the batch lies, or the code of its refusal.
    pub(crate) async fn append(&self, batch: &Batch) -> Result<i64, ErrorCode> {
        self.append_raw(batch.into()).await
    }

    pub(crate) async fn append_raw(&self, batch: ProduceBatch) -> Result<i64, ErrorCode> {
        let answer = self.answer_to(batch, APPEND_TIMEOUT).await;
        answer.error.map_or(Ok(answer.base_offset), Err)
    }

    /// The whole answer; `timeout` is the broker's.
    pub(crate) async fn answer_to(&self, batch: ProduceBatch, timeout: Duration) -> ProduceResult {
        let connection = self.connection().await;
        let pending = submit_produce(&connection, vec![(self.tp.clone(), batch)], timeout).await.unwrap();
        pending.answer().await.unwrap().remove(0)
    }

    /// All batches put on the wire of one connection before the first answer is awaited: (code, base offset) each.
    pub(crate) async fn pipelined(&self, batches: impl IntoIterator<Item = ProduceBatch>) -> Vec<(i16, i64)> {
        let connection = self.connection().await;
        let mut pending = Vec::new();
        for batch in batches {
            let request = vec![(self.tp.clone(), batch)];
            pending.push(submit_produce(&connection, request, APPEND_TIMEOUT).await.unwrap());
        }
        let mut answers = Vec::new();
        for each in pending {
            let answer = each.answer().await.unwrap().remove(0);
            answers.push((answer.error.map_or(0, |code| code.0), answer.base_offset));
        }
        answers
    }

    /// The end of the log under its current epoch (M8).
    pub(crate) async fn end(&self) -> i64 {
        let end = self.end_of_epoch(self.epoch(), self.epoch()).await.unwrap();
        assert_eq!(end.epoch, self.epoch(), "not the log's end but an earlier epoch's");
        end.end_offset
    }

    /// Where `asked` ends, if `current` is the current epoch.
    pub(crate) async fn end_of_epoch(
        &self,
        current: LeaderEpoch,
        asked: LeaderEpoch,
    ) -> Result<EpochEnd, ErrorCode> {
        let question = EpochQuestion { tp: self.tp.clone(), current, asked };
        let connection = self.connection().await;
        offset_for_leader_epoch(&connection, &[question]).await.unwrap().remove(0).1
    }

    pub(crate) async fn offset(&self, at: At) -> i64 {
        self.offset_under(self.epoch(), at).await.unwrap()
    }

    pub(crate) async fn offset_under(&self, current: LeaderEpoch, at: At) -> Result<i64, ErrorCode> {
        let connection = self.connection().await;
        list_offsets(&connection, &[(self.tp.clone(), current)], at).await.unwrap().remove(0).1
    }

    /// What the partition remembers of a producer.
    pub(crate) async fn remembered(&self, producer: ProducerIdentity) -> Option<ProducerState> {
        let connection = self.connection().await;
        let all = describe_producers(&connection, std::slice::from_ref(&self.tp)).await.unwrap().remove(0).1;
        all.unwrap().into_iter().find(|state| state.producer_id == producer.id)
    }

    /// An ordinary fetch from this offset on, without limits that matter.
    pub(crate) fn target(&self, offset: i64) -> FetchTarget {
        FetchTarget {
            tp: self.tp.clone(),
            topic_id: self.cluster.metadata().topics[&self.tp.topic].id,
            offset: SourceOffset(offset),
            current_leader_epoch: self.epoch(),
            last_fetched_epoch: LeaderEpoch::UNKNOWN,
            partition_bytes_max: 64 << 20,
        }
    }

    pub(crate) async fn fetch(&self, target: FetchTarget, isolation: Isolation) -> FetchedPartition {
        fetch_all(self, &[target], ROOMY, isolation).await.remove(0)
    }

    /// Every batch from the log's start to the high watermark.
    pub(crate) async fn batches(&self) -> Vec<FetchedBatch> {
        let high_watermark = self.offset(At::Latest).await;
        let mut all: Vec<FetchedBatch> = Vec::new();
        loop {
            let next = all.last().map_or(0, |batch| batch.header().next_offset());
            if next >= high_watermark {
                return all;
            }
            let answer = self.fetch(self.target(next), Isolation::ReadUncommitted).await;
            assert_eq!(answer.error, None);
            all.extend(whole(answer.records));
        }
    }
}

/// One request for several partitions, outside any session, to the leader of `log`.
pub(crate) async fn fetch_all(
    log: &Log,
    targets: &[FetchTarget],
    limits: FetchLimits,
    isolation: Isolation,
) -> Vec<FetchedPartition> {
    fetch_once(&log.connection().await, targets, limits, isolation).await.unwrap().partitions
}

/// The whole batches of an answer.
pub(crate) fn whole(records: Bytes) -> Vec<FetchedBatch> {
    split(records).collect::<Result<_, _>>().unwrap()
}

/// A producer that no partition has met: ids are the brokers' to give, so far-away ones are free.
pub(crate) fn stranger(epoch: i16) -> ProducerIdentity {
    ProducerIdentity { id: (1 << 40) + i64::from(fastrand::u32(..)), epoch }
}
