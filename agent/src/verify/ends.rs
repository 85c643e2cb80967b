//! Where logs start and end on both sides, for many partitions at once, read in the order that [`Bounds`] needs.
//! Promises: asks leaders only, again while leadership moves; waits for a live mirror no longer than told.
//! On failure: the partition's own reason, after [`PATIENCE`]; the others go on.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use lockstep_core::ids::{LeaderEpoch, NodeId, TopicPartition};
use lockstep_core::verify::{Bounds, Side};
use lockstep_kafka::admin::{At, list_offsets};
use lockstep_kafka::{Api, Class, Cluster, ErrorCode, MissingPermission};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::{PATIENCE, Phase, Progress};
use crate::pipeline::names::Twin;
use crate::pipeline::source::backoff;

/// How often a destination that is behind is asked again.
const POLL: Duration = Duration::from_millis(200);

/// One answer per partition, or why there is none. Ordered, so that reports are.
pub(super) type PerPartition<T> = BTreeMap<TopicPartition, Result<T, String>>;

/// The answer for `tp`, ready to be passed on.
pub(super) fn of<T: Clone>(all: &PerPartition<T>, tp: &TopicPartition) -> Result<T, String> {
    all.get(tp).cloned().unwrap_or_else(|| Err("it was not asked for".to_owned()))
}

/// The bounds of `wanted`, by the source's names, after waiting up to `wait` for the destination to hold what the source held at first.
pub(super) async fn bounds(
    source: &Cluster,
    dest: &Cluster,
    wanted: &[Twin],
    wait: Duration,
    progress: &watch::Sender<Progress>,
) -> PerPartition<Bounds> {
    let (here, there) = sides(wanted);
    let high = offsets(source, Side::Source, &here, At::Latest).await;
    let stable = offsets(source, Side::Source, &here, At::LastStable).await;
    let goal = |tp: &TopicPartition| Some(of(&high, tp).ok()?.min(of(&stable, tp).ok()?));
    let ends = await_ends(dest, wanted, goal, wait, progress).await;
    let dest_stable = offsets(dest, Side::Dest, &there, At::LastStable).await;
    let dest_starts = offsets(dest, Side::Dest, &there, At::Earliest).await;
    let source_starts = offsets(source, Side::Source, &here, At::Earliest).await;
    let both = |twin: &Twin| {
        let (tp, there) = (&twin.source, twin.dest.there());
        Ok(Bounds {
            source_high: of(&high, tp)?,
            source_end: of(&stable, tp)?,
            dest_end: of(&ends, there)?,
            dest_stable: of(&dest_stable, there)?,
            dest_start: of(&dest_starts, there)?,
            source_start: of(&source_starts, tp)?,
        })
    };
    wanted.iter().map(|twin| (twin.source.clone(), both(twin))).collect()
}

/// What each side calls these partitions, in the same order.
pub(super) fn sides(twins: &[Twin]) -> (Vec<TopicPartition>, Vec<TopicPartition>) {
    twins.iter().map(|twin| (twin.source.clone(), twin.dest.there().clone())).unzip()
}

/// The destination's ends, once all have reached their goal or `wait` is over.
async fn await_ends(
    dest: &Cluster,
    wanted: &[Twin],
    goal: impl Fn(&TopicPartition) -> Option<i64>,
    wait: Duration,
    progress: &watch::Sender<Progress>,
) -> PerPartition<i64> {
    let deadline = Instant::now() + wait;
    let mut ends = offsets(dest, Side::Dest, &sides(wanted).1, At::Latest).await;
    loop {
        let lag = |twin: &Twin| {
            Some(goal(&twin.source)? - of(&ends, twin.dest.there()).ok()?).filter(|lag| *lag > 0)
        };
        let late: Vec<_> =
            wanted.iter().filter_map(|twin| Some((twin.dest.there().clone(), lag(twin)?))).collect();
        let behind_offsets = late.iter().map(|(_, lag)| lag.unsigned_abs()).sum();
        if late.is_empty() || Instant::now() >= deadline {
            return ends;
        }
        progress.send_modify(|p| p.phase = Phase::Waiting { behind_offsets, partitions: late.len() });
        sleep(POLL).await;
        let late: Vec<_> = late.into_iter().map(|(tp, _)| tp).collect();
        ends.extend(offsets(dest, Side::Dest, &late, At::Latest).await);
    }
}

