//! Settling (M24): a log moves by itself after a fence, because coordinators end transactions later. Open ones are let
//! finish, then aborted by taking their transactional ids over; then every log has to stand still, and is closed fully
//! where nobody can begin another one (M25).
//! On failure: who is still at it. Transactions that no coordinator knows are never ended here: nobody can say how.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use lockstep_core::dr::fence::{AclFenceState, Openness, TopicStage, stage_allowed};
use lockstep_core::ids::TopicPartition;
use lockstep_core::spec::select::is_own;
use lockstep_kafka::admin::{
    TransactionPhase, describe_transactions, init_producer_id, list_open_transactions, list_transactions_of,
};
use lockstep_kafka::{Class, Error};
use tokio::time::{Instant, sleep};

use super::SettlePatience;
use super::evidence::{AclReport, Closure, OpenTransaction, Settled};
use super::fault::DriverError;
use super::logs::{self, Logs, PAUSE};
use super::site::{Site, partitions};
use super::topics::{Reach, close, confirm};

/// How long ends have to stand still behind a confirmed fence: a request that was let in before may still be appending.
const STILL: Duration = Duration::from_millis(300);
/// Coordinators asked side by side.
const ASKED_AT_ONCE: usize = 16;

/// Settles a fenced side and closes it.
pub(super) async fn settle(
    site: &Site,
    topics: &BTreeSet<String>,
    acls: AclReport,
    generation: u64,
    patience: SettlePatience,
) -> Result<Settled, DriverError> {
    let started = Instant::now();
    let mut aborted = BTreeSet::new();
    let partitions = partitions(&site.cluster.metadata(), topics);
    let mut tries_to_close = 2;
    loop {
        let logs = stand_still(site, &partitions, started, patience, &mut aborted).await?;
        let ends = ends(&logs);
        let transactional_producers = transactional_producers(site, &logs).await?;
        let state = if acls.is_complete() { AclFenceState::Confirmed } else { AclFenceState::Incomplete };
        let openness = Openness { open_transactions: 0, transactional_producers, acl_fence: state };
        if stage_allowed(openness) == TopicStage::MarkersOnly || tries_to_close == 0 {
            let closure = Closure::MarkersOnly { transactional_producers };
            return Ok(Settled { ends, aborted: aborted.into_iter().collect(), closure, acls });
        }
        tries_to_close -= 1;
        close(site, topics, TopicStage::Closed, Reach::Exactly, generation).await?;
        // Somebody may have begun one in between: its marker has to pass (M25).
        if !open_transactions(site, &partitions, &logs::read(&site.cluster, &partitions).await?)
            .await?
            .is_empty()
        {
            close(site, topics, TopicStage::MarkersOnly, Reach::Exactly, generation).await?;
            continue;
        }
        confirm(site, &partitions, TopicStage::Closed).await?;
        let after = logs::read(&site.cluster, &partitions).await?;
        if let Some((tp, before, now)) = moved(&ends, &after) {
            return Err(DriverError::EndsMove { tp, before, now });
        }
        let aborted = aborted.into_iter().collect();
        return Ok(Settled { ends, aborted, closure: Closure::Full, acls });
    }
}

fn ends(logs: &Logs) -> BTreeMap<TopicPartition, i64> {
    logs.iter().map(|(tp, log)| (tp.clone(), log.end)).collect()
}

fn moved(ends: &BTreeMap<TopicPartition, i64>, after: &Logs) -> Option<(TopicPartition, i64, i64)> {
    ends.iter().find_map(|(tp, before)| {
        let now = after.get(tp)?.end;
        (now != *before).then(|| (tp.clone(), *before, now))
    })
}

