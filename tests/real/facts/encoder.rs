//! Batches that no producer wrote (M14, M17): brokers take them, librdkafka with `check.crcs` reads them, and what
//! librdkafka wrote comes back equal after decoding and encoding.

use bytes::Bytes;
use lockstep_batch::records::{Header, Record};
use lockstep_batch::{Codec, FetchedBatch, build};
use lockstep_kafka::ErrorCode;
use lockstep_testkit::client::{Admin, Codec as Written, Isolation, Seen, assert_identical, read_all};
use lockstep_testkit::{pair, unique};

use super::log::{Log, connect, stranger};
use super::raw::{mirrored, written};
use lockstep_core::ids::{LeaderEpoch, TopicPartition};

pub(super) const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

pub(super) fn seen(record: &Record) -> Seen {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    Seen {
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.as_ref().map(|key| key.to_vec()),
        value: record.value.as_ref().map(|value| value.to_vec()),
        headers: record
            .headers
            .iter()
            .map(|header| (text(&header.key), header.value.as_ref().map(|value| value.to_vec())))
            .collect(),
    }
}

/// Records with everything that a record can have or lack, also more than a block of any codec.
fn odd_records(base_offset: i64) -> Vec<Record> {
    let header =
        |key, value: Option<&'static str>| Header { key: Bytes::from(key), value: value.map(Bytes::from) };
    let record = |timestamp, key: Option<&str>, value: Option<Vec<u8>>, headers| Record {
        offset: 0,
        timestamp,
        key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
        value: value.map(Bytes::from),
        headers,
    };
    let mut noise = vec![0; 200_000];
    fastrand::fill(&mut noise);
    let mut records = vec![
        record(1_700_000_000_000, Some("k"), Some(b"v".to_vec()), vec![]),
        record(1_600_000_000_000, None, Some(Vec::new()), vec![header("b", None), header("a", Some(""))]),
        record(1_700_000_000_001, Some(""), None, vec![header("b", Some("1")), header("b", Some("1"))]),
        record(0, None, None, vec![]),
        record(1_800_000_000_000, Some("noise"), Some(noise), vec![]),
        record(1_800_000_000_000, Some("zeros"), Some(vec![0; 300_000]), vec![]),
    ];
    for (offset, record) in (base_offset..).zip(&mut records) {
        record.offset = offset;
    }
    records
}

/// Appends the batch at the offset it was built for.
pub(super) async fn append(log: &Log, batch: &FetchedBatch) -> i64 {
    let base = batch.header().base_offset();
    let sequence = i32::try_from(base).unwrap();
    // Each batch by a producer of its own: this is not about sequences.
    assert_eq!(log.append_raw(mirrored(batch, stranger(0), sequence)).await, Ok(base));
    batch.header().next_offset()
}

fn read(log: &Log, end: i64) -> Vec<Seen> {
    let at = pair().destination.bootstrap();
    read_all(&at, &log.tp.topic, 0, 0..end, Isolation::ReadUncommitted).unwrap()
}

/// M14, M17: what the encoder writes with any codec is taken by a broker, which unpacks and checks every record, and
/// read by librdkafka record by record. Relied on by `batch/src/build`.
#[tokio::test]
async fn built_batches_of_every_codec_are_taken_and_read() {
    for codec in CODECS {
        let log = Log::create(&pair().destination.bootstrap(), "built").await;
        let records = odd_records(0);
        let mut end = append(&log, &build::batch(&records, codec, 3).unwrap()).await;
        let mut wanted: Vec<_> = records.iter().map(seen).collect();

        let repeated = &records[1];
        let repeat = build::repeat(repeated, end, 1000, codec).unwrap();
        wanted.extend((end..end + 1000).map(|offset| Seen { offset, ..seen(repeated) }));
        end = append(&log, &repeat).await;

        let more: Vec<_> = (0..5).flat_map(|n| odd_records(end + 6 * n)).collect();
        let singles = more.chunks(1).map(|one| build::batch(one, codec, 3).unwrap());
        let mut merger: Option<build::Merger> = None;
        for single in singles {
            match &mut merger {
                None => merger = Some(build::Merger::start(single, 64 << 20).unwrap()),
                Some(merger) => merger.push(single).unwrap(),
            }
        }
        wanted.extend(more.iter().map(seen));
        end = append(&log, &merger.unwrap().merge().unwrap()).await;

        let stored = log.batches().await;
        assert_eq!(stored.len(), 3, "{codec}");
        assert!(stored.iter().all(|batch| batch.header().codec() == Ok(codec)), "kept as they were built");
        assert!(read(&log, end) == wanted, "{codec}: librdkafka reads other records than were built");
    }
}

