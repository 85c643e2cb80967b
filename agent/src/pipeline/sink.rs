//! One task per destination broker and lane: sends appends, one batch per partition per request, acks=all, pipelined in
//! the order given (M4). Promises: every append of a job gets exactly one answer. Never retries: a failed
//! request fails its appends, and their partitions ask the destination where it stands (M5).

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lockstep_core::dr::denied::Side;
use lockstep_core::ids::{DestOffset, NodeId, TopicPartition};
use lockstep_core::mirror::Trouble;
use lockstep_core::mirror::copying::{Append, AppendAnswer};
use lockstep_core::mirror::window::Ticket;
use lockstep_kafka::produce::{PendingProduce, ProduceBatch, ProduceResult, submit_produce};
use lockstep_kafka::{Api, Class, Cluster, Connection, Error, MissingPermission, Settings};
use tokio::sync::mpsc;

use super::denied::{by_code, by_error};
use super::event::{AppendOutcome, Event};
use super::lane::Lane;
use super::names::Twin;
use super::source::backoff;

/// Requests on their way to one broker. It works through one at a time per connection; a few more keep it busy
/// while answers travel.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 4;

/// How long the broker may wait for its replicas; then it answers REQUEST_TIMED_OUT.
const APPEND_TIMEOUT: Duration = Duration::from_secs(30);

/// The appends of one request: at most one per partition.
#[derive(Debug)]
pub struct ProduceJob {
    pub appends: Vec<(Twin, Append)>,
}

pub struct Sink {
    pub node: NodeId,
    pub lane: Lane,
    pub cluster: Cluster,
    pub jobs: mpsc::Receiver<ProduceJob>,
    pub events: mpsc::Sender<Event>,
}

type Answer = Pin<Box<dyn Future<Output = Vec<AppendOutcome>> + Send>>;

impl Sink {
    /// Runs until the engine drops its end of `jobs` and every request has its answer.
    pub async fn run(mut self) {
        let mut connection: Option<Connection> = None;
        let mut failures = 0u32;
        let mut pending: FuturesUnordered<Answer> = FuturesUnordered::new();
        let mut open = true;
        while open || !pending.is_empty() {
            let answers = tokio::select! {
                biased;
                Some(answers) = pending.next(), if !pending.is_empty() => answers,
                job = self.jobs.recv(), if open => {
                    let Some(job) = job else { open = false; continue };
                    match self.submit(job, &mut connection).await {
                        Ok(answer) => {
                            failures = 0;
                            pending.push(answer);
                            continue;
                        }
                        Err(answers) => {
                            tokio::time::sleep(backoff(failures)).await;
                            failures += 1;
                            answers
                        }
                    }
                }
            };
            if self.events.send(Event::Produced { node: self.node, lane: self.lane, answers }).await.is_err()
            {
                return;
            }
        }
    }

    /// Puts a request on the wire. On failure every append has failed.
    async fn submit(
        &self,
        job: ProduceJob,
        connection: &mut Option<Connection>,
    ) -> Result<Answer, Vec<AppendOutcome>> {
        let mut tickets = Vec::with_capacity(job.appends.len());
        let mut batches = Vec::with_capacity(job.appends.len());
        for (twin, append) in job.appends {
            let header = bytes::Bytes::copy_from_slice(append.batch.header());
            let payload = append.batch.payload().clone();
            batches.push((twin.dest.there().clone(), ProduceBatch { header, payload }));
            tickets.push((twin, append.ticket));
        }
        match self.put_on_wire(batches, connection).await {
            Ok(pending) => {
                let (node, dest) = (self.node, self.cluster.clone());
                Ok(Box::pin(async move {
                    match pending.answer().await {
                        Ok(results) => outcomes(tickets, results, dest.settings()),
                        Err(error) => all_failed(tickets, node, &error, dest.settings()),
                    }
                }))
            }
            Err(error) => {
                *connection = None;
                Err(all_failed(tickets, self.node, &error, self.cluster.settings()))
            }
        }
    }

    async fn put_on_wire(
        &self,
        batches: Vec<(TopicPartition, ProduceBatch)>,
        connection: &mut Option<Connection>,
    ) -> Result<PendingProduce, Error> {
        let connection = match connection {
            Some(open) if open.is_open() => open,
            slot => slot.insert(self.cluster.dedicated(self.node).await?),
        };
        submit_produce(connection, batches, APPEND_TIMEOUT).await
    }
}

fn all_failed(
    tickets: Vec<(Twin, Ticket)>,
    node: NodeId,
    error: &Error,
    dest: &Settings,
) -> Vec<AppendOutcome> {
    let trouble = Trouble::soon(format!("destination broker {node}: {error}")).because(by_error(
        Side::Dest,
        dest,
        error,
    ));
    let failed = |(twin, ticket): (Twin, Ticket)| AppendOutcome {
        partition: twin.source,
        ticket,
        answer: AppendAnswer::Failed(trouble.clone()),
        metadata_stale: true,
        refused: None,
    };
    tickets.into_iter().map(failed).collect()
}

/// Joins the answer to the question; an append the broker did not mention has failed.
fn outcomes(
    tickets: Vec<(Twin, Ticket)>,
    results: Vec<ProduceResult>,
    dest: &Settings,
) -> Vec<AppendOutcome> {
    let mut by_partition: HashMap<TopicPartition, ProduceResult> =
        results.into_iter().map(|result| (result.tp.clone(), result)).collect();
    let outcome = |(twin, ticket): (Twin, Ticket)| {
        let result = by_partition.remove(twin.dest.there());
        let refused = result.as_ref().and_then(|result| result.error);
        let (answer, metadata_stale) = match result {
            Some(result) => answer_of(&result, twin.dest.topic(), dest),
            None => {
                let trouble = Trouble::soon("the destination did not answer for this partition");
                (AppendAnswer::Failed(trouble), false)
            }
        };
        AppendOutcome { partition: twin.source, ticket, answer, metadata_stale, refused }
    };
    tickets.into_iter().map(outcome).collect()
}

fn answer_of(result: &ProduceResult, topic: &str, dest: &Settings) -> (AppendAnswer, bool) {
    let Some(code) = result.error else {
        return (AppendAnswer::Acknowledged { base: DestOffset(result.base_offset) }, false);
    };
    let detail = result.message.as_deref().map(|m| format!(": {m}")).unwrap_or_default();
    let missing = MissingPermission::aside(dest, Api::Produce, code, topic);
    let text = format!("the destination refused an append: {code}{detail}{missing}");
    let trouble = match code.class() {
        Class::Fatal => Trouble::slow(text),
        Class::Retry | Class::Rewind | Class::Fence => Trouble::soon(text),
    };
    let trouble = trouble.because(by_code(Side::Dest, dest, Api::Produce, code, topic));
    (AppendAnswer::Failed(trouble), code.refreshes_metadata())
}