/// One offset of each partition.
pub(super) async fn offsets(
    cluster: &Cluster,
    side: Side,
    wanted: &[TopicPartition],
    at: At,
) -> PerPartition<i64> {
    let deadline = Instant::now() + PATIENCE;
    let mut answers = PerPartition::new();
    let mut open = wanted.to_vec();
    let mut attempts = 0;
    loop {
        let mut again: HashMap<TopicPartition, String> = HashMap::new();
        for (leader, asked) in by_leader(cluster, &open) {
            for (tp, answer) in ask(cluster, leader, &asked, at).await {
                match answer {
                    Ok(offset) => drop(answers.insert(tp, Ok(offset))),
                    Err(Refusal::Final(why)) => drop(answers.insert(tp, Err(format!("{side}: {why}")))),
                    Err(Refusal::ForNow(why)) => drop(again.insert(tp, why)),
                }
            }
        }
        if again.is_empty() {
            return answers;
        }
        if Instant::now() >= deadline {
            answers.extend(again.into_iter().map(|(tp, why)| (tp, Err(format!("{side}: {why}")))));
            return answers;
        }
        open = again.into_keys().collect();
        sleep(backoff(attempts)).await;
        attempts += 1;
        // A failure shows in the next round, as leaders that still do not answer.
        if let Err(error) = cluster.refresh().await {
            tracing::debug!(%side, %error, "metadata could not be refreshed");
        }
    }
}

#[derive(Clone)]
enum Refusal {
    ForNow(String),
    Final(String),
}

impl Refusal {
    fn new(class: Class, why: String) -> Self {
        if class == Class::Retry { Self::ForNow(why) } else { Self::Final(why) }
    }
}

type Asked = (TopicPartition, LeaderEpoch);

fn by_leader(cluster: &Cluster, wanted: &[TopicPartition]) -> BTreeMap<Option<NodeId>, Vec<Asked>> {
    let metadata = cluster.metadata();
    let mut leaders: BTreeMap<Option<NodeId>, Vec<Asked>> = BTreeMap::new();
    for tp in wanted {
        let (leader, epoch) = metadata.leader(tp).map_or((None, LeaderEpoch::UNKNOWN), |(n, e)| (Some(n), e));
        leaders.entry(leader).or_default().push((tp.clone(), epoch));
    }
    leaders
}

async fn ask(
    cluster: &Cluster,
    leader: Option<NodeId>,
    asked: &[Asked],
    at: At,
) -> Vec<(TopicPartition, Result<i64, Refusal>)> {
    let all = |refusal: Refusal| asked.iter().map(|(tp, _)| (tp.clone(), Err(refusal.clone()))).collect();
    let Some(leader) = leader else {
        return all(Refusal::ForNow(format!("no leader for {} s", PATIENCE.as_secs())));
    };
    let answers = match cluster.connection(leader).await {
        Ok(connection) => list_offsets(&connection, asked, at).await,
        Err(error) => Err(error),
    };
    match answers {
        Ok(answers) => {
            let refused = |tp: &TopicPartition, code: ErrorCode| {
                let missing = MissingPermission::aside(cluster.settings(), Api::ListOffsets, code, &tp.topic);
                Refusal::new(code.class(), format!("its ends cannot be read: {code}{missing}"))
            };
            let answers = answers.into_iter();
            answers.map(|(tp, answer)| (tp.clone(), answer.map_err(|code| refused(&tp, code)))).collect()
        }
        Err(error) => all(Refusal::new(error.class(), error.to_string())),
    }
}