/// M17: what librdkafka wrote with any codec is decoded, encoded, and the copy read by librdkafka is equal; so is the
/// merged one. Relied on by `batch/src/records` and `batch/src/build`.
#[tokio::test]
async fn batches_of_librdkafka_come_back_equal() {
    let codecs = CODECS.into_iter().zip(Written::ALL);
    for (codec, by_librdkafka) in codecs {
        let (originals, log) = written(by_librdkafka).await;
        let again: Vec<_> = originals
            .iter()
            .map(|batch| {
                let records = build::records(batch, 0).unwrap();
                build::batch(&records, codec, batch.header().leader_epoch()).unwrap()
            })
            .collect();
        for (original, copy) in originals.iter().zip(&again) {
            assert_eq!(build::reencode(original, 0).as_deref(), Ok(std::slice::from_ref(copy)));
        }
        append(&log, &again[0]).await;
        let mut merger = build::Merger::start(originals[1].clone(), 64 << 20).unwrap();
        merger.push(originals[2].clone()).unwrap();
        append(&log, &merger.merge().unwrap()).await;
        assert_eq!(log.batches().await.len(), 2, "{codec}");
        let (from, to) = (pair().source.bootstrap(), pair().destination.bootstrap());
        let compared = assert_identical(&from, &to, &log.tp.topic, 1);
        assert_eq!(i64::try_from(compared.records), Ok(originals[2].header().next_offset()));
    }
}

/// M14: a filler of a million records is taken under the default `max.message.bytes`, also on a compacted topic, which
/// refuses null keys, and is known again when it is fetched. Relied on by `batch/src/build/filler.rs`.
#[tokio::test]
async fn a_million_fillers_fit_into_one_batch_of_a_compacted_topic() {
    let at = pair().destination.bootstrap();
    let topic = unique("filler");
    // The standby's settings would open what is asked here.
    Admin::of(&at).unwrap().create(&topic, 1, &[("cleanup.policy", "compact")]).unwrap();
    let log = Log::of(&connect(&at).await, TopicPartition::new(topic, 0), LeaderEpoch(0)).await;

    let null_key = Record { key: None, ..odd_records(0).remove(0) };
    let refused = build::batch(&[null_key], Codec::Zstd, -1).unwrap();
    let answer = log.append_raw(mirrored(&refused, stranger(0), 0)).await;
    assert_eq!(answer, Err(ErrorCode::INVALID_RECORD));

    let filler = build::filler(0, build::FILLER_RECORDS_MAX, 1_700_000_000_000).unwrap();
    append(&log, &filler).await;
    let stored = log.batches().await;
    assert_eq!(stored.len(), 1);
    assert!(build::is_filler(&stored[0]));
    assert_eq!(log.end().await, i64::from(build::FILLER_RECORDS_MAX));
    let first = read(&log, 2);
    assert_eq!(first[0].headers, [("lockstep.filler".to_owned(), Some(b"1000000".to_vec()))]);
    let plain =
        Seen { offset: 1, timestamp: 1_700_000_000_000, key: Some(vec![]), value: None, headers: vec![] };
    assert_eq!(first[1], plain);
}
