//! Consumer groups as applications have them: a member that joins, reads, commits and leaves; offsets committed and read
//! from outside. Every wait is bounded.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::consumer;
use crate::Error;

const PATIENCE: Duration = Duration::from_secs(60);

/// How members agree on who reads what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Classic,
    /// KIP-848.
    Consumer,
}

/// A record as a member sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    pub partition: i32,
    pub offset: i64,
    pub value: Option<Vec<u8>>,
}

/// One member, read_committed, committing only when told. Dropping it leaves the group.
pub struct Member {
    what: String,
    consumer: BaseConsumer,
}

impl Member {
    /// Joins with `auto.offset.reset=error`: without a committed offset that exists it fails instead of guessing.
    ///
    /// # Errors
    /// When librdkafka refuses a setting.
    pub fn join(bootstrap: &str, group: &str, topic: &str, protocol: Protocol) -> Result<Self, Error> {
        Self::join_with(bootstrap, group, topic, protocol, &[])
    }

    /// As [`Member::join`], with librdkafka's settings.
    ///
    /// # Errors
    /// When librdkafka refuses a setting.
    pub fn join_with(
        bootstrap: &str,
        group: &str,
        topic: &str,
        protocol: Protocol,
        more: &[(&str, &str)],
    ) -> Result<Self, Error> {
        let what = format!("a member of {group} on {topic} at {bootstrap}");
        let protocol = match protocol {
            Protocol::Classic => ("session.timeout.ms", "10000"),
            Protocol::Consumer => ("group.protocol", "consumer"),
        };
        let mut settings = vec![
            ("group.id", group),
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", "false"),
            ("enable.auto.offset.store", "true"),
            protocol,
        ];
        settings.extend(more);
        let consumer = consumer(bootstrap, &settings)?;
        consumer.subscribe(&[topic]).map_err(Error::client(what.clone()))?;
        Ok(Self { what, consumer })
    }

    /// The next records, at least one and at most so many.
    ///
    /// # Errors
    /// A refusal, or none within a minute.
    pub fn read(&self, count: usize) -> Result<Vec<Got>, Error> {
        let mut got = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while got.len() < count {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => got.push(Got {
                    partition: message.partition(),
                    offset: message.offset(),
                    value: message.payload().map(<[u8]>::to_vec),
                }),
                Some(Err(cause))
                    if matches!(
                        cause.rdkafka_error_code(),
                        Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure)
                    ) => {}
                Some(Err(source)) => return Err(Error::Client { what: self.what.clone(), source }),
                None if Instant::now() > deadline => {
                    let detail = format!(": {} came", got.len());
                    return Err(Error::TimedOut {
                        what: format!("{}: {count} records", self.what),
                        limit: PATIENCE,
                        detail,
                    });
                }
                None => {}
            }
        }
        Ok(got)
    }

    /// Whatever comes within `time`.
    ///
    /// # Errors
    /// A refusal.
    pub fn read_for(&self, time: Duration) -> Result<Vec<Got>, Error> {
        let deadline = Instant::now() + time;
        let mut got = Vec::new();
        while Instant::now() < deadline {
            match self.consumer.poll(Duration::from_millis(50)) {
                Some(Ok(message)) => got.push(Got {
                    partition: message.partition(),
                    offset: message.offset(),
                    value: message.payload().map(<[u8]>::to_vec),
                }),
                Some(Err(source)) => return Err(Error::Client { what: self.what.clone(), source }),
                None => {}
            }
        }
        Ok(got)
    }

    /// Commits what was read; returns when the coordinator has it.
    ///
    /// # Errors
    /// The coordinator's refusal.
    pub fn commit(&self) -> Result<(), Error> {
        let what = format!("{}: commit", self.what);
        self.consumer.commit_consumer_state(CommitMode::Sync).map_err(Error::client(what))
    }

    /// librdkafka's own consumer, for what this does not offer.
    pub fn consumer(&self) -> &BaseConsumer {
        &self.consumer
    }
}

/// Commits offsets of a group without members, each with the same metadata.
///
/// # Errors
/// The coordinator's refusal.
pub fn commit_offsets(
    bootstrap: &str,
    group: &str,
    offsets: &[(&str, i32, i64)],
    metadata: &str,
) -> Result<(), Error> {
    let what = || format!("commit offsets of {group} at {bootstrap}");
    let consumer = consumer(bootstrap, &[("group.id", group)])?;
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in offsets {
        let mut place = list.add_partition(topic, *partition);
        place.set_offset(Offset::Offset(*offset)).map_err(Error::client(what()))?;
        place.set_metadata(metadata);
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        match consumer.commit(&list, CommitMode::Sync) {
            Ok(()) => return Ok(()),
            // A coordinator that is just coming about.
            Err(cause) if is_passing(cause.rdkafka_error_code()) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(source) => return Err(Error::Client { what: what(), source }),
        }
    }
}

/// The committed offset of each partition `0..partitions`; `None` where there is none.
///
/// # Errors
/// The coordinator's refusal.
pub fn committed(
    bootstrap: &str,
    group: &str,
    topic: &str,
    partitions: i32,
) -> Result<Vec<Option<i64>>, Error> {
    let what = || format!("committed offsets of {group} at {bootstrap}");
    let consumer = consumer(bootstrap, &[("group.id", group)])?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition(topic, partition);
    }
    let deadline = Instant::now() + PATIENCE;
    let answer = loop {
        match consumer.committed_offsets(list.clone(), PATIENCE) {
            Ok(answer) => break answer,
            Err(cause) if is_passing(cause.rdkafka_error_code()) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(source) => return Err(Error::Client { what: what(), source }),
        }
    };
    let offset = |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    };
    Ok(answer.elements().into_iter().map(offset).collect())
}

fn is_passing(code: Option<RDKafkaErrorCode>) -> bool {
    matches!(
        code,
        Some(
            RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::WaitingForCoordinator
                | RDKafkaErrorCode::OperationTimedOut
        )
    )
}
