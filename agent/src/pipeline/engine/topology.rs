//! Topics and leaders as they come, move and go. A topic is taken for deleted or recreated only after several
//! looks over some seconds: a broker that has just started may answer with a part of the truth.

use std::sync::Arc;

use lockstep_core::dr::runway::SourceRetention;
use lockstep_core::ids::{TopicId, TopicPartition};
use lockstep_core::mirror::partition::Input;
use lockstep_core::mirror::{Millis, Now};
use lockstep_kafka::Metadata;

use super::Engine;
use super::compaction::Cleaning;
use crate::pipeline::desks::Look;
use crate::pipeline::event::ReadyTopic;

/// How long a topic has to be missing, or to carry another id, before anything follows from it.
const GONE_FOR_MS: u64 = 3_000;

/// What the engine remembers of a topic.
#[derive(Debug)]
pub(super) struct TopicWatch {
    pub(super) partitions: i32,
    /// What the destination calls it.
    pub(super) dest_topic: Arc<str>,
    /// As it stood ready first, for partitions that become ours later.
    pub(super) ready: ReadyTopic,
    source_id: TopicId,
    pub(super) cleaning: Cleaning,
    /// Since when it has been missing, or another topic under the same name.
    odd_since: Option<(Millis, Option<TopicId>)>,
    /// When the source, asked by name, did not know it: a list leaves out what we may not see.
    pub(super) gone_at: Option<Millis>,
    /// The source's settings about deletion, as last read, and when they were last asked for.
    pub(super) retention: Option<SourceRetention>,
    pub(super) retention_asked: Option<Millis>,
}

impl Engine {
    /// Opens the partitions of a topic that stands ready, or those it has grown by.
    pub(super) fn on_topic_ready(&mut self, ready: &ReadyTopic, now: Now) {
        self.unblock(&ready.topic);
        let known = self.topics.get(&ready.topic).map_or(0, |t| t.partitions);
        for partition in known..ready.partitions {
            self.divide(TopicPartition::new(Arc::clone(&ready.topic), partition), ready, now);
        }
        let watch = self.topics.entry(Arc::clone(&ready.topic)).or_insert(TopicWatch {
            partitions: 0,
            dest_topic: Arc::clone(&ready.dest_topic),
            ready: ready.clone(),
            source_id: ready.source_id,
            cleaning: Cleaning::new(ready.compaction, now.mono),
            odd_since: None,
            gone_at: None,
            retention: None,
            retention_asked: None,
        });
        if watch.partitions < ready.partitions {
            watch.partitions = ready.partitions;
            watch.cleaning.look_again(now.mono);
        }
    }

    pub(super) fn on_source_metadata(&mut self, metadata: &Arc<Metadata>, now: Now) {
        // The same `Arc` says that nothing has changed; what is odd grows older all the same.
        if !self.source_seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, metadata)) {
            self.source_seen = Some(Arc::clone(metadata));
            let slots = &self.slots;
            let alive =
                slots.iter().filter(|(_, slot)| Self::is_alive(&slot.machine.phase())).map(|(tp, _)| tp);
            self.routes.follow_source(metadata, alive);
            for desk in self.fetch_desks.values_mut() {
                desk.look(Look::Anew);
            }
        }
        let blocked: Vec<_> = self.blocked.keys().cloned().collect();
        for topic in blocked.iter().filter(|topic| !metadata.topics.contains_key(topic.as_str())) {
            // If it was a glance at half the truth, the follower blocks it again.
            self.unblock(topic);
        }
        let mut gone = Vec::new();
        for (name, watch) in &mut self.topics {
            let found = metadata.topics.get(name).map(|topic| topic.id);
            let same = found.is_some_and(|id| id == watch.source_id || !watch.source_id.is_known());
            watch.odd_since = match watch.odd_since {
                _ if same => None,
                Some((since, what)) if what == found => Some((since, what)),
                _ => Some((now.mono, found)),
            };
            if let Some((since, found)) = watch.odd_since
                && now.mono.since(since) >= GONE_FOR_MS
                && (found.is_some() || watch.gone_at >= Some(since))
            {
                gone.push((Arc::clone(name), watch.partitions, found));
            }
        }
        for (topic, partitions, found) in gone {
            for partition in 0..partitions {
                let tp = TopicPartition::new(Arc::clone(&topic), partition);
                let input = match found {
                    None => Input::SourceGone,
                    Some(is) => Input::SourceRecreated { is },
                };
                self.feed(&tp, input, now);
            }
            self.retire(&topic, partitions);
        }
    }

    pub(super) fn on_dest_metadata(&mut self, metadata: &Arc<Metadata>) {
        if !self.dest_seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, metadata)) {
            self.dest_seen = Some(Arc::clone(metadata));
            let partitions = self.slots.iter().map(|(tp, slot)| (tp, &slot.dest));
            self.routes.follow_dest(metadata, partitions);
        }
    }
}
