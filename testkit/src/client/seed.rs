//! Writes records exactly as asked: partition, key, value, headers (repeated, null), timestamp, codec, batch size.
//! `Seed::to(bootstrap).codec(Codec::Lz4).batch_records(10_000).open()?.write(topic, records)?`
//! Returns only when the broker has acknowledged every record; one that failed is an error.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::config;
use crate::Error;

/// The longest that one record may wait for its acknowledgement, for any test's amount of data.
const PATIENCE: Duration = Duration::from_secs(120);
/// librdkafka reports a record that timed out a little later.
const GRACE: Duration = Duration::from_secs(5);
/// librdkafka's own limits.
const QUEUE_RECORDS_MAX: u32 = 1_000_000;
const QUEUE_KB_MAX: u32 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// As Kafka's `compression.type` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// One record to be written. Starts as partition 0, no key, null value, no headers, the time of writing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Record {
    partition: i32,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: Option<i64>,
}

impl Record {
    /// A record with a value; an empty one is not a null.
    pub fn new(value: impl AsRef<[u8]>) -> Self {
        Self { value: Some(value.as_ref().to_vec()), ..Self::default() }
    }

    /// A record with a null value.
    pub fn null() -> Self {
        Self::default()
    }

    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = partition;
        self
    }

    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Some(key.as_ref().to_vec());
        self
    }

    /// One more header, behind those already there; names may repeat.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), Some(value.as_ref().to_vec())));
        self
    }

    /// One more header, with a null value.
    pub fn null_header(mut self, name: &str) -> Self {
        self.headers.push((name.to_owned(), None));
        self
    }

    /// CreateTime in milliseconds since 1970.
    pub fn at(mut self, timestamp_ms: i64) -> Self {
        self.timestamp = Some(timestamp_ms);
        self
    }
}

/// How records are to be written.
#[derive(Clone, Debug)]
#[must_use]
pub struct Seed {
    bootstrap: String,
    codec: Codec,
    batch_records: u32,
    batch_bytes: u32,
    patience: Duration,
    more: Vec<(String, String)>,
}

impl Seed {
    pub fn to(bootstrap: &str) -> Self {
        let bootstrap = bootstrap.to_owned();
        Self {
            bootstrap,
            codec: Codec::None,
            batch_records: 10_000,
            batch_bytes: 1_000_000,
            patience: PATIENCE,
            more: Vec::new(),
        }
    }

    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// Records per batch, 1 to 1,000,000. Batches are full (unless [`Seed::batch_bytes`] ends them) but for the last of
    /// each partition.
    pub fn batch_records(mut self, records: u32) -> Self {
        self.batch_records = records;
        self
    }

    /// Bytes per batch, before compression. Default 1,000,000.
    pub fn batch_bytes(mut self, bytes: u32) -> Self {
        self.batch_bytes = bytes;
        self
    }

    /// How long a record may wait for its acknowledgement before it counts as failed. Default 120 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Any of librdkafka's settings.
    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.more.push((key.to_owned(), value.to_owned()));
        self
    }

    pub fn open(self) -> Result<Seeder, Error> {
        let mut config = config(&self.bootstrap);
        config
            .set("acks", "all")
            // Keeps the order of records and writes none twice when a broker dies meanwhile.
            .set("enable.idempotence", "true")
            .set("compression.type", self.codec.name())
            // Partial batches go out by the flush at the end, not by the clock: batches are as large as asked.
            .set("linger.ms", (self.patience.as_millis() / 2).to_string())
            .set("batch.num.messages", self.batch_records.to_string())
            .set("batch.size", self.batch_bytes.to_string())
            .set("queue.buffering.max.messages", QUEUE_RECORDS_MAX.to_string())
            .set("queue.buffering.max.kbytes", QUEUE_KB_MAX.to_string())
            .set("message.timeout.ms", self.patience.as_millis().to_string());
        for (key, value) in &self.more {
            config.set(key, value);
        }
        let what = format!("a producer to {}", self.bootstrap);
        let producer = config.create_with_context(Deliveries::default()).map_err(Error::client(what))?;
        Ok(Seeder { bootstrap: self.bootstrap, patience: self.patience + GRACE, producer })
    }

    /// Opens, writes and closes.
    pub fn write(self, topic: &str, records: impl IntoIterator<Item = Record>) -> Result<u64, Error> {
        self.open()?.write(topic, records)
    }
}

/// An open producer.
pub struct Seeder {
    bootstrap: String,
    patience: Duration,
    producer: BaseProducer<Deliveries>,
}

impl Seeder {
    /// Writes all records in order and returns how many, once all are acknowledged.
    ///
    /// # Errors
    /// The first record that was not taken, with the broker's reason. Others may have been written.
    pub fn write(&self, topic: &str, records: impl IntoIterator<Item = Record>) -> Result<u64, Error> {
        let what = || format!("write to {topic} at {}", self.bootstrap);
        let before = self.producer.context().acknowledged.load(Ordering::Acquire);
        let mut sent = 0;
        for record in records {
            send(&self.producer, topic, &record, self.patience)?;
            sent += 1;
            if sent % 1_000 == 0 {
                self.producer.poll(Duration::ZERO);
            }
        }
        self.producer.flush(self.patience).map_err(Error::client(what()))?;
        let failed = self.producer.context().failure.lock().map(|mut first| first.take());
        if let Ok(Some(cause)) = failed {
            return Err(Error::Client { what: what(), source: cause });
        }
        let acknowledged = self.producer.context().acknowledged.load(Ordering::Acquire) - before;
        if acknowledged == sent {
            Ok(sent)
        } else {
            Err(Error::Refused(format!("{}: {acknowledged} of {sent} records acknowledged", what())))
        }
    }
}

/// Hands one record to librdkafka; waits up to `patience` for room in its queue.
pub(super) fn send(
    producer: &BaseProducer<Deliveries>,
    topic: &str,
    record: &Record,
    patience: Duration,
) -> Result<(), Error> {
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
    for (key, value) in &record.headers {
        headers = headers.insert(Header { key, value: value.as_ref() });
    }
    let mut message = BaseRecord::<[u8], [u8]>::to(topic).partition(record.partition);
    message.key = record.key.as_deref();
    message.payload = record.value.as_deref();
    message.timestamp = record.timestamp;
    if !record.headers.is_empty() {
        message = message.headers(headers);
    }
    let deadline = std::time::Instant::now() + patience;
    loop {
        match producer.send(message) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again))
                if std::time::Instant::now() < deadline =>
            {
                producer.poll(Duration::from_millis(20));
                message = again;
            }
            Err((source, _)) => {
                let what = format!("write to {topic}:{}", record.partition);
                return Err(Error::Client { what, source });
            }
        }
    }
}

/// Counts acknowledgements and keeps the first refusal.
#[derive(Default)]
pub(super) struct Deliveries {
    acknowledged: AtomicU64,
    failure: Arc<Mutex<Option<KafkaError>>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.acknowledged.fetch_add(1, Ordering::AcqRel);
            }
            Err((cause, _)) => {
                if let Ok(mut failure) = self.failure.lock() {
                    failure.get_or_insert_with(|| cause.clone());
                }
            }
        }
    }
}
