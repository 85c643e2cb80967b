//! The tasks of a running link. Each kind's end has a meaning: the engine's ends the link; a metadata watcher or
//! the topic follower only ends with it. Stopping: tell the engine, wait until it has drained, end the rest.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use lockstep_kafka::Metadata;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tracing::Instrument;

use super::Unfit;
use super::follow::{Followed, Follower};
use super::identity::{create, keep_alive};
use super::keeper::{Keeper, KeptSettings};
use super::origin::leave_mark;
use super::prepare::{Prepared, StartError};
use super::topics::{Planned, TOPICS_AT_ONCE, Topics};
use super::watched::{Ends, WatchedCluster};
use crate::pipeline::engine::{Ended, Engine, Setup};
use crate::pipeline::event::Event;
use crate::pipeline::groups::report::GroupsReport;
use crate::pipeline::groups::{self, Groups};
use crate::pipeline::markers::{Filler, MarkerRight};
use crate::pipeline::owned::Owned;
use crate::pipeline::report::LinkReport;

const EVENTS: usize = 256;
const RETIRED: usize = 16;
const NEWS: usize = 64;

/// A link at work.
pub struct Running {
    /// What the link says of itself, a few times a second.
    pub report: watch::Receiver<Arc<LinkReport>>,
    /// By the source's topics, what a promotion gives their mirrors in place of the standby settings (M20).
    pub kept: watch::Receiver<Arc<KeptSettings>>,
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
            None => create(&self.ends.dest.cluster, &self.name).await.map_err(at_dest)?,
        };
        tracing::info!(link = self.name, "writing as {}", identity.producer());
        let dest = &self.ends.dest.cluster;
        leave_mark(dest, &self.name, &self.ends.source.cluster.cluster_id()).await;
        let filler = Filler::new(dest.clone(), &self.name);
        filler.settle().await.map_err(at_dest)?;
        let topics = Topics { identity: Some(identity.producer()), ..self.topics };
        let (events_in, events) = mpsc::channel(EVENTS);
        let (report_in, report) = watch::channel(Arc::new(LinkReport::default()));
        let (stop, stopped) = watch::channel(false);
        let (groups_in, groups) = watch::channel(Arc::default());
        let Ends { source: watched_source, dest: watched_dest } = self.ends;
        let setup = Setup {
            source: watched_source.cluster.clone(),
            dest: watched_dest.cluster.clone(),
            owned: self.owned.clone(),
            drain: self.drain,
            identity: identity.producer(),
            inherited: Arc::clone(&topics.inherited),
            guard: self.memory.guard,
            budget: self.budget,
            priorities: self.pace.priorities,
            bytes_per_second_max: self.pace.bytes_per_second_max,
            propagation: self.propagation,
            alignment: self.alignment,
            right: MarkerRight::on(&watched_dest.cluster),
            filler,
            groups,
            source_stale: Arc::clone(&watched_source.stale),
            dest_stale: Arc::clone(&watched_dest.stale),
        };
        let (retired_in, retired) = mpsc::channel(RETIRED);
        let engine = Engine::new(setup, (events_in.clone(), events), report_in, retired_in);
        let engine = tokio::spawn(engine.run(stopped).in_current_span());
        let (news_in, news) = mpsc::channel(NEWS);
        let (mut keeper, kept) = Keeper::new(&topics, &self.name, self.owned.clone(), events_in.clone());
        let ready = stand_ready(&topics, self.plan, self.unfit, &mut keeper, &events_in).await?;
        let mut others = JoinSet::new();
        if let Some(policy) = self.groups {
            let setup = groups::Setup {
                source: watched_source.cluster.clone(),
                dest: watched_dest.cluster.clone(),
                topics: topics.selection.clone(),
                rename: topics.rename.clone(),
                policy,
            };
            others.spawn(
                carry_groups(setup, events_in.clone(), groups_in, self.owned.clone()).in_current_span(),
            );
        }
        let expiration = self.memory.transactional_id_expiration;
        let dest = watched_dest.cluster.clone();
        let source_id = watched_source.cluster.cluster_id();
        others.spawn(keep_alive(dest, self.name, source_id, identity, expiration).in_current_span());
        let news_of_source = watched_source.metadata.clone();
        others.spawn(pass_on(watched_source, events_in.clone(), Event::SourceMetadata));
        others.spawn(pass_on(watched_dest, events_in.clone(), Event::DestMetadata));
        let follower = Follower::new(topics, ready, news_of_source, events_in, news_in, self.owned);
        others.spawn(follower.run(retired).in_current_span());
        others.spawn(keeper.keep(news).in_current_span());
        Ok(Running { report, kept, stop, engine, _others: others })
    }
}

/// Groups are copied by one agent of the link: whoever becomes its caretaker begins with a look at both sides.
async fn carry_groups(
    setup: groups::Setup,
    events: mpsc::Sender<Event>,
    report: watch::Sender<Arc<GroupsReport>>,
    mut owned: watch::Receiver<Owned>,
) {
    loop {
        if owned.wait_for(Owned::is_caretaker).await.is_err() || events.is_closed() {
            return;
        }
        Groups::new(setup.clone(), events.clone(), report.clone(), owned.clone()).run().await;
        report.send_replace(Arc::default());
    }
}

/// Carries the plans out and hands each topic over as soon as it stands.
async fn stand_ready(
    topics: &Topics,
    plan: Vec<Planned>,
    unfit: Unfit,
    keeper: &mut Keeper,
    events: &mpsc::Sender<Event>,
) -> Result<BTreeMap<Arc<str>, Followed>, StartError> {
    let mut ready = BTreeMap::new();
    let applied = stream::iter(plan).map(async |mut planned| {
        let outcome = topics.apply(&mut planned).await;
        (planned, outcome)
    });
    let mut applied = pin!(applied.buffer_unordered(TOPICS_AT_ONCE));
    while let Some((planned, outcome)) = applied.next().await {
        let topic = match outcome {
            Ok(topic) => topic,
            Err(error) if unfit == Unfit::BlockTopic => {
                // The follower tries it again, and says why it waits.
                tracing::debug!(topic = planned.source.name, %error, "left for later");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let followed = Followed { partitions: planned.source.partitions, source_id: planned.source_id };
        ready.insert(Arc::clone(&topic.topic), followed);
        keeper.watch(Arc::clone(&topic.topic), planned.known());
        // A closed channel means the engine has died; its end says why.
        let _ = events.send(Event::TopicReady(topic)).await;
    }
    Ok(ready)
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

/// Tells the engine every answer about a cluster until it is gone. Holds the watcher.
async fn pass_on(
    mut watched: WatchedCluster,
    events: mpsc::Sender<Event>,
    event: fn(Arc<Metadata>) -> Event,
) {
    while watched.metadata.changed().await.is_ok() {
        let metadata = Arc::clone(&watched.metadata.borrow_and_update());
        if events.send(event(metadata)).await.is_err() {
            return;
        }
    }
}
