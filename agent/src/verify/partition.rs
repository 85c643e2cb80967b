//! One partition from its first comparable offset to its last: two readers, one comparer, and a second look where
//! compaction leaves questions.
//! Promises: memory is reserved for both sides at once before anything is fetched, and corrected to what the
//! answers really take; a partition holds nothing while it waits. Dropping the future ends its readers.

use std::ops::Range;

use lockstep_batch::build::is_filler;
use lockstep_core::ids::TopicPartition;
use lockstep_core::verify::{
    Cleanup, Comparer, Difference, Findings, KEYS_BYTES_MAX, SecondLook, Side, Step,
};
use lockstep_kafka::admin::At;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::connections::Connections;
use super::reader::{ANSWER_BYTES, News, Reader};
use super::{Progress, ends};
use crate::pipeline::budget::{Budget, Permit};
use crate::pipeline::names::Twin;

/// Answers held at a time: on each side one that is compared and one that is fetched ahead.
const ANSWERS_HELD: usize = 4;

/// What an answer may take before the first has come: room for large records, so that many partitions of them do not
/// start at once.
const UNMEASURED_BYTES: usize = 5 << 20;

/// What all partitions under way share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) source: Connections,
    pub(super) dest: Connections,
    pub(super) budget: Budget,
    pub(super) progress: watch::Sender<Progress>,
}

/// What of a partition is to be read.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) range: Range<i64>,
    /// Below the range, on the destination only.
    pub(super) older: Range<i64>,
    pub(super) cleanup: Cleanup,
    /// Below it the destination was a primary itself (M27).
    pub(super) agreed_below: i64,
}

impl Task {
    /// In bytes, beside fetched answers: the keys that wait for an explanation.
    fn keys_bytes_max(&self) -> usize {
        if self.cleanup == Cleanup::Delete { 0 } else { KEYS_BYTES_MAX }
    }
}

/// What was found in one partition.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) findings: Findings,
    /// That are not about a record.
    pub(super) differences: Vec<Difference>,
    /// Of what is older on the destination, so many offsets from its beginning are fillers (M14).
    pub(super) offsets_filled: u64,
}

/// Compares both sides of `twin`; the outcome goes by the source's name.
pub(super) async fn compare(shared: Shared, twin: Twin, task: Task) -> (TopicPartition, Outcome) {
    let Twin { source: tp, dest: there } = twin;
    let keys_bytes_max = task.keys_bytes_max();
    let permit = shared.budget.reserve(ANSWERS_HELD * UNMEASURED_BYTES + keys_bytes_max).await;
    let offsets_filled = count_filled(&shared.dest, there.there(), task.older).await;
    let range = task.range;
    let mut walk = Walk {
        source: Reading::start(Side::Source, &shared.source, &tp, range.clone()),
        dest: Reading::start(Side::Dest, &shared.dest, there.there(), range.clone()),
        comparer: Comparer::new(range, task.cleanup).agreed_below(task.agreed_below),
        differences: Vec::new(),
        permit,
        keys_bytes_max,
        answer_bytes_max: ANSWER_BYTES.unsigned_abs() as usize,
        told: Told::default(),
        shared,
        tp: tp.clone(),
    };
    loop {
        match walk.comparer.step() {
            Step::Done => break,
            Step::Need(side) => walk.feed(side).await,
            // One thread for everything: the readers' turn.
            Step::Moved => tokio::task::yield_now().await,
        }
        walk.tell();
    }
    walk.tell();
    let Walk { comparer, differences, shared, permit: _held, .. } = walk;
    let mut second = comparer.finish();
    for (side, connections, tp) in
        [(Side::Source, &shared.source, &tp), (Side::Dest, &shared.dest, there.there())]
    {
        look_again(&mut second, side, connections, tp).await;
    }
    (tp, Outcome { findings: second.finish(), differences, offsets_filled })
}

