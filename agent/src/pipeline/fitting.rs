//! How much to ask of a partition so that what comes is used: a broker cuts an answer at its limit, in the middle of a
//! batch, and the cut part is sent again with the next one. With batches a little over half the limit that was half of
//! all bytes. Promises: never more than one batch beyond the engine's limit; small batches leave that limit as it is.
//! Never needed for correctness: what it has forgotten, or guessed wrong, costs one batch sent twice or one empty answer.

use std::collections::HashMap;
use std::sync::Arc;

use lockstep_batch::header::{BatchHeader, ViewError};
use lockstep_core::ids::TopicPartition;
use lockstep_kafka::fetch::{FetchTarget, FetchedPartition};

/// Batches smaller than this part of the limit need no fitting: what is cut is little.
const SMALL_PART: usize = 16;
/// The next batches may be larger by this part.
const SLACK_PART: usize = 32;
/// A single large batch is forgotten by this part with every answer.
const DECAY_PART: usize = 8;
/// As many batches of an answer are looked at; more than that are small.
const LOOKED_AT: usize = 2 * SMALL_PART;
/// Partitions remembered beyond twice those asked for: more than that are mostly gone.
const REMEMBERED_MIN: usize = 1_000;

/// The size of each partition's batches, as they came last. Only of those whose batches are large.
#[derive(Debug, Default)]
pub(super) struct Fitting {
    batch_bytes: HashMap<TopicPartition, usize>,
    /// What was asked for last, and what was made of it: good as long as nothing else was learnt.
    last: Option<Fitted>,
}

#[derive(Debug)]
struct Fitted {
    given: Arc<[FetchTarget]>,
    answer_bytes_max: i32,
    made: Arc<[FetchTarget]>,
}

impl Fitting {
    /// Makes each partition's limit a whole number of its batches. `answer_bytes_max` bounds a single batch. The same `Arc`
    /// as the last time, and nothing learnt since: so is the answer.
    pub(super) fn apply(
        &mut self,
        targets: &Arc<[FetchTarget]>,
        answer_bytes_max: i32,
    ) -> Arc<[FetchTarget]> {
        if self.batch_bytes.len() > REMEMBERED_MIN + 2 * targets.len() {
            self.batch_bytes.clear();
        }
        if self.batch_bytes.is_empty() {
            return Arc::clone(targets);
        }
        match &self.last {
            Some(last) if Arc::ptr_eq(&last.given, targets) && last.answer_bytes_max == answer_bytes_max => {
                return Arc::clone(&last.made);
            }
            _ => {}
        }
        let fitted = |target: &FetchTarget| match self.batch_bytes.get(&target.tp) {
            None => target.clone(),
            Some(&batch) => {
                let limit = fit(batch, target.partition_bytes_max.unsigned_abs() as usize);
                let limit = i32::try_from(limit).unwrap_or(i32::MAX).min(answer_bytes_max);
                FetchTarget { partition_bytes_max: limit, ..target.clone() }
            }
        };
        let made: Arc<[FetchTarget]> = targets.iter().map(fitted).collect();
        self.last = Some(Fitted { given: Arc::clone(targets), answer_bytes_max, made: Arc::clone(&made) });
        made
    }

    /// Remembers the sizes of what came. `asked`: as the engine asked.
    pub(super) fn learn(&mut self, answer: &[FetchedPartition], asked: &[FetchTarget]) {
        if answer.is_empty() {
            return;
        }
        self.last = None;
        let limit = asked.iter().map(|target| target.partition_bytes_max).max();
        let limit = limit.unwrap_or(0).unsigned_abs() as usize;
        for partition in answer {
            let largest = largest_batch(&partition.records);
            let before = self.batch_bytes.get(&partition.tp).map_or(0, |bytes| bytes - bytes / DECAY_PART);
            let bytes = largest.max(before);
            // Nothing came: perhaps our limit was too small for the next batch (KIP-74).
            if largest == 0 || bytes * SMALL_PART <= limit {
                self.batch_bytes.remove(&partition.tp);
            } else {
                self.batch_bytes.insert(partition.tp.clone(), bytes);
            }
        }
    }
}

/// As many whole batches as fit, at least one.
fn fit(batch: usize, limit: usize) -> usize {
    let whole = (limit / batch).max(1) * batch;
    let slack = whole / SLACK_PART;
    if whole > limit { whole + slack } else { (whole + slack).min(limit) }
}

