//! Which partitions this engine works on: all of a link, or its share among several agents. A partition gained is opened
//! as after a restart (M8), one lost begins nothing more and is let go of once every append has its answer. Of other
//! agents' partitions the caretaker of the link knows how far they are, by asking the brokers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lockstep_core::ids::{DestOffset, SourceOffset, TopicPartition};
use lockstep_core::mirror::Now;
use lockstep_core::mirror::opening::Ownership;
use lockstep_core::mirror::partition::{Input, Partition};

use super::{Engine, fetch_no_more};
use crate::pipeline::event::ReadyTopic;
use crate::pipeline::names::{DestPartition, Twin};
use crate::pipeline::owned::{Duty, Licence, Owned};
use crate::pipeline::position::{Going, Position};
use crate::pipeline::slot::Slot;

/// What is this engine's, and what is not.
#[derive(Debug, Default)]
pub(super) struct Owning {
    /// As it is being carried out.
    owned: Owned,
    /// Lost, with appends in flight.
    leaving: BTreeSet<TopicPartition>,
    /// Other agents' partitions.
    elsewhere: BTreeMap<TopicPartition, Elsewhere>,
    /// Of partitions that were let go of.
    pub(super) past: Past,
}

/// What was copied by partitions that this engine no longer has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Past {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) aligned: u64,
}

/// Another agent's partition, as far as the brokers tell.
#[derive(Debug)]
struct Elsewhere {
    dest: DestPartition,
    /// Under the standby's high watermark.
    held: Option<DestOffset>,
    dest_start: Option<DestOffset>,
    source_start: Option<SourceOffset>,
    source_end: Option<SourceOffset>,
}

impl Elsewhere {
    fn new(dest: DestPartition) -> Self {
        Self { dest, held: None, dest_start: None, source_start: None, source_end: None }
    }

    fn position(&self) -> Position {
        // What stands below the source's log start may be fillers that are about to be deleted (M14).
        let is_settled = |start: &DestOffset| self.source_start.is_some_and(|s| *start >= s.mirrored());
        Position {
            held: self.held,
            start: self.dest_start.filter(is_settled),
            source_end: self.source_end,
            going: Going::On,
        }
    }
}

impl Owning {
    pub(super) fn is_caretaker(&self) -> bool {
        self.owned.is_caretaker()
    }

    pub(super) fn duty(&self, tp: &TopicPartition) -> Duty {
        self.owned.duty(tp)
    }

    /// How many partitions of the link are other agents'.
    pub(super) fn elsewhere(&self) -> u64 {
        self.elsewhere.len() as u64
    }

    /// The division that is carried out; `None` while something of the one before is still in flight.
    pub(super) fn settled_epoch(&self) -> Option<u64> {
        self.owned.epoch().filter(|_| self.leaving.is_empty())
    }

    /// What the caretaker asks the brokers about other agents' partitions.
    pub(super) fn to_probe(&self) -> Vec<Twin> {
        if !self.is_caretaker() {
            return Vec::new();
        }
        let twin = |(tp, other): (&TopicPartition, &Elsewhere)| Twin {
            source: tp.clone(),
            dest: other.dest.clone(),
        };
        self.elsewhere.iter().map(twin).collect()
    }

    pub(super) fn has_to_probe(&self) -> bool {
        self.is_caretaker() && !self.elsewhere.is_empty()
    }

    pub(super) fn position(&self, tp: &TopicPartition) -> Position {
        self.elsewhere.get(tp).map_or(Position::NOT_MIRRORED, Elsewhere::position)
    }

    /// How far another agent's partition is held.
    pub(super) fn held(&self, tp: &TopicPartition) -> Option<DestOffset> {
        self.elsewhere.get(tp)?.held
    }

    pub(super) fn source_end(&mut self, tp: &TopicPartition, end: SourceOffset) {
        if let Some(other) = self.elsewhere.get_mut(tp) {
            other.source_end = Some(end);
        }
    }

    pub(super) fn high_watermark(&mut self, tp: &TopicPartition, mark: DestOffset) {
        if let Some(other) = self.elsewhere.get_mut(tp) {
            other.held = Some(mark);
        }
    }

    pub(super) fn starts(
        &mut self,
        tp: &TopicPartition,
        source: Option<SourceOffset>,
        dest: Option<DestOffset>,
    ) {
        if let Some(other) = self.elsewhere.get_mut(tp) {
            other.source_start = source.or(other.source_start);
            other.dest_start = dest.or(other.dest_start);
        }
    }
}

