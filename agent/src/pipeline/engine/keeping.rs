//! What is kept on the standby and what follows the source: log starts (M20), and with `--propagate all` deleted
//! and recreated topics. Without it the copy of a topic that is gone stays as it is. And who keeps the source's own
//! consumers waiting: transactions that do not end (M16).

use std::sync::Arc;

use lockstep_core::ids::{SourceOffset, TopicPartition};
use lockstep_core::mirror::partition::Phase;
use lockstep_core::mirror::retention::Propagation;
use lockstep_core::mirror::{Millis, Now};
use lockstep_core::plan::topics::Compaction;
use lockstep_kafka::admin::incremental_alter_configs;

use super::Engine;
use crate::pipeline::event::Event;
use crate::pipeline::open_transactions::{OpenTransaction, open_transactions};
use crate::pipeline::retention::{Behind, Followed, follow_log_starts};
use crate::pipeline::slot::Slot;

const RETENTION_INTERVAL_MS: u64 = 5_000;

const COMPACTION_INTERVAL_MS: u64 = 2_000;

/// A last stable offset that has stood still below the end for so long is worth a question.
const HANGING_AFTER_MS: u64 = 5_000;
const HANGING_INTERVAL_MS: u64 = 5_000;

impl Engine {
    /// Starts a round over the partitions whose source starts later than the standby, one at a time.
    pub(super) fn dispatch_retention(&mut self, now: Now) {
        if self.following || now.mono < self.retention_at {
            return;
        }
        self.retention_at = now.mono.plus(RETENTION_INTERVAL_MS);
        let behind: Vec<_> = self
            .slots
            .iter()
            .filter(|(_, slot)| !matches!(slot.machine.phase(), Phase::Stopped(_)))
            .filter_map(|(tp, slot)| {
                let (ends, dest_start) = (slot.machine.source_ends()?, slot.dest_start?);
                let durable = slot.machine.durable()?;
                let behind = ends.log_start.mirrored() > dest_start && durable > dest_start;
                let twin = slot.twin(tp);
                behind.then_some(Behind { twin, source_start: ends.log_start, dest_start, durable })
            })
            .collect();
        if behind.is_empty() {
            return;
        }
        self.following = true;
        let (source, dest) = (self.setup.source.clone(), self.setup.dest.clone());
        let (propagation, events) = (self.setup.propagation, self.events_in.clone());
        self.tasks.spawn(async move {
            let followed = match follow_log_starts(&source, &dest, propagation, &behind, now.wall).await {
                Ok(followed) => followed,
                Err(error) => {
                    tracing::warn!(%error, "the source's log starts could not be followed");
                    Vec::new()
                }
            };
            // A closed channel: the engine has ended and no longer wants to know.
            let _ = events.send(Event::Followed(followed)).await;
            "retention"
        });
    }

    pub(super) fn on_followed(&mut self, followed: Vec<Followed>) {
        self.following = false;
        for Followed { tp, dest_start, held_back } in followed {
            let Some(slot) = self.slots.get_mut(&tp) else { continue };
            if slot.dest_start != Some(dest_start) {
                tracing::info!(partition = %tp, start = dest_start.0, "log start follows the source's");
            }
            slot.followed(dest_start, held_back);
        }
    }

    /// Asks the source which transaction holds partitions back that have stood still for a while.
    pub(super) fn dispatch_hanging(&mut self, now: Millis) {
        if self.asking_hanging || now < self.hanging_at {
            return;
        }
        self.hanging_at = now.plus(HANGING_INTERVAL_MS);
        let mut standing = Vec::new();
        for (tp, slot) in &mut self.slots {
            let below = slot.machine.source_ends().filter(|ends| ends.last_stable < ends.high_watermark);
            let Some(ends) = below else {
                (slot.undecided, slot.hanging) = (None, None);
                continue;
            };
            match slot.undecided {
                Some((offset, since)) if offset == ends.last_stable => {
                    if now.since(since) >= HANGING_AFTER_MS {
                        standing.push(tp.clone());
                    }
                }
                _ => (slot.undecided, slot.hanging) = (Some((ends.last_stable, now)), None),
            }
        }
        if standing.is_empty() {
            return;
        }
        self.asking_hanging = true;
        let (source, events) = (self.setup.source.clone(), self.events_in.clone());
        self.tasks.spawn(async move {
            let found = open_transactions(&source, &standing).await;
            let found = found.into_iter().filter_map(|(tp, open)| Some((tp, open.ok()?))).collect();
            // A closed channel: the engine has ended and no longer wants to know.
            let _ = events.send(Event::Hanging(found)).await;
            "hanging"
        });
    }

