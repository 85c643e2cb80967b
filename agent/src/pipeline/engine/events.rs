//! Answers of the engine's tasks, turned into inputs of the partitions they concern.

use std::sync::Arc;

use lockstep_core::dr::denied::Side;
use lockstep_core::ids::{NodeId, SourceOffset, TopicPartition};
use lockstep_core::mirror::copying::AppendAnswer;
use lockstep_core::mirror::markers::MarkerAnswer;
use lockstep_core::mirror::partition::{Input, Phase, SourceEnds};
use lockstep_core::mirror::{Now, Trouble};
use lockstep_kafka::fetch::FetchedPartition;
use lockstep_kafka::{Api, Class, ErrorCode, MissingPermission};

use super::Engine;
use crate::pipeline::budget::Permit;
use crate::pipeline::denied::{Deed, by_code};
use crate::pipeline::desks::Look;
use crate::pipeline::event::{AppendOutcome, Event, FetchOutcome, MarkerOutcome};
use crate::pipeline::lane::Lane;
use crate::pipeline::position::Position;
use crate::pipeline::slot::Slot;

/// Pause before a partition is fetched again that the source has just refused.
const FETCH_PAUSE_MS: u64 = 200;

impl Engine {
    pub(super) fn on_event(&mut self, event: Event) {
        let now = self.now();
        self.stirred |= event.is_news();
        match event {
            Event::Fetched { node, lane, outcome } => {
                let Some(desk) = self.fetch_desks.get_mut(&(node, lane)) else { return };
                desk.idle = true;
                let is_calm = outcome.as_ref().is_ok_and(|outcome| outcome.partitions.is_empty());
                desk.look(if is_calm { Look::Again } else { Look::Anew });
                let job = desk.job;
                match outcome {
                    Ok(outcome) => self.on_fetched((node, lane), job, outcome, now),
                    Err(trouble) => self.on_fetch_failed(node, lane, &trouble),
                }
            }
            Event::Produced { node, lane, answers } => self.on_produced((node, lane), answers, now),
            Event::Marked { answers } => {
                for MarkerOutcome { partition, ticket, answer, metadata_stale } in answers {
                    if metadata_stale {
                        self.setup.dest_stale.notify_one();
                    }
                    match &answer {
                        MarkerAnswer::Written { .. } => self.note_success(&partition, Deed::Write),
                        MarkerAnswer::Failed(trouble) => self.note_trouble(&partition, Deed::Write, trouble),
                    }
                    self.feed(&partition, Input::Marked { ticket, answer }, now);
                }
            }
            Event::Hanging(found) => self.on_hanging(found),
            Event::PolicyAltered { topic, altered } => self.on_policy_altered(&topic, altered, now),
            Event::Compaction { topic, state, delete_retention_ms } => {
                self.on_compaction(&topic, state, delete_retention_ms, now);
            }
            Event::Drift(drift) => self.drift = drift,
            Event::Opened { facts } => {
                self.open_rounds = self.open_rounds.saturating_sub(1);
                for (tp, facts) in facts {
                    let input = match facts {
                        Ok(facts) => {
                            if let Some(slot) = self.slots.get_mut(&tp) {
                                slot.looked(&facts, now.wall);
                            }
                            self.note_success(&tp, Deed::Open);
                            Input::Facts(Box::new(facts))
                        }
                        Err(trouble) => {
                            // Leadership is the usual reason; asking early costs one request.
                            self.setup.source_stale.notify_one();
                            self.setup.dest_stale.notify_one();
                            self.note_trouble(&tp, Deed::Open, &trouble);
                            Input::OpenFailed(trouble)
                        }
                    };
                    self.feed(&tp, input, now);
                }
            }
            Event::Probed(answer) => self.on_probed(answer, now),
            Event::Followed(followed) => self.on_followed(followed),
            Event::PositionsWanted { of, answer } => {
                let positions = of.into_iter().map(|tp| (tp.clone(), self.position(&tp))).collect();
                // Who asked may have gone.
                let _ = answer.send(positions);
            }
            Event::SourceMetadata(metadata) => self.on_source_metadata(&metadata, now),
            Event::DestMetadata(metadata) => self.on_dest_metadata(&metadata),
            Event::TopicReady(ready) => self.on_topic_ready(&ready, now),
            Event::TopicBlocked { topic, why, denied } => self.on_topic_blocked(&topic, why, denied),
            Event::Retentions(found) => self.on_retentions(found),
        }
    }

    fn position(&self, tp: &TopicPartition) -> Position {
        self.slots.get(tp).map_or_else(|| self.owning.position(tp), Slot::position)
    }

    fn on_fetched(&mut self, desk: (NodeId, Lane), job: u64, outcome: FetchOutcome, now: Now) {
        let FetchOutcome { partitions, bytes, permit } = outcome;
        if let Some(throttle) = &mut self.throttle {
            throttle.spend(bytes as u64, now.mono);
        }
        for partition in partitions {
            let Some(slot) = self.slots.get(&partition.tp) else { continue };
            let Some(asked) = slot.asked.filter(|asked| asked.desk == desk && asked.job == job) else {
                continue;
            };
            match partition.error {
                None => self.on_fetched_partition(partition, asked.offset, &permit, now),
                Some(code) => self.on_fetch_refused(&partition, asked.offset, code, now),
            }
        }
    }

