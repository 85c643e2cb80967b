//! Records of every shape that chance brings, both ways between our encoder and librdkafka (M14, M17): what we encode,
//! merged or not, librdkafka reads as it was meant; what librdkafka writes, we read as it was meant, and encode again.
//! A failure names the seed that brings the same records back.

use bytes::Bytes;
use lockstep_batch::records::{Header, Record};
use lockstep_batch::{Codec, FetchedBatch, build};
use lockstep_core::ids::{LeaderEpoch, TopicPartition};
use lockstep_testkit::client::{
    Admin, Codec as Written, Isolation, Record as Sent, Seed, Seen, assert_identical, read_all,
};
use lockstep_testkit::{pair, rounds, unique};

use super::encoder::{CODECS, append, seen};
use super::log::{Log, connect};

/// No producer of the kit takes a larger one by default.
const VALUE_BYTES_MAX: usize = 300_000;
/// Before the brokers' clock, whatever that is: without standby settings they refuse the future.
const PAST_MS: std::ops::Range<i64> = 1..1_700_000_000_000;

struct Lots {
    seed: u64,
    rng: fastrand::Rng,
}

impl Lots {
    fn new(codec: Codec) -> Self {
        let seed = fastrand::u64(..);
        println!("{codec}: seed {seed}");
        Self { seed, rng: fastrand::Rng::with_seed(seed) }
    }

    /// Nothing, empty, short, or now and then long; of one byte, of words, or noise.
    fn bytes(&mut self, long: usize) -> Option<Bytes> {
        let len = match self.rng.u8(..20) {
            0..3 => return None,
            3..6 => 0,
            6..17 => self.rng.usize(1..80),
            17..19 => self.rng.usize(80..5_000.min(long)),
            _ => self.rng.usize(80..long),
        };
        let kind = self.rng.u8(..3);
        let words = b"the same words again, order and claim; ";
        let byte = |at: usize| match kind {
            0 => 7,
            1 => words[at % words.len()],
            _ => self.rng.u8(..),
        };
        Some((0..len).map(byte).collect::<Vec<_>>().into())
    }

    fn headers(&mut self) -> Vec<Header> {
        let names = ["a", "trace", "naïve-Ω", "a.much.longer.name.than.the.others.have", "a"];
        let count = if self.rng.u8(..3) == 0 { self.rng.usize(1..9) } else { 0 };
        let header = |_| {
            let key = Bytes::from_static(names[self.rng.usize(..names.len())].as_bytes());
            Header { key, value: self.bytes(600) }
        };
        (0..count).map(header).collect()
    }

    fn record(&mut self, offset: i64, times: std::ops::Range<i64>) -> Record {
        let value = self.bytes(VALUE_BYTES_MAX);
        Record {
            offset,
            timestamp: self.rng.i64(times),
            key: self.bytes(400),
            value,
            headers: self.headers(),
        }
    }

    /// As many as one batch may have: mostly few, now and then hundreds.
    fn length(&mut self) -> usize {
        if self.rng.u8(..8) == 0 { self.rng.usize(100..700) } else { self.rng.usize(1..30) }
    }
}

fn sent(record: &Record) -> Sent {
    let mut sent = record.value.as_ref().map_or_else(Sent::null, Sent::new).at(record.timestamp);
    if let Some(key) = &record.key {
        sent = sent.key(key);
    }
    for header in &record.headers {
        let name = std::str::from_utf8(&header.key).unwrap();
        sent = match &header.value {
            Some(value) => sent.header(name, value),
            None => sent.null_header(name),
        };
    }
    sent
}

fn decoded(batches: &[FetchedBatch]) -> Vec<Record> {
    batches.iter().flat_map(|batch| build::records(batch, 0).unwrap()).collect()
}

