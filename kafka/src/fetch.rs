//! Fetching raw batches: one request for many partitions, in an incremental session (KIP-227) or alone.
//! Promises: records are slices of the answer's one buffer, never decoded or copied; a session in doubt starts anew.
//! Never concludes anything from an empty answer (M11): a partition without records may have plenty.
//! wanted ─► FetchSession::plan ─► PlannedFetch ─► request ─► answer ─► FetchSession::{confirm | reset}

mod answer;
mod session;

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use lockstep_core::ids::{LeaderEpoch, SourceOffset, TopicId, TopicPartition};
pub use lockstep_core::transactions::AbortedTransaction;

use crate::code::ErrorCode;
use crate::connection::Connection;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::{Api, Versions};
pub use answer::{Diverging, FetchAnswer, FetchedPartition};
pub use session::FetchSession;
use session::PlannedFetch;

/// The last version that names topics; from 13 on they go by id, and a session must not mix the two.
const LAST_BY_NAME: i16 = 12;

/// What to fetch from one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchTarget {
    pub tp: TopicPartition,
    /// From metadata; [`TopicId::ZERO`] where the cluster has none.
    pub topic_id: TopicId,
    /// The first record wanted. The answer's first batch may start before it.
    pub offset: SourceOffset,
    /// What we believe the current leadership to be: an older or newer one is refused (74, 75). M10.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the last record we hold: a log that went another way says where (from v12, M10).
    pub last_fetched_epoch: LeaderEpoch,
    /// The most bytes for this partition; one batch always comes whole, however large.
    pub partition_bytes_max: i32,
}

/// Which records an answer may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Up to the high watermark, open and aborted transactions included.
    ReadUncommitted,
    /// Up to the last stable offset: nothing undecided (M16). Aborted records are still in it.
    ReadCommitted,
}

/// Limits of one fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// How long the broker may wait for `min_bytes`. Whole milliseconds.
    pub max_wait: Duration,
    pub min_bytes: i32,
    /// The most bytes for all partitions; the first batch always comes whole, however large.
    pub bytes_max: i32,
}

/// Fetches within a session. A session the broker no longer knows is started anew within the call. Who wants the same as the
/// last time hands over the same `Arc`: then nobody has to look for differences.
///
/// # Errors
/// [`Error::Refused`] for a code that concerns the whole request, and everything a connection can meet;
/// after any of them the session starts anew.
pub async fn fetch(
    connection: &Connection,
    session: &mut FetchSession,
    wanted: &Arc<[FetchTarget]>,
    limits: FetchLimits,
) -> Result<FetchAnswer, Error> {
    let mut first = true;
    loop {
        let needs = if go_by_id(wanted) { Api::Fetch.ours() } else { Versions::new(0, LAST_BY_NAME) };
        let version = connection.version_within(Api::Fetch, needs)?;
        let plan = session.plan(wanted, version);
        let (answer, frame_bytes) = ask(connection, &plan, session.isolation(), limits).await?;
        match ErrorCode::from_wire(answer.error_code) {
            None => {
                let read = answer::read(answer, frame_bytes, wanted, connection)?;
                session.confirm(plan, read.session_id);
                return Ok(read.answer);
            }
            Some(code) => {
                session.reset();
                if !(first && is_about_session(code)) {
                    let about = format!("{} partitions", wanted.len());
                    return Err(Error::Refused { api: Api::Fetch, code, detail: None, about });
                }
                first = false;
            }
        }
    }
}

/// Fetches without a session: for tail checks and comparisons.
///
/// # Errors
/// As [`fetch`].
pub async fn fetch_once(
    connection: &Connection,
    targets: &[FetchTarget],
    limits: FetchLimits,
    isolation: Isolation,
) -> Result<FetchAnswer, Error> {
    let needs = if go_by_id(targets) { Api::Fetch.ours() } else { Versions::new(0, LAST_BY_NAME) };
    let version = connection.version_within(Api::Fetch, needs)?;
    let plan = PlannedFetch::alone(targets, version);
    let (answer, frame_bytes) = ask(connection, &plan, isolation, limits).await?;
    match ErrorCode::from_wire(answer.error_code) {
        None => Ok(answer::read(answer, frame_bytes, targets, connection)?.answer),
        Some(code) => {
            let about = format!("{} partitions", targets.len());
            Err(Error::Refused { api: Api::Fetch, code, detail: None, about })
        }
    }
}