/// Reads `side` once more, as far as it goes by now, for what compaction left open.
async fn look_again(second: &mut SecondLook, side: Side, connections: &Connections, tp: &TopicPartition) {
    let Some(from) = second.wanted(side) else { return };
    let asked = [tp.clone()];
    let ends = ends::offsets(&connections.cluster, side, &asked, At::LastStable).await;
    let end = match ends::of(&ends, tp) {
        Ok(end) => end,
        Err(why) => return second.unreadable(side, why),
    };
    let mut reading = Reading::start(side, connections, tp, from..end);
    while let Some(news) = reading.hear.recv().await {
        match news {
            News::Portion { portion, .. } => second.offer(side, portion),
            News::Expired { until } => {
                second.unreadable(side, format!("retention removed everything below {until}"));
            }
            News::Unreadable { why } => second.unreadable(side, why),
        }
        if second.wanted(side).is_none() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// How many offsets from the beginning of `older` on hold fillers: the mirror has yet to delete them (M14).
/// Only a note hangs on it: what cannot be read is not counted.
async fn count_filled(dest: &Connections, tp: &TopicPartition, older: Range<i64>) -> u64 {
    let mut filled_to = older.start;
    let mut reading = Reading::start(Side::Dest, dest, tp, older.clone());
    while let Some(News::Portion { portion, .. }) = reading.hear.recv().await {
        for batch in &portion.batches {
            if batch.header().next_offset() <= filled_to {
                continue;
            }
            if batch.header().base_offset() > filled_to || !is_filler(batch) {
                return filled_to.abs_diff(older.start);
            }
            filled_to = batch.header().next_offset().min(older.end);
        }
        tokio::task::yield_now().await;
    }
    filled_to.abs_diff(older.start)
}

/// A reader at work; it ends when this is dropped.
struct Reading {
    hear: mpsc::Receiver<News>,
    _reader: JoinSet<()>,
}

impl Reading {
    fn start(side: Side, connections: &Connections, tp: &TopicPartition, range: Range<i64>) -> Self {
        let (tell, hear) = mpsc::channel(1);
        let mut reader = JoinSet::new();
        reader.spawn(Reader::new(side, connections.clone(), tp.clone(), range.start, range.end).run(tell));
        Self { hear, _reader: reader }
    }
}

struct Walk {
    source: Reading,
    dest: Reading,
    comparer: Comparer,
    differences: Vec<Difference>,
    permit: Permit,
    keys_bytes_max: usize,
    answer_bytes_max: usize,
    told: Told,
    shared: Shared,
    tp: TopicPartition,
}

/// What of this partition is in the shared figures already.
#[derive(Clone, Copy, Default)]
struct Told {
    offsets: u64,
    records: u64,
    bytes: u64,
}

impl Walk {
    async fn feed(&mut self, side: Side) {
        let news = match side {
            Side::Source => self.source.hear.recv().await,
            Side::Dest => self.dest.hear.recv().await,
        };
        match news {
            Some(News::Portion { portion, frame_bytes }) => {
                self.measure(frame_bytes);
                self.comparer.offer(side, portion);
            }
            Some(News::Expired { until }) => self.expired(side, until).await,
            Some(News::Unreadable { why }) => self.comparer.unreadable(side, why),
            None => self.comparer.unreadable(side, "its reader ended by itself".to_owned()),
        }
    }

    /// The first answer replaces the guess, a larger one any before it.
    fn measure(&mut self, frame_bytes: usize) {
        self.answer_bytes_max = self.answer_bytes_max.max(frame_bytes);
        self.permit.resize(ANSWERS_HELD * self.answer_bytes_max + self.keys_bytes_max);
    }

    async fn expired(&mut self, side: Side, until: i64) {
        if side == Side::Dest {
            let asked = [self.tp.clone()];
            let starts = ends::offsets(&self.shared.source.cluster, Side::Source, &asked, At::Earliest).await;
            match ends::of(&starts, &self.tp) {
                // A mirror may follow the source's retention, never run ahead of it (M20).
                Ok(start) if start >= until => {}
                Ok(start) => self.differences.push(Difference {
                    offset: start,
                    what: format!(
                        "the destination removed everything below {until}, the source still starts at {start}"
                    ),
                }),
                Err(why) => return self.comparer.unreadable(side, why),
            }
        }
        self.comparer.expired(side, until);
    }

    fn tell(&mut self) {
        let findings = self.comparer.findings();
        let now = Told {
            offsets: self.comparer.position().abs_diff(self.comparer.start()),
            records: findings.records_compared(),
            bytes: findings.source_bytes,
        };
        let before = std::mem::replace(&mut self.told, now);
        if now.offsets != before.offsets || now.bytes != before.bytes {
            self.shared.progress.send_modify(|progress| {
                progress.offsets_done += now.offsets - before.offsets;
                progress.records += now.records - before.records;
                progress.bytes += now.bytes - before.bytes;
            });
        }
    }
}
