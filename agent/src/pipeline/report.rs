//! What a link says of itself: plain figures, taken from the engine a few times a second.
//! Nothing here decides; a figure that is not known is `None`, never zero.

use std::sync::Arc;

use lockstep_core::dr::denied::Denied;
use lockstep_core::dr::exposure::Measured;
use lockstep_core::dr::runway::{SourceRetention, Waiting};
use lockstep_core::dr::total::{Figures, Total};
use lockstep_core::ids::{DestOffset, SourceOffset, TopicPartition};
use lockstep_core::mirror::align::Span;
use lockstep_core::mirror::cost::Cost;
use lockstep_core::mirror::partition::Phase;
use lockstep_core::mirror::{Millis, Now};
use lockstep_core::plan::configs::Drift;

use super::groups::report::GroupsReport;
use super::latency::{Failures, Latency};
use super::names::Twin;
use super::open_transactions::OpenTransaction;

/// The link as of now.
#[derive(Clone, Debug, Default)]
pub struct LinkReport {
    /// When it was made; `None`: nothing was looked at yet.
    pub at: Option<Now>,
    /// Records made durable on the destination by this process.
    pub copied_records: u64,
    /// Offsets filled without a record of the source: markers, repeats, fillers.
    pub aligned_offsets: u64,
    /// Bytes of the batches made durable, as they are on the wire.
    pub copied_bytes: u64,
    /// Fetched records in memory, and the bound.
    pub memory_bytes: usize,
    pub memory_bytes_max: usize,
    /// Sorted by topic and partition.
    pub partitions: Vec<PartitionReport>,
    /// Partitions of the link that are another agent's work: nothing is said of them here.
    pub elsewhere: u64,
    /// The division of the link that is carried out, nothing of an earlier one being in flight; `None`: it is not
    /// divided, or not yet so.
    pub settled_epoch: Option<u64>,
    /// Settings of standby topics that are not as their owners have them, by topic and name.
    pub drift: Arc<[Drift]>,
    /// Topics that cannot be mirrored as things stand, and why.
    pub blocked_topics: Vec<(String, String)>,
    /// Of blocked topics the partitions of which the standby holds nothing: they count from their start.
    pub unheld: Vec<(TopicPartition, Figures)>,
    /// What the clusters refuse for topics as a whole, such as creating them.
    pub denied: Vec<Arc<Denied>>,
    pub latency: Latency,
    pub failures: Failures,
    /// The right to write markers is missing on the destination, and how to grant it (M15).
    pub missing_right: Option<String>,
    /// What the last round over both clusters could not reach.
    pub silent: Vec<String>,
    /// The link's consumer groups; empty where it copies none.
    pub groups: Arc<GroupsReport>,
}

/// One partition.
#[derive(Clone, Debug)]
pub struct PartitionReport {
    /// As the source calls it.
    pub tp: TopicPartition,
    /// What the destination calls the topic.
    pub dest_topic: Arc<str>,
    pub phase: Phase,
    /// The source's log end, last known.
    pub source_end: Option<SourceOffset>,
    /// The source's last stable offset, last known: nothing above it is decided yet (M16).
    pub source_last_stable: Option<SourceOffset>,
    /// Complete and durable on the destination below this offset.
    pub durable: Option<DestOffset>,
    /// Its exposure.
    pub figures: Figures,
    /// What a cluster refuses of what this partition needs.
    pub denied: Vec<Arc<Denied>>,
    /// What its runway rests on.
    pub waiting: Waiting,
    /// The source topic's settings about deletion, read once something waits.
    pub retention: Option<SourceRetention>,
    /// Since when the standby lacks something, and up to when it is complete, on the clock of [`LinkReport::at`].
    pub behind_since: Option<Millis>,
    pub held_as_of: Option<Millis>,
    /// When something was copied last.
    pub copied_at: Option<Millis>,
    /// The source deleted records up to here for which its retention is no reason; they are kept (M20).
    pub held_back: Option<SourceOffset>,
    /// Offsets without a record are being filled, and what that was estimated to cost (M14).
    pub aligning: Option<Cost>,
    /// Records that the source deleted before they were copied (M9).
    pub lost: Vec<Span>,
    /// The transaction that holds everything behind it back (M16).
    pub hanging: Option<OpenTransaction>,
    /// Deleted keys may live on here: the source cleaned tombstones away before they were read (M19).
    pub tombstones_at_risk: bool,
    /// The destination refuses to delete what the source no longer has, or what stood in for it: the log starts too early
    /// here, and fillers may show (M14, M20).
    pub delete_refused: Option<String>,
    /// Why it is not copying.
    pub trouble: Option<String>,
}

impl PartitionReport {
    /// By both its names.
    pub fn twin(&self) -> Twin {
        Twin::new(self.tp.clone(), &self.dest_topic)
    }

    /// Records of the source that the destination does not hold.
    pub fn lag_records(&self) -> Option<u64> {
        let lag = self.source_end?.0 - self.durable?.0;
        Some(lag.max(0).unsigned_abs())
    }
}

impl LinkReport {
    /// Every partition that can be copied has been, up to what the source has decided. Not before there is one.
    pub fn is_caught_up(&self) -> bool {
        let is_done = |p: &PartitionReport| matches!(p.phase, Phase::CaughtUp | Phase::Stopped(_));
        !self.partitions.is_empty() && self.partitions.iter().all(is_done)
    }

    /// Settings that still differ; what was put back is not among them.
    pub fn open_drift(&self) -> impl Iterator<Item = &Drift> {
        self.drift.iter().filter(|drift| drift.is_open())
    }

    /// Records lost for good, over all partitions (M9).
    pub fn lost_records(&self) -> u64 {
        self.partitions.iter().flat_map(|p| &p.lost).map(Span::offsets).sum()
    }

    pub fn stopped(&self) -> impl Iterator<Item = &PartitionReport> {
        self.partitions.iter().filter(|p| matches!(p.phase, Phase::Stopped(_)))
    }

    /// Sum over the partitions whose lag is known.
    pub fn lag_records(&self) -> u64 {
        self.partitions.iter().filter_map(PartitionReport::lag_records).sum()
    }

    /// Every partition's figures, those of blocked topics too.
    pub fn figures(&self) -> impl Iterator<Item = &Figures> {
        self.partitions.iter().map(|p| &p.figures).chain(self.unheld.iter().map(|(_, figures)| figures))
    }

    /// The link's exposure with its labels, bytes and ages.
    pub fn total(&self) -> Total {
        self.figures().collect()
    }

    /// The link's exposure: records added up, the longest time, the oldest datum; unknown if any part is.
    pub fn exposure(&self) -> Measured {
        let total = self.total();
        match (total.seen(), total.datum_age_ms) {
            (Some(seen), Some(datum_age_ms)) if total.unknown == 0 => {
                Measured::Seen { records: seen.records, milliseconds: seen.milliseconds, datum_age_ms }
            }
            _ => Measured::Unknown,
        }
    }
}