/// The largest of the first batches; of one that was cut, its head tells the size. 0: no batch, or none that is readable.
fn largest_batch(records: &[u8]) -> usize {
    let (mut rest, mut largest) = (records, 0);
    for _ in 0..LOOKED_AT {
        match BatchHeader::parse(rest) {
            Ok(header) => {
                largest = largest.max(header.len());
                rest = &rest[header.len()..];
            }
            Err(ViewError::Cut { needed, have }) if have > 0 => {
                return largest.max(usize::try_from(needed).unwrap_or(0));
            }
            Err(_) => return largest,
        }
    }
    largest
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lockstep_core::ids::{LeaderEpoch, SourceOffset, TopicId};

    use super::*;

    const LIMIT: usize = 1 << 20;
    const ANSWER: i32 = 8 << 20;

    /// A batch of so many bytes, one record, no compression; only its header matters here.
    fn batch(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        bytes[8..12].copy_from_slice(&u32::try_from(length - 12).unwrap().to_be_bytes());
        bytes[16] = 2;
        bytes[57..61].copy_from_slice(&1u32.to_be_bytes());
        bytes
    }

    fn answer(records: Vec<u8>) -> [FetchedPartition; 1] {
        [FetchedPartition {
            tp: TopicPartition::new("orders", 3),
            error: None,
            high_watermark: 0,
            last_stable_offset: 0,
            log_start: 0,
            diverging: None,
            leader_hint: None,
            aborted: Vec::new(),
            records: Bytes::from(records),
        }]
    }

    /// What the engine asks.
    fn asked() -> Arc<[FetchTarget]> {
        Arc::new([FetchTarget {
            tp: TopicPartition::new("orders", 3),
            topic_id: TopicId::ZERO,
            offset: SourceOffset(0),
            current_leader_epoch: LeaderEpoch::UNKNOWN,
            last_fetched_epoch: LeaderEpoch::UNKNOWN,
            partition_bytes_max: LIMIT as i32,
        }])
    }

    /// What is asked of the partition next.
    fn limit(fitting: &mut Fitting) -> usize {
        fitting.apply(&asked(), ANSWER)[0].partition_bytes_max as usize
    }

    fn after(answers: &[&[usize]]) -> usize {
        let mut fitting = Fitting::default();
        for sizes in answers {
            let mut records = sizes.iter().flat_map(|&size| batch(size)).collect::<Vec<_>>();
            records.truncate(LIMIT);
            fitting.learn(&answer(records), &asked());
        }
        limit(&mut fitting)
    }

    #[test]
    fn large_batches_are_asked_for_in_whole_numbers() {
        assert_eq!(after(&[]), LIMIT);
        for (size, whole) in [(570_000, 1), (300_000, 3), (100_000, 10)] {
            let asked = after(&[&vec![size; LIMIT / size + 1]]);
            assert!(asked >= whole * size && asked < whole * size + size / 3, "{size}: {asked}");
        }
    }

    #[test]
    fn the_head_of_a_cut_batch_tells_its_size() {
        let asked = after(&[&[10_000, 400_000, 700_000]]);
        assert!((700_000..730_000).contains(&asked), "{asked}");
        // Nothing but a part of one: a batch larger than the limit. It is asked for whole.
        let asked = after(&[&[3_000_000]]);
        assert!((3_000_000..3_100_000).contains(&asked), "{asked}");
        assert_eq!(after(&[&[9_000_000]]), ANSWER as usize, "within the answer's bound");
    }

    #[test]
    fn small_batches_leave_the_limit_alone() {
        assert_eq!(after(&[&[1_000; 2_000]]), LIMIT);
        assert!(after(&[&[600_000, 600_000], &[1_000; 50], &[1_000; 50]]) < LIMIT, "not at once");
        let calm: Vec<&[usize]> =
            std::iter::once(&[600_000, 600_000][..]).chain([&[1_000; 50][..]; 20]).collect();
        assert_eq!(after(&calm), LIMIT, "one large batch is forgotten in time");
    }

    #[test]
    fn an_empty_answer_takes_the_guess_back() {
        assert!(after(&[&[600_000, 600_000]]) < LIMIT);
        assert_eq!(after(&[&[600_000, 600_000], &[]]), LIMIT);
    }

    #[test]
    fn what_is_asked_again_is_fitted_again_only_after_news() {
        let mut fitting = Fitting::default();
        let same = asked();
        assert!(Arc::ptr_eq(&fitting.apply(&same, ANSWER), &same), "nothing to fit");
        fitting.learn(&answer(batch(600_000)), &same);
        let fitted = fitting.apply(&same, ANSWER);
        assert!(Arc::ptr_eq(&fitting.apply(&same, ANSWER), &fitted));
        assert_eq!(fitting.apply(&same, 300_000)[0].partition_bytes_max, 300_000, "another bound");
        let larger = fitting.apply(&same, ANSWER);
        fitting.learn(&answer(batch(800_000)), &same);
        assert!(fitting.apply(&same, ANSWER)[0].partition_bytes_max > larger[0].partition_bytes_max);
    }

    #[test]
    fn partitions_of_the_past_are_forgotten() {
        let mut fitting = Fitting::default();
        for number in 0..2_000 {
            let [mut one] = answer(batch(600_000));
            one.tp = TopicPartition::new("gone", number);
            fitting.learn(&[one], &asked());
        }
        assert_eq!(limit(&mut fitting), LIMIT);
        assert!(fitting.batch_bytes.is_empty());
    }
}