impl Engine {
    /// Carries out a division that is new. Nothing happens to what stays as it is.
    pub(super) fn follow_division(&mut self, now: Now) {
        // Whoever works alone has nobody who could say anything else: the sender is gone.
        if !self.setup.owned.has_changed().unwrap_or(false) {
            return;
        }
        self.owning.owned = self.setup.owned.borrow_and_update().clone();
        self.roster = None;
        let all: Vec<(ReadyTopic, i32)> =
            self.topics.values().map(|watch| (watch.ready.clone(), watch.partitions)).collect();
        let (mut gained, mut lost) = (0, 0);
        for (ready, partitions) in all {
            for partition in 0..partitions {
                let tp = TopicPartition::new(Arc::clone(&ready.topic), partition);
                match (self.slots.contains_key(&tp), self.owning.duty(&tp)) {
                    (false, Duty::Elsewhere) => {}
                    (false, Duty::Ours(licence)) => {
                        gained += 1;
                        self.take_up(tp, &ready, Ownership::Unknown, licence, now);
                    }
                    (true, Duty::Ours(licence)) => {
                        self.owning.leaving.remove(&tp);
                        self.feed(&tp, Input::Licensed(licence), now);
                    }
                    (true, Duty::Elsewhere) => {
                        lost += 1;
                        self.feed(&tp, Input::Licensed(Licence::Nothing), now);
                        self.owning.leaving.insert(tp);
                    }
                }
            }
        }
        self.let_go();
        if gained + lost > 0 {
            tracing::info!(gained, lost, "the link's work is divided anew ({:?})", self.owning.owned);
        }
        self.publish();
    }

    /// Forgets the partitions that were lost and have no append in flight any more.
    pub(super) fn let_go(&mut self) {
        if self.owning.leaving.is_empty() {
            return;
        }
        let in_flight = |slot: &Slot| slot.machine.has_in_flight();
        let gone: Vec<_> = self
            .owning
            .leaving
            .iter()
            .filter(|tp| !self.slots.get(tp).is_some_and(in_flight))
            .cloned()
            .collect();
        for tp in gone {
            self.owning.leaving.remove(&tp);
            let Some(slot) = self.drop_slot(&tp) else { continue };
            self.owning.elsewhere.insert(tp, Elsewhere::new(slot.dest));
            self.roster = None;
        }
    }

    /// A partition of a topic that stands ready: opened if it is ours.
    pub(super) fn divide(&mut self, tp: TopicPartition, ready: &ReadyTopic, now: Now) {
        match self.owning.duty(&tp) {
            Duty::Elsewhere => {
                let there = DestPartition::new(Arc::clone(&ready.dest_topic), tp.partition);
                self.owning.elsewhere.insert(tp, Elsewhere::new(there));
                self.roster = None;
            }
            Duty::Ours(licence) => {
                let created = tp.partition >= ready.created_from;
                let ownership = if created { Ownership::JustCreated } else { Ownership::Unknown };
                self.take_up(tp, ready, ownership, licence, now);
            }
        }
    }

    fn take_up(
        &mut self,
        tp: TopicPartition,
        ready: &ReadyTopic,
        ownership: Ownership,
        licence: Licence,
        now: Now,
    ) {
        self.owning.elsewhere.remove(&tp);
        self.roster = None;
        let (source, dest) = (self.setup.source.metadata(), self.setup.dest.metadata());
        let machine = Partition::new(self.settings(ready.compaction), ready.source_id, ownership);
        let there = DestPartition::new(Arc::clone(&ready.dest_topic), tp.partition);
        self.routes.follow_source(&source, std::iter::once(&tp));
        self.routes.follow_dest(&dest, std::iter::once((&tp, &there)));
        let priority = self.setup.priorities.of(&ready.topic);
        self.slots.insert(tp.clone(), Slot::new(machine, there, priority, ready.delete_retention_ms));
        self.feed(&tp, Input::Licensed(licence), now);
        self.due.insert((now.mono, tp));
    }

    /// Nothing more is heard of it; what it copied stays counted.
    pub(super) fn drop_slot(&mut self, tp: &TopicPartition) -> Option<Slot> {
        let slot = self.slots.remove(tp)?;
        self.roster = None;
        self.behind.remove(tp);
        self.ticking.remove(tp);
        fetch_no_more(&mut self.routes, &mut self.fetch_desks, tp);
        self.due.retain(|(_, due)| due != tp);
        self.owning.past.records += slot.copied_records;
        self.owning.past.bytes += slot.copied_bytes;
        self.owning.past.aligned += slot.aligned_offsets;
        Some(slot)
    }

    /// A topic that the link no longer has.
    pub(super) fn forget_elsewhere(&mut self, topic: &str) {
        self.owning.elsewhere.retain(|tp, _| &*tp.topic != topic);
        self.roster = None;
    }
}

impl Owning {
    pub(super) fn new(owned: Owned) -> Self {
        Self { owned, ..Self::default() }
    }
}