/// Whether every topic can be called by its id.
fn go_by_id(targets: &[FetchTarget]) -> bool {
    targets.iter().all(|target| target.topic_id.is_known())
}

/// Codes that say the broker's idea of the session is not ours.
fn is_about_session(code: ErrorCode) -> bool {
    [
        ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
        ErrorCode::INVALID_FETCH_SESSION_EPOCH,
        ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR,
    ]
    .contains(&code)
}

async fn ask(
    connection: &Connection,
    plan: &PlannedFetch,
    isolation: Isolation,
    limits: FetchLimits,
) -> Result<(FetchResponse, usize), Error> {
    let request = request(plan, isolation, limits);
    let body = connection.encode(Api::Fetch, plan.version, &request)?;
    // The broker may wait on purpose; only then does the patience for a request begin.
    let timeout = limits.max_wait + connection.request_timeout();
    let asked = usize::try_from(limits.bytes_max).unwrap_or(0);
    let pending = connection.submit_for(Api::Fetch, plan.version, vec![body], timeout, asked).await?;
    pending.decoded_with_size().await
}

fn request(plan: &PlannedFetch, isolation: Isolation, limits: FetchLimits) -> FetchRequest {
    let topics = by_topic(&plan.changed, |target| (&target.tp, target.topic_id));
    let topics = topics.into_iter().map(|(name, id, targets)| {
        let partitions = targets.iter().map(|target| partition(target, plan.version)).collect();
        let topic = FetchTopic::default().with_partitions(partitions);
        if plan.version > LAST_BY_NAME {
            topic.with_topic_id(id)
        } else {
            topic.with_topic(wire_text(name).into())
        }
    });
    let forgotten = by_topic(&plan.forgotten, |(tp, id)| (tp, *id));
    let forgotten = forgotten.into_iter().map(|(name, id, gone)| {
        let topic =
            ForgottenTopic::default().with_partitions(gone.iter().map(|(tp, _)| tp.partition).collect());
        if plan.version > LAST_BY_NAME {
            topic.with_topic_id(id)
        } else {
            topic.with_topic(wire_text(name).into())
        }
    });
    FetchRequest::default()
        .with_max_wait_ms(i32::try_from(limits.max_wait.as_millis()).unwrap_or(i32::MAX))
        .with_min_bytes(limits.min_bytes)
        .with_max_bytes(limits.bytes_max)
        .with_isolation_level(match isolation {
            Isolation::ReadUncommitted => 0,
            Isolation::ReadCommitted => 1,
        })
        .with_session_id(plan.session_id)
        .with_session_epoch(plan.session_epoch)
        .with_topics(topics.collect())
        .with_forgotten_topics_data(forgotten.collect())
}

fn partition(target: &FetchTarget, version: i16) -> FetchPartition {
    let partition = FetchPartition::default()
        .with_partition(target.tp.partition)
        .with_fetch_offset(target.offset.0)
        .with_partition_max_bytes(target.partition_bytes_max);
    // Below, the fields do not exist: a leader's change shows in OffsetForLeaderEpoch alone (M10).
    let partition = if version >= 9 {
        partition.with_current_leader_epoch(target.current_leader_epoch.0)
    } else {
        partition
    };
    if version >= 12 { partition.with_last_fetched_epoch(target.last_fetched_epoch.0) } else { partition }
}

/// Groups neighbours of one topic; the order of the partitions is the order in which the broker fills the answer.
fn by_topic<T>(
    items: &[T],
    key: impl Fn(&T) -> (&TopicPartition, TopicId),
) -> Vec<(&str, uuid::Uuid, Vec<&T>)> {
    let mut topics: Vec<(&str, uuid::Uuid, Vec<&T>)> = Vec::new();
    for item in items {
        let (tp, id) = key(item);
        let id = uuid::Uuid::from_bytes(id.0);
        match topics.last_mut() {
            Some((name, same, group)) if **name == *tp.topic && *same == id => group.push(item),
            _ => topics.push((&tp.topic, id, vec![item])),
        }
    }
    topics
}
