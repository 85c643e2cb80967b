//! The record set of a Fetch answer, taken apart into whole batches, or into batches and entries of old formats.
//! Promises: batches come in the order of the bytes, none is skipped, none overlaps; ends after the first error.
//! Never copies. On failure: the error of the batch concerned; a batch cut short at the end is no failure, since
//! brokers cut answers at their size limit.

use bytes::{Buf, Bytes};

use crate::header::ViewError;
use crate::legacy::OldEntry;
use crate::view::FetchedBatch;

/// Takes the record set `frame` of one partition in a Fetch answer apart into v2 batches: an entry of an older
/// format is an error ([`ViewError::OldFormat`]).
#[must_use]
pub fn split(frame: Bytes) -> Split {
    Split { entries: entries(frame) }
}

/// Takes the record set `frame` of one partition in a Fetch answer apart, whatever the formats: on a topic that is
/// older than Kafka 0.11, or has been set to an older format, they may be mixed.
#[must_use]
pub fn entries(frame: Bytes) -> Entries {
    Entries { rest: frame, cut_bytes: 0 }
}

/// What a record set is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Batch(FetchedBatch),
    /// Of message format 0 or 1.
    Old(OldEntry),
}

impl Entry {
    fn parse(frame: &Bytes) -> Result<Self, ViewError> {
        match FetchedBatch::parse(frame.clone()) {
            Err(ViewError::OldFormat { .. }) => OldEntry::parse(frame.clone()).map(Self::Old),
            batch => batch.map(Self::Batch),
        }
    }

    fn bytes(&self) -> &Bytes {
        match self {
            Self::Batch(batch) => batch.bytes(),
            Self::Old(old) => old.bytes(),
        }
    }
}

/// See [`entries`].
#[derive(Clone, Debug)]
pub struct Entries {
    /// What has not been taken apart yet; empty once the iteration has ended.
    rest: Bytes,
    cut_bytes: usize,
}

impl Entries {
    /// After the end: bytes of an entry that was cut short there; 0 if there was none.
    ///
    /// If not a single entry came and this is not 0, asking again with the same limit would answer the same.
    #[must_use]
    pub fn cut_bytes(&self) -> usize {
        self.cut_bytes
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, ViewError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match Entry::parse(&self.rest) {
            Ok(entry) => {
                self.rest.advance(entry.bytes().len());
                Some(Ok(entry))
            }
            Err(ViewError::Cut { have, .. }) => {
                self.cut_bytes = have;
                self.rest.clear();
                None
            }
            Err(error) => {
                self.rest.clear();
                Some(Err(error))
            }
        }
    }
}

impl std::iter::FusedIterator for Entries {}

/// See [`split`].
#[derive(Clone, Debug)]
pub struct Split {
    entries: Entries,
}

impl Split {
    /// As [`Entries::cut_bytes`].
    #[must_use]
    pub fn cut_bytes(&self) -> usize {
        self.entries.cut_bytes()
    }
}

impl Iterator for Split {
    type Item = Result<FetchedBatch, ViewError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.entries.next()?;
        Some(item.and_then(|entry| match entry {
            Entry::Batch(batch) => Ok(batch),
            Entry::Old(old) => {
                self.entries.rest.clear();
                Err(ViewError::OldFormat { offset: old.last_offset(), magic: old.magic() })
            }
        }))
    }
}

impl std::iter::FusedIterator for Split {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Codec;
    use crate::testing::{TestBatch, some_records};

    fn three() -> [Vec<u8>; 3] {
        [100, 110, 120].map(|base| TestBatch::new(base, Codec::Lz4, some_records(base, 10)).encode())
    }

    /// The base offsets that came, the error that ended them, the bytes of a cut batch.
    fn taken(frame: Vec<u8>) -> (Vec<i64>, Option<ViewError>, usize) {
        let mut split = split(Bytes::from(frame));
        let mut offsets = Vec::new();
        let mut error = None;
        for batch in split.by_ref() {
            assert_eq!(error, None, "nothing comes after an error");
            match batch {
                Ok(batch) => offsets.push(batch.header().base_offset()),
                Err(fault) => error = Some(fault),
            }
        }
        assert!(split.next().is_none());
        (offsets, error, split.cut_bytes())
    }

    /// One message of format 0 or 1, uncompressed: only its head matters here.
    fn old_entry(offset: i64, magic: u8) -> Vec<u8> {
        let rest = [&[0xab; 4][..], &[magic], &[0; 17][..if magic == 0 { 9 } else { 17 }]].concat();
        [&offset.to_be_bytes()[..], &(rest.len() as i32).to_be_bytes(), &rest].concat()
    }

    #[test]
    fn whole_batches_come_in_order() {
        assert_eq!(taken(three().concat()), (vec![100, 110, 120], None, 0));
        assert_eq!(taken(Vec::new()), (vec![], None, 0));
    }

    #[test]
    fn batches_share_the_memory_of_the_answer() {
        let frame = Bytes::from(three().concat());
        let second = split(frame.clone()).nth(1).unwrap().unwrap();
        assert_eq!(second.bytes().as_ptr(), frame[three()[0].len()..].as_ptr());
    }

    #[test]
    fn a_batch_cut_at_the_end_ends_quietly_but_is_told() {
        let whole = three().concat();
        let boundary = three()[0].len() + three()[1].len();
        for len in boundary..whole.len() {
            assert_eq!(taken(whole[..len].to_vec()), (vec![100, 110], None, len - boundary));
        }
        assert_eq!(taken(whole[..30].to_vec()), (vec![], None, 30));
    }

    #[test]
    fn an_old_format_is_named_with_its_offset() {
        for magic in [0, 1] {
            let frame = [three()[0].clone(), old_entry(110, magic), three()[2].clone()].concat();
            let error = ViewError::OldFormat { offset: 110, magic: magic as i8 };
            assert_eq!(taken(frame), (vec![100], Some(error), 0));
        }
    }

    #[test]
    fn formats_may_be_mixed_where_that_is_asked_for() {
        let [first, _, third] = three();
        let old = old_entry(110, 0);
        let frame = Bytes::from([first.clone(), old.clone(), old_entry(111, 0), third].concat());
        let all: Vec<_> = entries(frame.clone()).collect::<Result<_, _>>().unwrap();
        let parsed = OldEntry::parse(Bytes::from(old)).unwrap();
        assert_eq!(all[1], Entry::Old(parsed.clone()));
        assert_eq!((parsed.last_offset(), parsed.next_offset(), parsed.magic()), (110, 111, 0));
        assert!(matches!(&all[0], Entry::Batch(batch) if batch.header().base_offset() == 100));
        assert!(matches!(&all[3], Entry::Batch(batch) if batch.header().base_offset() == 120));
        assert_eq!(all.len(), 4);
        for len in first.len()..first.len() + 26 {
            let mut cut = entries(frame.slice(..len));
            assert!(matches!(cut.next(), Some(Ok(Entry::Batch(_)))));
            assert_eq!(cut.next(), None);
            assert_eq!(cut.cut_bytes(), len - first.len());
        }
    }

    #[test]
    fn a_garbled_batch_ends_the_iteration() {
        let [first, mut second, third] = three();
        second[8..12].copy_from_slice(&(-7i32).to_be_bytes());
        let error = ViewError::BadLength { offset: 110, length: -7 };
        assert_eq!(taken([first, second, third].concat()), (vec![100], Some(error), 0));
    }
}
