//! Both clusters of the simulated world: the source that grows, the destination that is written, and what they
//! answer. Every record and marker that lands is checked against its place. Tests only.

use super::source::{Shape, Truth};
use super::{Astray, Body, Event, Misplaced, Request, TWO_DAYS_MS, World};
use crate::ids::{DestOffset, SourceOffset};
use crate::mirror::Trouble;
use crate::mirror::copying::AppendAnswer;
use crate::mirror::markers::{MarkerAnswer, MarkerRun, SequenceBehind};
use crate::mirror::partition::SourceEnds;
use crate::mirror::queue::Holes;
use crate::mirror::testing::{Answer, Slot};
use lockstep_batch::records::Record;

use super::super::script::Age;
use super::OURS;

impl World {
    /// All but the last batch, which comes when everything is quiet.
    pub(super) fn grow_but_one(&mut self, count: usize) {
        self.grow(count.min(self.source.coming().saturating_sub(1)));
    }

    pub(super) fn grow(&mut self, count: usize) {
        let (wall, expiration_ms) = (self.now().wall.0, self.expiration_ms);
        for _ in 0..count.min(self.source.coming()) {
            let tape = &mut self.tape;
            self.source.grow(|age| match age {
                Age::Young => wall,
                Age::Old => wall - TWO_DAYS_MS,
                Age::Fading => wall - expiration_ms * 9 / 10 + 1_000 * tape.pick(4) as i64,
            });
        }
    }

    pub(super) fn land(&mut self, request: u64) {
        match self.requests.remove(&request) {
            None => {}
            Some(Request { body: Body::Batch(batch), asker, .. }) => {
                let damaged = self.tape.once_in(12);
                let before = self.dest.end();
                let answer = if damaged { Answer::Refused } else { self.dest.append(&batch) };
                self.tell(format!(
                    "{} records for {} with sequence {} land: {answer:?}{}{}",
                    batch.record_count(),
                    batch.base_offset(),
                    batch.stamp().base_sequence,
                    if damaged { " (damaged)" } else { "" },
                    if asker.is_none() { " (late)" } else { "" },
                ));
                self.check_from(before);
                self.forget_if_it_may();
                let Some((life, ticket)) = asker else { return };
                let answer = match answer {
                    Answer::Base(_) if self.tape.once_in(16) => {
                        AppendAnswer::Failed(Trouble::soon("timed out"))
                    }
                    Answer::Base(base) => AppendAnswer::Acknowledged { base: DestOffset(base) },
                    Answer::Refused => AppendAnswer::Failed(Trouble::soon("refused")),
                };
                self.soon(Event::AnswerAppend { life, ticket, answer });
            }
            Some(markers) => self.land_markers(request, markers),
        }
    }

    /// All of them, or the first, and the others later.
    fn land_markers(&mut self, name: u64, mut request: Request) {
        let one_by_one = self.tape.once_in(3);
        let (broker_clock, before) = (self.now().wall, self.dest.end());
        let Body::Markers { above, left, taken, run, refused } = &mut request.body else { return };
        let now = if one_by_one { 1 } else { *left };
        for _ in 0..now {
            *above += 1;
            *refused |= self.dest.mark(*above, broker_clock) == Answer::Refused;
        }
        (*left, *taken) = (*left - now, *taken + now);
        let (above, left, taken, run, refused) = (*above, *left, *taken, *run, *refused);
        self.tell(format!(
            "{now} markers of the run for {} up to epoch {above} land, the log ends at {}{}{}",
            run.from,
            self.dest.end(),
            if refused { " (refused)" } else { "" },
            if request.asker.is_none() { " (late)" } else { "" },
        ));
        self.check_from(before);
        self.forget_if_it_may();
        if left > 0 {
            self.requests.insert(name, request);
            return self.soon(Event::Land { request: name });
        }
        let Some((life, ticket)) = request.asker else { return };
        if refused || self.tape.once_in(16) {
            let answer = MarkerAnswer::Failed(Trouble::soon("refused or lost"));
            return self.soon(Event::AnswerMarkers { life, ticket, answer });
        }
        self.soon(Event::ReadEnd { life, run, taken, above });
    }

    pub(super) fn read_end(&mut self, life: u64, run: MarkerRun, taken: u32, above: i32) {
        let end = DestOffset(self.dest.end());
        self.tell(format!("behind {taken} markers from {} on mirror {life} reads the end {end}", run.from));
        let known = self.dest.producer(OURS.epoch);
        let answer = match known.filter(|_| !self.tape.once_in(16)) {
            None => {
                MarkerAnswer::Failed(Trouble::soon("the end could not be read, or nobody knows us there"))
            }
            Some(known) => {
                let sequence = SequenceBehind::After(known.last_sequence);
                MarkerAnswer::Written { count: taken, end, coordinator_epoch: above, sequence }
            }
        };
        self.soon(Event::AnswerMarkers { life, ticket: run.ticket, answer });
    }

    /// The log only grows, so what is new is all there is to check.
    fn check_from(&mut self, before: i64) {
        for at in before..self.dest.end() {
            let slot = &self.dest.slots[at as usize];
            let (right, what) = match slot {
                Slot::Record(record) => (self.belongs(at, record), Astray::Record),
                Slot::Marker => {
                    let right = matches!(self.source.shape_at(at), Some(Shape::Void | Shape::Hole));
                    self.ran_ahead |= right && at >= self.source.last_stable();
                    (right, Astray::Marker)
                }
            };
            if !right && self.misplaced.is_none() {
                let line = match slot {
                    Slot::Record(record) => format!("MISPLACED: {:?} stands at {at}", record.value),
                    Slot::Marker => format!("MISPLACED: a marker stands at {at}"),
                };
                self.misplaced = Some(Misplaced { at, what, forgets: self.forgets });
                self.tell(line);
            }
        }
    }

    /// The source's record, or a repeat of the next one in a hole (M14).
    fn belongs(&self, at: i64, record: &Record) -> bool {
        match self.source.log.get(at as usize) {
            Some(Truth::Record(original)) => record == original,
            Some(Truth::Hole) if self.holes == Holes::Repeats => self
                .source
                .next_record(at)
                .is_some_and(|next| Record { offset: at, ..next.clone() } == *record),
            _ => false,
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
        let batches = 1 + self.tape.pick(4);
        let (mut records, aborted, starts) = self.source.answer(at.0, batches);
        if self.tape.once_in(20) && !records.is_empty() {
            self.tell(format!("a damaged fetch answer for mirror {life} at {at}"));
            self.damages = self.damages % 100 + 1;
            records[16] = 2 + self.damages; // the format's number
        } else if self.tape.once_in(20)
            && let Some((base, _)) = starts.last_key_value()
            && self.damaged.insert(*base)
        {
            self.tell(format!("the batch at {base} is damaged on its way to mirror {life}"));
            let last = records.len() - 1;
            records[last] ^= 0x55;
        }
        if self.tape.once_in(20) {
            records.clear();
        }
        let [high_watermark, last_stable] = [self.source.end(), self.source.last_stable()].map(SourceOffset);
        let ends = SourceEnds { log_start: SourceOffset(0), high_watermark, last_stable };
        let long_poll = if records.is_empty() { 250 } else { 0 };
        let time = self.clock + long_poll + self.tape.delay();
        self.at(time, Event::FetchAnswer { life, at, records: records.freeze(), aborted, ends });
    }
}
