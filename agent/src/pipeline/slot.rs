//! What the engine keeps per partition: its state machine, its exposure, and what was asked on its behalf.

use std::sync::Arc;

use lockstep_core::dr::estimate::WireSize;
use lockstep_core::dr::runway::SourceRetention;
use lockstep_core::ids::{DestOffset, SourceOffset, TopicPartition};
use lockstep_core::mirror::align::Span;
use lockstep_core::mirror::copying::{AppendReceipt, Content};
use lockstep_core::mirror::cost::Cost;
use lockstep_core::mirror::opening::{Displaced, Facts};
use lockstep_core::mirror::partition::{Partition, Phase};
use lockstep_core::mirror::{Millis, WallMillis};
use lockstep_core::spec::pace::Priority;

use super::budget::Permit;
use super::gauge::Gauge;
use super::lane::{Asked, Lane};
use super::names::{DestPartition, Twin};
use super::open_transactions::OpenTransaction;
use super::position::{Going, Position};
use super::report::PartitionReport;

/// M19: the source's cleaner drops a tombstone `delete.retention.ms` after it first saw it. If the mirror holds the
/// value before it and was away for longer, that key may live on here. A hole met then is the sign of it.
#[derive(Debug)]
struct Tombstones {
    /// `None`: the topic is not compacted.
    delete_retention_ms: Option<i64>,
    /// Age of what the mirror held when it was opened; `None` once it has caught up since.
    lag_ms: Option<i64>,
    at_risk: bool,
}

impl Tombstones {
    fn note(&mut self, aligned_offsets: u64) {
        if let (Some(retention), Some(lag)) = (self.delete_retention_ms, self.lag_ms) {
            self.at_risk |= aligned_offsets > 0 && lag > retention;
        }
    }
}

/// One partition of a link.
#[derive(Debug)]
pub(super) struct Slot {
    /// What the destination calls it.
    pub(super) dest: DestPartition,
    pub(super) machine: Partition<Arc<Permit>>,
    pub(super) gauge: Gauge,
    /// Which topics go first, and this one's place among them.
    pub(super) priority: Priority,
    /// Why it is fetched.
    pub(super) lane: Lane,
    /// The source's last stable offset when it was opened.
    stable_at_opening: Option<SourceOffset>,
    /// The last fetch that was sent for it.
    pub(super) asked: Option<Asked>,
    /// Appends whose answers are still to come, and the lane they all went: one may not overtake another.
    appends_out: usize,
    append_lane: Lane,
    /// No fetch before this moment: the source refused the last one.
    pub(super) fetch_not_before: Millis,
    /// What the source said to the last fetch, if it was an error.
    pub(super) fetch_trouble: Option<String>,
    /// What the destination held, idle, when the probe under way was sent; `None`: appends were in flight.
    pub(super) probed_at: Option<DestOffset>,
    /// Probes in a row that found another high watermark there.
    pub(super) moved_probes: u32,
    /// To be looked at in the next opening.
    pub(super) displaced: Option<Displaced>,
    /// The standby's log start, last known.
    pub(super) dest_start: Option<DestOffset>,
    /// The source's log start that is not followed because retention does not explain it (M20).
    pub(super) held_back: Option<SourceOffset>,
    /// Why what should be deleted here is not.
    pub(super) delete_refused: Option<String>,
    /// What stands at the start of this log was looked at, and deleted or kept for a reason.
    start_settled: bool,
    /// Fillers stand below this offset until they are deleted (M14).
    fillers_below: Option<DestOffset>,
    /// The large hole that was announced last: where it begins, and what filling it costs (M14).
    pub(super) aligning: Option<(SourceOffset, Cost)>,
    /// What the source deleted before it was copied (M9), oldest first, neighbours joined.
    pub(super) lost: Vec<Span>,
    /// The last stable offset, and since when it has stood below the source's end.
    pub(super) undecided: Option<(SourceOffset, Millis)>,
    /// What holds it back (M16).
    pub(super) hanging: Option<OpenTransaction>,
    tombstones: Tombstones,
    counted_to: Option<DestOffset>,
    /// Offsets that hold no record of the source: markers, repeats, fillers.
    pub(super) aligned_offsets: u64,
    pub(super) copied_records: u64,
    pub(super) copied_bytes: u64,
}

