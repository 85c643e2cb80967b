//! What is measured and never decides what is copied: ends of both sides, refusals, the source's settings about deletion,
//! and topics of which the standby holds nothing because they are blocked. Everything ages when nobody answers.
//! A topic counts as gone only when the source, asked by name, does not know it: a list leaves out what we may not see.

use std::sync::Arc;

use lockstep_core::dr::denied::{Denied, Side};
use lockstep_core::dr::estimate::WireSize;
use lockstep_core::dr::runway::SourceRetention;
use lockstep_core::ids::{DestOffset, TopicPartition};
use lockstep_core::mirror::partition::{Input, Phase};
use lockstep_core::mirror::{Millis, Now, Pace, Trouble};

use tracing::Instrument;

use super::Engine;
use crate::pipeline::denied::Deed;
use crate::pipeline::event::Event;
use crate::pipeline::gauge::Gauge;
use crate::pipeline::names::Twin;
use crate::pipeline::owned::Duty;
use crate::pipeline::probe::{ProbeAnswer, Questions, Roster, probe};
use crate::pipeline::report::LinkReport;
use crate::pipeline::retention::read_retentions;
use crate::pipeline::slot::Slot;

/// How often both sides are asked for their ends, and how much later for every partition. With the metadata's own interval
/// the longest is short enough that a right that is taken away shows within five seconds.
const PROBE_INTERVAL_MS: u64 = 1_000;
const PROBE_INTERVAL_EACH_MS: u64 = 4;
const PROBE_INTERVAL_MAX_MS: u64 = 2_500;
const PROBE_SHARE: u64 = 100;

/// A high watermark may lag for a moment after an election: it has to be found elsewhere this often in a row.
const MOVED_PROBES: u32 = 2;

/// Settings are read of topics that something waits in, and again after a while.
const SETTINGS_INTERVAL_MS: u64 = 5_000;
const SETTINGS_AGE_MS: u64 = 600_000;
/// Topics in one round.
const SETTINGS_TOPICS_MAX: usize = 200;

/// Partitions of blocked topics that are measured; more only make the sum larger.
const UNHELD_MAX: usize = 10_000;

impl Engine {
    pub(super) fn dispatch_probe(&mut self, now: Millis) {
        if self.probing
            || now < self.probe_at
            || (self.slots.is_empty() && self.unheld.is_empty() && !self.owning.has_to_probe())
        {
            return;
        }
        self.probing = true;
        self.probe_sent = now;
        let (source, dest) = (self.setup.source.clone(), self.setup.dest.clone());
        for slot in self.slots.values_mut() {
            slot.probed_at = slot.machine.durable().filter(|_| slot.machine.phase() == Phase::CaughtUp);
        }
        let without_start = |gauge: &Gauge| gauge.exposure.dest_age_ms(now).is_none();
        let starts = self.unheld.iter().filter(|(_, gauge)| without_start(gauge));
        let elsewhere: Arc<[Twin]> = self.owning.to_probe().into();
        let questions = Questions {
            starts: starts
                .map(|(tp, _)| tp.clone())
                .chain(elsewhere.iter().map(|twin| twin.source.clone()))
                .collect(),
            roster: self.roster(&elsewhere),
            dest_starts: elsewhere,
        };
        let events = self.events_in.clone();
        self.tasks.spawn(
            async move {
                let answer = probe(&source, &dest, questions).await;
                let _ = events.send(Event::Probed(answer)).await;
                "probe"
            }
            .in_current_span(),
        );
    }

    /// Made anew once a partition has come or gone, or metadata have changed.
    fn roster(&mut self, elsewhere: &[Twin]) -> Arc<Roster> {
        let (source, dest) = (&self.setup.source, &self.setup.dest);
        match &self.roster {
            Some(roster) if roster.is_current(source, dest) => Arc::clone(roster),
            _ => {
                let ours = self.slots.iter().map(|(tp, slot)| slot.twin(tp));
                let mut partitions: Vec<_> = ours.chain(elsewhere.iter().cloned()).collect();
                partitions.sort_by(|a, b| a.source.cmp(&b.source));
                let roster = Arc::new(Roster::new((source, dest), &partitions, self.unheld.keys()));
                Arc::clone(self.roster.insert(roster))
            }
        }
    }

