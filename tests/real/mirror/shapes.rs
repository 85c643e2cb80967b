//! Whatever records look like: payload bytes equal in the brokers' own files, and every record equal as read by
//! librdkafka with `check.crcs=true`.

use std::time::{SystemTime, UNIX_EPOCH};

use lockstep_testkit::client::{Codec, Record, Seed, assert_identical};
use lockstep_testkit::stored::batches;
use lockstep_testkit::{pair, unique};

use super::Ends;

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

const DAY_MS: i64 = 86_400_000;

/// Mirrors one topic whole and compares it in both ways.
fn assert_mirrored(ends: &Ends, topic: &str, partitions: i32) -> u64 {
    ends.mirror_all(topic);
    assert_payloads_equal(topic, partitions);
    assert_identical(&ends.from, &ends.to, topic, partitions).records
}

/// Small batches that waited behind each other may have become one (M17).
const MERGED_BELOW_BYTES: usize = 32 << 10;

/// M4: the compressed bytes on both brokers' disks are the same, batch by batch, or one stands for several small ones.
fn assert_payloads_equal(topic: &str, partitions: i32) {
    for partition in 0..partitions {
        let on = |kafka: &lockstep_testkit::Kafka| {
            batches(&kafka.log_folder(1, topic, partition).unwrap()).unwrap()
        };
        let (source, dest) = (on(&pair().source), on(&pair().destination));
        let mut originals = source.iter();
        for copy in &dest {
            let at = format!("{topic}:{partition} at {}", copy.base_offset);
            let first = originals.next().expect("a batch more than at the source");
            assert_eq!(first.base_offset, copy.base_offset, "{at}");
            if first.records == copy.records {
                assert!(first.payload == copy.payload, "payload of {at}");
                continue;
            }
            let (mut records, mut last) = (first.records, first);
            while records < copy.records {
                assert!(last.payload.len() < MERGED_BELOW_BYTES, "{at}: a large batch was merged");
                last = originals.next().expect("more records than at the source");
                records += last.records;
            }
            assert_eq!(records, copy.records, "{at}: a batch was cut");
        }
        assert!(originals.next().is_none(), "{topic}:{partition}: a batch fewer than at the source");
    }
}

#[test]
fn every_codec_in_small_and_large_batches() {
    let ends = Ends::shared();
    for codec in Codec::ALL {
        for (size, records) in [(1, 300), (10_000, 30_000)] {
            let topic = unique(&format!("{}-{size}", codec.name()));
            ends.create(&topic, 2, &[]);
            let written = (0..records).map(|n| {
                let value = format!("record {n} of {}: {}", codec.name(), "abcdefgh".repeat(n % 9));
                Record::new(value).partition(i32::try_from(n % 2).unwrap()).key(format!("k{n}"))
            });
            Seed::to(&ends.from)
                .codec(codec)
                .batch_records(size)
                .batch_bytes(8_000_000)
                .config("message.max.bytes", "9000000")
                .write(&topic, written)
                .unwrap();
            assert_eq!(assert_mirrored(&ends, &topic, 2), u64::try_from(records).unwrap());
        }
    }
}

#[test]
fn headers_keys_and_values_that_are_easily_lost() {
    let ends = Ends::shared();
    let topic = unique("odd");
    ends.create(&topic, 1, &[]);
    let records = [
        Record::new("plain"),
        Record::null().key("tombstone"),
        Record::new("").key(""),
        Record::null(),
        Record::new("v").header("twice", "1").header("twice", "2").header("twice", "1"),
        Record::new("v").null_header("null").header("empty", "").header("", "nameless"),
        Record::new("v").header("žluťoučký", "kůň").header("bytes", [0u8, 255, 128]),
        Record::new([0u8; 1000]).key([255u8; 300]),
    ];
    let count = records.len() as u64;
    Seed::to(&ends.from).codec(Codec::Zstd).write(&topic, records).unwrap();
    assert_eq!(assert_mirrored(&ends, &topic, 1), count);
}

#[test]
fn old_future_and_unordered_timestamps() {
    let ends = Ends::shared();
    let topic = unique("times");
    ends.create(&topic, 1, &[]);
    let now = now_ms();
    let times = [now, now - 2 * DAY_MS, now - 365 * DAY_MS, now - 1, 0, 1, now - 2 * DAY_MS, now + 60_000];
    for batch in [1, 3] {
        let records = times.iter().map(|t| Record::new(format!("at {t}")).at(*t));
        Seed::to(&ends.from).batch_records(batch).write(&topic, records).unwrap();
    }
    assert_eq!(assert_mirrored(&ends, &topic, 1), 2 * times.len() as u64);
}

#[test]
fn records_of_five_megabytes() {
    let ends = Ends::shared();
    let topic = unique("huge");
    ends.create(&topic, 2, &[("max.message.bytes", "16000000")]);
    let records = (0..12u8).map(|n| Record::new(vec![n; 5_000_000]).partition(i32::from(n % 2)));
    Seed::to(&ends.from)
        .batch_records(1)
        .config("message.max.bytes", "9000000")
        .write(&topic, records)
        .unwrap();
    assert_eq!(assert_mirrored(&ends, &topic, 2), 12);
}

#[test]
fn sixty_four_partitions_with_a_small_memory() {
    // M11: with little room per answer many partitions come back empty although they hold records; nothing may
    // be concluded from that.
    let ends = Ends::shared();
    let topic = unique("wide");
    ends.create(&topic, 64, &[]);
    let records = (0..64_000).map(|n| Record::new(format!("{n}:{}", "y".repeat(200))).partition(n % 64));
    Seed::to(&ends.from).codec(Codec::Lz4).batch_records(100).write(&topic, records).unwrap();
    let finished = ends.mirror_to_the_end(&topic, &["--memory", "256KiB"]);
    assert_eq!(finished.exit, lockstep_testkit::Exit::Code(0), "{}", finished.stdout);
    assert_payloads_equal(&topic, 64);
    assert_eq!(assert_identical(&ends.from, &ends.to, &topic, 64).records, 64_000);
}

#[test]
fn empty_partitions_are_caught_up_at_once() {
    let ends = Ends::shared();
    let topic = unique("empty");
    ends.create(&topic, 3, &[]);
    Seed::to(&ends.from).write(&topic, [Record::new("only one").partition(1)]).unwrap();
    assert_eq!(assert_mirrored(&ends, &topic, 3), 1);
}