impl Slot {
    pub(super) fn new(
        machine: Partition<Arc<Permit>>,
        dest: DestPartition,
        priority: Priority,
        delete_retention_ms: Option<i64>,
    ) -> Self {
        Self {
            dest,
            machine,
            gauge: Gauge::default(),
            priority,
            lane: Lane::Live,
            stable_at_opening: None,
            asked: None,
            appends_out: 0,
            append_lane: Lane::Live,
            fetch_not_before: Millis(0),
            fetch_trouble: None,
            probed_at: None,
            moved_probes: 0,
            displaced: None,
            dest_start: None,
            held_back: None,
            delete_refused: None,
            start_settled: false,
            fillers_below: None,
            aligning: None,
            lost: Vec::new(),
            undecided: None,
            hanging: None,
            tombstones: Tombstones { delete_retention_ms, lag_ms: None, at_risk: false },
            counted_to: None,
            aligned_offsets: 0,
            copied_records: 0,
            copied_bytes: 0,
        }
    }

    /// Both names; `source`: this slot's key.
    pub(super) fn twin(&self, source: &TopicPartition) -> Twin {
        Twin { source: source.clone(), dest: self.dest.clone() }
    }

    /// Whether the source has more that may be fetched; not while it copies nothing.
    pub(super) fn is_behind(&self) -> bool {
        let stable = self.machine.source_ends().map(|ends| ends.last_stable).max(self.stable_at_opening);
        self.machine.fetched_to().zip(stable).is_some_and(|(to, stable)| to < stable)
    }

    /// The lane of an append that goes out now.
    pub(super) fn appending(&mut self) -> Lane {
        if self.appends_out == 0 {
            self.append_lane = self.lane;
        }
        self.appends_out += 1;
        self.append_lane
    }

    /// An append has its answer.
    pub(super) fn appended(&mut self) {
        self.appends_out = self.appends_out.saturating_sub(1);
    }

    /// Found complete up to `end`. What came after the last receipt is ours too: its answer was lost.
    pub(super) fn opened(&mut self, end: DestOffset, now: Millis) {
        if let Some(counted) = self.counted_to {
            self.copied_records += (end.0 - counted.0).max(0).unsigned_abs();
        }
        self.counted_to = Some(end);
        self.gauge.exposure.held(now, end);
    }

    /// Notes what an opening found.
    pub(super) fn looked(&mut self, facts: &Facts, now: WallMillis) {
        self.dest_start = Some(facts.dest_start);
        self.stable_at_opening = Some(facts.source_stable);
        // What this mirror or an earlier one wrote last says how long nobody has been reading.
        let written = facts.producer.filter(|_| facts.dest_end > facts.dest_start);
        if let Some(producer) = written {
            self.gauge.wrote_until(producer.last_timestamp_ms);
        }
        self.tombstones.lag_ms = written.map(|p| now.0.saturating_sub(p.last_timestamp_ms));
    }

    /// Takes a receipt; its permit is released here.
    pub(super) fn received(&mut self, receipt: &AppendReceipt<Arc<Permit>>, now: Millis) {
        let offsets = (receipt.next.0 - receipt.from.0).max(0).unsigned_abs();
        let records = match receipt.content {
            Content::Records(records) => {
                self.gauge.copied(now, offsets, receipt.bytes as u64, receipt.max_timestamp_ms);
                records
            }
            Content::Markers(_) | Content::Fillers => 0,
        };
        if receipt.content == Content::Fillers {
            self.fillers_below = Some(receipt.next);
        }
        self.copied_records += records;
        let aligned = offsets.saturating_sub(records);
        self.aligned_offsets += aligned;
        self.tombstones.note(aligned);
        if self.machine.phase() == Phase::CaughtUp {
            self.tombstones.lag_ms = None;
        }
        self.copied_bytes += receipt.bytes as u64;
        self.counted_to = Some(receipt.next);
        self.gauge.exposure.held(now, receipt.next);
    }

    /// The source's cleaner works from now on, with this `delete.retention.ms`, or no longer (M19).
    pub(super) fn compacted_with(&mut self, delete_retention_ms: Option<i64>) {
        self.tombstones.delete_retention_ms = delete_retention_ms;
    }

