//! Where a reader stands in a log, and how an answer carries it on.
//! Promises: damaged bytes are fetched a second time before they are believed: they may have been hurt on the way.
//! Everything up to them is told first. Never skips a batch. On failure: says what is wrong, and stays where it is.

use bytes::Bytes;
use lockstep_batch::split::split;
use lockstep_batch::view::FetchedBatch;

/// The next offset to be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    next: i64,
    /// Where damaged bytes came once.
    damaged_at: Option<i64>,
}

/// What an answer brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// At least one that carries the place on. The first ones may lie before it: what follows may hang on their
    /// markers.
    Batches(Vec<FetchedBatch>),
    Nothing,
    /// To be fetched again.
    Damaged(String),
    /// Also the second time.
    Unreadable(String),
}

impl Place {
    pub(super) fn at(next: i64) -> Self {
        Self { next, damaged_at: None }
    }

    pub(super) fn next(&self) -> i64 {
        self.next
    }

    /// Takes the answer to a fetch from here apart, as far as `end`. A batch whose checksum does not hold the second
    /// time either is among the batches: whoever looks into it says so.
    pub(super) fn take_apart(&mut self, records: Bytes, end: i64) -> Taken {
        let began_at = self.next;
        let mut batches = Vec::new();
        for batch in split(records) {
            let at = self.next;
            if let Some(why) = fault(&batch, at) {
                if self.damaged_at != Some(at) {
                    self.damaged_at = Some(at);
                    return self.told(began_at, batches, Taken::Damaged(why));
                }
                if batch.is_err() {
                    return self.told(began_at, batches, Taken::Unreadable(why));
                }
            }
            if let Ok(batch) = batch {
                self.next = at.max(batch.header().next_offset());
                batches.push(batch);
            }
            if self.next >= end {
                break;
            }
        }
        self.told(began_at, batches, Taken::Nothing)
    }

    /// What was read before comes first; the next fetch starts at what is wrong.
    fn told(&self, began_at: i64, batches: Vec<FetchedBatch>, otherwise: Taken) -> Taken {
        if self.next > began_at { Taken::Batches(batches) } else { otherwise }
    }
}

/// What is wrong with the bytes at `at`.
fn fault(batch: &Result<FetchedBatch, lockstep_batch::ViewError>, at: i64) -> Option<String> {
    match batch {
        Ok(batch) if batch.header().next_offset() <= at || batch.view().checksum_holds() => None,
        Ok(_) => Some("a checksum does not hold".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_batch::Codec;
    use lockstep_batch::build;
    use lockstep_batch::records::Record;

    fn batch(offsets: std::ops::Range<i64>) -> FetchedBatch {
        let record = |offset| Record { offset, timestamp: 5, key: None, value: None, headers: Vec::new() };
        build::batch(&offsets.map(record).collect::<Vec<_>>(), Codec::None, 0).unwrap()
    }

    fn answer(batches: &[FetchedBatch]) -> Vec<u8> {
        batches.iter().flat_map(|batch| batch.bytes().to_vec()).collect()
    }

    fn offsets(taken: &Taken) -> Vec<i64> {
        let Taken::Batches(batches) = taken else { panic!("{taken:?}") };
        batches.iter().map(|batch| batch.header().base_offset()).collect()
    }

    #[test]
    fn an_answer_carries_the_place_on() {
        let log = [batch(0..3), batch(3..5), batch(9..12), batch(12..14)];
        let mut place = Place::at(4);
        // The batch before comes along; what starts behind the end is not taken.
        assert_eq!(offsets(&place.take_apart(answer(&log).into(), 12)), [0, 3, 9]);
        assert_eq!(place.next(), 12);
        assert_eq!(Place::at(4).take_apart(Bytes::new(), 12), Taken::Nothing);
        assert_eq!(Place::at(4).take_apart(answer(&log[..1]).into(), 12), Taken::Nothing);
    }

    #[test]
    fn damaged_bytes_are_fetched_again_and_what_lies_before_them_is_told_first() {
        let log = [batch(0..3), batch(3..5), batch(5..6)];
        let mut hurt = answer(&log);
        hurt[log[0].header().len() + 40] ^= 1; // a timestamp of the second batch
        let mut place = Place::at(0);
        assert_eq!(offsets(&place.take_apart(hurt.clone().into(), 6)), [0]);
        assert_eq!(place.next(), 3);
        // The second time it is whole.
        let mut lucky = place;
        assert_eq!(offsets(&lucky.take_apart(answer(&log[1..]).into(), 6)), [3, 5]);
        // Or it is not: then it is handed on, for whoever looks into it.
        let again = hurt.split_off(log[0].header().len());
        assert_eq!(offsets(&place.take_apart(again.into(), 6)), [3, 5]);
    }

    #[test]
    fn damage_at_the_place_itself_is_asked_for_once_more() {
        let mut hurt = answer(&[batch(0..3)]);
        hurt[40] ^= 1;
        let mut place = Place::at(0);
        assert!(
            matches!(place.take_apart(hurt.clone().into(), 3), Taken::Damaged(why) if why.contains("checksum"))
        );
        assert_eq!(offsets(&place.take_apart(hurt.into(), 3)), [0]);
    }

    #[test]
    fn bytes_that_are_no_batch_are_unreadable_the_second_time() {
        let mut hurt = answer(&[batch(0..3), batch(3..5)]);
        let second = batch(0..3).header().len();
        hurt[second + 16] = 9; // the format
        let mut place = Place::at(0);
        assert_eq!(offsets(&place.take_apart(hurt.clone().into(), 5)), [0]);
        let rest: Bytes = hurt.split_off(second).into();
        assert!(matches!(place.take_apart(rest, 5), Taken::Unreadable(why) if why.contains("format 9")));
        let mut fresh = Place::at(3);
        let rest: Bytes = answer(&[batch(3..5)])
            .into_iter()
            .enumerate()
            .map(|(i, b)| if i == 16 { 9 } else { b })
            .collect();
        assert!(matches!(fresh.take_apart(rest.clone(), 5), Taken::Damaged(_)));
        assert!(matches!(fresh.take_apart(rest, 5), Taken::Unreadable(_)));
    }
}
