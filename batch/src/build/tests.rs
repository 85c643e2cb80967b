//! What is built, read back by the decoder; what it is built from, written by the tests' own encoder.

use super::*;
use crate::header::{BatchHeader, TimestampType};
use crate::records::{Fault, Header, Limits, Record, decode};
use crate::rewrite::{Stamp, obstacle, rewrite};
use crate::testing::{ALL_CODECS, KAFKA_BATCHES, TestBatch, any_batch, from_hex, some_records};
use crate::view::{BatchView, FetchedBatch};
use bytes::Bytes;
use proptest::prelude::*;

fn decoded(batch: &FetchedBatch) -> Vec<Record> {
    decode(&batch.view(), Limits::default()).unwrap().collect::<Result<_, _>>().unwrap()
}

fn fetched(batch: &TestBatch) -> FetchedBatch {
    FetchedBatch::parse(Bytes::from(batch.encode())).unwrap()
}

/// What is true of everything that is built.
fn is_sound(batch: &FetchedBatch) -> bool {
    let header = batch.header();
    let records = decoded(batch);
    batch.view().checksum_holds()
        && obstacle(header).is_none()
        && !header.is_transactional()
        && header.delete_horizon_ms().is_none()
        && (header.producer_id(), header.producer_epoch(), header.base_sequence()) == (-1, -1, -1)
        && header.base_offset() == records[0].offset
        && header.base_timestamp() == records[0].timestamp
        && Some(header.max_timestamp()) == records.iter().map(|record| record.timestamp).max()
}

fn merged(batches: &[FetchedBatch]) -> Result<FetchedBatch, BuildError> {
    let mut merger = Merger::start(batches[0].clone(), usize::MAX).unwrap();
    for batch in &batches[1..] {
        merger.push(batch.clone()).unwrap();
    }
    merger.merge()
}

/// `count` batches of ordinary records that follow each other, of growing size.
fn in_a_row(count: usize, codec: Codec) -> Vec<FetchedBatch> {
    let mut base = 100;
    (1..=count)
        .map(|len| {
            let batch = fetched(&TestBatch::new(base, codec, some_records(base, len)));
            base += len as i64;
            batch
        })
        .collect()
}

/// A record with everything odd in it.
fn odd(offset: i64) -> Record {
    let header =
        |key, value: Option<&'static str>| Header { key: Bytes::from(key), value: value.map(Bytes::from) };
    Record {
        offset,
        timestamp: -1,
        key: Some(Bytes::new()),
        value: None,
        headers: vec![header("b", None), header("a", Some("")), header("b", Some("1")), header("", None)],
    }
}

