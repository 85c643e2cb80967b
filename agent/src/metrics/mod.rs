//! A process's links for Prometheus: names and units as docs/OPERATIONS.md lists them, text on demand.
//! Gauges are taken from a status made for the scrape; counters are kept here and survive a link's restart. Moments are exported,
//! not ages, so that a link that is stuck shows a growing one; what is not known has no series. Labels are bounded: links
//! as configured, topics up to [`TOPICS_MAX`] and groups up to [`GROUPS_MAX`] of a link, partitions only where asked for.

mod catalogue;
mod kept;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use lockstep_core::mirror::Now;
use prometheus::TextEncoder;

use crate::pipeline::groups::report::GroupsReport;
use crate::pipeline::report::LinkReport;
use crate::status::LinkStatus;
use kept::Kept;

/// Topics of a link that have series of their own: the first by name, so that they do not come and go.
pub const TOPICS_MAX: usize = 500;

/// Consumer groups of a link that have series of their own: the first by name.
pub const GROUPS_MAX: usize = 500;

/// Whether every partition has series of its own: on large links they are many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartitionSeries {
    #[default]
    Off,
    On,
}

/// See the module's description.
#[derive(Debug)]
pub struct Metrics {
    partition_series: PartitionSeries,
    started_timestamp_seconds: f64,
    links: BTreeMap<String, Kept>,
}

impl Metrics {
    /// `started_timestamp_seconds`: of the process, since 1970.
    #[must_use]
    pub fn new(partition_series: PartitionSeries, started_timestamp_seconds: f64) -> Self {
        Self { partition_series, started_timestamp_seconds, links: BTreeMap::new() }
    }

    /// Counts on at `now`, every second or so. `report`: of the instance that runs, if one does; its counters start at 0
    /// when the link does, these here go on. `rpo_ms`: the limit of exposure.
    pub fn observe(&mut self, link: &str, report: Option<&LinkReport>, rpo_ms: u64, now: Now) {
        match self.links.get_mut(link) {
            Some(kept) => kept.observe(report, rpo_ms, now),
            None => self.links.entry(link.to_owned()).or_default().observe(report, rpo_ms, now),
        }
    }

    /// A link that is configured no more has no series.
    pub fn forget(&mut self, link: &str) {
        self.links.remove(link);
    }

    /// The text that a scrape gets (`text/plain; version=0.0.4`). `links`: how each of them stands. `lease_ends`: where
    /// coordinators say which work there is, in seconds since 1970.
    ///
    /// # Errors
    /// The families cannot be encoded, which is a defect.
    pub fn render(&self, links: &[LinkNow], lease_ends: Option<f64>) -> Result<String, prometheus::Error> {
        let nothing = Kept::default();
        let shown: Vec<_> = links
            .iter()
            .map(|LinkNow { status, groups }| Shown {
                status,
                groups,
                kept: self.links.get(&status.link).unwrap_or(&nothing),
            })
            .collect();
        let process = Process { started: self.started_timestamp_seconds, lease_ends };
        let families = catalogue::families(&shown, self.partition_series, &process);
        TextEncoder::new().encode_to_string(&families)
    }
}

/// A link at the moment of a scrape.
#[derive(Clone, Debug)]
pub struct LinkNow {
    pub status: LinkStatus,
    /// Empty where it copies none, or does not run.
    pub groups: Arc<GroupsReport>,
}

/// What a link's series are written from.
struct Shown<'a> {
    status: &'a LinkStatus,
    groups: &'a GroupsReport,
    kept: &'a Kept,
}

/// What the process's own series are written from; moments in seconds since 1970.
struct Process {
    started: f64,
    lease_ends: Option<f64>,
}

#[cfg(test)]
mod tests;
