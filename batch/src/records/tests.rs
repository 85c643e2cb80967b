//! The decoder against the tests' own encoder, and against damage.

use super::*;
use crate::testing::{
    ALL_CODECS, KAFKA_BATCHES, KAFKA_DELETE_HORIZON, TestBatch, any_batch, compress_snappy_bare, from_hex,
    some_records,
};
use proptest::prelude::*;

const SMALL: Limits = Limits { decompressed_bytes_max: 1 << 20 };

fn decoded(bytes: &[u8]) -> Result<Vec<Record>, RecordError> {
    decode(&BatchView::parse(bytes)?, SMALL)?.collect()
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// The error for an uncompressed batch of `count` records with this payload, offsets 100 to 109.
fn refused(count: i32, payload: &[u8]) -> RecordError {
    let batch = TestBatch { last_offset_delta: Some(9), ..TestBatch::new(100, Codec::None, Vec::new()) };
    decoded(&batch.encode_with(count, payload)).unwrap_err()
}

fn malformed(index: i32, fault: Fault) -> RecordError {
    RecordError::Malformed { index, fault }
}

#[test]
fn what_kafka_itself_wrote_is_read_exactly() {
    let header = |key, value: Option<_>| Header { key: bytes(key), value: value.map(bytes) };
    let record = |offset, timestamp, key: Option<_>, value: Option<_>| Record {
        offset,
        timestamp,
        key: key.map(bytes),
        value: value.map(bytes),
        headers: Vec::new(),
    };
    let mut records = vec![
        record(4242, 1_700_000_000_000, Some("key"), Some("value value value value value value")),
        record(4243, 1_699_999_999_000, None, Some("")),
        record(4244, 1_700_000_000_500, Some(""), None),
    ];
    records[0].headers = vec![header("b", Some("1")), header("a", None), header("b", Some(""))];
    for (codec, digits) in KAFKA_BATCHES {
        let batch = from_hex(digits);
        assert_eq!(decoded(&batch), Ok(records.clone()), "{codec}");
        let view = BatchView::parse(&batch).unwrap();
        assert!(view.checksum_holds());
        assert_eq!((view.codec(), view.len(), view.leader_epoch()), (Ok(codec), batch.len(), 6));
        assert_eq!((view.producer_id(), view.producer_epoch(), view.base_sequence()), (77, 3, 11));
    }
    let tombstone = from_hex(KAFKA_DELETE_HORIZON);
    assert_eq!(decoded(&tombstone), Ok(vec![record(4242, 1_700_000_000_000, Some("key"), None)]));
    let view = BatchView::parse(&tombstone).unwrap();
    assert_eq!(view.delete_horizon_ms(), Some(1_800_000_000_000));
}

#[test]
fn null_and_empty_and_repeated_headers_stay_what_they_are() {
    let headers =
        [("b", Some("1")), ("a", None), ("b", Some("")), ("b", None), ("", Some("x")), ("b", Some("1"))];
    let record = |offset, key, value| Record { offset, timestamp: 5, key, value, headers: Vec::new() };
    let mut records = vec![
        record(7, None, None),
        record(8, Some(Bytes::new()), Some(Bytes::new())),
        record(9, Some(bytes("k")), None),
        record(10, None, Some(bytes("v"))),
    ];
    records[3].headers =
        headers.into_iter().map(|(key, value)| Header { key: bytes(key), value: value.map(bytes) }).collect();
    for codec in ALL_CODECS {
        let batch = TestBatch::new(7, codec, records.clone()).encode();
        assert_eq!(decoded(&batch), Ok(records.clone()), "{codec}");
    }
}

#[test]
fn bare_snappy_is_read_too() {
    let batch = TestBatch::new(7, Codec::None, some_records(7, 30));
    let packed = compress_snappy_bare(&batch.payload());
    let bare = TestBatch { codec: Codec::Snappy, ..batch.clone() };
    assert_eq!(decoded(&bare.encode_with(30, &packed)), Ok(batch.records));
}

#[test]
fn timestamps_follow_the_type_and_the_delete_horizon() {
    let batch = TestBatch::new(0, Codec::Gzip, some_records(0, 3));
    let own: Vec<i64> = batch.records.iter().map(|record| record.timestamp).collect();
    let seen = |batch: &TestBatch| -> Vec<i64> {
        decoded(&batch.encode()).unwrap().iter().map(|record| record.timestamp).collect()
    };
    assert_eq!(seen(&batch), own);
    let stamped = TestBatch { attributes: 0x08, max_timestamp: 42, ..batch.clone() };
    assert_eq!(seen(&stamped), [42; 3]);
    let horizon = TestBatch { attributes: 0x40, base_timestamp: 1_800_000_000_000, ..batch };
    assert_eq!(seen(&horizon), own);
}

#[test]
fn offsets_may_have_gaps() {
    let mut batch = TestBatch::new(50, Codec::Lz4, some_records(50, 6));
    batch.records.retain(|record| record.offset % 2 == 1);
    batch.last_offset_delta = Some(5);
    assert_eq!(decoded(&batch.encode()), Ok(batch.records));
}

#[test]
fn an_empty_batch_has_no_records() {
    for codec in ALL_CODECS {
        let batch = TestBatch { last_offset_delta: Some(3), ..TestBatch::new(50, codec, Vec::new()) };
        assert_eq!(decoded(&batch.encode()), Ok(Vec::new()), "{codec}");
    }
    assert_eq!(refused(0, &[0; 4]), RecordError::TrailingBytes { bytes: 4 });
}

#[test]
fn an_unknown_codec_is_an_error() {
    let batch = TestBatch { attributes: 5, ..TestBatch::new(50, Codec::None, some_records(50, 1)) }.encode();
    let error = ViewError::UnknownCodec { base_offset: 50, code: 5 };
    assert_eq!(decoded(&batch), Err(RecordError::Batch(error)));
}

#[test]
fn hostile_records_are_errors() {
    // A good record to compare with: length 6, attributes, deltas 0, null key and value, no headers.
    let good = [12, 0, 0, 0, 1, 1, 0];
    assert_eq!(refused(1, &[&good[..], &[0]].concat()), RecordError::TrailingBytes { bytes: 1 });
    assert_eq!(refused(2, &good), malformed(1, Fault::Cut));
    assert_eq!(refused(2, &good.repeat(2)), malformed(1, Fault::OffsetDelta(0)));
    for (payload, fault) in [
        (&[][..], Fault::Cut),
        (&[1], Fault::NegativeLength(-1)),
        (&[14, 0, 0, 0, 1, 1, 0], Fault::Cut),
        (&[10, 0, 0, 0, 1, 1, 0], Fault::Cut), // the record ends before its headers
        (&[14, 0, 0, 0, 1, 1, 0, 0], Fault::LongerThanItsFields(1)),
        (&[12, 0, 0, 1, 1, 1, 0], Fault::OffsetDelta(-1)),
        (&[12, 0, 0, 20, 1, 1, 0], Fault::OffsetDelta(10)),
        (&[12, 0, 0, 0, 3, 1, 0], Fault::NegativeLength(-2)),
        (&[12, 0, 0, 0, 1, 8, 0], Fault::Cut),
        (&[12, 0, 0, 0, 1, 1, 1], Fault::NegativeLength(-1)),
        (&[12, 0, 0, 0, 1, 1, 2], Fault::Cut),
        (&[16, 0, 0, 0, 1, 1, 2, 1, 1], Fault::NegativeLength(-1)), // a header without a key
        (&[16, 0, 0, 0, 1, 1, 4, 0, 1], Fault::Cut),                // one header, said to be two
        (&[0xff, 0xff, 0xff, 0xff, 0x7f], Fault::LongVarint),
        (&[0xfe, 0xff, 0xff, 0xff, 0x0f, 0], Fault::Cut), // a length of 2 GiB
    ] {
        assert_eq!(refused(1, payload), malformed(0, fault), "{payload:?}");
    }
}

#[test]
fn nothing_comes_after_an_error() {
    let batch = TestBatch { last_offset_delta: Some(9), ..TestBatch::new(0, Codec::None, Vec::new()) };
    let bytes = batch.encode_with(5, &[1, 1, 1]);
    let mut records = decode(&BatchView::parse(&bytes).unwrap(), SMALL).unwrap();
    assert!(matches!(records.next(), Some(Err(_))));
    assert!(records.next().is_none());
}

#[test]
fn a_crowd_of_headers_is_too_large() {
    // 300,000 headers of two bytes each fit in the limit as bytes, but not as values in memory.
    let mut batch = TestBatch::new(0, Codec::Zstd, some_records(0, 1));
    batch.records[0].headers = vec![Header { key: Bytes::new(), value: None }; 300_000];
    assert_eq!(decoded(&batch.encode()), Err(RecordError::TooLarge { limit_bytes: 1 << 20 }));
    batch.records[0].headers.truncate(1000);
    assert_eq!(decoded(&batch.encode()), Ok(batch.records));
}

#[test]
fn a_large_record_and_many_records_come_back() {
    let mut one = some_records(3, 1);
    let mut value = vec![0; 5 << 20];
    fastrand::Rng::with_seed(5).fill(&mut value);
    one[0].value = Some(Bytes::from(value));
    let many = some_records(3, 10_000);
    for codec in ALL_CODECS {
        for records in [&one, &many] {
            let bytes = TestBatch::new(3, codec, records.clone()).encode();
            let view = BatchView::parse(&bytes).unwrap();
            let back: Result<Vec<_>, _> = decode(&view, Limits::default()).unwrap().collect();
            assert_eq!(back.as_ref(), Ok(records), "{codec}");
        }
    }
}

proptest! {
    #[test]
    fn any_batch_comes_back(batch in any_batch()) {
        prop_assert_eq!(decoded(&batch.encode()), Ok(batch.records));
    }

    #[test]
    fn any_cut_of_the_payload_is_an_error(batch in any_batch(), cut: prop::sample::Index) {
        let payload = batch.payload();
        let shorter = &payload[..cut.index(payload.len())];
        prop_assert!(decoded(&batch.encode_with(batch.records.len() as i32, shorter)).is_err());
    }

    #[test]
    fn any_damage_is_survived(
        batch in any_batch(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        keep: prop::sample::Index,
        extra in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut bytes = batch.encode();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = decoded(&bytes);
        // Cut or lengthened, with a length field that fits: past the first check and into the decoder.
        bytes.truncate(keep.index(bytes.len()));
        bytes.extend(extra);
        if let Some(length) = bytes.len().checked_sub(12) {
            bytes[8..12].copy_from_slice(&(length as i32).to_be_bytes());
        }
        let _ = decoded(&bytes);
    }

    #[test]
    fn any_payload_is_survived(
        codec in prop::sample::select(&ALL_CODECS[..]),
        start in prop::sample::select(vec![
            &[][..], b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0],
            &[0x04, 0x22, 0x4d, 0x18], &[0x02, 0x21, 0x4c, 0x18], &[0x28, 0xb5, 0x2f, 0xfd],
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..200),
        count in 1..100,
    ) {
        let batch = TestBatch { last_offset_delta: Some(99), ..TestBatch::new(0, codec, Vec::new()) };
        let _ = decoded(&batch.encode_with(count, &[start, &rest].concat()));
    }
}
