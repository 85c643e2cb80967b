//! Reads one partition as an independent client sees it, in order, with checksums checked, in bounded memory.
//! Ends at a given offset or at the log's end, never by silence: a broker that says nothing is an error.

use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::admin::is_settling;
use super::{REQUEST, consumer};
use crate::Error;

/// Between two records of a broker that is up; a restarted one is back in less.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    ReadCommitted,
    ReadUncommitted,
}

impl Isolation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read_committed",
            Self::ReadUncommitted => "read_uncommitted",
        }
    }
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub offset: i64,
    /// Milliseconds since 1970; −1 when the record has none.
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// In the order of the record.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Seen {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map(|all| {
            all.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
        });
        Self {
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().unwrap_or(-1),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
        }
    }
}

/// Reads a range of one partition.
pub struct Reader {
    consumer: BaseConsumer,
    what: String,
    to: i64,
    ended: bool,
}

impl Reader {
    /// Reads `range` (half-open, in offsets) of a partition.
    pub fn open(
        bootstrap: &str,
        topic: &str,
        partition: i32,
        range: Range<i64>,
        isolation: Isolation,
    ) -> Result<Self, Error> {
        let what = format!("read {topic}:{partition} at {bootstrap}");
        let consumer = consumer(bootstrap, &[("isolation.level", isolation.name())])?;
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(topic, partition, Offset::Offset(range.start))
            .and_then(|()| consumer.assign(&from))
            .map_err(Error::client(what.clone()))?;
        Ok(Self { consumer, what, to: range.end, ended: range.is_empty() })
    }

    /// The next record, or `None` when the range or the log has ended.
    ///
    /// # Errors
    /// A damaged batch, an offset out of range, a broker silent for 30 s.
    pub fn next_record(&mut self) -> Result<Option<Seen>, Error> {
        let deadline = Instant::now() + SILENCE_MAX;
        while !self.ended {
            match self.consumer.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => {
                    if message.offset() + 1 >= self.to {
                        self.ended = true;
                    }
                    if message.offset() < self.to {
                        return Ok(Some(Seen::of(&message)));
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => self.ended = true,
                // librdkafka reports lost connections and tries again by itself.
                Some(Err(cause)) if is_passing(&cause) => {}
                Some(Err(cause)) => return Err(Error::Client { what: self.what.clone(), source: cause }),
                None => {}
            }
            if !self.ended && Instant::now() > deadline {
                let what = format!("{}: the next record or the log's end", self.what);
                return Err(Error::TimedOut { what, limit: SILENCE_MAX, detail: String::new() });
            }
        }
        Ok(None)
    }
}

fn is_passing(cause: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut};
    matches!(cause.rdkafka_error_code(), Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut))
}

/// All records of a range. For tests with little data; [`Reader`] streams.
pub fn read_all(
    bootstrap: &str,
    topic: &str,
    partition: i32,
    range: Range<i64>,
    isolation: Isolation,
) -> Result<Vec<Seen>, Error> {
    let mut reader = Reader::open(bootstrap, topic, partition, range, isolation)?;
    let mut all = Vec::new();
    while let Some(seen) = reader.next_record()? {
        all.push(seen);
    }
    Ok(all)
}

/// Log start and high watermark of a partition, as a half-open range of offsets.
pub fn watermarks(bootstrap: &str, topic: &str, partition: i32) -> Result<Range<i64>, Error> {
    // With read_committed it would be the last stable offset.
    let consumer = consumer(bootstrap, &[("isolation.level", Isolation::ReadUncommitted.name())])?;
    watermarks_with(&consumer, bootstrap, topic, partition)
}

pub(super) fn watermarks_with(
    consumer: &BaseConsumer,
    bootstrap: &str,
    topic: &str,
    partition: i32,
) -> Result<Range<i64>, Error> {
    let what = format!("watermarks of {topic}:{partition} at {bootstrap}");
    let deadline = Instant::now() + REQUEST;
    loop {
        match consumer.fetch_watermarks(topic, partition, REQUEST) {
            Ok((low, high)) => return Ok(low..high),
            Err(cause) if is_settling(&cause) && Instant::now() < deadline => std::thread::sleep(PAUSE),
            Err(cause) => return Err(Error::client(what)(cause)),
        }
    }
}
