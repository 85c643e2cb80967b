//! What is kept on the standby and what follows the source: log starts (M20), and with `--propagate all` deleted
//! and recreated topics. Without it the copy of a topic that is gone stays as it is. And who keeps the source's own
//! consumers waiting: transactions that do not end (M16).

use std::sync::Arc;

use lockstep_core::ids::TopicPartition;
use lockstep_core::mirror::partition::Phase;
use lockstep_core::mirror::retention::Propagation;
use lockstep_core::mirror::{Millis, Now};

use tracing::Instrument;

use super::Engine;
use crate::pipeline::event::Event;
use crate::pipeline::open_transactions::{OpenTransaction, open_transactions};
use crate::pipeline::retention::{Behind, Followed, follow_log_starts};

const RETENTION_INTERVAL_MS: u64 = 5_000;

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
        self.tasks.spawn(
            async move {
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
            }
            .in_current_span(),
        );
    }

    pub(super) fn on_followed(&mut self, followed: Vec<Followed>) {
        self.following = false;
        for Followed { tp, dest_start, held_back, refused } in followed {
            let Some(slot) = self.slots.get_mut(&tp) else { continue };
            if let Some(why) = refused.as_ref().filter(|_| slot.delete_refused != refused) {
                tracing::warn!(partition = %tp, "{why}");
            }
            slot.delete_refused = refused;
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
        self.tasks.spawn(
            async move {
                let found = open_transactions(&source, &standing).await;
                let found = found.into_iter().filter_map(|(tp, open)| Some((tp, open.ok()?))).collect();
                // A closed channel: the engine has ended and no longer wants to know.
                let _ = events.send(Event::Hanging(found)).await;
                "hanging"
            }
            .in_current_span(),
        );
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
            self.drop_slot(&tp);
        }
        self.forget_elsewhere(topic);
        self.topics.remove(topic);
    }
}