    pub(super) fn on_probed(&mut self, answer: ProbeAnswer, now: Now) {
        (self.probing, self.measured) = (false, true);
        // On large links a round is work: it takes a hundredth of the time at most, and comes every few seconds at least.
        let took = now.mono.since(self.probe_sent);
        let interval = PROBE_INTERVAL_MS + PROBE_INTERVAL_EACH_MS * self.slots.len() as u64;
        self.probe_at = self.probe_sent.plus((took * PROBE_SHARE).max(interval).min(PROBE_INTERVAL_MAX_MS));
        for (tp, start) in answer.source_starts {
            if let Some(gauge) = self.unheld.get_mut(&tp) {
                gauge.exposure.held(now.mono, start.mirrored());
            }
            self.owning.starts(&tp, Some(start), None);
        }
        for (tp, start) in answer.dest_starts {
            self.owning.starts(&tp, None, Some(start));
        }
        self.note_null_key_bounds(&answer.source_ends, self.probe_sent);
        for (tp, end) in answer.source_ends {
            if let Some(slot) = self.slots.get_mut(&tp) {
                slot.gauge.source_end(now.mono, end);
                slot.gauge.refusals.note(Deed::SourceEnd, None);
                slot.gauge.look(now.mono, slot.machine.durable(), slot.machine.source_ends());
            } else if let Some(gauge) = self.unheld.get_mut(&tp) {
                gauge.source_end(now.mono, end);
                // Nothing of it stands here: that needs no answer.
                gauge.exposure.dest_confirmed(now.mono);
            } else {
                self.owning.source_end(&tp, end);
            }
        }
        for (tp, mark) in answer.dest_high_watermarks {
            self.on_high_watermark(&tp, mark, now);
        }
        self.stirred |= !answer.refused.is_empty();
        for (tp, denied) in answer.refused {
            let deed = if denied.side == Side::Source { Deed::SourceEnd } else { Deed::DestEnd };
            if let Some(slot) = self.slots.get_mut(&tp) {
                slot.gauge.refusals.note(deed, Some(denied));
            }
        }
        for (name, watch) in &mut self.topics {
            watch.gone_at = answer.gone.contains(name).then_some(now.mono);
        }
        if answer.troubles != self.silent {
            self.stirred = true;
            for trouble in &answer.troubles {
                tracing::warn!("{trouble}");
            }
        }
        if !answer.troubles.is_empty() {
            self.setup.source_stale.notify_one();
            self.setup.dest_stale.notify_one();
        }
        self.silent = answer.troubles;
    }

    /// The destination confirms what we hold, or shows twice in a row that its log is not where we left it.
    fn on_high_watermark(&mut self, tp: &TopicPartition, mark: DestOffset, now: Now) {
        let Some(slot) = self.slots.get_mut(tp) else { return self.owning.high_watermark(tp, mark) };
        slot.gauge.refusals.note(Deed::DestEnd, None);
        if slot.machine.durable().is_some_and(|durable| mark >= durable) {
            slot.gauge.exposure.dest_confirmed(now.mono);
        }
        // Only a partition that stood still from the question to the answer can be compared.
        let still = slot.probed_at.is_some() && slot.probed_at == slot.machine.durable();
        slot.moved_probes = if still && slot.probed_at != Some(mark) { slot.moved_probes + 1 } else { 0 };
        if slot.moved_probes >= MOVED_PROBES {
            slot.moved_probes = 0;
            self.feed(tp, Input::DestMoved { high_watermark: mark }, now);
        }
    }

    /// Counts a failure, and keeps a refusal until the same deed works.
    pub(super) fn note_trouble(&mut self, tp: &TopicPartition, deed: Deed, trouble: &Trouble) {
        self.count_trouble(trouble);
        if let Some(slot) = self.slots.get_mut(tp) {
            slot.gauge.refusals.note_if(deed, trouble.denied.as_ref());
        }
    }

    pub(super) fn count_trouble(&mut self, trouble: &Trouble) {
        match (&trouble.denied, trouble.pace) {
            (Some(_), _) => self.failures.denied += 1,
            (None, Pace::Slow) => self.failures.needs_action += 1,
            (None, Pace::Soon) => self.failures.transient += 1,
        }
    }

    /// The deed works again.
    pub(super) fn note_success(&mut self, tp: &TopicPartition, deed: Deed) {
        if let Some(slot) = self.slots.get_mut(tp) {
            slot.gauge.refusals.note(deed, None);
        }
    }

    /// A topic that cannot be mirrored as things stand. What the source holds of it counts, from its start.
    pub(super) fn on_topic_blocked(&mut self, topic: &str, why: String, denied: Option<Denied>) {
        let known = self.topics.get(topic).map_or(0, |watch| watch.partitions);
        let name: Arc<str> = Arc::from(topic);
        let there = self.setup.source.metadata().topics.get(&name).map_or(0, |found| found.partitions.len());
        for partition in known..i32::try_from(there).unwrap_or(i32::MAX) {
            let tp = TopicPartition::new(Arc::clone(&name), partition);
            if self.unheld.len() < UNHELD_MAX && self.owning.duty(&tp) != Duty::Elsewhere {
                self.unheld.entry(tp).or_default();
            }
        }
        self.roster = None;
        match denied {
            Some(denied) => drop(self.blocked_by.insert(topic.to_owned(), Arc::new(denied))),
            None => drop(self.blocked_by.remove(topic)),
        }
        if self.blocked.get(topic) != Some(&why) {
            tracing::warn!(topic, "cannot be mirrored as things stand: {why}");
            self.blocked.insert(topic.to_owned(), why);
        }
    }