fn with_checksum(mut bytes: Vec<u8>) -> FetchedBatch {
    let crc = crate::crc::checksum(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    FetchedBatch::parse(Bytes::from(bytes)).unwrap()
}

#[test]
fn records_become_what_kafka_would_have_written() {
    for (codec, digits) in KAFKA_BATCHES {
        let kafkas = FetchedBatch::parse(Bytes::from(from_hex(digits))).unwrap();
        let ours = batch(&decoded(&kafkas), codec, 6).unwrap();
        assert!(is_sound(&ours), "{codec}");
        assert_eq!(decoded(&ours), decoded(&kafkas), "{codec}");
        assert_eq!(ours.header().leader_epoch(), 6);
        if codec == Codec::None || codec == Codec::Snappy {
            // No compressor's choice: the same bytes, the producer's fields and the checksum apart.
            assert_eq!(ours.bytes()[..17], kafkas.bytes()[..17], "{codec}");
            assert_eq!(ours.bytes()[21..43], kafkas.bytes()[21..43], "{codec}");
            assert_eq!(ours.bytes()[57..61], kafkas.bytes()[57..61], "{codec}");
        }
        if codec == Codec::None {
            assert_eq!(ours.payload(), kafkas.payload());
        }
    }
}

#[test]
fn a_gap_ends_a_run_and_is_refused_inside_a_batch() {
    let records: Vec<_> = [5, 6, 9, 20, 21, 22].map(odd).into();
    let error = BuildError::NotConsecutive { expected: 7, offset: 9 };
    assert_eq!(batch(&records, Codec::None, 0), Err(error));
    let parts = runs(&records, Codec::Lz4, 3).unwrap();
    assert_eq!(parts.iter().map(|part| part.header().base_offset()).collect::<Vec<_>>(), [5, 9, 20]);
    assert!(parts.iter().all(is_sound));
    assert_eq!(parts.iter().flat_map(decoded).collect::<Vec<_>>(), records);
    assert_eq!(runs(&[], Codec::None, 0), Ok(vec![]));
    for falling in [[6, 5], [6, 6]] {
        let falling = falling.map(odd);
        assert!(matches!(runs(&falling, Codec::None, 0), Err(BuildError::NotConsecutive { .. })));
    }
}

#[test]
fn offsets_end_where_kafkas_do() {
    assert_eq!(batch(&[], Codec::None, 0), Err(BuildError::NoRecord));
    assert_eq!(batch(&[odd(-1)], Codec::None, 0), Err(BuildError::BadOffset { offset: -1 }));
    assert_eq!(batch(&[odd(i64::MAX)], Codec::None, 0), Err(BuildError::BadOffset { offset: i64::MAX }));
    assert!(is_sound(&batch(&[odd(i64::MAX - 2), odd(i64::MAX - 1)], Codec::Gzip, 0).unwrap()));
    let end = i64::MAX - 2;
    assert_eq!(filler(end, 3, 0), Err(BuildError::BadOffset { offset: i64::MAX }));
}

#[test]
fn extreme_timestamps_come_back() {
    let mut records: Vec<_> = (7..12).map(odd).collect();
    for (record, timestamp) in records.iter_mut().zip([i64::MAX, i64::MIN, -1, 0, i64::MAX - 1]) {
        record.timestamp = timestamp;
    }
    let built = batch(&records, Codec::Zstd, -1).unwrap();
    assert!(is_sound(&built));
    assert_eq!(decoded(&built), records);
}

#[test]
fn a_repeat_is_the_record_again_and_again() {
    let mut record = odd(77);
    record.timestamp = 1_700_000_000_000;
    for codec in ALL_CODECS {
        let built = repeat(&record, 1000, 70_000, codec).unwrap();
        assert!(is_sound(&built));
        assert_eq!((built.header().base_offset(), built.header().next_offset()), (1000, 71_000));
        for (offset, back) in (1000..).zip(decoded(&built)) {
            assert_eq!(back, Record { offset, ..record.clone() });
        }
    }
    // The same as writing it that often.
    let written: Vec<_> = (5..9).map(|offset| Record { offset, ..record.clone() }).collect();
    assert_eq!(repeat(&record, 5, 4, Codec::Snappy), batch(&written, Codec::Snappy, -1));
}

#[test]
fn repeats_are_bounded_by_their_bytes() {
    let mut record = odd(0);
    record.value = Some(Bytes::from(vec![b'v'; 1 << 20]));
    let max = repeats_max(&record);
    assert!((60..=64).contains(&max), "{max}");
    assert!(repeat(&record, 0, max, Codec::Zstd).is_ok());
    assert_eq!(repeat(&record, 0, 65, Codec::Zstd), Err(BuildError::BadCount { count: 65, max: 63 }));
    assert!(matches!(repeat(&record, 0, 0, Codec::Zstd), Err(BuildError::BadCount { .. })));
    // One larger than what is chosen for repeats can still be carried itself.
    record.value = Some(Bytes::from(vec![b'v'; CHOSEN_BYTES_MAX + 1]));
    assert_eq!(repeats_max(&record), 1);
    assert!(repeat(&record, 0, 1, Codec::Lz4).is_ok());
    record.value = Some(Bytes::from(vec![b'v'; PLAIN_BYTES_MAX + 1]));
    let error = BuildError::TooLarge { limit_bytes: PLAIN_BYTES_MAX };
    assert_eq!(batch(&[record], Codec::Lz4, 0), Err(error));
}

#[test]
fn a_filler_is_small_and_known_again_after_the_mirror() {
    let full = filler(50, FILLER_RECORDS_MAX, 1_700_000_000_000).unwrap();
    assert!(full.header().len() < 1_000_000, "{} bytes", full.header().len());
    assert_eq!(full.header().next_offset(), 50 + i64::from(FILLER_RECORDS_MAX));
    assert!(is_sound(&full) && is_filler(&full));
    let empty = |record: &Record| record.key == Some(Bytes::new()) && record.value.is_none();
    let records = decoded(&full);
    assert!(records.iter().all(|record| empty(record) && record.timestamp == 1_700_000_000_000));
    assert_eq!(records[0].headers[0].key, "lockstep.filler");
    assert_eq!(records.iter().map(|record| record.headers.len()).sum::<usize>(), 1);
    let mut bytes = Vec::new();
    let stamp = Stamp { producer_id: 7, producer_epoch: 1, base_sequence: 50 };
    rewrite(&full, stamp).write_to(&mut bytes);
    assert!(is_filler(&FetchedBatch::parse(Bytes::from(bytes)).unwrap()));
    for count in [1, 2, 127, 128, 99_999] {
        assert!(is_filler(&filler(0, count, -1).unwrap()), "{count}");
    }
    for count in [0, FILLER_RECORDS_MAX + 1, u32::MAX] {
        assert_eq!(filler(0, count, 0), Err(BuildError::BadCount { count, max: FILLER_RECORDS_MAX }));
    }
}

#[test]
fn what_only_looks_like_a_filler_is_none() {
    let real = filler(50, 10, 3).unwrap();
    let mut records = decoded(&real);
    assert!(is_filler(&batch(&records, Codec::Zstd, 0).unwrap()));
    assert!(!is_filler(&batch(&records, Codec::Lz4, 0).unwrap()));
    assert!(!is_filler(&batch(&records[1..], Codec::Zstd, 0).unwrap()));
    assert!(!is_filler(&batch(&records[..9], Codec::Zstd, 0).unwrap()));
    // A filler and what was merged behind it.
    let merged = merged(&[real, repeat(&odd(0), 60, 1, Codec::Zstd).unwrap()]).unwrap();
    assert!(!is_filler(&merged));
    records[0].headers[0].value = None;
    assert!(!is_filler(&batch(&records, Codec::Zstd, 0).unwrap()));
    for codec in ALL_CODECS {
        assert!(!is_filler(&fetched(&TestBatch::new(0, codec, some_records(0, 10)))));
    }
    let garbage = TestBatch::new(0, Codec::Zstd, some_records(0, 1)).encode_with(1, &[0xff; 30]);
    assert!(!is_filler(&FetchedBatch::parse(Bytes::from(garbage)).unwrap()));
}

#[test]
fn small_batches_merge_into_one() {
    for codec in ALL_CODECS {
        let batches = in_a_row(20, codec);
        let one = merged(&batches).unwrap();
        assert!(is_sound(&one), "{codec}");
        assert_eq!(decoded(&one), batches.iter().flat_map(decoded).collect::<Vec<_>>(), "{codec}");
        assert_eq!((one.header().codec(), one.header().leader_epoch()), (Ok(codec), 4));
        assert!(one.header().len() < batches.iter().map(|batch| batch.header().len()).sum());
    }
}

#[test]
fn one_batch_is_not_touched() {
    let batch = fetched(&TestBatch::new(0, Codec::Gzip, some_records(0, 3)));
    let merger = Merger::start(batch.clone(), 0).unwrap();
    assert_eq!(merger.merge().unwrap().bytes().as_ptr(), batch.bytes().as_ptr());
    assert_eq!(merger.into_batches(), [batch]);
}

#[test]
fn only_what_continues_is_merged() {
    let start = fetched(&TestBatch::new(100, Codec::Lz4, some_records(100, 10)));
    let limit = start.header().len() * 2;
    let merger = Merger::start(start, limit).unwrap();
    let like = |change: fn(&mut TestBatch)| {
        let mut batch = TestBatch::new(110, Codec::Lz4, some_records(110, 5));
        change(&mut batch);
        fetched(&batch)
    };
    let taken = |batch: &FetchedBatch| {
        let answer = merger.clone().push(batch.clone());
        assert_eq!(answer.is_ok(), merger.accepts(batch.header()));
        answer.is_ok()
    };
    assert!(taken(&like(|_| {})));
    assert!(taken(&like(|batch| batch.attributes = 0x10)), "committed");
    assert!(taken(&like(|batch| batch.attributes = 0x40)), "with a delete horizon");
    assert!(!taken(&like(|batch| *batch = TestBatch::new(111, Codec::Lz4, some_records(111, 5)))));
    assert!(!taken(&like(|batch| *batch = TestBatch::new(109, Codec::Lz4, some_records(109, 5)))));
    assert!(
        !taken(&like(|batch| *batch = TestBatch::new(110, Codec::Lz4, some_records(110, 30)))),
        "too long"
    );
    assert!(!taken(&like(|batch| batch.codec = Codec::Zstd)));
    let carried_otherwise: [fn(&mut TestBatch); 4] = [
        |batch| batch.attributes = 0x08,
        |batch| batch.attributes = 0x20,
        |batch| batch.attributes = 0x04, // with lz4's bits: codec 7
        |batch| batch.last_offset_delta = Some(7),
    ];
    for change in carried_otherwise {
        let batch = like(change);
        assert!(!taken(&batch));
        assert_eq!(Merger::start(batch.clone(), limit).unwrap_err(), batch);
    }
}

#[test]
fn offsets_of_a_merged_batch_fit_into_its_header() {
    let header = |base_offset: i64, offsets: i32| {
        let mut bytes = TestBatch::new(base_offset, Codec::None, Vec::new()).encode();
        bytes[23..27].copy_from_slice(&(offsets - 1).to_be_bytes());
        bytes[57..61].copy_from_slice(&offsets.to_be_bytes());
        FetchedBatch::parse(Bytes::from(bytes)).unwrap()
    };
    let merger = Merger::start(header(0, i32::MAX - 10), usize::MAX).unwrap();
    assert!(merger.accepts(header(i64::from(i32::MAX) - 10, 10).header()));
    assert!(!merger.accepts(header(i64::from(i32::MAX) - 10, 11).header()));
}

#[test]
fn a_damaged_batch_spoils_the_merger_and_gets_no_new_checksum() {
    for codec in ALL_CODECS {
        let batches = in_a_row(3, codec);
        for at in 21..batches[1].header().len() {
            let mut bytes = batches[1].bytes().to_vec();
            bytes[at] ^= 0x10;
            let Ok(damaged) = FetchedBatch::parse(Bytes::from(bytes)) else { continue };
            let base_offset = damaged.header().base_offset();
            let error = Err(BuildError::Checksum { base_offset });
            let mut merger = Merger::start(batches[0].clone(), usize::MAX).unwrap();
            if merger.push(damaged.clone()).is_ok() {
                assert_eq!(merger.merge(), error, "{codec}, byte {at}");
                assert_eq!(merger.batches().len(), 2);
            }
            assert_eq!(reencode(&damaged, 0).map(|_| ()), error.clone().map(|_: FetchedBatch| ()));
            assert_eq!(close_gaps(&damaged, 0).map(|_| ()), error.clone().map(|_| ()));
            assert_eq!(records(&damaged, 0).map(|_| ()), error.map(|_| ()));
        }
    }
}

#[test]
fn a_malformed_record_is_found_behind_a_right_checksum() {
    let good = fetched(&TestBatch::new(0, Codec::None, some_records(0, 2)));
    let shape = TestBatch::new(2, Codec::None, some_records(2, 1));
    for (payload, fault) in [
        (&[12, 0, 0, 0, 1, 8, 0][..], Fault::Cut),
        (&[14, 0, 0, 0, 1, 1, 0, 0], Fault::LongerThanItsFields(1)),
        (&[12, 0, 0, 0, 3, 1, 0], Fault::NegativeLength(-2)),
        (&[12, 0, 0, 0, 1, 1, 2], Fault::Cut),
        (&[12, 0, 0, 2, 1, 1, 0], Fault::OffsetDelta(1)),
    ] {
        let bad = FetchedBatch::parse(Bytes::from(shape.encode_with(1, payload))).unwrap();
        let error = BuildError::Source(RecordError::Malformed { index: 0, fault });
        assert_eq!(merged(&[good.clone(), bad.clone()]), Err(error.clone()));
        assert_eq!(reencode(&bad, 0), Err(error.clone()));
        assert_eq!(close_gaps(&bad, 0), Err(error));
    }
}

#[test]
fn an_unpacker_forgets_what_it_could_not_unpack() {
    let good = in_a_row(3, Codec::Zstd);
    let mut unpacker = crate::records::decompress::Unpacker::default();
    let mut opened = |batch: &FetchedBatch| {
        unpacker.records(batch.header(), batch.view().payload(), 1 << 20).map(|plain| plain.len())
    };
    let sizes: Vec<_> = good.iter().map(&mut opened).collect();
    assert!(sizes.iter().all(Result::is_ok));
    let shape = TestBatch::new(0, Codec::Zstd, some_records(0, 50));
    let payload = shape.payload();
    for len in 1..payload.len() {
        let cut = FetchedBatch::parse(Bytes::from(shape.encode_with(50, &payload[..len]))).unwrap();
        assert!(opened(&cut).is_err(), "first {len} bytes");
        assert_eq!(opened(&good[2]), sizes[2]);
    }
}

#[test]
fn bombs_do_not_merge() {
    let mut base = 0;
    let batches: Vec<_> = (0..3)
        .map(|_| {
            let mut record = odd(0);
            record.value = Some(Bytes::from(vec![0; CHOSEN_BYTES_MAX / 2]));
            base += 1;
            repeat(&record, base - 1, 1, Codec::Zstd).unwrap()
        })
        .collect();
    assert!(batches.iter().all(|batch| batch.header().len() < 10_000));
    assert_eq!(merged(&batches), Err(BuildError::TooLarge { limit_bytes: CHOSEN_BYTES_MAX }));
}

#[test]
fn broker_time_becomes_the_records_own() {
    for codec in ALL_CODECS {
        let stamped = TestBatch {
            attributes: 0x08,
            max_timestamp: 1_800_000_000_000,
            ..TestBatch::new(40, codec, some_records(40, 6))
        };
        let stamped = fetched(&stamped);
        assert_eq!(stamped.header().timestamp_type(), TimestampType::LogAppendTime);
        let parts = reencode(&stamped, 0).unwrap();
        assert_eq!(parts.len(), 1);
        assert!(is_sound(&parts[0]));
        assert_eq!(decoded(&parts[0]), decoded(&stamped));
        assert!(decoded(&parts[0]).iter().all(|record| record.timestamp == 1_800_000_000_000));
    }
}

fn thinned(codec: Codec) -> FetchedBatch {
    let mut batch = TestBatch::new(50, codec, some_records(50, 10));
    batch.records.retain(|record| [52, 53, 56, 58].contains(&record.offset));
    batch.last_offset_delta = Some(9);
    fetched(&batch)
}

#[test]
fn a_thinned_batch_falls_into_runs() {
    for codec in ALL_CODECS {
        let batch = thinned(codec);
        let ranges = |from| -> Vec<_> {
            let parts = reencode(&batch, from).unwrap();
            assert!(parts.iter().all(is_sound));
            let kept: Vec<_> = decoded(&batch).into_iter().filter(|record| record.offset >= from).collect();
            assert_eq!(parts.iter().flat_map(decoded).collect::<Vec<_>>(), kept);
            assert_eq!(records(&batch, from).unwrap(), kept);
            parts.iter().map(|part| (part.header().base_offset(), part.header().next_offset())).collect()
        };
        assert_eq!(ranges(0), [(52, 54), (56, 57), (58, 59)]);
        assert_eq!(ranges(53), [(53, 54), (56, 57), (58, 59)]);
        assert_eq!(ranges(54), [(56, 57), (58, 59)]);
        assert_eq!(ranges(59), []);
    }
}

#[test]
fn gaps_are_closed_by_the_record_behind_them() {
    for codec in ALL_CODECS {
        let batch = thinned(codec);
        let survivors = decoded(&batch);
        let dense = close_gaps(&batch, 48).unwrap().unwrap();
        assert!(is_sound(&dense));
        assert_eq!((dense.header().base_offset(), dense.header().next_offset()), (48, 59));
        for record in decoded(&dense) {
            let behind = survivors.iter().find(|survivor| survivor.offset >= record.offset).unwrap();
            assert_eq!(record, Record { offset: record.offset, ..behind.clone() });
        }
        let part = close_gaps(&batch, 57).unwrap().unwrap();
        assert_eq!((part.header().base_offset(), part.header().record_count()), (57, 2));
        assert_eq!(close_gaps(&batch, 59), Ok(None));
    }
    let mut far = TestBatch::new(0, Codec::Zstd, some_records(0, 2));
    far.records[1].offset = i64::from(i32::MAX) - 1;
    assert_eq!(close_gaps(&fetched(&far), 0), Err(BuildError::TooLarge { limit_bytes: CHOSEN_BYTES_MAX }));
}

#[test]
fn empty_and_control_batches() {
    let empty = TestBatch { last_offset_delta: Some(3), ..TestBatch::new(50, Codec::Zstd, Vec::new()) };
    assert_eq!(reencode(&fetched(&empty), 0), Ok(vec![]));
    assert_eq!(close_gaps(&fetched(&empty), 0), Ok(None));
    let control = TestBatch { attributes: 0x30, ..TestBatch::new(50, Codec::None, some_records(50, 1)) };
    let error = BuildError::Control { base_offset: 50 };
    assert_eq!(reencode(&fetched(&control), 0), Err(error.clone()));
    assert_eq!(close_gaps(&fetched(&control), 0), Err(error.clone()));
    assert_eq!(records(&fetched(&control), 0), Err(error));
}

/// Records at consecutive offsets with anything in them.
fn any_dense() -> impl Strategy<Value = TestBatch> {
    any_batch().prop_map(|mut batch| {
        for (offset, record) in (batch.base_offset..).zip(&mut batch.records) {
            record.offset = offset;
        }
        batch
    })
}

proptest! {
    #[test]
    fn any_records_come_back(shape in any_dense()) {
        let built = batch(&shape.records, shape.codec, shape.leader_epoch).unwrap();
        prop_assert!(is_sound(&built));
        prop_assert_eq!(decoded(&built), shape.records);
        prop_assert_eq!(built.header().codec(), Ok(shape.codec));
        prop_assert_eq!(built.header().leader_epoch(), shape.leader_epoch);
    }

    #[test]
    fn both_encoders_agree(shape in any_dense()) {
        // The tests' own encoder was written from the format's description, and not from this one.
        let built = batch(&shape.records, Codec::None, shape.leader_epoch).unwrap();
        let other = TestBatch {
            codec: Codec::None, producer_id: -1, producer_epoch: -1, base_sequence: -1, ..shape
        };
        prop_assert_eq!(&built.bytes()[..], other.encode());
    }

    #[test]
    fn any_batch_reencodes(shape in any_batch(), skip in 0usize..20) {
        let from = shape.records.get(skip).map_or(i64::MAX, |record| record.offset);
        let kept: Vec<_> = shape.records.iter().filter(|record| record.offset >= from).cloned().collect();
        let parts = reencode(&fetched(&shape), from).unwrap();
        prop_assert!(parts.iter().all(is_sound));
        prop_assert_eq!(parts.iter().flat_map(decoded).collect::<Vec<_>>(), &kept[..]);
        // The same as decoding and encoding.
        prop_assert_eq!(parts, runs(&kept, shape.codec, shape.leader_epoch).unwrap());
    }

    #[test]
    fn any_cut_of_a_batch_merges_to_the_same(shape in any_dense(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5)) {
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(shape.records.len())).collect();
        ends.extend([0, shape.records.len()]);
        ends.sort_unstable();
        ends.dedup();
        let parts: Vec<_> = ends
            .windows(2)
            .map(|ends| {
                let records = shape.records[ends[0]..ends[1]].to_vec();
                fetched(&TestBatch::new(records[0].offset, shape.codec, records))
            })
            .collect();
        let one = merged(&parts).unwrap();
        prop_assert_eq!(decoded(&one), &shape.records[..]);
        if parts.len() > 1 {
            prop_assert!(is_sound(&one));
            let anew = batch(&shape.records, shape.codec, 4).unwrap();
            if !matches!(shape.codec, Codec::Gzip | Codec::Zstd) {
                prop_assert_eq!(one, anew); // no level to choose: the very same bytes
            }
        }
    }

    #[test]
    fn damage_under_a_right_checksum_is_survived(
        mut bytes in prop_oneof![
            any_batch().prop_map(|shape| shape.encode()),
            (0..KAFKA_BATCHES.len()).prop_map(|which| from_hex(KAFKA_BATCHES[which].1)),
        ],
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for (at, byte) in damage {
            let at = 21 + at.index(bytes.len() - 21);
            bytes[at] = byte;
        }
        if BatchView::parse(&bytes).is_err() {
            return Ok(());
        }
        let damaged = with_checksum(bytes);
        let from = damaged.header().base_offset();
        let seen = records(&damaged, from);
        let parts = reencode(&damaged, from);
        // Both see the same records, or both see none.
        prop_assert_eq!(parts.is_ok(), seen.is_ok());
        if let (Ok(parts), Ok(seen)) = (parts, seen) {
            prop_assert!(parts.iter().all(is_sound));
            prop_assert_eq!(parts.iter().flat_map(decoded).collect::<Vec<_>>(), seen);
        }
        let _ = is_filler(&damaged);
        if damaged.header().missing_records() < 10_000 {
            let _ = close_gaps(&damaged, from);
        }
        let next = damaged.header().next_offset();
        if let Ok(mut merger) = Merger::start(damaged.clone(), usize::MAX) {
            let codec = damaged.header().codec().unwrap();
            if merger.push(fetched(&TestBatch::new(next, codec, some_records(next, 2)))).is_ok() {
                prop_assert_eq!(merger.merge().is_ok(), records(&damaged, from).is_ok());
            }
        }
    }
}

/// The header type that callers see is the one of fetched batches.
#[test]
fn a_built_batch_is_like_a_fetched_one() {
    let built = batch(&some_records(7, 3), Codec::Snappy, 9).unwrap();
    let header: &BatchHeader = built.header();
    assert_eq!(FetchedBatch::parse(built.bytes().clone()).unwrap(), built);
    assert_eq!((header.last_offset(), header.record_count()), (9, 3));
}
