//! One whole v2 batch, read in place: borrowed ([`BatchView`]) or owned ([`FetchedBatch`]).
//! First stop of the flow: what a Fetch answer holds becomes `FetchedBatch`.
//! Promises: every length was checked when the value was made; reading it cannot fail or panic.
//! Never decodes records or repairs anything. On failure: [`ViewError`].

use std::ops::Deref;

use bytes::Bytes;

use crate::crc;
use crate::header::{BatchHeader, HEADER_LEN, HEADER_PART, ViewError};

/// A whole batch in borrowed bytes. Its numbers are those of [`BatchHeader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchView<'a> {
    header: BatchHeader,
    /// Exactly the batch: `header.len()` bytes.
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// The batch at the start of `bytes`; what lies behind it ([`BatchHeader::len`] says where) is left alone.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ViewError> {
        let header = BatchHeader::parse(bytes)?;
        Ok(Self { header, bytes: &bytes[..header.len()] })
    }

    /// The whole batch.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The part of the header that the checksum covers: bytes 21 to 61.
    #[must_use]
    pub fn header_part(&self) -> &'a [u8] {
        &self.bytes[HEADER_PART]
    }

    /// The records, compressed as the codec says: everything behind the header.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[HEADER_LEN..]
    }

    /// Whether the checksum field matches the bytes. Reads the whole batch.
    #[must_use]
    pub fn checksum_holds(&self) -> bool {
        crc::checksum(&self.bytes[HEADER_PART.start..]) == self.crc()
    }
}

impl Deref for BatchView<'_> {
    type Target = BatchHeader;

    fn deref(&self) -> &BatchHeader {
        &self.header
    }
}

/// A whole batch as it was fetched. A clone is cheap and shares the bytes; it is a slice of the answer it came
/// in and keeps all of that in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedBatch {
    header: BatchHeader,
    /// Exactly the batch: `header.len()` bytes.
    bytes: Bytes,
}

