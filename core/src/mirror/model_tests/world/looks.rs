//! How a mirror of the simulated world reads its facts: one read after the other in the agent's order (M8), each
//! at its own moment, so that anything may land in between. Tests only.

use super::{Event, OURS, World};
use crate::ids::{DestOffset, LeaderEpoch, SourceOffset, TopicId};
use crate::mirror::Trouble;
use crate::mirror::opening::{Displaced, Facts, ProducerOnPartition, Tail};
use crate::mirror::partition::Input;

/// What is to be read next, with what was read before it.
#[derive(Debug)]
pub(super) enum Look {
    Producer,
    End { producer: Option<ProducerOnPartition> },
    ProducerAgain { producer: Option<ProducerOnPartition>, end: DestOffset },
    Tail { facts: Box<Facts> },
}

impl World {
    pub(super) fn look(&mut self, life: u64, displaced: Option<Displaced>, look: Look) {
        let next = match look {
            Look::Producer => Look::End { producer: self.dest.producer(OURS.epoch) },
            Look::End { producer } => Look::ProducerAgain { producer, end: DestOffset(self.dest.end) },
            Look::ProducerAgain { producer, end } if self.dest.producer(OURS.epoch) == producer => {
                Look::Tail { facts: Box::new(self.facts(producer, end)) }
            }
            // The end belongs to neither of the two entries.
            Look::ProducerAgain { .. } => {
                self.tell(format!("mirror {life} sees the producer move while it looks"));
                let input = Input::OpenFailed(Trouble::soon("appends were landing"));
                return self.soon(Event::Tell { life, input });
            }
            Look::Tail { mut facts } => {
                facts.tail = self.tail(displaced, facts.dest_end.0);
                return self.soon(Event::Tell { life, input: Input::Facts(facts) });
            }
        };
        self.soon(Event::Look { life, displaced, look: next });
    }

    /// The tail is still to be read.
    fn facts(&mut self, producer: Option<ProducerOnPartition>, end: DestOffset) -> Facts {
        let lags = self.tape.once_in(12);
        let mark = if lags { self.dest.batches.last().map_or(0, |(at, _)| *at) } else { self.dest.end };
        Facts {
            producer,
            dest_start: DestOffset(0),
            dest_end: end,
            dest_high_watermark: DestOffset(mark),
            source_id: TopicId([1; 16]),
            source_epoch: LeaderEpoch(0),
            source_start: SourceOffset(0),
            source_end: self.source_end(),
            tail: Tail::Empty,
        }
    }

    fn tail(&self, displaced: Option<Displaced>, end: i64) -> Tail {
        if let Some(Displaced { at, landed }) = displaced
            && self.dest.batch_at(at.0).is_some()
        {
            return Tail::OwnRepeat { at, shift: landed.0 - at.0 };
        }
        let Some((base, payload)) = self.dest.batch_at(end - 1) else { return Tail::Empty };
        match self.source.iter().find(|batch| batch.base < end && end <= batch.next) {
            None => Tail::NotComparable,
            Some(b) if b.base == *base && b.payload == *payload => {
                Tail::Equal { source_epoch: LeaderEpoch(0) }
            }
            Some(_) => Tail::Different { at: SourceOffset(end - 1), difference: "the payload".into() },
        }
    }
}
