//! Old entries as Kafka wrote them, entries written here by the format's description, and damage.

use super::*;
use crate::build;
use crate::testing::{ALL_CODECS, KAFKA_OLD, compress, from_hex};
use crate::{Entry, entries};
use proptest::prelude::*;

const SMALL: Limits = Limits { decompressed_bytes_max: 1 << 20 };

/// What an entry is to be. Inner offsets are written as they are given.
#[derive(Clone, Debug)]
struct Wrapper {
    offset: i64,
    magic: u8,
    attributes: u8,
    timestamp: i64,
    inner: Vec<Record>,
}

fn nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    out.extend(bytes.map_or(-1, |bytes| bytes.len() as i32).to_be_bytes());
    out.extend(bytes.unwrap_or_default());
}

fn message(
    magic: u8,
    attributes: u8,
    offset: i64,
    timestamp: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Vec<u8> {
    let mut covered = vec![magic, attributes];
    if magic > 0 {
        covered.extend(timestamp.to_be_bytes());
    }
    nullable(&mut covered, key);
    nullable(&mut covered, value);
    let mut sum = flate2::Crc::new();
    sum.update(&covered);
    let length = covered.len() as i32 + 4;
    [&offset.to_be_bytes()[..], &length.to_be_bytes(), &sum.sum().to_be_bytes(), &covered].concat()
}

impl Wrapper {
    fn plain(&self) -> Vec<u8> {
        let written =
            |r: &Record| message(self.magic, 0, r.offset, r.timestamp, r.key.as_deref(), r.value.as_deref());
        self.inner.iter().flat_map(written).collect()
    }

    fn with_value(&self, value: Option<&[u8]>) -> OldEntry {
        parsed(message(self.magic, self.attributes, self.offset, self.timestamp, None, value))
    }

    fn entry(&self, codec: Codec) -> OldEntry {
        Self { attributes: self.attributes | codec.bits() as u8, ..self.clone() }
            .with_value(Some(&compress(codec, &self.plain())))
    }
}

fn parsed(bytes: Vec<u8>) -> OldEntry {
    OldEntry::parse(Bytes::from(bytes)).unwrap()
}

fn record(offset: i64, timestamp: i64, key: Option<&'static str>, value: Option<&'static str>) -> Record {
    Record {
        offset,
        timestamp,
        key: key.map(Bytes::from),
        value: value.map(Bytes::from),
        headers: Vec::new(),
    }
}

fn three(offsets: [i64; 3]) -> Vec<Record> {
    offsets.iter().map(|offset| record(*offset, 5 + offset, Some("k"), Some("v"))).collect()
}

fn malformed<T>(offset: i64, fault: OldFault) -> Result<T, OldEntryError> {
    Err(OldEntryError::Malformed { offset, fault })
}

#[test]
fn what_kafka_itself_wrote_is_read_exactly() {
    for old in KAFKA_OLD {
        let shown = |own: i64| match (old.magic, old.broker_time) {
            (0, _) => -1,
            (_, true) => 1_800_000_000_000,
            _ => own,
        };
        let wanted = [
            record(4242, shown(1_700_000_000_000), Some("key"), Some("value value value value value value")),
            record(4243, shown(1_699_999_999_000), None, Some("")),
            record(4244, shown(1_700_000_000_500), Some(""), None),
        ];
        let mut seen = Vec::new();
        for entry in entries(Bytes::from(from_hex(old.digits))) {
            let Ok(Entry::Old(entry)) = entry else { panic!("{entry:?}") };
            let records = entry.records(SMALL).unwrap();
            assert_eq!((entry.magic(), entry.codec()), (old.magic, Ok(old.codec)));
            assert_eq!(entry.last_offset(), records.last().unwrap().offset);
            assert_eq!(entry.first_offset(), (old.codec == Codec::None).then(|| records[0].offset));
            seen.extend(records);
        }
        assert_eq!(seen, wanted, "format {}, {}", old.magic, old.codec);
        // And on as v2.
        let built = build::batch(&seen, old.codec, -1).unwrap();
        assert_eq!(build::records(&built, 0), Ok(seen));
    }
}

#[test]
fn offsets_in_a_wrapper_follow_the_format() {
    for codec in ALL_CODECS.into_iter().filter(|codec| !matches!(codec, Codec::None | Codec::Zstd)) {
        let relative =
            Wrapper { offset: 107, magic: 1, attributes: 0, timestamp: 9, inner: three([0, 1, 7]) };
        let seen = relative.entry(codec).records(SMALL).unwrap();
        assert_eq!(
            seen.iter().map(|r| (r.offset, r.timestamp)).collect::<Vec<_>>(),
            [(100, 5), (101, 6), (107, 12)]
        );
        let absolute = Wrapper { magic: 0, inner: three([100, 101, 107]), ..relative };
        let seen = absolute.entry(codec).records(SMALL).unwrap();
        assert_eq!(
            seen.iter().map(|r| (r.offset, r.timestamp)).collect::<Vec<_>>(),
            [(100, -1), (101, -1), (107, -1)]
        );
    }
}

#[test]
fn offsets_out_of_order_are_faults() {
    let wrapper = |magic, offset, inner| Wrapper { offset, magic, attributes: 0, timestamp: 0, inner };
    for (magic, offset, inner, fault) in [
        (1, 10, three([0, 0, 1]), 0),
        (1, 10, three([0, 2, 1]), 2),
        (1, 1, three([0, 1, 2]), 0),
        (1, 10, three([-1, 0, 1]), -1),
        (1, 10, three([0, 1, i64::MIN]), i64::MIN),
        (0, 10, three([8, 9, 11]), 11),
        (0, 10, three([8, 8, 9]), 8),
        (0, 10, three([-1, 8, 9]), -1),
    ] {
        // −1 + 9 is an offset in format 1: a gap of the cleaner's, as far as anybody can tell.
        let seen = wrapper(magic, offset, inner.clone()).entry(Codec::Gzip).records(SMALL);
        if magic == 1 && fault == -1 {
            assert_eq!(seen.unwrap()[0].offset, 8);
        } else {
            assert_eq!(seen, malformed(offset, OldFault::Offset(fault)), "{inner:?}");
        }
    }
}

#[test]
fn hostile_entries_are_errors() {
    let wrapper = Wrapper { offset: 10, magic: 1, attributes: 1, timestamp: 0, inner: three([0, 1, 2]) };
    assert_eq!(wrapper.with_value(None).records(SMALL), malformed(10, OldFault::NoValue));
    let empty = compress(Codec::Gzip, b"");
    assert_eq!(wrapper.with_value(Some(&empty)).records(SMALL), malformed(10, OldFault::NoMessage));
    let packed = |plain: &[u8]| wrapper.with_value(Some(&compress(Codec::Gzip, plain))).records(SMALL);
    assert_eq!(packed(&message(1, 2, 0, 0, None, None)), malformed(10, OldFault::Nested));
    assert_eq!(packed(&message(0, 0, 0, 0, None, None)), malformed(10, OldFault::OtherMagic(0)));
    assert_eq!(packed(&wrapper.plain()[..40]), malformed(10, OldFault::Cut));
    let mut damaged = wrapper.plain();
    damaged[40] ^= 1;
    assert!(packed(&damaged).is_err());
    let unpack = wrapper.with_value(Some(b"not gzip")).records(SMALL);
    assert!(matches!(unpack, Err(OldEntryError::Unpack(RecordError::Decompress { .. }))), "{unpack:?}");
    for code in 4..8 {
        let entry = Wrapper { attributes: code, ..wrapper.clone() }.with_value(Some(b"x"));
        assert_eq!(entry.records(SMALL), malformed(10, OldFault::UnknownCodec(code)));
    }
    let plain = |attributes, rest: &[u8]| {
        let covered = [&[0, attributes][..], rest].concat();
        let mut sum = flate2::Crc::new();
        sum.update(&covered);
        let head = [&10i64.to_be_bytes()[..], &(covered.len() as i32 + 4).to_be_bytes()].concat();
        parsed([&head[..], &sum.sum().to_be_bytes(), &covered].concat()).records(SMALL)
    };
    assert_eq!(plain(0, &[0, 0, 0, 0, 0, 0, 0, 0]), Ok(vec![record(10, -1, Some(""), Some(""))]));
    assert_eq!(plain(0, &[0, 0, 0, 0, 0, 0, 0, 0, 9]), malformed(10, OldFault::LongerThanItsFields(1)));
    assert_eq!(plain(0, &[0, 0, 0, 0, 0, 0, 0, 1]), malformed(10, OldFault::Cut));
    assert_eq!(plain(0, &[255, 255, 255, 254, 0, 0, 0, 0]), malformed(10, OldFault::NegativeLength(-2)));
}

#[test]
fn hostile_heads_are_errors() {
    let good = message(1, 0, 10, 3, Some(b"k"), Some(b"v"));
    let parse = |bytes: &[u8]| OldEntry::parse(Bytes::copy_from_slice(bytes));
    for len in 0..good.len() {
        assert!(matches!(parse(&good[..len]), Err(ViewError::Cut { have, .. }) if have == len));
    }
    let with = |at: usize, bytes: &[u8]| {
        let mut entry = good.clone();
        entry[at..at + bytes.len()].copy_from_slice(bytes);
        parse(&entry)
    };
    for length in [i32::MIN, -1, 0, 14, 21] {
        assert_eq!(with(8, &length.to_be_bytes()), Err(ViewError::BadLength { offset: 10, length }));
    }
    assert_eq!(with(16, &[2]), Err(ViewError::UnknownMagic { offset: 10, magic: 2 }));
    assert_eq!(with(0, &[255; 8]), Err(ViewError::NegativeOffset { base_offset: -1 }));
    let overflow = ViewError::OffsetOverflow { base_offset: i64::MAX, last_offset_delta: 0 };
    assert_eq!(with(0, &i64::MAX.to_be_bytes()), Err(overflow));
}

#[test]
fn bombs_are_refused() {
    let bomb = compress(Codec::Gzip, &vec![0; 64 << 20]);
    let wrapper = Wrapper { offset: 10, magic: 1, attributes: 1, timestamp: 0, inner: Vec::new() };
    let too_large = Err(OldEntryError::Unpack(RecordError::TooLarge { limit_bytes: 1 << 20 }));
    assert_eq!(wrapper.with_value(Some(&bomb)).records(SMALL), too_large);
    // Bytes that fit, but a list of records that does not.
    let crowd: Vec<_> = (0..20_000).map(|offset| record(offset, 0, None, None)).collect();
    let crowd = Wrapper { offset: 30_000, inner: crowd, ..wrapper };
    assert!(crowd.plain().len() < 1 << 20);
    assert_eq!(Wrapper { attributes: 0, ..crowd }.entry(Codec::Snappy).records(SMALL), too_large);
}

proptest! {
    #[test]
    fn any_flipped_byte_of_kafkas_own_entries_is_noticed(which in 0..KAFKA_OLD.len(), at: prop::sample::Index, flip in 1u8..) {
        let mut bytes = from_hex(KAFKA_OLD[which].digits);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let all: Result<Vec<_>, _> = entries(Bytes::from(bytes)).collect();
        let Ok(all) = all else { return Ok(()) };
        let mut checked = 0;
        for entry in &all {
            if let Entry::Old(old) = entry && old.records(SMALL).is_ok() {
                checked += old.len();
            }
        }
        // The checksum covers all but offset and length (and itself): there the offsets are others, or less comes.
        let untouched = from_hex(KAFKA_OLD[which].digits).len();
        let mut covered_from = 0;
        let mut start = 0;
        for entry in entries(Bytes::from(from_hex(KAFKA_OLD[which].digits))) {
            let Ok(Entry::Old(old)) = entry else { panic!() };
            if (start..start + old.len()).contains(&at) {
                covered_from = start + LOG_OVERHEAD;
            }
            start += old.len();
        }
        prop_assert!(at < covered_from || checked < untouched);
    }

    #[test]
    fn damage_under_right_checksums_is_survived(
        which in 0..KAFKA_OLD.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = from_hex(KAFKA_OLD[which].digits);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for entry in entries(Bytes::from(bytes)).flatten() {
            let Entry::Old(old) = entry else { continue };
            let mut mended = old.bytes().to_vec();
            let mut sum = flate2::Crc::new();
            sum.update(&mended[16..]);
            mended[12..16].copy_from_slice(&sum.sum().to_be_bytes());
            if let Ok(records) = parsed(mended).records(SMALL) {
                prop_assert!(records.is_sorted_by_key(|record| record.offset));
                prop_assert!(records.iter().all(|record| record.offset <= old.last_offset()));
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(magic in 0u8..2, codec in 0u8..8, mut bytes in prop::collection::vec(any::<u8>(), 18..200)) {
        bytes[0] &= 0x7f;
        let length = bytes.len() as i32 - 12;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[16] = magic;
        bytes[17] = codec;
        let mut sum = flate2::Crc::new();
        sum.update(&bytes[16..]);
        let crc = sum.sum();
        bytes[12..16].copy_from_slice(&crc.to_be_bytes());
        if let Ok(entry) = OldEntry::parse(Bytes::from(bytes)) {
            let _ = entry.records(SMALL);
        }
    }
}