/// Waits until nothing is open and no end has moved for a while.
async fn stand_still(
    site: &Site,
    partitions: &[TopicPartition],
    started: Instant,
    patience: SettlePatience,
    aborted: &mut BTreeSet<String>,
) -> Result<Logs, DriverError> {
    let mut still: Option<(Instant, Logs)> = None;
    loop {
        let asked = Instant::now();
        let logs = logs::read(&site.cluster, partitions).await?;
        let open = open_transactions(site, partitions, &logs).await?;
        let before = still.take();
        if open.is_empty() && logs.values().all(logs::Log::is_settled) {
            match &before {
                // `asked`: what this look saw was there no earlier than that.
                Some((since, seen)) if moved(&ends(seen), &logs).is_none() => {
                    if asked.duration_since(*since) >= STILL {
                        return Ok(logs);
                    }
                    still = before.clone();
                }
                _ => still = Some((Instant::now(), logs.clone())),
            }
        } else if started.elapsed() >= patience.finish_within {
            abort(site, &open, aborted).await?;
        }
        if started.elapsed() >= patience.settle_within {
            if open.is_empty()
                && let Some((_, seen)) = &before
                && let Some((tp, before, now)) = moved(&ends(seen), &logs)
            {
                return Err(DriverError::EndsMove { tp, before, now });
            }
            return Err(DriverError::TransactionsOpen { open });
        }
        sleep(PAUSE).await;
    }
}

/// What takes part in these partitions now, as coordinators and as the partitions themselves tell. A transaction of which
/// a partition holds no data yet gets its marker there, too.
async fn open_transactions(
    site: &Site,
    partitions: &[TopicPartition],
    logs: &Logs,
) -> Result<Vec<OpenTransaction>, DriverError> {
    let ours: BTreeSet<_> = partitions.iter().collect();
    let listed = list_open_transactions(&site.cluster).await?;
    let described = futures_util::stream::iter(listed).map(|listed| async move {
        let state = describe_transactions(&site.cluster, &listed.transactional_id).await?;
        Ok::<_, Error>((listed, state))
    });
    let described: Vec<_> = described.buffer_unordered(ASKED_AT_ONCE).try_collect().await?;
    let mut open = BTreeMap::new();
    for (listed, state) in described {
        let Some(state) = state else { continue };
        let is_open = matches!(
            state.phase,
            TransactionPhase::Ongoing | TransactionPhase::PrepareCommit | TransactionPhase::PrepareAbort
        );
        let touched: Vec<_> = state.partitions.into_iter().filter(|tp| ours.contains(tp)).collect();
        if is_open && !touched.is_empty() {
            let transactional_id = Some(listed.transactional_id);
            let transaction =
                OpenTransaction { transactional_id, producer_id: listed.producer_id, partitions: touched };
            open.insert(listed.producer_id, transaction);
        }
    }
    for (tp, log) in logs {
        for producer in log.producers.iter().filter(|producer| producer.current_txn_start >= 0) {
            let unknown = OpenTransaction {
                transactional_id: None,
                producer_id: producer.producer_id,
                partitions: Vec::new(),
            };
            let entry = open.entry(producer.producer_id).or_insert(unknown);
            if !entry.partitions.contains(tp) {
                entry.partitions.push(tp.clone());
            }
        }
    }
    Ok(open.into_values().collect())
}

/// Takes the transactional ids over, which aborts what they have open.
async fn abort(
    site: &Site,
    open: &[OpenTransaction],
    aborted: &mut BTreeSet<String>,
) -> Result<(), DriverError> {
    for id in open.iter().filter_map(|open| open.transactional_id.as_ref()) {
        let Some(state) = describe_transactions(&site.cluster, id).await? else { continue };
        if state.phase != TransactionPhase::Ongoing {
            continue;
        }
        // Its owner's own timeout: the id may be used again by the same application.
        match init_producer_id(&site.cluster, id, None, state.timeout).await {
            Ok(_) => {
                tracing::warn!(link = site.link, id, "an open transaction was aborted to settle the primary");
                aborted.insert(id.clone());
            }
            Err(error) if error.class() == Class::Retry => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Producers on these partitions that have used transactions, the mirrors' own left out. One that no transactional id
/// names any more counts: it may still be alive.
async fn transactional_producers(site: &Site, logs: &Logs) -> Result<usize, DriverError> {
    let used = |producer: &&lockstep_kafka::admin::ProducerState| {
        producer.coordinator_epoch >= 0 || producer.current_txn_start >= 0
    };
    let ids: BTreeSet<i64> =
        logs.values().flat_map(|log| log.producers.iter().filter(used)).map(|p| p.producer_id).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    let named = list_transactions_of(&site.cluster, &ids).await?;
    let own: BTreeSet<_> =
        named.iter().filter(|named| is_own(&named.transactional_id)).map(|named| named.producer_id).collect();
    Ok(ids.iter().filter(|id| !own.contains(id)).count())
}
