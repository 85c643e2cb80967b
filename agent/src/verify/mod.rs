//! The comparison of two clusters, offset by offset. Reads only; changes nothing on either side.
//!
//! ```text
//! pairs (topics of both sides) ─► ends (bounds, waits for a live mirror) ─► reader ─► core::verify::Comparer ─► Report
//!                                                                          (two per partition, one answer ahead)
//! ```
//! Promises: memory for records is bounded; *identical* is said only of what was read on both sides. What cannot be
//! read for [`PATIENCE`] is reported as unknown with the reason; the rest goes on.

mod connections;
mod ends;
pub mod groups;
mod pairs;
mod partition;
mod place;
mod policy;
mod progress;
mod reader;
mod report;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::code::Code;
use lockstep_core::ids::TopicPartition;
use lockstep_core::spec::rename::Rename;
use lockstep_core::spec::select::{GroupSelection, TopicSelection};
use lockstep_core::verify::bounds::beyond;
use lockstep_core::verify::{Bounds, Cleanup, Side};
use lockstep_kafka::admin::At;
use lockstep_kafka::{Cluster, Dial, Error, Settings};
use thiserror::Error as ThisError;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::passport;
use crate::pipeline::budget::Budget;
use crate::pipeline::groups::survey::Asked;
use crate::pipeline::names::Twin;
use connections::Connections;
use pairs::Pair;
pub use progress::{Phase, Progress};
pub use report::{Differing, Doubt, Report, TopicReport};

/// How long a broker may refuse, lose or withhold an answer before what was asked counts as unreadable.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Partitions compared at a time, memory permitting.
const PARALLEL: usize = 8;

/// What to compare.
#[derive(Clone, Debug)]
pub struct Request {
    pub source: Settings,
    pub dest: Settings,
    pub selection: TopicSelection,
    /// What the topics are called on the destination.
    pub rename: Rename,
    /// Consumer groups whose copied offsets are compared too; `None`: none.
    pub groups: Option<GroupSelection>,
    /// How long a destination that is behind may take to reach the end that the source had at the beginning.
    pub wait: Duration,
    /// For fetched batches, and the keys that compaction makes us remember. On top come one decompressed batch per side and partition under way, and what a batch
    /// larger than all that takes on its own.
    pub memory_bytes_max: usize,
}

/// Why nothing was compared.
#[derive(Debug, ThisError)]
pub enum VerifyError {
    #[error("the {side} cluster: {error}")]
    Cluster { side: Side, error: Error },
    #[error("consumer groups could not be compared: {error}")]
    Groups { error: Error },
    #[error(
        "no topic of the source matches\n  remedy  --topics is a regular expression for the whole name, e.g. 'orders\\..*'; the source has {seen}"
    )]
    NothingMatches { seen: String },
    #[error(
        "--from and --to lead to the same cluster ({id}): comparing it with itself proves nothing\n  remedy  check the addresses"
    )]
    SameCluster { id: String },
}

impl VerifyError {
    /// The page for whoever has to act on it, if there is one.
    #[must_use]
    pub fn page(&self) -> Option<Code> {
        match self {
            Self::Cluster { error, .. } | Self::Groups { error } => error.page(),
            _ => None,
        }
    }
}

/// Compares. Dropping the future ends everything it started.
///
/// # Errors
/// [`VerifyError`] when not even the topics could be listed, or none matches. Everything that happens later is part
/// of the report.
pub async fn verify(
    dial: Arc<dyn Dial>,
    request: Request,
    progress: watch::Sender<Progress>,
) -> Result<Report, VerifyError> {
    let began = Instant::now();
    let connect = async |side, settings| {
        let connected = Cluster::connect(Arc::clone(&dial), settings).await;
        connected.map_err(|error| VerifyError::Cluster { side, error })
    };
    let source = connect(Side::Source, request.source).await?;
    let dest = connect(Side::Dest, request.dest).await?;
    if source.cluster_id() == dest.cluster_id() {
        return Err(VerifyError::SameCluster { id: source.cluster_id() });
    }
    let links = (Connections::new(source.clone()), Connections::new(dest.clone()));
    let pairs::Found { pairs, dest_only } =
        pairs::find(links.0.began(), links.1.began(), &request.selection, &request.rename)?;
    let wanted: Vec<_> = pairs.iter().flat_map(Pair::partitions).collect();
    let bounds = ends::bounds(&source, &dest, &wanted, request.wait, &progress).await;
    let topics: BTreeMap<_, _> =
        pairs.iter().map(|pair| (Arc::clone(&pair.topic), Arc::clone(&pair.dest_topic))).collect();
    let policies = policy::cleanups(&source, &dest, &topics).await;
    let cuts = passport::cuts(&dest).await;
    let known = (&policies, &cuts);
    let findings = compare_all(links, &wanted, &bounds, known, request.memory_bytes_max, &progress).await;
    progress.send_modify(|p| p.phase = Phase::Finishing);
    let beyond = look_beyond(&source, &dest, &wanted, &bounds).await;
    let groups = match request.groups {
        None => Vec::new(),
        Some(groups) => {
            let asked = Asked { topics: request.selection, groups, rename: request.rename };
            let compared = groups::compare(&source, &dest, &asked, request.wait).await;
            // Which side failed is in the error's own words.
            compared.map_err(|error| VerifyError::Groups { error })?
        }
    };
    let evidence = report::Evidence { bounds, findings, beyond };
    let topics = report::assemble(pairs, &evidence);
    let (source_cluster, dest_cluster) = (source.cluster_id(), dest.cluster_id());
    Ok(Report { source_cluster, dest_cluster, topics, groups, dest_only, duration: began.elapsed() })
}

