//! Follows the source: new topics that match, and partitions added to known ones. One loop reconciles what is wanted with
//! what is. A few topics are prepared beside each other: one that is slow, or that cannot be mirrored, holds up itself and
//! nothing else; it is tried again, and the engine is told why it waits. Ends with the engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use lockstep_core::ids::TopicId;
use lockstep_core::plan::names::NameRefusal;
use lockstep_core::plan::topics::{Refusal, SourceTopic};
use lockstep_kafka::Metadata;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::fault::TopicError;
use super::keeper::{Known, News};
use super::topics::{TOPICS_AT_ONCE, Topics};
use crate::pipeline::event::{Event, ReadyTopic};
use crate::pipeline::owned::Owned;

/// Between two looks at what is wanted: with thousands of topics each is work, and news come in crowds.
const RECONCILE_PAUSE: Duration = Duration::from_millis(50);
/// The same topic is tried again after this long if it was blocked.
const BLOCKED_INTERVAL: Duration = Duration::from_secs(5);

/// A topic that stands ready, as it was when it was looked at last.
#[derive(Clone, Copy, Debug)]
pub struct Followed {
    pub partitions: usize,
    pub source_id: TopicId,
}

impl Followed {
    /// Another topic under the same name never makes this one grow: its records would stand beside the old one's (M9).
    fn is_enough(self, partitions: usize, id: TopicId) -> bool {
        let same = !self.source_id.is_known() || self.source_id == id;
        self.partitions >= partitions || !same
    }
}

/// What will become of a topic that is being prepared.
enum Fate {
    Wanted,
    /// Gone at the source meanwhile: whatever comes of it, it is begun with anew.
    Retired,
}

/// What came of preparing one topic.
struct Attempt {
    name: Arc<str>,
    as_seen: Followed,
    outcome: Result<(ReadyTopic, Known), TopicError>,
}

async fn attempt(
    topics: Topics,
    source: SourceTopic,
    as_seen: Followed,
    refused: Option<NameRefusal>,
) -> Attempt {
    let name = Arc::from(source.name.as_str());
    let outcome = match refused {
        Some(why) => Err(TopicError::NotMirrored(Refusal::Name(why))),
        None => topics.prepare(source, as_seen.source_id).await,
    };
    Attempt { name, as_seen, outcome }
}

/// The engine is gone.
struct Gone;

/// See the module's description.
pub struct Follower {
    topics: Topics,
    /// What stands already.
    ready: BTreeMap<Arc<str>, Followed>,
    /// What is not tried again before its time.
    blocked: BTreeMap<Arc<str>, Instant>,
    /// What is being prepared, each topic once.
    underway: BTreeMap<Arc<str>, Fate>,
    /// The metadata that were acted upon in full; `None`: whatever they are, they ask for something.
    seen: Option<Arc<Metadata>>,
    looked_at: Instant,
    /// Wakes whenever the source has answered.
    news: watch::Receiver<Arc<Metadata>>,
    events: mpsc::Sender<Event>,
    keeper: mpsc::Sender<News>,
    owned: watch::Receiver<Owned>,
}

impl Follower {
    /// `news`: every answer of the source about its topics.
    pub fn new(
        topics: Topics,
        ready: BTreeMap<Arc<str>, Followed>,
        news: watch::Receiver<Arc<Metadata>>,
        events: mpsc::Sender<Event>,
        keeper: mpsc::Sender<News>,
        owned: watch::Receiver<Owned>,
    ) -> Self {
        let (blocked, underway) = (BTreeMap::new(), BTreeMap::new());
        let looked_at = Instant::now();
        Self { topics, ready, blocked, underway, seen: None, looked_at, news, events, keeper, owned }
    }

