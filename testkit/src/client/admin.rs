//! Topics made, grown, shortened and removed through librdkafka's admin client.
//! A call returns when every broker that matters shows its effect, not when the controller has accepted it.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};

use super::block_on::block_on;
use super::{REQUEST, config, consumer};
use crate::Error;

const PAUSE: Duration = Duration::from_millis(20);

pub struct Admin {
    bootstrap: String,
    client: AdminClient<DefaultClientContext>,
    looking: BaseConsumer,
}

impl Admin {
    pub fn of(bootstrap: &str) -> Result<Self, Error> {
        let client =
            config(bootstrap).create().map_err(Error::client(format!("an admin client of {bootstrap}")))?;
        Ok(Self { bootstrap: bootstrap.to_owned(), client, looking: consumer(bootstrap, &[])? })
    }

    /// Creates a topic with one replica per partition and waits until every partition has a leader.
    pub fn create(&self, topic: &str, partitions: i32, configs: &[(&str, &str)]) -> Result<(), Error> {
        self.create_replicated(topic, partitions, 1, configs)
    }

    pub fn create_replicated(
        &self,
        topic: &str,
        partitions: i32,
        replicas: i32,
        configs: &[(&str, &str)],
    ) -> Result<(), Error> {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replicas));
        new.config = configs.to_vec();
        self.per_topic("create", topic, block_on(self.client.create_topics(&[new], &options())))?;
        self.wait_for_leaders(topic, partitions)
    }

    /// Raises the number of partitions to `total` and waits until the new ones have leaders.
    pub fn grow(&self, topic: &str, total: i32) -> Result<(), Error> {
        let count = usize::try_from(total).map_err(|_| Error::Refused(format!("{total} partitions")))?;
        let more = NewPartitions::new(topic, count);
        self.per_topic("grow", topic, block_on(self.client.create_partitions([&more], &options())))?;
        self.wait_for_leaders(topic, total)
    }

    /// Deletes a topic and waits until no broker lists it.
    pub fn delete(&self, topic: &str) -> Result<(), Error> {
        self.per_topic("delete", topic, block_on(self.client.delete_topics(&[topic], &options())))?;
        self.wait("its removal", topic, |leaders| leaders.is_empty())
    }

    /// Moves the log start up to `before`: lower offsets are gone.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<(), Error> {
        let what = || format!("delete records of {topic}:{partition} before {before} at {}", self.bootstrap);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).map_err(Error::client(what()))?;
        let deadline = Instant::now() + REQUEST;
        loop {
            let answers =
                block_on(self.client.delete_records(&list, &options())).map_err(Error::client(what()))?;
            match answers.elements().into_iter().find_map(|answer| answer.error().err()) {
                None => return Ok(()),
                // A new topic's leader is in the metadata slightly before its broker acts on it.
                Some(cause) if is_settling(&cause) && Instant::now() < deadline => std::thread::sleep(PAUSE),
                Some(cause) => return Err(Error::client(what())(cause)),
            }
        }
    }

    /// The leader of each partition, by partition; −1 for none. Empty when the topic does not exist.
    pub fn leaders(&self, topic: &str) -> Result<Vec<i32>, Error> {
        let what = format!("metadata of {topic} at {}", self.bootstrap);
        let metadata = self.looking.fetch_metadata(Some(topic), REQUEST).map_err(Error::client(what))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
        let mut leaders: Vec<_> = found
            .map(|topic| topic.partitions().iter().map(|each| (each.id(), each.leader())).collect())
            .unwrap_or_default();
        leaders.sort_unstable();
        Ok(leaders.into_iter().map(|(_, leader)| leader).collect())
    }

    /// The in-sync replicas of one partition, ascending.
    pub fn in_sync(&self, topic: &str, partition: i32) -> Result<Vec<i32>, Error> {
        let what = format!("metadata of {topic} at {}", self.bootstrap);
        let metadata = self.looking.fetch_metadata(Some(topic), REQUEST).map_err(Error::client(what))?;
        let mut found: Vec<i32> = metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions())
            .filter(|each| each.id() == partition)
            .flat_map(|each| each.isr().iter().copied())
            .collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Partitions, internal ones included, that lack a replica in sync, as `topic:partition`. Empty: the cluster is whole.
    pub fn lagging(&self) -> Result<Vec<String>, Error> {
        let what = format!("metadata of all topics at {}", self.bootstrap);
        let metadata = self.looking.fetch_metadata(None, REQUEST).map_err(Error::client(what))?;
        let of_topic = |topic: &MetadataTopic| -> Vec<String> {
            let short = topic.partitions().iter().filter(|each| each.isr().len() < each.replicas().len());
            short.map(|each| format!("{}:{}", topic.name(), each.id())).collect()
        };
        Ok(metadata.topics().iter().flat_map(of_topic).collect())
    }

    fn wait_for_leaders(&self, topic: &str, partitions: i32) -> Result<(), Error> {
        self.wait("a leader of every partition", topic, |leaders| {
            i32::try_from(leaders.len()) == Ok(partitions) && leaders.iter().all(|leader| *leader >= 0)
        })
    }

    fn wait(&self, what: &str, topic: &str, enough: impl Fn(&[i32]) -> bool) -> Result<(), Error> {
        let deadline = Instant::now() + REQUEST;
        loop {
            let leaders = self.leaders(topic)?;
            if enough(&leaders) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let detail = format!(": leaders {leaders:?} at {}", self.bootstrap);
                return Err(Error::TimedOut {
                    what: format!("topic {topic}: {what}"),
                    limit: REQUEST,
                    detail,
                });
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn per_topic(
        &self,
        verb: &str,
        topic: &str,
        answer: Result<Vec<rdkafka::admin::TopicResult>, rdkafka::error::KafkaError>,
    ) -> Result<(), Error> {
        let what = || format!("{verb} topic {topic} at {}", self.bootstrap);
        for each in answer.map_err(Error::client(what()))? {
            if let Err((_, code)) = each {
                return Err(Error::Refused(format!("{}: {code}", what())));
            }
        }
        Ok(())
    }
}

/// Whether a partition's leadership is just coming about or moving.
pub(super) fn is_settling(cause: &KafkaError) -> bool {
    matches!(
        cause.rdkafka_error_code(),
        Some(RDKafkaErrorCode::NotLeaderForPartition | RDKafkaErrorCode::LeaderNotAvailable)
    )
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST)).operation_timeout(Some(REQUEST))
}
