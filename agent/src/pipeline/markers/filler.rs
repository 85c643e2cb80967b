//! Offsets taken by empty transactions, one per transaction and partition (M15), under the transactional id
//! `lockstep.<link>.filler` (M3). Shared by the marker tasks of a link: an id has one transaction at a time.
//! Promises: an answer is given only when no marker of an earlier transaction can still land. After a failure the
//! transaction may be open, so the id is taken over (InitProducerId aborts it) before the runs are answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::dr::denied::Side;
use lockstep_core::ids::{DestOffset, ProducerIdentity, TopicPartition};
use lockstep_core::mirror::Trouble;
use lockstep_core::mirror::markers::SequenceBehind;
use lockstep_kafka::admin::{
    EpochEnd, Filled, FillerTransactions, TransactionPhase, describe_transactions, init_producer_id,
    offset_for_leader_epoch,
};
use lockstep_kafka::{Api, Class, Cluster, Connection, Error, ErrorCode, Settings};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep};

use super::{WantedRun, end_under, failed, questions, written_outcome};
use crate::pipeline::denied::{by_code, by_error};
use crate::pipeline::event::MarkerOutcome;
use crate::pipeline::source::backoff;

/// How long transactions are run before the runs are answered with what was reached.
const FILL_TIME: Duration = Duration::from_secs(2);

/// After so long the coordinator aborts a transaction that was left open.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// The last transaction's markers are written within milliseconds, unless a broker is down.
const MARKERS_LAND_WITHIN: Duration = Duration::from_secs(15);
const LOOK_PAUSE: Duration = Duration::from_millis(3);

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Filler {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cluster: Cluster,
    transactional_id: String,
    /// `None` until the id was taken over by this process.
    transactions: Mutex<Option<FillerTransactions>>,
    identity: watch::Sender<Option<ProducerIdentity>>,
}

/// A run while transactions are under way.
struct Filling<'a> {
    wanted: &'a WantedRun,
    taken: u32,
}

impl Filling<'_> {
    fn expected_end(&self) -> DestOffset {
        self.wanted.run.from.plus(i64::from(self.taken))
    }
}

