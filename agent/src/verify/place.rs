//! Where a reader stands in a log, and how an answer carries it on.
//! Promises: damaged bytes are fetched a second time before they are believed: they may have been hurt on the way.
//! Everything up to them is told first; messages of formats 0 and 1 as batches with the same records (M17).
//! Never skips a batch. On failure: says what is wrong, and stays where it is.

use bytes::Bytes;
use lockstep_batch::build;
use lockstep_batch::legacy::OldEntry;
use lockstep_batch::records::Limits;
use lockstep_batch::split::{Entry, entries};
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
        for entry in entries(records) {
            let at = self.next;
            let read = match entry {
                Ok(Entry::Batch(batch)) => Ok(vec![batch]),
                Ok(Entry::Old(old)) if old.next_offset() <= at => continue,
                Ok(Entry::Old(old)) => modern(&old),
                Err(error) => Err(error.to_string()),
            };
            if let Some(why) = fault(&read, at) {
                if self.damaged_at != Some(at) {
                    self.damaged_at = Some(at);
                    return self.told(began_at, batches, Taken::Damaged(why));
                }
                if read.is_err() {
                    return self.told(began_at, batches, Taken::Unreadable(why));
                }
            }
            for batch in read.unwrap_or_default() {
                self.next = self.next.max(batch.header().next_offset());
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

/// The records of an old entry, packed as they were: one batch for each row of offsets without a gap.
fn modern(old: &OldEntry) -> Result<Vec<FetchedBatch>, String> {
    let codec = old.codec().map_err(|error| error.to_string())?;
    let records = old.records(Limits::default()).map_err(|error| error.to_string())?;
    build::runs(&records, codec, NO_EPOCH).map_err(|error| error.to_string())
}

/// Old formats have none.
const NO_EPOCH: i32 = -1;

/// What is wrong with the bytes at `at`.
fn fault(read: &Result<Vec<FetchedBatch>, String>, at: i64) -> Option<String> {
    let news = |batch: &&FetchedBatch| batch.header().next_offset() > at;
    match read {
        Ok(batches) => {
            let damaged = batches.iter().filter(news).any(|batch| !batch.view().checksum_holds());
            damaged.then(|| "a checksum does not hold".to_owned())
        }
        Err(why) => Some(why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_batch::Codec;
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

    /// Two uncompressed messages of format 1 at 0 and 1, as a 0.10 broker stores them.
    fn old_messages() -> Vec<u8> {
        let mut all = Vec::new();
        for offset in 0..2i64 {
            let mut covered = vec![1, 0];
            covered.extend((7_000 + offset).to_be_bytes());
            covered.extend((-1i32).to_be_bytes());
            covered.extend(3i32.to_be_bytes());
            covered.extend(b"old");
            all.extend(offset.to_be_bytes());
            all.extend((covered.len() as i32 + 4).to_be_bytes());
            all.extend(crc32(&covered).to_be_bytes());
            all.extend(covered);
        }
        all
    }

    /// The checksum of the old formats, bit by bit.
    fn crc32(bytes: &[u8]) -> u32 {
        let step = |crc: u32, byte: &u8| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
        };
        !bytes.iter().fold(u32::MAX, step)
    }

    #[test]
    fn messages_of_old_formats_become_batches_with_their_records() {
        let mut place = Place::at(0);
        let mut whole = old_messages();
        whole.extend(batch(2..4).bytes());
        let taken = place.take_apart(whole.into(), 4);
        assert_eq!((offsets(&taken), place.next()), (vec![0, 1, 2], 4));
        let Taken::Batches(batches) = taken else { panic!() };
        let view = batches[1].view();
        let record =
            lockstep_batch::records::decode(&view, Limits::default()).unwrap().next().unwrap().unwrap();
        assert_eq!((record.timestamp, record.value.as_deref()), (7_001, Some(&b"old"[..])));
        // Damage is asked for once more here, too.
        let mut hurt = old_messages();
        *hurt.last_mut().unwrap() ^= 1;
        let mut place = Place::at(0);
        assert_eq!(offsets(&place.take_apart(hurt.into(), 2)), [0]);
        let second = old_messages().len() / 2;
        let mut rest = old_messages().split_off(second);
        *rest.last_mut().unwrap() ^= 1;
        assert!(matches!(place.take_apart(rest.into(), 2), Taken::Unreadable(_)));
    }
}
