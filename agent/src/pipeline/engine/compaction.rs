//! M21: when the mirror of a compacted topic is compacted too. Never before every partition is past whatever may have a
//! null key, which a compacted topic refuses; no longer than the source is. Told of the source's policy by the link's
//! settings keeper, at the start and whenever it changes; what comes of a wrong guess, a null key after all, is
//! undone at once: nothing stands still for it.

use std::collections::HashMap;
use std::sync::Arc;

use lockstep_core::ids::{DestOffset, SourceOffset, TopicPartition};
use lockstep_core::mirror::queue::Holes;
use lockstep_core::mirror::{Millis, Now};
use lockstep_core::plan::configs::uncompacted;
use lockstep_core::plan::topics::{COMPACTED_POLICY, Compaction};
use lockstep_kafka::admin::incremental_alter_configs;

use tracing::Instrument;

use super::Engine;
use super::topology::TopicWatch;
use crate::pipeline::event::Event;

const COMPACTION_INTERVAL_MS: u64 = 2_000;
/// A leader may take null keys for a moment after another broker has shown the new policy.
const POLICY_SETTLED_MS: u64 = 1_000;

/// Where a topic stands on its way to being compacted.
#[derive(Debug)]
pub(super) struct Cleaning {
    pub(super) state: Compaction,
    /// Ends asked for before this moment may have null keys behind them.
    ends_from: Millis,
    /// Where the source ended once its topic was known to be compacted: null keys are older.
    past_null_keys: Option<Vec<SourceOffset>>,
    /// The policy is being written.
    altering: bool,
}

/// What was done to the mirror's policy, or could not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Altered {
    Compacted,
    Uncompacted,
    Failed,
}

impl Cleaning {
    pub(super) fn new(state: Compaction, now: Millis) -> Self {
        let ends_from = now.plus(POLICY_SETTLED_MS);
        Self { state, ends_from, past_null_keys: None, altering: false }
    }

    /// More partitions, or another policy: everything is looked at anew.
    pub(super) fn look_again(&mut self, now: Millis) {
        *self = Self { altering: self.altering, ..Self::new(self.state, now) };
    }
}

pub(super) fn holes(compaction: Compaction) -> Holes {
    match compaction {
        Compaction::Off => Holes::Markers,
        Compaction::Later | Compaction::On => Holes::Repeats,
    }
}

impl Engine {
    /// The source's policy, or what stands here, is another one than was believed.
    pub(super) fn on_compaction(
        &mut self,
        topic: &Arc<str>,
        state: Compaction,
        delete_retention_ms: Option<i64>,
        now: Now,
    ) {
        let Some(watch) = self.topics.get_mut(topic) else { return };
        if watch.cleaning.state != state {
            tracing::info!(%topic, was = ?watch.cleaning.state, is = ?state, "compaction");
            watch.cleaning.state = state;
            watch.cleaning.look_again(now.mono);
        }
        for partition in 0..watch.partitions {
            if let Some(slot) = self.slots.get_mut(&TopicPartition::new(Arc::clone(topic), partition)) {
                slot.machine.fill_holes_by(holes(state));
                slot.compacted_with(delete_retention_ms);
            }
        }
    }

    /// Ends that a probe sent at `asked` found: behind them nothing has a null key.
    pub(super) fn note_null_key_bounds(&mut self, ends: &[(TopicPartition, SourceOffset)], asked: Millis) {
        let waits = |watch: &TopicWatch| {
            let Cleaning { state, ends_from, past_null_keys, .. } = &watch.cleaning;
            *state == Compaction::Later && past_null_keys.is_none() && asked >= *ends_from
        };
        if !self.topics.values().any(waits) {
            return;
        }
        let ends: HashMap<&TopicPartition, SourceOffset> = ends.iter().map(|(tp, end)| (tp, *end)).collect();
        for (topic, watch) in self.topics.iter_mut().filter(|(_, watch)| waits(watch)) {
            let of = |n| ends.get(&TopicPartition::new(Arc::clone(topic), n)).copied();
            watch.cleaning.past_null_keys = (0..watch.partitions).map(of).collect();
        }
    }