impl Filler {
    #[must_use]
    pub fn new(dest: Cluster, link: &str) -> Self {
        let shared = Shared {
            cluster: dest,
            transactional_id: format!("lockstep.{link}.filler"),
            transactions: Mutex::new(None),
            identity: watch::Sender::new(None),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The producer whose markers stand on the mirror beside the link's own; `None` while the destination knows none.
    #[must_use]
    pub fn identity(&self) -> Option<ProducerIdentity> {
        *self.shared.identity.borrow()
    }

    /// To be called before any partition is opened: learns the identity, and ends a transaction that an earlier owner
    /// left open, whose markers would land some time later on partitions that nobody expects them on.
    ///
    /// # Errors
    /// The destination does not answer, or cannot end the transaction. Without any right on the id (53) nobody with our
    /// rights has used it: there is nothing to settle.
    pub async fn settle(&self) -> Result<(), Error> {
        let Shared { cluster, transactional_id, identity, .. } = &*self.shared;
        let state = match describe_transactions(cluster, transactional_id).await {
            Ok(Some(state)) => state,
            Ok(None) => return Ok(()),
            Err(error) if error.code() == Some(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let settled =
            [TransactionPhase::Empty, TransactionPhase::CompleteAbort, TransactionPhase::CompleteCommit];
        let producer = if settled.contains(&state.phase) { state.producer } else { self.take_over().await? };
        identity.send_replace(Some(producer));
        Ok(())
    }

    /// Takes offsets for runs on partitions that `connection`'s broker leads, as many as two seconds allow.
    pub(super) async fn take(&self, connection: &Connection, wanted: &[WantedRun]) -> Vec<MarkerOutcome> {
        let mut transactions = self.shared.transactions.lock().await;
        let filler = match &mut *transactions {
            Some(filler) => filler,
            slot => match self.take_over().await {
                Ok(owner) => {
                    let Shared { cluster, transactional_id, .. } = &*self.shared;
                    slot.insert(FillerTransactions::new(cluster.clone(), transactional_id.clone(), owner))
                }
                Err(error) => return self.all_failed(wanted, &error),
            },
        };
        match fill(filler, connection, wanted, self.shared.cluster.settings()).await {
            Ok(answers) => answers,
            Err(error) => {
                *transactions = None;
                self.wait_until_settled(&error).await;
                self.all_failed(wanted, &error)
            }
        }
    }

    /// Fences the earlier owner and ends its transaction; answers when its markers are written.
    async fn take_over(&self) -> Result<ProducerIdentity, Error> {
        let Shared { cluster, transactional_id, identity, .. } = &*self.shared;
        let owner = init_producer_id(cluster, transactional_id, None, TRANSACTION_TIMEOUT).await?;
        identity.send_replace(Some(owner));
        Ok(owner)
    }

    /// A transaction of ours may be open. Until it is known to be over, its partitions must not go on.
    async fn wait_until_settled(&self, cause: &Error) {
        let mut failures = 0u32;
        while let Err(error) = self.take_over().await {
            if failures == 0 {
                tracing::warn!(
                    "an empty transaction failed ({cause}) and cannot be ended yet: {}",
                    self.words(&error)
                );
            }
            sleep(backoff(failures)).await;
            failures = failures.saturating_add(1);
        }
    }

    fn all_failed(&self, wanted: &[WantedRun], error: &Error) -> Vec<MarkerOutcome> {
        let text = self.words(error);
        let trouble = if error.class() == Class::Fatal { Trouble::slow(text) } else { Trouble::soon(text) };
        let trouble = trouble.because(by_error(Side::Dest, self.shared.cluster.settings(), error));
        wanted.iter().map(|each| failed(each, trouble.clone(), error.refreshes_metadata())).collect()
    }

    fn words(&self, error: &Error) -> String {
        let id = &self.shared.transactional_id;
        if error.code() == Some(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED) {
            format!(
                "neither markers nor empty transactions are allowed on the destination: needs ALTER on Cluster \
                 (kafka-acls --operation Alter --cluster), or WRITE on TransactionalId {id} (kafka-acls \
                 --operation Write --transactional-id {id}), for the mirror's principal"
            )
        } else {
            format!("taking offsets by empty transactions: {error}")
        }
    }
}

/// Runs transactions until every run has what it wants, or the time is over; then waits for the last markers.
async fn fill(
    filler: &mut FillerTransactions,
    connection: &Connection,
    wanted: &[WantedRun],
    dest: &Settings,
) -> Result<Vec<MarkerOutcome>, Error> {
    let mut answers = Vec::new();
    let mut filling = not_moved(connection, wanted, &mut answers).await?;
    let deadline = Instant::now() + FILL_TIME;
    for round in 0u32.. {
        let partitions: Vec<_> = filling
            .iter()
            .filter(|each| each.wanted.run.count > round)
            .map(|each| each.wanted.twin.dest.there().clone())
            .collect();
        if partitions.is_empty() || Instant::now() >= deadline {
            break;
        }
        match filler.run(&partitions).await? {
            Filled::Ended => {
                for each in filling.iter_mut().filter(|each| each.wanted.run.count > round) {
                    each.taken = round + 1;
                }
            }
            // None was begun. Those to blame go, with what they have already; the others are seen to in the next round.
            Filled::Refused(blamed) => {
                let (gone, left) = blame(filling, &blamed, dest);
                answers.extend(gone);
                filling = left;
            }
        }
    }
    answers.extend(landed(connection, filling).await?);
    Ok(answers)
}

/// The runs whose partition still ends where its markers belong; the others have failed.
async fn not_moved<'a>(
    connection: &Connection,
    wanted: &'a [WantedRun],
    answers: &mut Vec<MarkerOutcome>,
) -> Result<Vec<Filling<'a>>, Error> {
    let ends = ends(connection, wanted.iter()).await?;
    let mut filling = Vec::with_capacity(wanted.len());
    for each in wanted {
        match end_of(&ends, each) {
            Ok(end) if end == each.run.from => filling.push(Filling { wanted: each, taken: 0 }),
            Ok(end) => {
                let text = format!("offset {} was to be taken, but the log ends at {end}", each.run.from);
                answers.push(failed(each, Trouble::soon(text), false));
            }
            Err((trouble, stale)) => answers.push(failed(each, trouble, stale)),
        }
    }
    Ok(filling)
}

/// Waits until the last markers stand: the coordinator writes them behind its answer.
async fn landed(connection: &Connection, filling: Vec<Filling<'_>>) -> Result<Vec<MarkerOutcome>, Error> {
    let deadline = Instant::now() + MARKERS_LAND_WITHIN;
    let mut waiting = filling;
    let mut answers = Vec::new();
    while !waiting.is_empty() {
        let ends = ends(connection, waiting.iter().map(|each| each.wanted)).await?;
        let mut left = Vec::new();
        for each in waiting {
            match end_of(&ends, each.wanted) {
                Ok(end) if end >= each.expected_end() => {
                    // The link's own producer wrote nothing: its last coordinator epoch is what it was.
                    let epoch = each.wanted.run.above_coordinator_epoch;
                    let sequence = SequenceBehind::AsBefore;
                    answers.push(written_outcome(each.wanted, each.taken, end, epoch, sequence));
                }
                Ok(_) if Instant::now() < deadline => left.push(each),
                Ok(_) => {
                    let peer = connection.peer().clone();
                    return Err(Error::Protocol {
                        api: lockstep_kafka::Api::EndTxn,
                        peer,
                        why: format!("the marker on {} did not land in time", each.wanted.twin.dest),
                    });
                }
                Err((trouble, stale)) => answers.push(failed(each.wanted, trouble, stale)),
            }
        }
        waiting = left;
        if !waiting.is_empty() {
            sleep(LOOK_PAUSE).await;
        }
    }
    Ok(answers)
}

type Ends = BTreeMap<TopicPartition, Result<EpochEnd, ErrorCode>>;

async fn ends(connection: &Connection, runs: impl Iterator<Item = &WantedRun>) -> Result<Ends, Error> {
    let runs: Vec<_> = runs.cloned().collect();
    Ok(offset_for_leader_epoch(connection, &questions(&runs)).await?.into_iter().collect())
}

fn end_of(ends: &Ends, each: &WantedRun) -> Result<DestOffset, (Trouble, bool)> {
    match ends.get(each.twin.dest.there()) {
        Some(end) => end_under(end, each.epoch),
        None => Err((Trouble::soon("the destination did not answer for this partition"), false)),
    }
}

/// Parts those that cannot be in a transaction from those that can.
fn blame<'a>(
    filling: Vec<Filling<'a>>,
    blamed: &BTreeMap<TopicPartition, ErrorCode>,
    dest: &Settings,
) -> (Vec<MarkerOutcome>, Vec<Filling<'a>>) {
    let (gone, left): (Vec<_>, Vec<_>) =
        filling.into_iter().partition(|each| blamed.contains_key(each.wanted.twin.dest.there()));
    let gone = gone.into_iter().filter_map(|each| {
        let code = *blamed.get(each.wanted.twin.dest.there())?;
        let topic = each.wanted.twin.dest.topic();
        let trouble = if code == ErrorCode::TOPIC_AUTHORIZATION_FAILED {
            Trouble::slow(format!(
                "not allowed to write to topic {topic} of the destination: needs WRITE on Topic {topic} for the \
                 mirror's principal (kafka-acls --operation Write --topic {topic})"
            ))
        } else {
            Trouble::soon(format!("the destination does not take {} into a transaction: {code}", each.wanted.twin.dest))
        };
        let trouble = trouble.because(by_code(Side::Dest, dest, Api::AddPartitionsToTxn, code, topic));
        Some(failed(each.wanted, trouble, code.refreshes_metadata()))
    });
    (gone.collect(), left)
}
