//! A destination partition written by hand: batches under a new header, markers for what consumers do not see (M12).
//! `copy` does what a mirror would; it may be told to lie about what became of a batch.

use std::sync::Arc;
use std::time::Duration;

use lockstep_batch::records::control;
use lockstep_batch::split::split;
use lockstep_batch::{FetchedBatch, Stamp, next_sequence, rewrite};
use lockstep_core::ids::{LeaderEpoch, ProducerIdentity, SourceOffset, TopicPartition};
use lockstep_core::plan::topics::standby_settings;
use lockstep_core::transactions::{AbortedFilter, Fate};
use lockstep_kafka::admin::{MarkerEntry, MarkerKind, submit_write_txn_markers};
use lockstep_kafka::{
    Cluster, Connection, FetchLimits, FetchTarget, Isolation, ProduceBatch, Settings, Tcp, fetch_once,
    submit_produce,
};
use lockstep_testkit::client::Admin;

use crate::mirror::{Ends, PATIENCE};

/// Markers per request (M12).
const MARKERS: usize = 1_000;

pub(super) async fn connect(bootstrap: &str) -> Cluster {
    Cluster::connect(Arc::new(Tcp::default()), Settings::new(bootstrap).unwrap()).await.unwrap()
}

async fn leader(cluster: &Cluster, tp: &TopicPartition) -> (Connection, LeaderEpoch) {
    let (node, epoch) = cluster.refresh().await.unwrap().leader(tp).unwrap();
    (cluster.connection(node).await.unwrap(), epoch)
}

/// All batches below the last stable offset, and what becomes of them.
pub(super) async fn batches(bootstrap: &str, tp: &TopicPartition) -> Vec<(FetchedBatch, Fate)> {
    let cluster = connect(bootstrap).await;
    let (connection, current_leader_epoch) = leader(&cluster, tp).await;
    let topic_id = cluster.metadata().topics[&tp.topic].id;
    let limits = FetchLimits { max_wait: Duration::from_millis(500), min_bytes: 1, bytes_max: 64 << 20 };
    let mut all: Vec<(FetchedBatch, Fate)> = Vec::new();
    loop {
        let next = all.last().map_or(0, |(batch, _)| batch.header().next_offset());
        let target = FetchTarget {
            tp: tp.clone(),
            topic_id,
            offset: SourceOffset(next),
            current_leader_epoch,
            last_fetched_epoch: LeaderEpoch::UNKNOWN,
            partition_bytes_max: 64 << 20,
        };
        let mut answer =
            fetch_once(&connection, &[target], limits, Isolation::ReadCommitted).await.unwrap().partitions;
        let answer = answer.remove(0);
        assert_eq!(answer.error, None);
        let mut filter = AbortedFilter::new(answer.aborted);
        for batch in split(answer.records).map(Result::unwrap) {
            let fate = filter.fate(batch.header(), control::kind(&batch.view()).unwrap());
            all.push((batch, fate));
        }
        if all.last().is_some_and(|(batch, _)| batch.header().next_offset() >= answer.last_stable_offset) {
            return all;
        }
    }
}

/// A destination partition that is written as a mirror would.
pub(super) struct Handmade {
    ends: Ends,
    tp: TopicPartition,
    producer: ProducerIdentity,
    sequence: i32,
    coordinator_epoch: i32,
}

impl Handmade {
    pub(super) fn new(ends: &Ends, topic: &str) -> Self {
        let settings = standby_settings(|_| true);
        let settings: Vec<_> = settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        Admin::of(&ends.to).unwrap().create(topic, 1, &settings).unwrap();
        Self::of(ends, topic)
    }

    /// Of a topic that exists on the destination.
    pub(super) fn of(ends: &Ends, topic: &str) -> Self {
        let producer = ProducerIdentity { id: (1 << 40) + i64::from(fastrand::u32(..)), epoch: 0 };
        let tp = TopicPartition::new(topic, 0);
        Self { ends: ends.clone(), tp, producer, sequence: 0, coordinator_epoch: 0 }
    }

    /// Copies the source; `change` may lie about a batch's fate.
    pub(super) async fn copy(&mut self, change: impl Fn(i64, Fate) -> Fate) {
        let mut next = 0;
        for (batch, fate) in batches(&self.ends.from, &self.tp).await {
            let header = *batch.header();
            let dense = header.missing_records() == 0;
            if dense && change(header.base_offset(), fate) == Fate::Committed {
                self.mark(header.base_offset() - next).await;
                self.append(&batch).await;
            } else {
                self.mark(header.next_offset() - next).await;
            }
            next = header.next_offset();
        }
        assert_eq!(self.end(), next);
    }

    fn end(&self) -> i64 {
        self.ends.held(&self.tp.topic, 0)
    }

    pub(super) async fn append(&mut self, batch: &FetchedBatch) {
        let stamp = Stamp {
            producer_id: self.producer.id,
            producer_epoch: self.producer.epoch,
            base_sequence: self.sequence,
        };
        self.sequence = next_sequence(self.sequence, batch.header().record_count());
        let mirrored = rewrite(batch, stamp);
        let raw = ProduceBatch {
            header: bytes::Bytes::copy_from_slice(mirrored.header()),
            payload: mirrored.payload().clone(),
        };
        let cluster = connect(&self.ends.to).await;
        let (connection, _) = leader(&cluster, &self.tp).await;
        let sent = submit_produce(&connection, vec![(self.tp.clone(), raw)], PATIENCE).await.unwrap();
        let answer = sent.answer().await.unwrap().remove(0);
        assert_eq!((answer.error, answer.base_offset), (None, batch.header().base_offset()));
    }

    pub(super) async fn mark(&mut self, count: i64) {
        let entries: Vec<_> = (0..count)
            .map(|_| {
                self.coordinator_epoch += 1;
                MarkerEntry { coordinator_epoch: self.coordinator_epoch, partitions: vec![self.tp.clone()] }
            })
            .collect();
        let cluster = connect(&self.ends.to).await;
        let (connection, _) = leader(&cluster, &self.tp).await;
        for some in entries.chunks(MARKERS) {
            let sent =
                submit_write_txn_markers(&connection, self.producer, MarkerKind::Abort, some, PATIENCE).await;
            for (_, answer) in sent.unwrap().answer().await.unwrap() {
                answer.unwrap();
            }
        }
    }
}