    pub(super) fn on_hanging(&mut self, found: Vec<(TopicPartition, Option<OpenTransaction>)>) {
        self.asking_hanging = false;
        for (tp, open) in found {
            let Some(slot) = self.slots.get_mut(&tp) else { continue };
            if let Some(open) = open
                && slot.hanging != Some(open)
            {
                tracing::warn!(partition = %tp, "held back at the source: {open}");
            }
            slot.hanging = open;
        }
    }

    /// M21: the mirror of a compacted topic becomes compacted once all of its partitions are past whatever may have a
    /// null key: a compacted topic refuses it, and the source has done so since it became one.
    pub(super) fn dispatch_compaction(&mut self, now: Millis) {
        if now < self.compaction_at {
            return;
        }
        self.compaction_at = now.plus(COMPACTION_INTERVAL_MS);
        for (topic, watch) in &mut self.topics {
            let Compaction::Later { settings } = &watch.compaction else { continue };
            let slots =
                || (0..watch.partitions).map(|n| self.slots.get(&TopicPartition::new(Arc::clone(topic), n)));
            let Some(goals) = &watch.past_null_keys else {
                let ends = slots().map(|slot| Some(slot?.machine.source_ends()?.high_watermark));
                watch.past_null_keys = ends.collect();
                continue;
            };
            let is_past = |(slot, goal): (Option<&Slot>, &SourceOffset)| {
                slot.and_then(|slot| slot.machine.durable()).is_some_and(|durable| durable >= goal.mirrored())
            };
            if goals.len() != slots().count() || !slots().zip(goals).all(is_past) {
                continue;
            }
            let (dest, topic, settings) = (self.setup.dest.clone(), Arc::clone(topic), settings.clone());
            let (events, there) = (self.events_in.clone(), Arc::clone(&watch.dest_topic));
            // Not a second time while this is under way.
            watch.past_null_keys = None;
            self.tasks.spawn(async move {
                let changes: Vec<_> = settings.iter().map(|(n, v)| (n.as_str(), Some(v.as_str()))).collect();
                let done = incremental_alter_configs(&dest, &there, &changes).await;
                if let Err(error) = &done {
                    tracing::warn!(%topic, %error, "the mirror cannot be made a compacted topic yet");
                }
                // A closed channel: the engine has ended and no longer wants to know.
                let _ = events.send(Event::Compacted { topic, done: done.is_ok() }).await;
                "compaction"
            });
        }
    }

    pub(super) fn on_compacted(&mut self, topic: &Arc<str>, done: bool) {
        let Some(watch) = self.topics.get_mut(topic).filter(|_| done) else { return };
        watch.compaction = Compaction::On;
        tracing::info!(%topic, "past every null key: compacted on the destination too, as at the source");
    }

    /// `--propagate all`: a topic that is gone or another one at the source goes on the destination too, once all
    /// of its partitions stand still.
    pub(super) fn retire(&mut self, topic: &Arc<str>, partitions: i32) {
        if self.setup.propagation != Propagation::All {
            return;
        }
        let all: Vec<_> = (0..partitions).map(|n| TopicPartition::new(Arc::clone(topic), n)).collect();
        let still =
            |tp| self.slots.get(tp).is_none_or(|slot| matches!(slot.machine.phase(), Phase::Stopped(_)));
        if !all.iter().all(still) || self.retired.try_send(Arc::clone(topic)).is_err() {
            // Not yet, or the follower is busy: the next look at the metadata comes here again.
            return;
        }
        for tp in all {
            self.slots.remove(&tp);
            self.routes.drop_source(&tp);
            self.due.retain(|(_, due): &(Millis, TopicPartition)| *due != tp);
        }
        self.topics.remove(topic);
    }
}
