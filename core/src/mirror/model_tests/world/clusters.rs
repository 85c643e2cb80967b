//! Both clusters of the simulated world: the source's log that grows, the destination's that is written, and
//! what they answer when they are read. Every batch that lands is checked against its place. Tests only.

use bytes::BytesMut;

use super::{Age, Event, Misplaced, Request, SourceBatch, TWO_DAYS_MS, World};
use crate::ids::{DestOffset, SourceOffset};
use crate::mirror::Trouble;
use crate::mirror::copying::AppendAnswer;
use crate::mirror::partition::SourceEnds;
use crate::mirror::testing::{Answer, BatchKind, stamped};

impl World {
    /// All but the last batch, which comes when everything is quiet.
    pub(super) fn grow_but_one(&mut self, count: usize) {
        self.grow(count.min(self.coming.len().saturating_sub(1)));
    }

    pub(super) fn grow(&mut self, count: usize) {
        for _ in 0..count {
            let Some((records, age)) = self.coming.pop() else { return };
            let base = self.source.last().map_or(0, |batch| batch.next);
            let timestamp = match age {
                Age::Young => self.now().wall.0,
                Age::Old => self.now().wall.0 - TWO_DAYS_MS,
                Age::Fading => {
                    self.now().wall.0 - self.expiration_ms * 9 / 10 + 1_000 * self.tape.pick(4) as i64
                }
            };
            let batch = stamped(BatchKind::Data, base, records, timestamp);
            self.source.push(SourceBatch {
                base,
                next: base + i64::from(records),
                bytes: batch.bytes().clone(),
                payload: batch.payload(),
            });
        }
    }

    pub(super) fn source_end(&self) -> SourceOffset {
        SourceOffset(self.source.last().map_or(0, |batch| batch.next))
    }

    pub(super) fn land(&mut self, request: u64) {
        let Some(Request { batch, asker, .. }) = self.requests.remove(&request) else { return };
        let damaged = self.tape.once_in(12);
        let before = self.dest.batches.len();
        let answer = if damaged { Answer::Refused } else { self.dest.append(&batch) };
        self.tell(format!(
            "the batch for {} with sequence {} lands: {answer:?}{}{}",
            batch.base_offset(),
            batch.stamp().base_sequence,
            if damaged { " (damaged)" } else { "" },
            if asker.is_none() { " (late)" } else { "" },
        ));
        if self.dest.batches.len() > before {
            self.check_newest();
        }
        self.forget_if_it_may();
        let Some((life, ticket)) = asker else { return };
        let answer = match answer {
            Answer::Base(_) if self.tape.once_in(16) => AppendAnswer::Failed(Trouble::soon("timed out")),
            Answer::Base(base) => AppendAnswer::Acknowledged { base: DestOffset(base) },
            Answer::Refused => AppendAnswer::Failed(Trouble::soon("refused")),
        };
        self.soon(Event::AnswerAppend { life, ticket, answer });
    }

    /// The log only grows, so the newest batch is all there is to check.
    pub(super) fn check_newest(&mut self) {
        let index = self.dest.batches.len() - 1;
        let (at, payload) = &self.dest.batches[index];
        let right = self.source.get(index).is_some_and(|b| b.base == *at && b.payload == *payload);
        if !right && self.misplaced.is_none() {
            let line = format!("NOT A PREFIX: {} stands at offset {at}", String::from_utf8_lossy(payload));
            self.misplaced = Some(Misplaced { at: *at, forgets: self.forgets });
            self.tell(line);
        }
    }

    pub(super) fn forget_if_it_may(&mut self) {
        let choice = self.tape.pick(3);
        if choice != 0 && self.dest.may_forget(self.expiration_ms, self.now().wall) {
            self.tell("the destination forgets the producer");
            self.dest.forget_producer();
            self.forgets += 1;
        }
    }

    pub(super) fn fetch(&mut self, life: u64, at: SourceOffset) {
        let mut records = BytesMut::new();
        let batches = 1 + self.tape.pick(4);
        for batch in self.source.iter().filter(|batch| batch.next > at.0).take(batches) {
            records.extend_from_slice(&batch.bytes);
        }
        if self.tape.once_in(20) && !records.is_empty() {
            self.tell(format!("a damaged fetch answer for mirror {life} at {at}"));
            self.damages = self.damages % 100 + 1;
            records[16] = 2 + self.damages; // the format's number
        }
        if self.tape.once_in(20) {
            records.clear();
        }
        let end = self.source_end();
        let ends = SourceEnds { log_start: SourceOffset(0), high_watermark: end, last_stable: end };
        let long_poll = if records.is_empty() { 250 } else { 0 };
        let time = self.clock + long_poll + self.tape.delay();
        self.at(time, Event::FetchAnswer { life, at, records: records.freeze(), ends });
    }
}
