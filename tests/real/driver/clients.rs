//! Producers that go on whatever they are told: an idempotent one and transactional ones, each in a thread of its own.
//! They note what was acknowledged, and where: an acknowledgement at or above a confirmed end is a fence that leaks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use lockstep_testkit::client::{Codec, Record, Transactor};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

/// The highest offset acknowledged, by partition.
type Acknowledged = Arc<Mutex<BTreeMap<i32, i64>>>;

#[derive(Default)]
struct Deliveries(Acknowledged);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Ok(message) = result {
            let mut highest = self.0.lock().unwrap();
            let entry = highest.entry(message.partition()).or_insert(-1);
            *entry = (*entry).max(message.offset());
        }
    }
}

/// Clients of one topic on one cluster.
pub(super) struct Clients {
    stop: Arc<AtomicBool>,
    acknowledged: Acknowledged,
    threads: Vec<JoinHandle<u32>>,
}

impl Clients {
    /// `login`: more of librdkafka's settings.
    pub(super) fn start(
        bootstrap: &str,
        topic: &str,
        partitions: i32,
        transactional: u32,
        login: &[(&'static str, String)],
    ) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Acknowledged::default());
        let of = || (bootstrap.to_owned(), topic.to_owned(), login.to_vec(), Arc::clone(&stop));
        let mut threads = Vec::new();
        let ((bootstrap, topic, login, stopping), noted) = (of(), Arc::clone(&acknowledged));
        threads.push(std::thread::spawn(move || {
            idempotent(&bootstrap, &topic, partitions, &login, &stopping, &noted)
        }));
        for n in 0..transactional {
            let (bootstrap, topic, login, stopping) = of();
            threads.push(std::thread::spawn(move || {
                transactions(&bootstrap, &topic, partitions, n, &login, &stopping)
            }));
        }
        Self { stop, acknowledged, threads }
    }

    /// What the idempotent producer was promised so far.
    pub(super) fn acknowledged(&self) -> BTreeMap<i32, i64> {
        self.acknowledged.lock().unwrap().clone()
    }

    /// Ends them, and returns how many transactions each of the others committed.
    pub(super) fn stop(self) -> Vec<u32> {
        self.stop.store(true, Ordering::Release);
        self.threads.into_iter().skip(1).map(|thread| thread.join().unwrap()).collect()
    }
}

fn idempotent(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    login: &[(&'static str, String)],
    stop: &AtomicBool,
    acknowledged: &Acknowledged,
) -> u32 {
    let mut sent = 0_u32;
    while !stop.load(Ordering::Acquire) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("enable.idempotence", "true").set("linger.ms", "2");
        config.set("message.timeout.ms", "5000");
        for (key, value) in login {
            config.set(*key, value);
        }
        let producer: BaseProducer<Deliveries> =
            config.create_with_context(Deliveries(Arc::clone(acknowledged))).unwrap();
        // A refusal of an idempotent producer is fatal to it: then another one.
        while !stop.load(Ordering::Acquire) && producer.client().fatal_error().is_none() {
            let value = format!("record {sent} {}", "i".repeat(100));
            let record = BaseRecord::<(), str>::to(topic).partition(sent.cast_signed() % partitions);
            if producer.send(record.payload(&value)).is_ok() {
                sent += 1;
            }
            producer.poll(Duration::from_millis(2));
        }
        let _ = producer.flush(Duration::from_secs(6));
    }
    sent
}

fn transactions(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    n: u32,
    login: &[(&'static str, String)],
    stop: &AtomicBool,
) -> u32 {
    let login: Vec<_> = login.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let login: Vec<_> = login.into_iter().chain([("message.timeout.ms", "5000")]).collect();
    let mut committed = 0;
    while !stop.load(Ordering::Acquire) {
        let Ok(client) = Transactor::open_with(bootstrap, &format!("{topic}-{n}"), Codec::None, &login)
        else {
            sleep(Duration::from_millis(200));
            continue;
        };
        while !stop.load(Ordering::Acquire) {
            if client.begin().is_err() {
                break;
            }
            let records = (0..partitions).map(|partition| {
                Record::new(format!("in {committed} {}", "t".repeat(100))).partition(partition)
            });
            let written = client.write(topic, records).is_ok();
            // A record that the broker refused fails the commit; the transaction is aborted then.
            if written && client.commit().is_ok() {
                committed += 1;
            } else if client.abort().is_err() {
                break;
            }
            sleep(Duration::from_millis(20));
        }
    }
    committed
}
