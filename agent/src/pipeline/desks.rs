//! The engine's side of its tasks: desks per source broker and lane (a job at a time), and per destination broker
//! (appends by lane, markers; each a queue and a few requests under way). Jobs are handed over only when there is room, so
//! the engine never waits. Requests carry at most one batch per partition (M4), in the order in which they were
//! decided.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use lockstep_core::ids::NodeId;
use lockstep_core::mirror::copying::Append;
use lockstep_kafka::Cluster;
use lockstep_kafka::fetch::FetchTarget;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use tracing::Instrument;

use super::budget::Budget;
use super::event::Event;
use super::lane::Lane;
use super::markers::{JOBS_WAITING_MAX, MarkerJob, Markers, WantedRun};
use super::names::Twin;
use super::sink::{ProduceJob, REQUESTS_IN_FLIGHT_MAX, Sink};
use super::source::{FetchJob, Fetcher};

/// A produce request grows to about this size; a single larger batch goes alone.
const REQUEST_BYTES: usize = 4 << 20;

/// One source broker, one lane.
#[derive(Debug)]
pub(super) struct FetchDesk {
    jobs: mpsc::Sender<FetchJob>,
    /// Jobs handed over until now, each however often: the last one's number.
    pub(super) job: u64,
    pub(super) idle: bool,
    pub(super) look: Look,
    /// What the last job asked for, if everybody was served by it: to be asked for again while nobody wants anything else.
    pub(super) standing: Option<Arc<[FetchTarget]>>,
}

/// What a fetch desk has to do once it is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    /// Nothing until something changes.
    No,
    /// Go on: an answer has come, or time has passed.
    Again,
    /// Something changed for a partition of this broker: what is wanted is gathered anew.
    Anew,
}

impl FetchDesk {
    pub(super) fn open(
        (node, lane): (NodeId, Lane),
        cluster: &Cluster,
        budget: &Budget,
        events: &mpsc::Sender<Event>,
        tasks: &mut JoinSet<&'static str>,
    ) -> Self {
        let (jobs, receiver) = mpsc::channel(1);
        let fetcher = Fetcher {
            node,
            lane,
            cluster: cluster.clone(),
            budget: budget.clone(),
            jobs: receiver,
            events: events.clone(),
        };
        tasks.spawn(
            async move {
                fetcher.run().await;
                "fetcher"
            }
            .in_current_span(),
        );
        Self { jobs, job: 0, idle: true, look: Look::Anew, standing: None }
    }

    /// Never forgets that something has changed.
    pub(super) fn look(&mut self, how: Look) {
        self.look = self.look.max(how);
    }

    pub(super) fn hand_over(&mut self, job: FetchJob) {
        // Idle means the channel is empty; a closed one is noticed as the task's end.
        if self.jobs.try_send(job).is_ok() {
            self.idle = false;
            self.look = Look::No;
        }
    }
}

/// One destination broker, one lane.
#[derive(Debug)]
pub(super) struct SinkDesk {
    jobs: mpsc::Sender<ProduceJob>,
    queue: VecDeque<(Twin, Append)>,
    pub(super) under_way: usize,
}

impl SinkDesk {
    pub(super) fn open(
        (node, lane): (NodeId, Lane),
        cluster: &Cluster,
        events: &mpsc::Sender<Event>,
        tasks: &mut JoinSet<&'static str>,
    ) -> Self {
        let (jobs, receiver) = mpsc::channel(REQUESTS_IN_FLIGHT_MAX);
        let sink = Sink { node, lane, cluster: cluster.clone(), jobs: receiver, events: events.clone() };
        tasks.spawn(
            async move {
                sink.run().await;
                "sink"
            }
            .in_current_span(),
        );
        Self { jobs, queue: VecDeque::new(), under_way: 0 }
    }

    pub(super) fn enqueue(&mut self, twin: Twin, append: Append) {
        self.queue.push_back((twin, append));
    }

    /// Hands over requests while there is something to send and room under way.
    pub(super) fn dispatch(&mut self) {
        while self.under_way < REQUESTS_IN_FLIGHT_MAX
            && let Some(job) = self.next_job()
        {
            if self.jobs.try_send(job).is_err() {
                // The task is gone; its end stops the engine.
                return;
            }
            self.under_way += 1;
        }
    }

    /// The oldest append of each partition, up to a request's size. A partition whose append was left out is
    /// closed for this request: its next ones must not overtake.
    fn next_job(&mut self) -> Option<ProduceJob> {
        let mut appends = Vec::new();
        let mut closed = HashSet::new();
        let mut left = VecDeque::new();
        let mut bytes = 0;
        while let Some((twin, append)) = self.queue.pop_front() {
            let size = append.batch.len();
            let fits = appends.is_empty() || bytes + size <= REQUEST_BYTES;
            if fits && !closed.contains(&twin.source) {
                bytes += size;
                closed.insert(twin.source.clone());
                appends.push((twin, append));
            } else {
                closed.insert(twin.source.clone());
                left.push_back((twin, append));
                if bytes >= REQUEST_BYTES {
                    break;
                }
            }
        }
        left.append(&mut self.queue);
        self.queue = left;
        (!appends.is_empty()).then_some(ProduceJob { appends })
    }
}

/// One destination broker, for offsets that no record takes.
#[derive(Debug)]
pub(super) struct MarkerDesk {
    jobs: mpsc::Sender<MarkerJob>,
    queue: Vec<WantedRun>,
}

impl MarkerDesk {
    /// `task` makes the task that works for this desk.
    pub(super) fn open(
        task: impl FnOnce(mpsc::Receiver<MarkerJob>) -> Markers,
        tasks: &mut JoinSet<&'static str>,
    ) -> Self {
        let (jobs, receiver) = mpsc::channel(JOBS_WAITING_MAX);
        let markers = task(receiver);
        tasks.spawn(
            async move {
                markers.run().await;
                "markers"
            }
            .in_current_span(),
        );
        Self { jobs, queue: Vec::new() }
    }

    pub(super) fn enqueue(&mut self, run: WantedRun) {
        self.queue.push(run);
    }

    /// Hands over everything that waits, as one job, if there is room for it.
    pub(super) fn dispatch(&mut self) {
        if self.queue.is_empty() {
            return;
        }
        if let Ok(room) = self.jobs.try_reserve() {
            room.send(MarkerJob { runs: std::mem::take(&mut self.queue) });
        }
    }
}
