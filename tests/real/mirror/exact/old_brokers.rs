//! A broker from before KRaft as a source: Kafka 2.8 with ZooKeeper, its logs in message format v1, as a cluster keeps
//! them that was upgraded and whose formats were not (M17). And beside them a topic of today's format with transactions:
//! the source's older requests serve too (M10, M12). The mirror is killed in the middle of both.

use std::collections::BTreeSet;
use std::fs;
use std::thread;

use lockstep_testkit::client::{Codec, Isolation, Record, Seed, Seen, Transactor, read_all, watermarks};
use lockstep_testkit::{OldKafka, pair, unique, wait_until_true};

use super::{assert_exact, assert_verified};
use crate::mirror::{Ends, PATIENCE};

const PARTITIONS: i32 = 2;
const AT: i64 = 1_500_000_000_000;
/// Per codec, writer and half.
const RECORDS: i32 = 1_500;
/// zstd came after format v1.
const CODECS: [Codec; 4] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4];
const WRITERS: [Writer; 2] = [Writer::OfToday, Writer::OfOld];

/// What the broker makes messages of format v1 of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    /// Sends record batches.
    OfToday,
    /// Speaks as in the days of 0.9 and sends messages of format v0, which have no timestamp.
    OfOld,
}

/// A record of the topic in format v1, which knows no headers. `half` and `n` count from 0.
fn message(codec: Codec, writer: Writer, half: i64, n: i32) -> (Option<String>, Option<String>, i64) {
    let at = match writer {
        Writer::OfToday => AT + half * 1_000_000 + i64::from(n * 37 % 1_000),
        Writer::OfOld => -1,
    };
    let value = format!("{} of {writer:?} {half} {n} {}", codec.name(), "ab".repeat(n as usize % 40));
    match n % 7 {
        0 => (Some(format!("deleted {n}")), None, at),
        1 => (None, Some(String::new()), at),
        _ => (Some(n.to_string()), Some(value), at),
    }
}

fn write_messages(ends: &Ends, topic: &str, half: i64) {
    for codec in CODECS {
        for writer in WRITERS {
            // Format v1 knows no idempotence either.
            let seed =
                Seed::to(&ends.from).codec(codec).batch_records(250).config("enable.idempotence", "false");
            let seed = match writer {
                Writer::OfToday => seed,
                Writer::OfOld => {
                    seed.config("api.version.request", "false").config("broker.version.fallback", "0.9.0.1")
                }
            };
            let records = (0..RECORDS).map(|n| {
                let (key, value, at) = message(codec, writer, half, n);
                let record = value.map_or_else(Record::null, Record::new).partition(n % PARTITIONS);
                let record = key.into_iter().fold(record, Record::key);
                if at < 0 { record } else { record.at(at) }
            });
            seed.write(topic, records).unwrap();
        }
    }
}

/// What has to be read of a partition, in order.
fn expected(partition: i32) -> Vec<Seen> {
    let mut all = Vec::new();
    for half in 0..2 {
        for (codec, writer) in CODECS.iter().flat_map(|codec| WRITERS.map(|writer| (*codec, writer))) {
            for n in (0..RECORDS).filter(|n| n % PARTITIONS == partition) {
                let (key, value, timestamp) = message(codec, writer, half, n);
                let [key, value] = [key, value].map(|text| text.map(String::into_bytes));
                all.push(Seen { offset: all.len() as i64, timestamp, key, value, headers: Vec::new() });
            }
        }
    }
    all
}

/// As Kafka's console consumer prints it.
fn printed(seen: &Seen) -> String {
    let text = |field: &Option<Vec<u8>>| {
        field.as_ref().map_or("null".to_owned(), |bytes| String::from_utf8(bytes.clone()).unwrap())
    };
    format!("NO_HEADERS\t{}\t{}", text(&seen.key), text(&seen.value))
}

/// Format and codec of every entry of a partition's log. Entries of all formats begin alike: offset (8), size (4), four
/// more bytes, the format. The attributes of a message follow at once.
fn stored(old: &OldKafka, topic: &str, partition: i32) -> BTreeSet<(u8, u8)> {
    let log = fs::read(old.log_folder(topic, partition).join("00000000000000000000.log")).unwrap();
    let mut rest = log.as_slice();
    let mut found = BTreeSet::new();
    while !rest.is_empty() {
        let size = i32::from_be_bytes(rest[8..12].try_into().unwrap());
        found.insert((rest[16], rest[17] & 7));
        rest = &rest[12 + usize::try_from(size).unwrap()..];
    }
    found
}

