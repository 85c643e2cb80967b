//! A consumer group under a rolling restart: its one member, and what it has committed as anybody can ask.
//! A coordinator that is just moving refuses one commit or one question: the next one is answered.

use std::time::Duration;

use lockstep_testkit::client::consumer;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

/// Of one question: shorter than a coordinator's move, so that many are asked meanwhile.
const ASK: Duration = Duration::from_secs(3);

/// A member, read_committed. It commits when told, and leaves when dropped.
pub(super) struct Member(BaseConsumer);

impl Member {
    /// Starts at the log's start where the group has committed nothing.
    pub(super) fn join(bootstrap: &str, group: &str, topic: &str) -> Self {
        let settings = [
            ("group.id", group),
            ("isolation.level", "read_committed"),
            ("enable.auto.offset.store", "true"),
            ("enable.partition.eof", "false"),
            ("auto.offset.reset", "earliest"),
            ("session.timeout.ms", "10000"),
        ];
        let member = consumer(bootstrap, &settings).unwrap();
        member.subscribe(&[topic]).unwrap();
        Self(member)
    }

    /// Whether a record came in time. What librdkafka reports meanwhile it gets over by itself.
    pub(super) fn reads_one(&self, within: Duration) -> bool {
        matches!(self.0.poll(within), Some(Ok(_)))
    }

    /// Commits behind what was read. Nothing to commit is fine.
    pub(super) fn commit(&self) -> Result<(), KafkaError> {
        match self.0.commit_consumer_state(CommitMode::Sync) {
            Err(cause) if cause.rdkafka_error_code() != Some(RDKafkaErrorCode::NoOffset) => Err(cause),
            _ => Ok(()),
        }
    }
}

/// Asks without joining.
pub(super) struct Committed(BaseConsumer);

impl Committed {
    pub(super) fn of(bootstrap: &str, group: &str) -> Self {
        Self(consumer(bootstrap, &[("group.id", group)]).unwrap())
    }

    /// The next offset to be read of each partition `0..partitions`; inside, `None` where nothing is committed. `None`
    /// when nobody answered for all of them.
    pub(super) fn read(&self, topic: &str, partitions: i32) -> Option<Vec<Option<i64>>> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, partitions - 1);
        let answer = self.0.committed_offsets(asked, ASK).ok()?;
        let each = |partition| {
            let found = answer.find_partition(topic, partition)?;
            found.error().ok()?;
            Some(match found.offset() {
                Offset::Offset(at) => Some(at),
                _ => None,
            })
        };
        (0..partitions).map(each).collect()
    }
}
