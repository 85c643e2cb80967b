//! How a mirror of the simulated world reads its facts: one read after the other in the agent's order (M8), each
//! at its own moment, so that anything may land in between. Tests only.

use super::source::Truth;
use super::{Event, OURS, World};
use crate::ids::{DestOffset, LeaderEpoch, SourceOffset, TopicId};
use crate::mirror::Trouble;
use crate::mirror::opening::{Displaced, Facts, ProducerOnPartition, Tail};
use crate::mirror::partition::Input;
use crate::mirror::testing::Slot;

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
            Look::End { producer } => Look::ProducerAgain { producer, end: DestOffset(self.dest.end()) },
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
        let mark = if lags { self.dest.bases.last().map_or(0, |at| *at) } else { self.dest.end() };
        Facts {
            producer,
            dest_start: DestOffset(0),
            dest_end: end,
            dest_high_watermark: DestOffset(mark),
            source_id: TopicId([1; 16]),
            source_epoch: LeaderEpoch(0),
            source_start: SourceOffset(0),
            source_end: SourceOffset(self.source.end()),
            source_stable: SourceOffset(self.source.last_stable()),
            tail: Tail::Empty,
        }
    }

    /// As `agent/src/pipeline/tail.rs` looks.
    fn tail(&self, displaced: Option<Displaced>, end: i64) -> Tail {
        if let Some(Displaced { at, landed, .. }) = displaced
            && landed.0.min(end) > at.0
        {
            return Tail::OwnRepeat { at, shift: landed.0 - at.0 };
        }
        if end == 0 {
            return Tail::Empty;
        }
        let copied = |at: i64| match &self.dest.slots[at as usize] {
            Slot::Record(record) => Some(record),
            Slot::Marker => None,
        };
        if end > self.source.end() {
            return Tail::NotComparable;
        }
        let both = |at| match (&self.source.log[at as usize], copied(at)) {
            (Truth::Record(here) | Truth::RolledBack(here), Some(there)) => Some((at, here == there)),
            _ => None,
        };
        let common = (0..end).rev().find_map(both);
        if let Some((at, false)) = common {
            return Tail::Different { at: SourceOffset(at), difference: "the record".into() };
        }
        // Above the last record that both sides hold: what one side shows there, the other must not deny.
        for at in common.map_or(0, |(at, _)| at + 1)..end {
            match (&self.source.log[at as usize], copied(at)) {
                (Truth::Record(_), None) => {
                    return Tail::OwnRepeat { at: DestOffset(at), shift: end - at };
                }
                (Truth::Control, Some(_)) => {
                    return Tail::Different { at: SourceOffset(at), difference: "a marker there".into() };
                }
                _ => {}
            }
        }
        common.map_or(Tail::NotComparable, |_| Tail::Equal { source_epoch: LeaderEpoch(0) })
    }
}
