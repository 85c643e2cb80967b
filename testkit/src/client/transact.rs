//! Transactions written by librdkafka: begun, filled, flushed, then committed, aborted or left open.
//! `Transactor::open(bootstrap, id)?.begin()?`, `send`, `commit` or `abort`. Dropping it leaves an open one hanging.
//! Every wait is bounded; a record the broker refused fails the commit.

use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::producer::{BaseProducer, Producer};

use super::config;
use super::group::Member;
use super::seed::{Codec, Deliveries, Record, send};
use crate::Error;

/// A coordinator on a busy machine that is just loading its state.
const PATIENCE: Duration = Duration::from_secs(60);

/// A transactional producer.
pub struct Transactor {
    id: String,
    producer: BaseProducer<Deliveries>,
}

impl Transactor {
    /// Takes the transactional id over: an open transaction of it is aborted. Batches hold 100 records at most.
    pub fn open(bootstrap: &str, id: &str, codec: Codec) -> Result<Self, Error> {
        Self::open_with(bootstrap, id, codec, &[])
    }

    /// The same with more of librdkafka's settings.
    pub fn open_with(bootstrap: &str, id: &str, codec: Codec, more: &[(&str, &str)]) -> Result<Self, Error> {
        let mut config = config(bootstrap);
        config
            .set("transactional.id", id)
            .set("transaction.timeout.ms", "600000")
            .set("compression.type", codec.name())
            .set("linger.ms", "5")
            .set("batch.num.messages", "100");
        for (key, value) in more {
            config.set(*key, *value);
        }
        let what = format!("a transactional producer {id} to {bootstrap}");
        let producer: BaseProducer<Deliveries> =
            config.create_with_context(Deliveries::default()).map_err(Error::client(what.clone()))?;
        producer.init_transactions(PATIENCE).map_err(Error::client(what))?;
        Ok(Self { id: id.to_owned(), producer })
    }

    pub fn begin(&self) -> Result<(), Error> {
        self.producer.begin_transaction().map_err(Error::client(format!("{}: begin", self.id)))
    }

    /// Writes records of the open transaction; returns when the broker has acknowledged them.
    pub fn write(&self, topic: &str, records: impl IntoIterator<Item = Record>) -> Result<u64, Error> {
        let mut sent = 0;
        for record in records {
            send(&self.producer, topic, &record, PATIENCE)?;
            sent += 1;
        }
        self.producer.flush(PATIENCE).map_err(Error::client(format!("{}: write to {topic}", self.id)))?;
        Ok(sent)
    }

    /// Makes the member's position a part of the open transaction.
    ///
    /// # Errors
    /// The coordinator's refusal.
    pub fn send_offsets(&self, member: &Member) -> Result<(), Error> {
        let what = format!("{}: send offsets", self.id);
        let consumer = member.consumer();
        let Some(group) = consumer.group_metadata() else {
            return Err(Error::Refused(format!("{what}: the member has no group yet")));
        };
        let position = consumer.position().map_err(Error::client(what.clone()))?;
        let sent = self.producer.send_offsets_to_transaction(&position, &group, PATIENCE);
        sent.map_err(Error::client(what))
    }

    pub fn commit(&self) -> Result<(), Error> {
        self.producer.commit_transaction(PATIENCE).map_err(Error::client(format!("{}: commit", self.id)))
    }

    pub fn abort(&self) -> Result<(), Error> {
        self.producer.abort_transaction(PATIENCE).map_err(Error::client(format!("{}: abort", self.id)))
    }
}