    /// It stands ready, or is gone.
    pub(super) fn unblock(&mut self, topic: &str) {
        self.blocked.remove(topic);
        self.blocked_by.remove(topic);
        let before = self.unheld.len();
        self.unheld.retain(|tp, _| &*tp.topic != topic);
        if self.unheld.len() < before {
            self.roster = None;
        }
    }

    /// Reads the source's settings about deletion for topics that something waits in.
    pub(super) fn dispatch_settings(&mut self, now: Millis) {
        if self.reading_settings || now < self.settings_at {
            return;
        }
        self.settings_at = now.plus(SETTINGS_INTERVAL_MS);
        let waits = |slot: &Slot| slot.gauge.exposure.behind_since().is_some();
        let mut topics: Vec<Arc<str>> = Vec::new();
        for (name, watch) in &mut self.topics {
            let young = watch.retention_asked.is_some_and(|at| now.since(at) < SETTINGS_AGE_MS);
            let mut slots = (0..watch.partitions)
                .filter_map(|n| self.slots.get(&TopicPartition::new(Arc::clone(name), n)));
            if !young && topics.len() < SETTINGS_TOPICS_MAX && slots.any(waits) {
                // Also where nothing comes of it: we may not be allowed to know.
                watch.retention_asked = Some(now);
                topics.push(Arc::clone(name));
            }
        }
        if topics.is_empty() {
            return;
        }
        self.reading_settings = true;
        let (source, events) = (self.setup.source.clone(), self.events_in.clone());
        self.tasks.spawn(
            async move {
                let found = read_retentions(&source, &topics).await.unwrap_or_else(|error| {
                    tracing::debug!(%error, "how long the source keeps its topics is not known");
                    Vec::new()
                });
                // A closed channel: the engine has ended and no longer wants to know.
                let _ = events.send(Event::Retentions(found)).await;
                "settings"
            }
            .in_current_span(),
        );
    }

    pub(super) fn on_retentions(&mut self, found: Vec<(Arc<str>, SourceRetention)>) {
        self.reading_settings = false;
        for (topic, retention) in found {
            if let Some(watch) = self.topics.get_mut(&topic) {
                watch.retention = Some(retention);
            }
        }
    }

    pub(super) fn publish(&mut self) {
        let now = self.now();
        let mut others = WireSize::default();
        for slot in self.slots.values() {
            others = others.plus(slot.gauge.size);
        }
        let retention = |tp: &TopicPartition| self.topics.get(&tp.topic)?.retention;
        let mut slots: Vec<_> = self.slots.iter().collect();
        slots.sort_unstable_by_key(|(tp, _)| *tp);
        let partitions =
            slots.into_iter().map(|(tp, slot)| slot.report(tp, others, retention(tp), now.mono)).collect();
        let unheld =
            self.unheld.iter().map(|(tp, gauge)| (tp.clone(), gauge.figures(None, others, now.mono)));
        let past = self.owning.past;
        let report = LinkReport {
            at: Some(now),
            copied_records: past.records + self.slots.values().map(|slot| slot.copied_records).sum::<u64>(),
            aligned_offsets: past.aligned + self.slots.values().map(|slot| slot.aligned_offsets).sum::<u64>(),
            copied_bytes: past.bytes + self.slots.values().map(|slot| slot.copied_bytes).sum::<u64>(),
            memory_bytes: self.setup.budget.used_bytes(),
            memory_bytes_max: self.setup.budget.capacity_bytes(),
            partitions,
            elsewhere: self.owning.elsewhere(),
            settled_epoch: self.owning.settled_epoch(),
            blocked_topics: self.blocked.iter().map(|(t, w)| (t.clone(), w.clone())).collect(),
            unheld: unheld.collect(),
            drift: Arc::clone(&self.drift),
            denied: self.blocked_by.values().cloned().collect(),
            latency: self.latency,
            failures: self.failures,
            silent: self.silent.clone(),
            missing_right: self.setup.right.missing(),
            groups: Arc::clone(&self.setup.groups.borrow()),
        };
        self.report.send_replace(Arc::new(report));
    }
}
