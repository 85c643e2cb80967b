//! Hands out whatever work has become possible: openings, probes, fetches, appends. Never waits: what does not fit
//! now is found again in the next turn.

use std::sync::Arc;
use std::time::Duration;

use lockstep_core::ids::TopicPartition;
use lockstep_core::mirror::Millis;
use lockstep_core::mirror::partition::{FetchPosition, Phase};
use lockstep_kafka::fetch::{FetchLimits, FetchTarget};

use super::{Engine, OPEN_ROUNDS_MAX, PARTITION_BYTES_MAX};
use crate::pipeline::desks::FetchDesk;
use crate::pipeline::event::Event;
use crate::pipeline::open::{Ask, Opener};
use crate::pipeline::probe::probe;
use crate::pipeline::source::FetchJob;
use crate::pipeline::tail::Writers;

/// A source broker with nothing new answers after this long.
const LONG_POLL: Duration = Duration::from_millis(250);
/// The same while a partition waits for room: it must be asked for soon.
const SHORT_POLL: Duration = Duration::from_millis(10);
/// The largest fetch answer asked for.
const FETCH_BYTES_MAX: usize = 8 << 20;
/// Partitions opened together.
const OPEN_ROUND_MAX: usize = 500;

impl Engine {
    /// Hands out whatever work has become possible.
    pub(super) fn dispatch(&mut self) {
        // What is here goes out before more is asked for: somebody waits for it.
        for desk in self.sink_desks.values_mut() {
            desk.dispatch();
        }
        for desk in self.marker_desks.values_mut() {
            desk.dispatch();
        }
        if !self.stopping {
            let now = self.now();
            self.dispatch_fetches(now.mono);
            self.dispatch_openings(now.mono);
            self.dispatch_probe(now.mono);
            self.dispatch_retention(now);
            self.dispatch_hanging(now.mono);
            self.dispatch_compaction(now.mono);
        }
    }

    fn dispatch_openings(&mut self, now: Millis) {
        while self.open_rounds < OPEN_ROUNDS_MAX {
            let mut asks = Vec::new();
            while asks.len() < OPEN_ROUND_MAX && self.due.first().is_some_and(|(at, _)| *at <= now) {
                let Some((_, tp)) = self.due.pop_first() else { break };
                let displaced = self.slots.get(&tp).and_then(|slot| slot.displaced);
                asks.push(Ask { tp, displaced });
            }
            if asks.is_empty() {
                return;
            }
            self.open_rounds += 1;
            let opener = Opener {
                source: self.setup.source.clone(),
                dest: self.setup.dest.clone(),
                writers: Writers {
                    inherited: Arc::clone(&self.setup.inherited),
                    link: self.setup.identity,
                    filler: self.setup.filler.identity(),
                },
                budget: self.setup.budget.clone(),
            };
            let events = self.events_in.clone();
            self.tasks.spawn(async move {
                let facts = opener.gather(asks).await;
                // A closed channel: the engine has ended and no longer wants to know.
                let _ = events.send(Event::Opened { facts }).await;
                "open"
            });
        }
    }

    fn dispatch_probe(&mut self, now: Millis) {
        if self.probing || now < self.probe_at || self.slots.is_empty() {
            return;
        }
        self.probing = true;
        self.probe_sent = now;
        let (source, dest) = (self.setup.source.clone(), self.setup.dest.clone());
        for slot in self.slots.values_mut() {
            slot.probed_at = slot.machine.durable().filter(|_| slot.machine.phase() == Phase::CaughtUp);
        }
        let partitions: Arc<[TopicPartition]> = self.slots.keys().cloned().collect();
        let events = self.events_in.clone();
        self.tasks.spawn(async move {
            let answer = probe(&source, &dest, partitions).await;
            let _ = events.send(Event::Probed(answer)).await;
            "probe"
        });
    }

    fn dispatch_fetches(&mut self, now: Millis) {
        let nodes: Vec<_> = self.routes.source_nodes().collect();
        let share = self.setup.budget.capacity_bytes() / (2 * nodes.len().max(1));
        let bytes_max = share.clamp(64 << 10, FETCH_BYTES_MAX);
        for node in nodes {
            let (setup, events, tasks) = (&self.setup, &self.events_in, &mut self.tasks);
            let desk = self
                .fetch_desks
                .entry(node)
                .or_insert_with(|| FetchDesk::open(node, &setup.source, &setup.budget, events, tasks));
            if !desk.idle || !desk.attention {
                continue;
            }
            desk.attention = false;
            let mut targets = Vec::new();
            let mut someone_waits = false;
            for tp in self.routes.led_by(node) {
                let (Some(slot), Some(route)) = (self.slots.get_mut(tp), self.routes.source(tp)) else {
                    continue;
                };
                // Never another topic of the same name: its records would be appended as if they continued (M9).
                let pinned = slot.machine.source_id();
                let same_topic = !pinned.is_known() || route.topic_id == pinned;
                match slot.machine.wants() {
                    Some(_) if slot.fetch_not_before > now || !same_topic => someone_waits = true,
                    None => someone_waits |= slot.machine.has_in_flight(),
                    Some(FetchPosition { offset, last_epoch }) => {
                        slot.fetch_sent = Some(offset);
                        targets.push(FetchTarget {
                            tp: tp.clone(),
                            topic_id: route.topic_id,
                            offset,
                            current_leader_epoch: route.epoch,
                            last_fetched_epoch: last_epoch,
                            partition_bytes_max: PARTITION_BYTES_MAX as i32,
                        });
                    }
                }
            }
            if !targets.is_empty() {
                let max_wait = if someone_waits { SHORT_POLL } else { LONG_POLL };
                let limits = FetchLimits { max_wait, min_bytes: 1, bytes_max: bytes_max as i32 };
                desk.hand_over(FetchJob { targets, limits });
            }
        }
    }
}
