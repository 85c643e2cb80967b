//! The tasks of a running link. Each kind's end has a meaning: the engine's ends the link; a metadata watcher or
//! the topic follower only ends with it. Stopping: tell the engine, wait until it has drained, end the rest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockstep_kafka::{Cluster, Metadata};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::identity::{create, keep_alive};
use super::prepare::{Prepared, StartError};
use super::topics::Topics;
use crate::pipeline::engine::{Ended, Engine, Setup};
use crate::pipeline::event::Event;
use crate::pipeline::markers::{Filler, MarkerRight};
use crate::pipeline::report::LinkReport;

/// Metadata are asked for this often, and sooner when something looks stale: a new topic is noticed within it.
const METADATA_INTERVAL: Duration = Duration::from_millis(400);
/// On large clusters an answer is work: at most this part of the time goes into asking.
const METADATA_SHARE: u32 = 50;
/// But never more often than this.
const METADATA_PAUSE: Duration = Duration::from_millis(100);
const EVENTS: usize = 256;
const RETIRED: usize = 16;

/// A link at work.
pub struct Running {
    /// What the link says of itself, a few times a second.
    pub report: watch::Receiver<Arc<LinkReport>>,
    stop: watch::Sender<bool>,
    engine: JoinHandle<Ended>,
    /// Dropped, and so ended, with the link.
    _others: JoinSet<()>,
}

impl Prepared {
    /// Carries the plan out and starts copying.
    ///
    /// # Errors
    /// What the destination refuses. Topics created until then stay: a second start finds them.
    pub async fn start(self) -> Result<Running, StartError> {
        let at_dest = |source| StartError::Cluster { side: "destination", source };
        let identity = match self.identity {
            Some(found) => found,
            None => create(&self.dest, &self.name).await.map_err(at_dest)?,
        };
        tracing::info!(link = self.name, "writing as {}", identity.producer());
        let filler = Filler::new(self.dest.clone(), &self.name);
        filler.settle().await.map_err(at_dest)?;
        let topics = Topics { identity: Some(identity.producer()), ..self.topics };
        let (events_in, events) = mpsc::channel(EVENTS);
        let (report_in, report) = watch::channel(Arc::new(LinkReport::default()));
        let (stop, stopped) = watch::channel(false);
        let (source_stale, dest_stale) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let setup = Setup {
            source: self.source.clone(),
            dest: self.dest.clone(),
            identity: identity.producer(),
            inherited: Arc::clone(&topics.inherited),
            guard: self.memory.guard,
            budget: self.budget,
            propagation: self.propagation,
            alignment: self.alignment,
            right: MarkerRight::on(&self.dest),
            filler,
            source_stale: Arc::clone(&source_stale),
            dest_stale: Arc::clone(&dest_stale),
        };
        let (retired_in, retired) = mpsc::channel(RETIRED);
        let engine = Engine::new(setup, (events_in.clone(), events), report_in, retired_in);
        let engine = tokio::spawn(engine.run(stopped));
        let mut ready = BTreeMap::new();
        for planned in &self.plan {
            let topic = topics.apply(planned).await?;
            ready.insert(Arc::clone(&topic.topic), planned.source.partitions);
            // A closed channel means the engine has died; its end says why.
            let _ = events_in.send(Event::TopicReady(topic)).await;
        }
        let mut others = JoinSet::new();
        let expiration = self.memory.transactional_id_expiration;
        others.spawn(keep_alive(self.dest.clone(), self.name, identity, expiration));
        others.spawn(watch_metadata(self.source, source_stale, events_in.clone(), Event::SourceMetadata));
        others.spawn(watch_metadata(self.dest, dest_stale, events_in.clone(), Event::DestMetadata));
        others.spawn(topics.follow(ready, events_in, retired));
        Ok(Running { report, stop, engine, _others: others })
    }
}

impl Running {
    /// Stops in order; every append that went out is answered, or the deadline passes.
    pub async fn stop(self) -> Ended {
        // Fails only if the engine has ended already.
        let _ = self.stop.send(true);
        ended(self.engine.await)
    }

    /// Waits for the engine to end by itself, which it does only for a defect.
    pub async fn died(&mut self) -> Ended {
        ended((&mut self.engine).await)
    }
}

fn ended(result: Result<Ended, tokio::task::JoinError>) -> Ended {
    result.unwrap_or_else(|error| {
        tracing::error!(%error, "the engine died");
        Ended::TaskDied("engine")
    })
}

/// Refreshes a cluster's metadata until the engine is gone.
async fn watch_metadata(
    cluster: Cluster,
    stale: Arc<Notify>,
    events: mpsc::Sender<Event>,
    event: fn(Arc<Metadata>) -> Event,
) {
    let mut interval = METADATA_INTERVAL;
    while !events.is_closed() {
        tokio::select! {
            () = stale.notified() => tokio::time::sleep(METADATA_PAUSE).await,
            () = tokio::time::sleep(interval) => {}
        }
        let asked = tokio::time::Instant::now();
        match cluster.refresh().await {
            Ok(metadata) => {
                interval = METADATA_INTERVAL.max(asked.elapsed() * METADATA_SHARE);
                if events.send(event(metadata)).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::debug!(%error, "metadata cannot be refreshed"),
        }
    }
}