    /// Notes how far the source's log start was followed.
    pub(super) fn followed(&mut self, dest_start: DestOffset, held_back: Option<SourceOffset>) {
        self.start_settled |= held_back.is_some() || self.dest_start < Some(dest_start);
        self.dest_start = Some(dest_start);
        self.held_back = held_back;
    }

    /// M14: whether consumers of the mirror may see fillers, ours or an earlier mirror's, that still have to be deleted.
    fn may_show_fillers(&self) -> bool {
        let (Some(ends), Some(start)) = (self.machine.source_ends(), self.dest_start) else { return false };
        let below = self.fillers_below.is_some_and(|below| start < below);
        start < ends.log_start.mirrored() && (below || !self.start_settled)
    }

    /// Caught up is only what shows its consumers what the source shows.
    fn phase(&self) -> Phase {
        match self.machine.phase() {
            Phase::CaughtUp if self.may_show_fillers() => Phase::Copying,
            phase => phase,
        }
    }

    /// The announced hole, while it is being filled.
    fn aligning_now(&self) -> Option<Cost> {
        let (from, cost) = self.aligning?;
        let end = from.plus(i64::try_from(cost.offsets).unwrap_or(i64::MAX));
        self.machine.durable().is_some_and(|durable| durable < end.mirrored()).then_some(cost)
    }

    /// Notes records that are gone for good. A hole that is met again, half filled, is one loss.
    pub(super) fn lose(&mut self, span: Span) {
        match self.lost.last_mut() {
            Some(last) if span.from <= last.next => last.next = last.next.max(span.next),
            _ => self.lost.push(span),
        }
    }

    pub(super) fn position(&self) -> Position {
        let stopped = matches!(self.machine.phase(), Phase::Stopped(_));
        let fetched_end = self.machine.source_ends().map(|e| e.high_watermark);
        Position {
            held: self.machine.durable(),
            // Where fillers may stand the log is about to begin later.
            start: self.dest_start.filter(|_| !self.may_show_fillers()),
            source_end: self.gauge.exposure.last_source_end().max(fetched_end),
            going: if stopped { Going::Stopped } else { Going::On },
        }
    }

    /// `others`: what an offset takes elsewhere on the link; `retention`: of the source's topic, as far as it is known.
    pub(super) fn report(
        &self,
        tp: &TopicPartition,
        others: WireSize,
        retention: Option<SourceRetention>,
        now: Millis,
    ) -> PartitionReport {
        let figures = self.gauge.figures(self.machine.source_ends(), others, now);
        let ends = self.machine.source_ends();
        let fetched_end = ends.map(|e| e.high_watermark);
        let trouble = self.machine.trouble().map(|t| t.text.clone()).or_else(|| self.fetch_trouble.clone());
        PartitionReport {
            tp: tp.clone(),
            dest_topic: Arc::clone(self.dest.topic()),
            phase: self.phase(),
            source_end: self.gauge.exposure.last_source_end().max(fetched_end),
            source_last_stable: ends.map(|e| e.last_stable),
            durable: self.machine.durable(),
            figures,
            denied: self.gauge.refusals.iter().cloned().collect(),
            waiting: self.gauge.waiting(&figures, self.machine.durable(), others),
            retention,
            behind_since: self.gauge.exposure.behind_since(),
            held_as_of: self.gauge.exposure.held_as_of(),
            copied_at: self.gauge.copied_at,
            held_back: self.held_back,
            delete_refused: self.delete_refused.clone(),
            aligning: self.aligning_now(),
            lost: self.lost.clone(),
            hanging: self.hanging,
            tombstones_at_risk: self.tombstones.at_risk,
            trouble,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m19_a_hole_after_a_long_absence_puts_tombstones_at_risk() {
        let fresh = |lag_ms| Tombstones { delete_retention_ms: Some(1_000), lag_ms, at_risk: false };
        let risk = |mut tombstones: Tombstones, aligned| {
            tombstones.note(aligned);
            tombstones.at_risk
        };
        assert!(risk(fresh(Some(1_001)), 1));
        assert!(!risk(fresh(Some(1_001)), 0), "nothing was cleaned away");
        assert!(!risk(fresh(Some(1_000)), 1), "not away for long enough");
        assert!(!risk(fresh(None), 1), "it held nothing, or has caught up since");
        let uncompacted = Tombstones { delete_retention_ms: None, ..fresh(Some(1_001)) };
        assert!(!risk(uncompacted, 1));
    }
}