impl FetchedBatch {
    /// The batch at the start of `frame`. What lies behind it is not part of the value.
    pub fn parse(mut frame: Bytes) -> Result<Self, ViewError> {
        let header = BatchHeader::parse(&frame)?;
        frame.truncate(header.len());
        Ok(Self { header, bytes: frame })
    }

    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    #[must_use]
    pub fn view(&self) -> BatchView<'_> {
        BatchView { header: self.header, bytes: &self.bytes }
    }

    /// The whole batch.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The records, compressed as the codec says. Not a copy.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(HEADER_LEN..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::{Codec, TimestampType};
    use crate::testing::{ALL_CODECS, TestBatch, any_batch, some_records};
    use proptest::prelude::*;

    fn batch(count: usize) -> TestBatch {
        TestBatch::new(1000, Codec::None, some_records(1000, count))
    }

    /// The error for the bytes of an ordinary batch after `damage`.
    fn refused(damage: impl Fn(&mut Vec<u8>)) -> ViewError {
        let mut bytes = batch(3).encode();
        damage(&mut bytes);
        BatchView::parse(&bytes).unwrap_err()
    }

    fn set<const N: usize>(start: usize, field: [u8; N]) -> impl Fn(&mut Vec<u8>) {
        move |bytes| bytes[start..start + N].copy_from_slice(&field)
    }

    #[test]
    fn every_field_reads_back() {
        let wanted = TestBatch { attributes: 0x10, ..batch(3) };
        let bytes = wanted.encode();
        let view = BatchView::parse(&bytes).unwrap();
        assert_eq!((view.base_offset(), view.last_offset(), view.next_offset()), (1000, 1002, 1003));
        assert_eq!((view.last_offset_delta(), view.record_count(), view.missing_records()), (2, 3, 0));
        assert_eq!((view.len(), view.payload_len()), (bytes.len(), bytes.len() - 61));
        assert_eq!((view.magic(), view.leader_epoch()), (2, 4));
        assert_eq!((view.producer_id(), view.producer_epoch(), view.base_sequence()), (4711, 2, 17));
        assert_eq!((view.base_timestamp(), view.max_timestamp()), (1_700_000_000_000, 1_700_000_000_026));
        assert_eq!(view.crc(), crc32c::crc32c(&bytes[21..]));
        assert_eq!(
            (view.bytes(), view.header_part(), view.payload()),
            (&bytes[..], &bytes[21..61], &bytes[61..])
        );
        assert!(view.is_transactional() && !view.is_control() && view.checksum_holds());
        assert_eq!((view.timestamp_type(), view.delete_horizon_ms()), (TimestampType::CreateTime, None));
    }

    #[test]
    fn attributes_are_told_apart() {
        let with = |attributes| {
            let bytes = TestBatch { attributes, ..batch(1) }.encode();
            BatchHeader::parse(&bytes).unwrap()
        };
        assert_eq!(with(0x08).timestamp_type(), TimestampType::LogAppendTime);
        assert!(with(0x20).is_control() && !with(0x20).is_transactional());
        assert_eq!(with(0x40).delete_horizon_ms(), Some(1_700_000_000_000));
        assert_eq!(with(0x07).codec(), Err(ViewError::UnknownCodec { base_offset: 1000, code: 7 }));
        for codec in ALL_CODECS {
            let bytes = TestBatch { codec, ..batch(1) }.encode();
            assert_eq!(BatchHeader::parse(&bytes).unwrap().codec(), Ok(codec));
        }
    }

    #[test]
    fn a_batch_ends_where_its_length_says() {
        let bytes = batch(3).encode();
        let behind = [&bytes[..], b"the next one"].concat();
        assert_eq!(BatchView::parse(&behind), BatchView::parse(&bytes));
        assert_eq!(FetchedBatch::parse(Bytes::from(behind)).unwrap().bytes(), &bytes);
    }

    #[test]
    fn a_batch_cut_anywhere_says_so() {
        let bytes = batch(3).encode();
        for have in 0..bytes.len() {
            let needed = if have < 17 { 17 } else { bytes.len() as u64 };
            assert_eq!(BatchView::parse(&bytes[..have]), Err(ViewError::Cut { needed, have }));
        }
    }

    #[test]
    fn hostile_headers_are_errors() {
        let offset = 1000;
        let base_offset = 1000;
        for length in [i32::MIN, -1, 0, 13, 14, 48] {
            assert_eq!(refused(set(8, length.to_be_bytes())), ViewError::BadLength { offset, length });
        }
        let endless = refused(set(8, i32::MAX.to_be_bytes()));
        assert!(matches!(endless, ViewError::Cut { needed: 2_147_483_659, .. }), "{endless:?}");
        assert_eq!(refused(set(16, [3])), ViewError::UnknownMagic { offset, magic: 3 });
        assert_eq!(refused(set(16, [0xff])), ViewError::UnknownMagic { offset, magic: -1 });
        assert_eq!(refused(set(0, (-5i64).to_be_bytes())), ViewError::NegativeOffset { base_offset: -5 });
        assert_eq!(
            refused(set(0, (i64::MAX - 2).to_be_bytes())),
            ViewError::OffsetOverflow { base_offset: i64::MAX - 2, last_offset_delta: 2 }
        );
        assert_eq!(
            refused(set(23, (-1i32).to_be_bytes())),
            ViewError::NegativeDelta { base_offset, last_offset_delta: -1 }
        );
        for count in [-1, 4, i32::MAX] {
            assert_eq!(
                refused(set(57, count.to_be_bytes())),
                ViewError::BadCount { base_offset, count, last_offset_delta: 2 }
            );
        }
    }

    #[test]
    fn the_extremes_that_are_allowed() {
        let mut bytes = batch(3).encode();
        set(0, (i64::MAX - 3).to_be_bytes())(&mut bytes);
        assert_eq!(BatchView::parse(&bytes).unwrap().next_offset(), i64::MAX);
        set(0, 0i64.to_be_bytes())(&mut bytes);
        set(23, i32::MAX.to_be_bytes())(&mut bytes);
        assert_eq!(BatchView::parse(&bytes).unwrap().missing_records(), i64::from(i32::MAX) + 1 - 3);
        // What the cleaner leaves of a batch without a surviving record.
        let empty = TestBatch { last_offset_delta: Some(9), records: Vec::new(), ..batch(0) }.encode();
        let view = BatchView::parse(&empty).unwrap();
        assert_eq!((view.len(), view.record_count(), view.next_offset()), (61, 0, 1010));
    }

    #[test]
    fn a_damaged_batch_fails_its_checksum() {
        let bytes = batch(3).encode();
        for at in 21..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            if let Ok(view) = BatchView::parse(&damaged) {
                assert!(!view.checksum_holds(), "byte {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail_in_peace(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(magic) = bytes.get_mut(16) {
                *magic = 2;
            }
            if let Ok(view) = BatchView::parse(&bytes) {
                prop_assert!(view.len() <= bytes.len());
                prop_assert!(view.next_offset() > view.base_offset());
            }
        }

        #[test]
        fn any_batch_is_read_as_it_was_written(batch in any_batch()) {
            let bytes = batch.encode();
            let fetched = FetchedBatch::parse(Bytes::from(bytes.clone())).unwrap();
            prop_assert_eq!(fetched.view(), BatchView::parse(&bytes).unwrap());
            prop_assert!(fetched.view().checksum_holds());
            prop_assert_eq!(fetched.header().record_count() as usize, batch.records.len());
            prop_assert_eq!(fetched.header().last_offset(), batch.records.last().unwrap().offset);
            prop_assert_eq!(fetched.payload(), batch.payload());
        }
    }
}