    fn on_fetched_partition(
        &mut self,
        fetched: FetchedPartition,
        at: SourceOffset,
        permit: &Arc<Permit>,
        now: Now,
    ) {
        let Some(slot) = self.slots.get_mut(&fetched.tp) else { return };
        slot.fetch_trouble = None;
        slot.gauge.refusals.note(Deed::Fetch, None);
        let bytes = fetched.records.len();
        let input = match fetched.diverging {
            Some(diverging) => {
                Input::SourceDiverges { at, epoch: diverging.epoch, end: SourceOffset(diverging.end_offset) }
            }
            None => Input::Fetched {
                at,
                records: fetched.records,
                aborted: fetched.aborted,
                ends: SourceEnds {
                    log_start: SourceOffset(fetched.log_start),
                    high_watermark: SourceOffset(fetched.high_watermark),
                    last_stable: SourceOffset(fetched.last_stable_offset),
                },
                permit: Arc::clone(permit),
            },
        };
        self.feed(&fetched.tp, input, now);
        self.choose_lane(&fetched.tp, |lane, is_behind| lane.after(bytes, is_behind));
    }

    /// Moves a partition to the lane that `next` names. Its next fetch goes there.
    pub(super) fn choose_lane(&mut self, tp: &TopicPartition, next: impl FnOnce(Lane, bool) -> Lane) {
        let Some(slot) = self.slots.get_mut(tp) else { return };
        let lane = next(slot.lane, slot.is_behind());
        match lane {
            Lane::Live => self.behind.remove(tp),
            Lane::Backlog => self.behind.insert(tp.clone()),
        };
        let before = std::mem::replace(&mut slot.lane, lane);
        if lane != before {
            self.look_at(tp, before);
            self.look_at(tp, lane);
        }
    }

    fn on_fetch_refused(&mut self, fetched: &FetchedPartition, at: SourceOffset, code: ErrorCode, now: Now) {
        let Some(slot) = self.slots.get_mut(&fetched.tp) else { return };
        slot.fetch_not_before = now.mono.plus(FETCH_PAUSE_MS);
        let missing =
            MissingPermission::aside(self.setup.source.settings(), Api::Fetch, code, &fetched.tp.topic);
        let text = format!("the source refused a fetch: {code}{missing}");
        let settings = self.setup.source.settings();
        let denied = by_code(Side::Source, settings, Api::Fetch, code, &fetched.tp.topic);
        let trouble = if code.class() == Class::Fatal { Trouble::slow(text) } else { Trouble::soon(text) };
        let trouble = trouble.because(denied);
        slot.fetch_trouble = Some(trouble.text.clone());
        self.note_trouble(&fetched.tp, Deed::Fetch, &trouble);
        if code == ErrorCode::OFFSET_OUT_OF_RANGE {
            self.feed(&fetched.tp, Input::OutOfRange { at }, now);
        }
        if code.refreshes_metadata() {
            self.setup.source_stale.notify_one();
        }
    }

    fn on_fetch_failed(&mut self, node: NodeId, lane: Lane, trouble: &Trouble) {
        self.count_trouble(trouble);
        let partitions: Vec<_> = self.routes.led_by(node).cloned().collect();
        for tp in partitions {
            if let Some(slot) = self.slots.get_mut(&tp).filter(|slot| slot.lane == lane) {
                slot.fetch_trouble = Some(trouble.text.clone());
                slot.gauge.refusals.note(Deed::Fetch, trouble.denied.clone());
            }
        }
        self.setup.source_stale.notify_one();
    }

    fn on_produced(&mut self, desk: (NodeId, Lane), answers: Vec<AppendOutcome>, now: Now) {
        if let Some(desk) = self.sink_desks.get_mut(&desk) {
            desk.under_way = desk.under_way.saturating_sub(1);
        }
        for AppendOutcome { partition, ticket, answer, metadata_stale, refused } in answers {
            if metadata_stale {
                self.setup.dest_stale.notify_one();
            }
            match &answer {
                AppendAnswer::Acknowledged { .. } => self.note_success(&partition, Deed::Write),
                AppendAnswer::Failed(trouble) => self.note_trouble(&partition, Deed::Write, trouble),
            }
            if refused == Some(ErrorCode::INVALID_RECORD) {
                self.on_null_key_refused(&partition.topic);
            }
            if let Some(slot) = self.slots.get_mut(&partition) {
                slot.appended();
            }
            self.feed(&partition, Input::Appended { ticket, answer }, now);
        }
    }

    /// Whether a partition still needs anything from its source topic.
    pub(super) fn is_alive(phase: &Phase) -> bool {
        !matches!(phase, Phase::Stopped(_))
    }
}
