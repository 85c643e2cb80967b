//! One partition from its first comparable offset to its last: two readers, one comparer.
//! Promises: memory is reserved for both sides at once before anything is fetched, and corrected to what the
//! answers really take; a partition holds nothing while it waits. Dropping the future ends its readers.

use std::ops::Range;

use lockstep_core::ids::TopicPartition;
use lockstep_core::verify::{Comparer, Difference, Findings, Side, Step};
use lockstep_kafka::admin::At;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::connections::Connections;
use super::reader::{ANSWER_BYTES, News, Reader};
use super::{Progress, ends};
use crate::pipeline::budget::{Budget, Permit};

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

/// What was found in one partition.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) findings: Findings,
    /// That are not about a record.
    pub(super) differences: Vec<Difference>,
}

/// Compares `range` of `tp`.
pub(super) async fn compare(
    shared: Shared,
    tp: TopicPartition,
    range: Range<i64>,
) -> (TopicPartition, Outcome) {
    let permit = shared.budget.reserve(ANSWERS_HELD * UNMEASURED_BYTES).await;
    let mut readers = JoinSet::new();
    let mut listen = |side, connections: &Connections| {
        let (tell, hear) = mpsc::channel(1);
        readers.spawn(Reader::new(side, connections.clone(), tp.clone(), range.start, range.end).run(tell));
        hear
    };
    let mut walk = Walk {
        source: listen(Side::Source, &shared.source),
        dest: listen(Side::Dest, &shared.dest),
        comparer: Comparer::new(range),
        differences: Vec::new(),
        permit,
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
    (tp, Outcome { findings: walk.comparer.finish(), differences: walk.differences })
}

struct Walk {
    source: mpsc::Receiver<News>,
    dest: mpsc::Receiver<News>,
    comparer: Comparer,
    differences: Vec<Difference>,
    permit: Permit,
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
            Side::Source => self.source.recv().await,
            Side::Dest => self.dest.recv().await,
        };
        match news {
            Some(News::Batches { batches, frame_bytes }) => {
                self.measure(frame_bytes);
                for batch in batches {
                    self.comparer.offer(side, batch);
                }
            }
            Some(News::Expired { until }) => self.expired(side, until).await,
            Some(News::Unreadable { why }) => self.comparer.unreadable(side, why),
            None => self.comparer.unreadable(side, "its reader ended by itself".to_owned()),
        }
    }

    /// The first answer replaces the guess, a larger one any before it.
    fn measure(&mut self, frame_bytes: usize) {
        self.answer_bytes_max = self.answer_bytes_max.max(frame_bytes);
        self.permit.resize(ANSWERS_HELD * self.answer_bytes_max);
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
