//! Consumer groups: a member that reads and commits, and what a group has committed, as anybody can ask.
//! A coordinator that is just moving is an error of that one question: whoever samples asks again.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::read::{Isolation, Seen, is_passing};
use super::{REQUEST, consumer};
use crate::Error;

/// A member of a group. Commits only when told, and leaves the group when dropped.
pub struct Member {
    what: String,
    consumer: BaseConsumer,
}

impl Member {
    /// Subscribes to topics; starts at the log's start where the group has committed nothing.
    ///
    /// # Errors
    /// When librdkafka refuses; not when the group is still gathering.
    pub fn join(bootstrap: &str, group: &str, topics: &[&str], isolation: Isolation) -> Result<Self, Error> {
        let what = format!("a member of {group} at {bootstrap}");
        let settings = [
            ("group.id", group),
            ("enable.auto.offset.store", "true"),
            ("enable.partition.eof", "false"),
            ("auto.offset.reset", "earliest"),
            ("isolation.level", isolation.name()),
            ("session.timeout.ms", "10000"),
        ];
        let consumer = consumer(bootstrap, &settings)?;
        consumer.subscribe(topics).map_err(Error::client(what.clone()))?;
        Ok(Self { what, consumer })
    }

    /// The next record with its partition, or `None` when none came in time, lost connections included.
    ///
    /// # Errors
    /// What librdkafka does not get over by itself.
    pub fn next(&self, within: Duration) -> Result<Option<(i32, Seen)>, Error> {
        match self.consumer.poll(within) {
            Some(Ok(message)) => Ok(Some((rdkafka::Message::partition(&message), Seen::of(&message)))),
            Some(Err(cause)) if !is_passing(&cause) => Err(Error::client(self.what.clone())(cause)),
            Some(Err(_)) | None => Ok(None),
        }
    }

    /// Commits behind what [`Member::next`] has returned, and waits for the answer.
    ///
    /// # Errors
    /// The coordinator's answer. Nothing to commit is none.
    pub fn commit(&self) -> Result<(), Error> {
        use rdkafka::error::RDKafkaErrorCode::NoOffset;
        match self.consumer.commit_consumer_state(CommitMode::Sync) {
            Ok(()) | Err(KafkaError::ConsumerCommit(NoOffset)) => Ok(()),
            Err(cause) => Err(Error::client(format!("{}: commit", self.what))(cause)),
        }
    }
}

/// What a group has committed, asked without joining it.
pub struct Committed {
    what: String,
    consumer: BaseConsumer,
}

impl Committed {
    pub fn of(bootstrap: &str, group: &str) -> Result<Self, Error> {
        let what = format!("what {group} has committed at {bootstrap}");
        Ok(Self { what, consumer: consumer(bootstrap, &[("group.id", group)])? })
    }

    /// The next offset to be read of each of the partitions `0..partitions`; `None` where nothing is committed.
    ///
    /// # Errors
    /// When no coordinator has answered within some seconds, or it refuses.
    pub fn read(&self, topic: &str, partitions: i32) -> Result<Vec<Option<i64>>, Error> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, partitions - 1);
        let found = self.consumer.committed_offsets(asked, REQUEST);
        let found = found.map_err(Error::client(format!("{}, of {topic}", self.what)))?;
        let mut all: Vec<Option<i64>> = Vec::new();
        for partition in 0..partitions {
            let each = found.find_partition(topic, partition);
            let each = each.ok_or_else(|| Error::Refused(format!("{}: {topic}:{partition}", self.what)))?;
            each.error().map_err(Error::client(self.what.clone()))?;
            all.push(match each.offset() {
                Offset::Offset(at) => Some(at),
                _ => None,
            });
        }
        Ok(all)
    }

    /// Commits for the group, which must have no members: its next offsets, by partition from 0.
    ///
    /// # Errors
    /// The coordinator's answer.
    pub fn write(&self, topic: &str, next: &[i64]) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        for (partition, at) in (0..).zip(next) {
            let added = list.add_partition_offset(topic, partition, Offset::Offset(*at));
            added.map_err(Error::client(self.what.clone()))?;
        }
        self.consumer.commit(&list, CommitMode::Sync).map_err(Error::client(self.what.clone()))
    }
}
