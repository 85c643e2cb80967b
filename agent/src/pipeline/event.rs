//! What the tasks tell the engine. Every event is an answer to something the engine asked for, or a change in
//! what a cluster looks like.

use std::collections::HashMap;
use std::sync::Arc;

use lockstep_core::dr::denied::Denied;
use lockstep_core::dr::runway::SourceRetention;
use lockstep_core::ids::{NodeId, TopicId, TopicPartition};
use lockstep_core::mirror::Trouble;
use lockstep_core::mirror::copying::AppendAnswer;
use lockstep_core::mirror::markers::MarkerAnswer;
use lockstep_core::mirror::opening::Facts;
use lockstep_core::mirror::window::Ticket;
use lockstep_core::plan::configs::Drift;
use lockstep_core::plan::topics::Compaction;
use lockstep_kafka::fetch::FetchedPartition;
use lockstep_kafka::{ErrorCode, Metadata};
use tokio::sync::oneshot;

use super::budget::Permit;
use super::engine::Altered;
use super::lane::Lane;
use super::open_transactions::OpenTransaction;
use super::position::Position;
use super::probe::ProbeAnswer;
use super::retention::Followed;

/// One thing that happened.
#[derive(Debug)]
pub enum Event {
    /// A fetcher is idle again, with an answer or the reason why there is none.
    Fetched {
        node: NodeId,
        lane: Lane,
        outcome: Result<FetchOutcome, Trouble>,
    },
    /// Answers to one produce request; the sink has a free slot again.
    Produced {
        node: NodeId,
        lane: Lane,
        answers: Vec<AppendOutcome>,
    },
    /// Answers to runs of markers: all of one request.
    Marked {
        answers: Vec<MarkerOutcome>,
    },
    /// Facts for the partitions of one opening round.
    Opened {
        facts: Vec<(TopicPartition, Result<Facts, Trouble>)>,
    },
    /// The ends of both sides, as far as they answered.
    Probed(ProbeAnswer),
    /// The open transactions that hold partitions back, as far as the source told (M16).
    Hanging(Vec<(TopicPartition, Option<OpenTransaction>)>),
    /// The mirror's `cleanup.policy` was changed, or could not be (M21).
    PolicyAltered {
        topic: Arc<str>,
        altered: Altered,
    },
    /// What the source says of its cleaning now, and what follows from what stands on the destination (M21).
    Compaction {
        topic: Arc<str>,
        state: Compaction,
        /// The source's `delete.retention.ms`, where its cleaner works (M19).
        delete_retention_ms: Option<i64>,
    },
    /// Settings of standby topics that are not as their owners have them.
    Drift(Arc<[Drift]>),
    /// Log starts that were followed, or held back (M20).
    Followed(Vec<Followed>),
    /// Somebody wants to know how far these partitions are; unknown ones are left out.
    PositionsWanted {
        of: Vec<TopicPartition>,
        answer: oneshot::Sender<HashMap<TopicPartition, Position>>,
    },
    SourceMetadata(Arc<Metadata>),
    DestMetadata(Arc<Metadata>),
    /// These topics stand ready on the destination.
    TopicReady(ReadyTopic),
    /// A topic cannot be mirrored as things stand; it is tried again.
    TopicBlocked {
        topic: String,
        why: String,
        /// What a cluster refuses, if that is the cause.
        denied: Option<Denied>,
    },
    /// Settings about deletion of source topics that wait (runway).
    Retentions(Vec<(Arc<str>, SourceRetention)>),
}

impl Event {
    /// Whether it may change what a report says by more than the age of its figures. What comes around while nothing
    /// happens is none; where it has consequences, those are.
    pub(super) fn is_news(&self) -> bool {
        match self {
            Self::Probed(_)
            | Self::PositionsWanted { .. }
            | Self::SourceMetadata(_)
            | Self::DestMetadata(_) => false,
            Self::Fetched { outcome: Ok(outcome), .. } => !outcome.partitions.is_empty(),
            _ => true,
        }
    }
}

#[derive(Debug)]
pub struct FetchOutcome {
    pub partitions: Vec<FetchedPartition>,
    /// Of the whole answer, as it came over the wire.
    pub bytes: usize,
    /// Accounts for the whole answer's memory.
    pub permit: Arc<Permit>,
}

#[derive(Debug)]
pub struct AppendOutcome {
    pub partition: TopicPartition,
    pub ticket: Ticket,
    pub answer: AppendAnswer,
    /// The destination's leadership moved: its metadata are out of date.
    pub metadata_stale: bool,
    /// The destination's own word, if it was no.
    pub refused: Option<ErrorCode>,
}

#[derive(Debug)]
pub struct MarkerOutcome {
    pub partition: TopicPartition,
    pub ticket: Ticket,
    pub answer: MarkerAnswer,
    /// The destination's leadership moved: its metadata are out of date.
    pub metadata_stale: bool,
}

/// A topic whose partitions may be opened.
#[derive(Clone, Debug)]
pub struct ReadyTopic {
    pub topic: Arc<str>,
    /// What the destination calls it.
    pub dest_topic: Arc<str>,
    pub source_id: TopicId,
    pub partitions: i32,
    /// First partition that this very process has just created on the destination; `partitions` if none.
    pub created_from: i32,
    /// What of its cleaning is still to be done (M21).
    pub compaction: Compaction,
    /// The source's `delete.retention.ms`, where its cleaner works (M19).
    pub delete_retention_ms: Option<i64>,
}
