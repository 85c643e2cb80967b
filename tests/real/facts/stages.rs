//! Clusters of their own, for facts that need a setting, a restart or a stopped broker. They go when nobody holds
//! them, because slots on the machine are few.

use std::sync::{Arc, Weak};

use lockstep_core::ids::{LeaderEpoch, TopicPartition};
use lockstep_testkit::Kafka;
use tokio::sync::Mutex;

use super::batches::Batch;
use super::log::{Log, connect, stranger};

/// How many records each of the partitions with a past got in its first epoch.
pub(super) const FIRST: i32 = 10;
/// How many `grown` got in the present one.
pub(super) const SECOND: i32 = 7;

/// A single broker that was killed and started again, so that its partitions are led under a later epoch than the
/// first; and that looks for producers to forget every second, not every ten minutes. Never disturb it.
pub(super) struct Veteran {
    kafka: Kafka,
    /// Never held a record.
    empty: TopicPartition,
    /// Holds [`FIRST`] records, all older than the restart.
    kept: TopicPartition,
    /// Holds [`FIRST`] records of the first epoch and [`SECOND`] of the present one.
    grown: TopicPartition,
}

/// The epoch of a new partition's first leadership.
pub(super) const FIRST_EPOCH: LeaderEpoch = LeaderEpoch(0);

/// The veteran that running tests share, started when nobody holds one.
pub(super) async fn veteran() -> Arc<Veteran> {
    static SHARED: Mutex<Weak<Veteran>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(standing) = shared.upgrade() {
        return standing;
    }
    let new = Arc::new(Veteran::start().await);
    *shared = Arc::downgrade(&new);
    new
}

impl Veteran {
    async fn start() -> Self {
        let kafka =
            Kafka::builder("veteran").config("producer.id.expiration.check.interval.ms", "1000").start();
        let kafka = kafka.unwrap();
        let [empty, kept, grown] = {
            let at = kafka.bootstrap();
            [Log::create(&at, "empty").await, Log::create(&at, "kept").await, Log::create(&at, "grown").await]
        };
        for log in [&empty, &kept, &grown] {
            assert_eq!(log.epoch(), FIRST_EPOCH);
        }
        for log in [&kept, &grown] {
            log.append(&Batch::new(stranger(0), 0, FIRST)).await.unwrap();
        }
        kafka.kill(1).unwrap();
        kafka.restart(1).unwrap();
        let veteran = Self { kafka, empty: empty.tp, kept: kept.tp, grown: grown.tp };
        let log = veteran.grown().await;
        assert_eq!(log.append(&Batch::new(stranger(0), 0, SECOND)).await, Ok(i64::from(FIRST)));
        veteran
    }

    pub(super) fn bootstrap(&self) -> String {
        self.kafka.bootstrap()
    }

    pub(super) async fn empty(&self) -> Log {
        self.log(&self.empty).await
    }

    pub(super) async fn kept(&self) -> Log {
        self.log(&self.kept).await
    }

    pub(super) async fn grown(&self) -> Log {
        self.log(&self.grown).await
    }

    async fn log(&self, tp: &TopicPartition) -> Log {
        let later = LeaderEpoch(FIRST_EPOCH.0 + 1);
        Log::of(&connect(&self.bootstrap()).await, tp.clone(), later).await
    }
}

/// Two brokers that replicate to each other; node 1 is the controller. Each test starts its own, because it stops one.
pub(super) struct Twins {
    pub(super) kafka: Kafka,
}

/// How long a silent broker counts as alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Seconds, as usual in the testkit: then the other one takes over.
    Noticed,
    /// Longer than any test: it stays among the replicas in sync, so that the high watermark waits for it.
    Overlooked,
}

impl Twins {
    pub(super) fn start(silence: Silence) -> Self {
        let mut twins = Kafka::builder("twins").brokers(2);
        if silence == Silence::Overlooked {
            for setting in ["replica.lag.time.max.ms", "broker.session.timeout.ms"] {
                twins = twins.config(setting, "600000");
            }
        }
        Self { kafka: twins.start().unwrap() }
    }

    /// A new partition that this node leads and both hold.
    pub(super) async fn led_by(&self, node: i32, name: &str) -> Log {
        // Leaders are dealt in turn, so that of four partitions each node leads some.
        let logs = Log::create_several(&self.kafka.bootstrap(), name, 4).await;
        let log = logs.into_iter().find(|log| log.leader().0 == node);
        log.expect("each node leads one of four partitions")
    }
}
