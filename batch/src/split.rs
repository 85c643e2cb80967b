//! The record set of a Fetch answer, taken apart into whole batches.
//! Promises: batches come in the order of the bytes, none is skipped, none overlaps; ends after the first error.
//! Never copies. On failure: the error of the batch concerned; a batch cut short at the end is no failure, since
//! brokers cut answers at their size limit.

use bytes::{Buf, Bytes};

use crate::header::ViewError;
use crate::view::FetchedBatch;

/// Takes the record set `frame` of one partition in a Fetch answer apart.
#[must_use]
pub fn split(frame: Bytes) -> Split {
    Split { rest: frame, cut_bytes: 0 }
}

/// See [`split`].
#[derive(Clone, Debug)]
pub struct Split {
    /// What has not been taken apart yet; empty once the iteration has ended.
    rest: Bytes,
    cut_bytes: usize,
}

impl Split {
    /// After the end: bytes of a batch that was cut short there; 0 if there was none.
    ///
    /// If not a single batch came and this is not 0, asking again with the same limit would answer the same.
    #[must_use]
    pub fn cut_bytes(&self) -> usize {
        self.cut_bytes
    }
}

impl Iterator for Split {
    type Item = Result<FetchedBatch, ViewError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match FetchedBatch::parse(self.rest.clone()) {
            Ok(batch) => {
                self.rest.advance(batch.header().len());
                Some(Ok(batch))
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
        let rest = [&[0xab; 4][..], &[magic], &[0; 9]].concat();
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
    fn a_garbled_batch_ends_the_iteration() {
        let [first, mut second, third] = three();
        second[8..12].copy_from_slice(&(-7i32).to_be_bytes());
        let error = ViewError::BadLength { offset: 110, length: -7 };
        assert_eq!(taken([first, second, third].concat()), (vec![100], Some(error), 0));
    }
}
