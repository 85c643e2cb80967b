//! What is kept of a link between scrapes and over its restarts: counters that only grow.
//! A report's counters begin at 0 with every start of the link: what is smaller than before is a new beginning.

use lockstep_core::mirror::Now;

use crate::pipeline::latency::{Failures, Latency};
use crate::pipeline::report::LinkReport;
use crate::status::is_over;

/// One link.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) totals: Counters,
    /// Time for which the exposure, seen or (of a silent source) estimated, was above the limit.
    pub(super) breach_ms: u64,
    /// As the running instance last told.
    last: Counters,
    /// When it was above the limit at the last look: then.
    over_since_look: Option<Now>,
}

/// Everything that only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) aligned_offsets: u64,
    pub(super) lost_records: u64,
    pub(super) failures: Failures,
    pub(super) latency: Latency,
}

impl Kept {
    /// `None`: the link does not run.
    pub(super) fn observe(&mut self, report: Option<&LinkReport>, rpo_ms: u64, now: Now) {
        if let Some(before) = self.over_since_look {
            self.breach_ms += now.mono.since(before.mono);
        }
        self.over_since_look = report.filter(|report| is_over(report, rpo_ms, now.wall)).map(|_| now);
        if let Some(report) = report {
            let told = Counters::of(report);
            let since = if told.began_anew_after(&self.last) { Counters::default() } else { self.last };
            self.totals.grow(&since, &told);
            self.last = told;
        }
    }
}

impl Counters {
    fn of(report: &LinkReport) -> Self {
        Self {
            records: report.copied_records,
            bytes: report.copied_bytes,
            aligned_offsets: report.aligned_offsets,
            lost_records: report.lost_records(),
            failures: report.failures,
            latency: report.latency,
        }
    }

    fn each(&self) -> Vec<u64> {
        let Self { records, bytes, aligned_offsets, lost_records, failures, latency } = self;
        let Failures { transient, needs_action, denied } = failures;
        let mut all =
            vec![*records, *bytes, *aligned_offsets, *lost_records, *transient, *needs_action, *denied];
        all.push(latency.sum_ms);
        all.extend(latency.counts);
        all
    }

    fn began_anew_after(&self, before: &Self) -> bool {
        self.each().iter().zip(before.each()).any(|(now, before)| *now < before)
    }

    fn grow(&mut self, from: &Self, to: &Self) {
        let add =
            |total: &mut u64, from: u64, to: u64| *total = total.saturating_add(to.saturating_sub(from));
        add(&mut self.records, from.records, to.records);
        add(&mut self.bytes, from.bytes, to.bytes);
        add(&mut self.aligned_offsets, from.aligned_offsets, to.aligned_offsets);
        add(&mut self.lost_records, from.lost_records, to.lost_records);
        add(&mut self.failures.transient, from.failures.transient, to.failures.transient);
        add(&mut self.failures.needs_action, from.failures.needs_action, to.failures.needs_action);
        add(&mut self.failures.denied, from.failures.denied, to.failures.denied);
        add(&mut self.latency.sum_ms, from.latency.sum_ms, to.latency.sum_ms);
        for (total, (from, to)) in
            self.latency.counts.iter_mut().zip(from.latency.counts.iter().zip(to.latency.counts))
        {
            add(total, *from, to);
        }
    }
}