    /// Runs until the engine is gone. `retired`: topics to be deleted here, because they are gone at the source
    /// (`--propagate all`).
    pub async fn run(mut self, mut retired: mpsc::Receiver<Arc<str>>) {
        let mut attempts = FuturesUnordered::new();
        while !self.events.is_closed() {
            let next_look = self.next_look(attempts.len());
            tokio::select! {
                Some(attempt) = attempts.next() => {
                    if self.conclude(attempt).await.is_err() {
                        return;
                    }
                }
                Some(topic) = retired.recv() => self.retire(topic).await,
                Ok(()) = self.news.changed() => {}
                () = sleep_until(next_look.unwrap_or(self.looked_at)), if next_look.is_some() => {
                    self.reconcile(&mut attempts);
                }
                () = self.events.closed() => return,
            }
        }
    }

    /// When to look at what is wanted; `None`: not before something changes.
    fn next_look(&self, underway: usize) -> Option<Instant> {
        let wanted_at = match &self.seen {
            _ if underway >= TOPICS_AT_ONCE => None,
            Some(seen) if Arc::ptr_eq(seen, &self.topics.source.metadata()) => {
                self.blocked.values().min().copied()
            }
            _ => Some(self.looked_at),
        };
        wanted_at.map(|at| at.max(self.looked_at + RECONCILE_PAUSE))
    }

    async fn retire(&mut self, topic: Arc<str>) {
        self.ready.remove(&topic);
        if let Some(fate) = self.underway.get_mut(&topic) {
            *fate = Fate::Retired;
        }
        // Unchanged metadata, too, now ask for something.
        self.seen = None;
        // A closed channel: the keeper has left, because the link has another owner.
        let _ = self.keeper.send(News::Retired(Arc::clone(&topic))).await;
        let is_caretaker = self.owned.borrow().is_caretaker();
        if is_caretaker && let Err(error) = self.topics.delete(&self.topics.dest_topic(&topic)).await {
            tracing::warn!(%topic, %error, "could not be deleted on the destination");
        }
    }

    /// Begins with what is wanted and not there, as far as there is room.
    fn reconcile(&mut self, attempts: &mut FuturesUnordered<BoxFuture<'static, Attempt>>) {
        let metadata = self.topics.source.metadata();
        let wanted = self.topics.wanted(&metadata);
        let mut refused = self.topics.refused_names(&wanted);
        self.seen = Some(metadata);
        let now = Instant::now();
        self.looked_at = now;
        for (name, (source, source_id)) in wanted {
            let as_seen = Followed { partitions: source.partitions, source_id };
            let stands =
                self.ready.get(&name).is_some_and(|known| known.is_enough(as_seen.partitions, source_id));
            let waits = self.blocked.get(&name).is_some_and(|until| *until > now);
            if stands || waits || self.underway.contains_key(&name) {
                continue;
            }
            if attempts.len() >= TOPICS_AT_ONCE {
                self.seen = None;
                return;
            }
            let refused = refused.remove(&name);
            self.underway.insert(name, Fate::Wanted);
            attempts.push(Box::pin(attempt(self.topics.clone(), source, as_seen, refused)));
        }
        // Whatever of them is still wanted is being tried again.
        self.blocked.retain(|_, until| *until > now);
    }

    async fn conclude(&mut self, Attempt { name, as_seen, outcome }: Attempt) -> Result<(), Gone> {
        // It may have grown meanwhile, or come back.
        self.seen = None;
        if !matches!(self.underway.remove(&name), Some(Fate::Wanted)) {
            return Ok(());
        }
        let event = match outcome {
            Ok((topic, watched)) => {
                self.ready.insert(Arc::clone(&name), as_seen);
                self.blocked.remove(&name);
                let _ = self.keeper.send(News::Ready { topic: name, watched }).await;
                Event::TopicReady(topic)
            }
            Err(error) => {
                self.blocked.insert(Arc::clone(&name), Instant::now() + BLOCKED_INTERVAL);
                let (source, dest) = (self.topics.source.settings(), self.topics.dest.settings());
                let (why, denied) = (error.with_grant(source, dest), error.denied(source, dest));
                Event::TopicBlocked { topic: name.to_string(), why, denied }
            }
        };
        self.events.send(event).await.map_err(|_| Gone)
    }
}
