//! One task per source broker and lane: performs fetch jobs over a connection of its own, in an incremental session
//! (KIP-227), reading committed records only (M16). Promises: memory is reserved before a request goes out;
//! every job is answered by exactly one event. On failure: reconnects with jittered backoff, the session
//! starts anew.

use std::sync::Arc;
use std::time::Duration;

use lockstep_core::dr::denied::Side;
use lockstep_core::ids::NodeId;
use lockstep_core::mirror::Trouble;
use lockstep_kafka::fetch::{FetchLimits, FetchSession, FetchTarget, Isolation, fetch};
use lockstep_kafka::{Cluster, Connection, Error};
use tokio::sync::mpsc;

use super::budget::Budget;
use super::denied::by_error;
use super::event::{Event, FetchOutcome};
use super::fitting::Fitting;
use super::lane::Lane;

/// What to fetch next: the whole wanted set of this broker; the session sends only what changed.
#[derive(Debug)]
pub struct FetchJob {
    pub targets: Arc<[FetchTarget]>,
    pub limits: FetchLimits,
}

pub struct Fetcher {
    pub node: NodeId,
    pub lane: Lane,
    pub cluster: Cluster,
    pub budget: Budget,
    pub jobs: mpsc::Receiver<FetchJob>,
    pub events: mpsc::Sender<Event>,
}

impl Fetcher {
    /// Runs until the engine drops its end of `jobs`.
    pub async fn run(mut self) {
        let mut session = FetchSession::new(Isolation::ReadCommitted);
        let mut connection: Option<Connection> = None;
        let mut fitting = Fitting::default();
        let mut failures = 0u32;
        while let Some(job) = self.jobs.recv().await {
            let fitted = fitting.apply(&job.targets, job.limits.bytes_max);
            let fitted = FetchJob { targets: fitted, ..job };
            let outcome = match self.perform(&fitted, &mut connection, &mut session).await {
                Ok(outcome) => {
                    failures = 0;
                    fitting.learn(&outcome.partitions, &job.targets);
                    Ok(outcome)
                }
                Err(error) => {
                    connection = None;
                    session = FetchSession::new(Isolation::ReadCommitted);
                    tracing::debug!(node = %self.node, %error, "fetch failed");
                    tokio::time::sleep(backoff(failures)).await;
                    failures += 1;
                    let denied = by_error(Side::Source, self.cluster.settings(), &error);
                    Err(Trouble::soon(format!("source broker {}: {error}", self.node)).because(denied))
                }
            };
            if self.events.send(Event::Fetched { node: self.node, lane: self.lane, outcome }).await.is_err() {
                return;
            }
        }
    }

    async fn perform(
        &self,
        job: &FetchJob,
        connection: &mut Option<Connection>,
        session: &mut FetchSession,
    ) -> Result<FetchOutcome, Error> {
        let connection = match connection {
            Some(open) if open.is_open() => open,
            slot => slot.insert(self.cluster.dedicated(self.node).await?),
        };
        // The buffer that the connection keeps for its next answer lies within this, too.
        let mut permit =
            self.budget.reserve_for(self.lane, job.limits.bytes_max.unsigned_abs() as usize).await;
        let answer = fetch(connection, session, &job.targets, job.limits).await?;
        permit.resize(answer.frame_bytes);
        let (partitions, bytes) = (answer.partitions, answer.frame_bytes);
        Ok(FetchOutcome { partitions, bytes, permit: Arc::new(permit) })
    }
}

/// 50 ms doubling to 2 s, each between half and the whole of it.
pub fn backoff(failures: u32) -> Duration {
    let whole = (50u64 << failures.min(6)).min(2_000);
    Duration::from_millis(whole / 2 + fastrand::u64(0..=whole / 2))
}
