//! A process's links for Prometheus: names and units as docs/OPERATIONS.md lists them, text on demand.
//! Gauges are taken from a link's last status; counters are kept here and survive a link's restart. Moments are exported,
//! not ages, so that a link that is stuck shows a growing one; what is not known has no series. Labels are bounded: links
//! as configured, topics up to [`TOPICS_MAX`] of a link, partitions only where asked for.

mod catalogue;
mod kept;
mod write;

use std::collections::BTreeMap;

use lockstep_core::mirror::Millis;
use prometheus::TextEncoder;

use crate::pipeline::report::LinkReport;
use crate::status::LinkStatus;
use kept::Kept;

/// Topics of a link that have series of their own: the first by name, so that they do not come and go.
pub const TOPICS_MAX: usize = 500;

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

    /// Takes over how a link stands at `now`. `report`: of the instance that runs; its counters start at 0 when the link
    /// does, these here go on.
    pub fn observe(&mut self, status: LinkStatus, report: Option<&LinkReport>, now: Millis) {
        match self.links.get_mut(&status.link) {
            Some(kept) => kept.observe(status, report, now),
            None => {
                let mut kept = Kept::new(status.clone(), now);
                let link = status.link.clone();
                kept.observe(status, report, now);
                self.links.insert(link, kept);
            }
        }
    }

    /// A link that is configured no more has no series.
    pub fn forget(&mut self, link: &str) {
        self.links.remove(link);
    }

    /// The text that a scrape gets (`text/plain; version=0.0.4`).
    ///
    /// # Errors
    /// The families cannot be encoded, which is a defect.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let families =
            catalogue::families(&self.links, self.partition_series, self.started_timestamp_seconds);
        TextEncoder::new().encode_to_string(&families)
    }
}

#[cfg(test)]
mod tests;