/// M14, M17: whatever records our encoder is given, brokers take the batches and librdkafka reads the records.
#[tokio::test]
async fn whatever_we_encode_librdkafka_reads() {
    for codec in CODECS {
        let log = Log::create(&pair().destination.bootstrap(), "random").await;
        let mut lots = Lots::new(codec);
        let mut wanted: Vec<Record> = Vec::new();
        let mut stored_batches = 0;
        for _ in 0..rounds(12, 200) {
            // Alone or merged with up to five behind it.
            let mut merger: Option<build::Merger> = None;
            for _ in 0..lots.rng.usize(1..7) {
                let base = i64::try_from(wanted.len()).unwrap();
                let length = i64::try_from(lots.length()).unwrap();
                let times = 0..4_000_000_000_000;
                let records: Vec<_> =
                    (base..base + length).map(|offset| lots.record(offset, times.clone())).collect();
                let batch = build::batch(&records, codec, 3).unwrap();
                assert_eq!(build::records(&batch, 0).unwrap(), records, "{codec}, seed {}", lots.seed);
                wanted.extend(records);
                match &mut merger {
                    None => merger = Some(build::Merger::start(batch, 64 << 20).unwrap()),
                    Some(merger) => merger.push(batch).unwrap(),
                }
            }
            let merger = merger.unwrap();
            let batch = match merger.batches() {
                [alone] => alone.clone(),
                _ => merger.merge().unwrap(),
            };
            append(&log, &batch).await;
            stored_batches += 1;
        }
        let stored = log.batches().await;
        assert_eq!(stored.len(), stored_batches, "{codec}, seed {}", lots.seed);
        assert!(decoded(&stored) == wanted, "{codec}, seed {}: we read other records", lots.seed);
        let at = pair().destination.bootstrap();
        let end = i64::try_from(wanted.len()).unwrap();
        let read: Vec<Seen> = read_all(&at, &log.tp.topic, 0, 0..end, Isolation::ReadUncommitted).unwrap();
        let meant: Vec<_> = wanted.iter().map(seen).collect();
        assert!(read == meant, "{codec}, seed {}: librdkafka reads other records", lots.seed);
    }
}

/// M17: whatever records librdkafka is given, we read them from its batches, and what we encode anew is equal to it.
#[tokio::test]
async fn whatever_librdkafka_writes_we_read_and_encode() {
    for (codec, by_librdkafka) in CODECS.into_iter().zip(Written::ALL) {
        let mut lots = Lots::new(codec);
        let topic = unique("random");
        let (from, to) = (pair().source.bootstrap(), pair().destination.bootstrap());
        Admin::of(&from).unwrap().create(&topic, 1, &[]).unwrap();
        let mut wanted: Vec<Record> = Vec::new();
        for _ in 0..rounds(4, 40) {
            let base = i64::try_from(wanted.len()).unwrap();
            let length = lots.rng.i64(1..400);
            let records: Vec<_> = (base..base + length).map(|offset| lots.record(offset, PAST_MS)).collect();
            let per_batch = u32::try_from(lots.length()).unwrap();
            let seed = Seed::to(&from).codec(by_librdkafka).batch_records(per_batch);
            seed.write(&topic, records.iter().map(sent)).unwrap();
            wanted.extend(records);
        }
        let tp = TopicPartition::new(topic.as_str(), 0);
        let source = Log::of(&connect(&from).await, tp.clone(), LeaderEpoch(0)).await;
        let originals = source.batches().await;
        assert!(decoded(&originals) == wanted, "{codec}, seed {}: we read other records", lots.seed);

        Admin::of(&to).unwrap().create(&topic, 1, &[]).unwrap();
        let copy = Log::of(&connect(&to).await, tp, LeaderEpoch(0)).await;
        let mut rest = wanted.as_slice();
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(lots.length().min(rest.len()));
            append(&copy, &build::batch(chunk, codec, 3).unwrap()).await;
            rest = behind;
        }
        let compared = assert_identical(&from, &to, &topic, 1);
        assert_eq!(compared.records, u64::try_from(wanted.len()).unwrap(), "{codec}, seed {}", lots.seed);
    }
}
