//! Why a partition stands still for good, each with the evidence an operator needs and the remedy.
//! A verdict is final within the process: a restart looks again. Data on the destination is always kept.

use std::fmt;

use super::cost::Cost;
use crate::ids::{DestOffset, LeaderEpoch, ProducerIdentity, SourceOffset, TopicId};

/// The end of a partition's copying (M9, M18).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody else wrote into the mirrored partition (M18).
    Contaminated { at: DestOffset, producer_id: i64 },
    /// Our own append landed later than its place: records exist twice or a marker too many (M18).
    Slipped { at: DestOffset, shift: i64 },
    /// Source and destination no longer tell the same story (M9, M10).
    Diverged(Divergence),
    /// A newer generation writes to this partition (M9).
    Fenced { ours: ProducerIdentity, found_epoch: i16 },
    /// The source topic is gone; what was copied is kept (M9).
    Orphaned,
    /// The source's batch here can be read neither by us nor by anybody else.
    Unreadable { at: SourceOffset, reason: String },
    /// Filling this hole would cost more than the alignment budget: the operator decides (M14).
    NeedsDecision { at: SourceOffset, next: SourceOffset, cost: Cost },
}

/// What tells the two sides apart (M9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Divergence {
    /// The source ends before the mirror, under its current leader epoch.
    SourceEndsEarlier {
        source_end: SourceOffset,
        source_epoch: LeaderEpoch,
        dest_end: DestOffset,
        /// The source's epoch of our last record; unknown when this process did not copy it.
        copied_epoch: LeaderEpoch,
    },
    /// The last record that exists on both sides is not the same.
    TailDiffers { at: SourceOffset, difference: String, source_epoch: LeaderEpoch, copied_epoch: LeaderEpoch },
    /// The source answered that the epoch we copied under ends before our position (KIP-595, M10).
    EpochEndsEarlier { epoch: LeaderEpoch, end: SourceOffset, position: SourceOffset },
    /// The source topic was deleted and created again.
    TopicRecreated { was: TopicId, is: TopicId },
}

impl Verdict {
    /// One stable lower-case word, used in JSON, metrics and tests.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Contaminated { .. } => "contaminated",
            Self::Slipped { .. } => "slipped",
            Self::Diverged(_) => "diverged",
            Self::Fenced { .. } => "fenced",
            Self::Orphaned => "orphaned",
            Self::Unreadable { .. } => "unreadable",
            Self::NeedsDecision { .. } => "needs_decision",
        }
    }

    /// Adds the epoch under which our last record was copied, where that is evidence.
    #[must_use]
    pub fn copied_under(mut self, epoch: LeaderEpoch) -> Self {
        if let Self::Diverged(
            Divergence::SourceEndsEarlier { copied_epoch, .. } | Divergence::TailDiffers { copied_epoch, .. },
        ) = &mut self
        {
            *copied_epoch = epoch;
        }
        self
    }

    /// What the operator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Contaminated { .. } => {
                "stop that producer, delete the topic on the destination and start the mirror again"
            }
            Self::Slipped { .. } => "delete the topic on the destination and start the mirror again",
            Self::Diverged(Divergence::TopicRecreated { .. }) => {
                "if the new source topic is the one wanted, delete the topic on the destination; the old data are kept until then"
            }
            Self::Diverged(_) => {
                "the destination holds records that the source has lost: keep them, or delete the topic on the destination to copy it anew"
            }
            Self::Fenced { .. } => {
                "another owner of this link is newer: stop this mirror, or give it a --link name of its own"
            }
            Self::Orphaned => "delete the topic on the destination if it is no longer wanted",
            Self::Unreadable { .. } => {
                "check the source topic (kafka-dump-log on its broker); nothing was written past this offset"
            }
            Self::NeedsDecision { .. } => {
                "raise --alignment-budget, or leave the topic out with --exclude; nothing was written past this offset"
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contaminated { at, producer_id } if *producer_id >= 0 => {
                write!(f, "contaminated at offset {at}: written by a foreign producer (id {producer_id})")
            }
            Self::Contaminated { at, .. } => {
                write!(
                    f,
                    "contaminated at offset {at}: written by a foreign producer (not idempotent, no id)"
                )
            }
            Self::Slipped { at, shift } => write!(
                f,
                "slipped at offset {at}: the destination is {shift} offsets ahead of the source from here on"
            ),
            Self::Diverged(divergence) => write!(f, "diverged: {divergence}"),
            Self::Fenced { ours, found_epoch } => {
                write!(f, "fenced: we write as {ours}, the partition has seen epoch {found_epoch}")
            }
            Self::Orphaned => write!(f, "orphaned: the source topic is gone, the mirror's data are kept"),
            Self::Unreadable { at, reason } => {
                write!(f, "unreadable at offset {at}: the source's batch cannot be read: {reason}")
            }
            Self::NeedsDecision { at, next, cost } => write!(
                f,
                "needs a decision at offset {at}: nothing to copy before {next}, and to get there costs {cost}, above the alignment budget"
            ),
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourceEndsEarlier { source_end, source_epoch, dest_end, copied_epoch } => {
                write!(
                    f,
                    "the source ends at offset {source_end} (leader epoch {source_epoch}), the mirror at {dest_end}"
                )?;
                write_copied_under(f, *copied_epoch)
            }
            Self::TailDiffers { at, difference, source_epoch, copied_epoch } => {
                write!(
                    f,
                    "the record at offset {at} is not the same on both sides: {difference} (source leader epoch {source_epoch})"
                )?;
                write_copied_under(f, *copied_epoch)
            }
            Self::EpochEndsEarlier { epoch, end, position } => write!(
                f,
                "the source's leader epoch {epoch} ends at offset {end}, the mirror is at {position}"
            ),
            Self::TopicRecreated { was, is } => {
                write!(f, "the source topic was deleted and created again (id was {was}, is {is})")
            }
        }
    }
}

fn write_copied_under(f: &mut fmt::Formatter<'_>, epoch: LeaderEpoch) -> fmt::Result {
    if epoch.is_known() { write!(f, ", whose last record was copied under epoch {epoch}") } else { Ok(()) }
}

/// Verdicts that good facts do not refute: only another fetch answer can.
pub(super) fn is_seen_by_fetching(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Diverged(Divergence::EpochEndsEarlier { .. }) | Verdict::Unreadable { .. })
}

/// Ends move while we look: two verdicts agree when they are of one kind.
pub(super) fn same_kind(a: &Verdict, b: &Verdict) -> bool {
    match (a, b) {
        (Verdict::Diverged(a), Verdict::Diverged(b)) => {
            std::mem::discriminant(a) == std::mem::discriminant(b)
        }
        (Verdict::Unreadable { at: a, .. }, Verdict::Unreadable { at: b, .. }) => a == b,
        _ => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}