/// Mirrors; between the halves the mirror is killed with a part of the first one copied.
fn mirror_killed_once(ends: &Ends, topic: &str, write: impl Fn(i64)) {
    write(0);
    let mut mirror = ends.mirror(topic);
    wait_until_true("the mirror to copy something", PATIENCE, || ends.held(topic, 0) > 0);
    mirror.kill().unwrap();
    write(1);
    ends.mirror_all(topic);
}

fn messages_in_format_v1(ends: &Ends, old: &OldKafka) {
    let topic = unique("exact-v1");
    ends.create(&topic, PARTITIONS, &[]);
    mirror_killed_once(ends, &topic, |half| write_messages(ends, &topic, half));
    // librdkafka takes the lengths in old messages for varints since Fetch v12: Kafka's own consumer reads the source.
    let count = (0..PARTITIONS).map(|partition| expected(partition).len()).sum();
    let theirs = old.console_consumer(&topic, count).unwrap();
    for partition in 0..PARTITIONS {
        assert_eq!(stored(old, &topic, partition), (0..4).map(|codec| (1, codec)).collect(), "format, codec");
        let expected = expected(partition);
        let range = watermarks(&ends.to, &topic, partition).unwrap();
        assert_eq!(range, 0..expected.len() as i64);
        assert_eq!(range, watermarks(&ends.from, &topic, partition).unwrap());
        let ours = read_all(&ends.to, &topic, partition, range, Isolation::ReadUncommitted).unwrap();
        let mut theirs = theirs.iter().filter(|printed| printed.partition == partition);
        for (ours, expected) in ours.iter().zip(&expected) {
            assert_eq!(ours, expected, "as written");
            let theirs = theirs.next().expect("a record that only the destination has");
            assert_eq!((ours.offset, ours.timestamp), (theirs.offset, theirs.timestamp), "as on the source");
            assert_eq!(printed(ours), theirs.text, "as on the source");
        }
        assert_eq!(ours.len(), expected.len());
        assert_eq!(theirs.next(), None, "a record that only the source has");
    }
    assert_verified(ends, &topic);
}

fn transactions_in_batches(ends: &Ends, old: &OldKafka) {
    let topic = unique("exact-v2-of-old");
    ends.create(&topic, PARTITIONS, &[("message.format.version", "2.8")]);
    let records = |what: String, count: i32| {
        (0..count).map(move |n| Record::new(format!("{what} {n}")).header("h", "1").partition(n % PARTITIONS))
    };
    mirror_killed_once(ends, &topic, |half| {
        let transactor = Transactor::open(&ends.from, &topic, Codec::Lz4).unwrap();
        for round in 0..4 {
            let seed = Seed::to(&ends.from).codec(Codec::Zstd).batch_records(100);
            seed.write(&topic, records(format!("plain {half} {round}"), 1_000)).unwrap();
            transactor.begin().unwrap();
            transactor.write(&topic, records(format!("decided {half} {round}"), 500)).unwrap();
            if round % 2 == 0 { transactor.commit().unwrap() } else { transactor.abort().unwrap() }
        }
    });
    assert!(stored(old, &topic, 0).iter().all(|(format, _)| *format == 2));
    assert_eq!(assert_exact(ends, &topic, PARTITIONS).records, 2 * (4 * 1_000 + 2 * 500));
    assert_verified(ends, &topic);
}

#[test]
fn a_broker_of_2_8_with_zookeeper_is_mirrored() {
    let destination = &pair().destination;
    let config = [("log.message.format.version", "0.10.2"), ("inter.broker.protocol.version", "2.8")];
    let old = OldKafka::start("of-old", &config).unwrap();
    let ends = Ends { from: old.bootstrap(), to: destination.bootstrap() };
    thread::scope(|scope| {
        scope.spawn(|| messages_in_format_v1(&ends, &old));
        transactions_in_batches(&ends, &old);
    });
}