    /// Compacts the mirrors whose partitions are all past their bounds.
    pub(super) fn dispatch_compaction(&mut self, now: Millis) {
        if now < self.compaction_at {
            return;
        }
        self.compaction_at = now.plus(COMPACTION_INTERVAL_MS);
        let is_due = |topic: &Arc<str>, watch: &TopicWatch| {
            let Cleaning { state: Compaction::Later, past_null_keys: Some(bounds), altering: false, .. } =
                &watch.cleaning
            else {
                return false;
            };
            // Of other agents' partitions the caretaker of the link knows how far they are.
            let held = |n| {
                let tp = TopicPartition::new(Arc::clone(topic), n);
                self.slots.get(&tp).map_or_else(|| self.owning.held(&tp), |slot| slot.machine.durable())
            };
            let is_past = |(at, bound): (Option<DestOffset>, &SourceOffset)| {
                at.is_some_and(|at| at >= bound.mirrored())
            };
            self.owning.is_caretaker() && (0..watch.partitions).map(held).zip(bounds).all(is_past)
        };
        let due: Vec<_> =
            self.topics.iter().filter(|(t, w)| is_due(t, w)).map(|(topic, _)| Arc::clone(topic)).collect();
        for topic in due {
            self.alter_policy(&topic, Altered::Compacted);
        }
    }

    /// A record without a key was refused (INVALID_RECORD, 87): the source has taken some since, or somebody has
    /// compacted the mirror by hand.
    pub(super) fn on_null_key_refused(&mut self, topic: &Arc<str>) {
        let is_compacted = self
            .topics
            .get(topic)
            .is_some_and(|w| w.cleaning.state == Compaction::On && !w.cleaning.altering);
        if is_compacted {
            tracing::warn!(%topic, "a record without a key came after the mirror was compacted: uncompacted until past it");
            self.alter_policy(topic, Altered::Uncompacted);
        }
    }

    fn alter_policy(&mut self, topic: &Arc<str>, wanted: Altered) {
        let Some(watch) = self.topics.get_mut(topic) else { return };
        watch.cleaning.altering = true;
        let (dest, topic, events) = (self.setup.dest.clone(), Arc::clone(topic), self.events_in.clone());
        let there = Arc::clone(&watch.dest_topic);
        self.tasks.spawn(async move {
            let (name, delete) = uncompacted();
            let policy = if wanted == Altered::Compacted { COMPACTED_POLICY } else { delete };
            let altered = match incremental_alter_configs(&dest, &there, &[(name, Some(policy))]).await {
                Ok(()) => wanted,
                Err(error) => {
                    tracing::warn!(%topic, policy, %error, "the mirror's cleanup.policy cannot be changed yet");
                    Altered::Failed
                }
            };
            // A closed channel: the engine has ended and no longer wants to know.
            let _ = events.send(Event::PolicyAltered { topic, altered }).await;
            "compaction"
        }.in_current_span());
    }

    pub(super) fn on_policy_altered(&mut self, topic: &Arc<str>, altered: Altered, now: Now) {
        let Some(watch) = self.topics.get_mut(topic) else { return };
        watch.cleaning.altering = false;
        match (altered, watch.cleaning.state) {
            (Altered::Compacted, Compaction::Later) => {
                watch.cleaning.state = Compaction::On;
                tracing::info!(%topic, "past every null key: compacted on the destination too, as at the source");
            }
            (Altered::Uncompacted, Compaction::On) => {
                watch.cleaning.state = Compaction::Later;
                watch.cleaning.look_again(now.mono);
            }
            // The source has changed its mind meanwhile; what stands here is put right by the settings keeper.
            _ => {}
        }
    }
}