async fn compare_all(
    (source, dest): (Connections, Connections),
    wanted: &[Twin],
    bounds: &ends::PerPartition<Bounds>,
    (policies, cuts): (&BTreeMap<Arc<str>, Cleanup>, &BTreeMap<TopicPartition, i64>),
    memory_bytes_max: usize,
    progress: &watch::Sender<Progress>,
) -> HashMap<TopicPartition, partition::Outcome> {
    let task = |twin: &Twin, bounds: &Bounds| partition::Task {
        range: bounds.range(),
        older: bounds.older(),
        cleanup: policies.get(&twin.source.topic).copied().unwrap_or(Cleanup::Unknown),
        agreed_below: cuts.get(twin.dest.there()).copied().unwrap_or(i64::MIN),
    };
    let known = |twin: &Twin| {
        let bounds = bounds.get(&twin.source)?.as_ref().ok()?;
        Some((twin.clone(), task(twin, bounds)))
    };
    let known: Vec<_> = wanted.iter().filter_map(known).collect();
    let offsets_total = known.iter().map(|(_, task)| task.range.end.abs_diff(task.range.start)).sum();
    progress.send_modify(|p| {
        p.phase = Phase::Comparing;
        p.offsets_total = offsets_total;
    });
    let budget = Budget::new(memory_bytes_max);
    let shared = partition::Shared { source, dest, budget, progress: progress.clone() };
    let mut running = JoinSet::new();
    let mut outcomes = HashMap::new();
    for (twin, task) in known {
        if task.range.is_empty() && task.older.is_empty() {
            outcomes.insert(twin.source, partition::Outcome::default());
            continue;
        }
        if running.len() >= PARALLEL {
            collect(running.join_next().await, &mut outcomes);
        }
        running.spawn(partition::compare(shared.clone(), twin, task));
    }
    while let Some(ended) = running.join_next().await {
        collect(Some(ended), &mut outcomes);
    }
    outcomes
}

type Ended = Result<(TopicPartition, partition::Outcome), tokio::task::JoinError>;

fn collect(ended: Option<Ended>, outcomes: &mut HashMap<TopicPartition, partition::Outcome>) {
    match ended {
        Some(Ok((tp, outcome))) => {
            outcomes.insert(tp, outcome);
        }
        // A partition without an outcome is reported as unknown: a defect must not turn into "identical".
        Some(Err(error)) => tracing::error!(%error, "the comparison of a partition ended by itself"),
        None => {}
    }
}

/// At the end once more: what the destination holds now and the source, asked after it, does not.
async fn look_beyond(
    source: &Cluster,
    dest: &Cluster,
    wanted: &[Twin],
    bounds: &ends::PerPartition<Bounds>,
) -> ends::PerPartition<Option<lockstep_core::verify::Difference>> {
    let is_known = |twin: &&Twin| bounds.get(&twin.source).is_some_and(Result::is_ok);
    let known: Vec<_> = wanted.iter().filter(is_known).cloned().collect();
    let (names_here, names_there) = ends::sides(&known);
    let there = ends::offsets(dest, Side::Dest, &names_there, At::Latest).await;
    let here = ends::offsets(source, Side::Source, &names_here, At::Latest).await;
    let both = |twin: &Twin| {
        let there = ends::of(&there, twin.dest.there())?;
        Ok(beyond(there, ends::of(&here, &twin.source)?))
    };
    known.iter().map(|twin| (twin.source.clone(), both(twin))).collect()
}
