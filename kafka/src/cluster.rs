//! A cluster as its clients see it: metadata, and connections to the brokers that metadata names.
//! Promises: concurrent callers share one attempt; a lost broker is redialled with jittered, growing pauses; another
//! cluster under the same address is refused. Never runs a task of its own: it acts when called.

mod metadata;
mod slot;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockstep_core::ids::NodeId;
use tokio::time::{Instant, sleep};

use crate::connection::Connection;
use crate::dial::Dial;
use crate::error::{ConnectFault, Error, Loss};
use crate::settings::{HostPort, Settings};
pub use metadata::{Broker, Metadata, NamedTopics, PartitionMeta, Topic};
use slot::Slot;

/// Rounds over the bootstrap list when it answers but is not ready; addresses nobody can reach fail in the first.
const CONNECT_ROUNDS: u32 = 3;

/// A handle to a cluster. Cheap to clone; connections close when the last handle and the last user of each are gone.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

struct Inner {
    dial: Arc<dyn Dial>,
    settings: Settings,
    id: String,
    known: Mutex<Known>,
    refreshing: Refreshing,
    slots: Mutex<BTreeMap<NodeId, Arc<Slot>>>,
}

struct Known {
    metadata: Arc<Metadata>,
    since: Instant,
}

/// One metadata request at a time. Who arrives while one is under way gets the *next* one's answer: the current one may
/// show the cluster as it was before whatever made the caller ask.
#[derive(Default)]
struct Refreshing {
    started: AtomicU64,
    last: tokio::sync::Mutex<Option<Refreshed>>,
}

/// The last request's number and outcome.
type Refreshed = (u64, Result<Arc<Metadata>, Error>);

impl Cluster {
    /// Asks the bootstrap addresses in order until one answers with metadata.
    ///
    /// # Errors
    /// [`Error::NoBroker`] with every address tried and its cause.
    pub async fn connect(dial: Arc<dyn Dial>, settings: Settings) -> Result<Self, Error> {
        let mut round = 0;
        let metadata = loop {
            round += 1;
            let tried = match first_answer(&*dial, &settings).await {
                Ok(metadata) => break metadata,
                Err(tried) => tried,
            };
            // A broker that answers but has nothing to say yet is starting; one that cannot be reached is for a person.
            // One that greets and then falls silent has had a request's whole patience already.
            let starting =
                tried.iter().any(|error| !matches!(error, Error::Connect { .. } | Error::Timeout { .. }));
            if round == CONNECT_ROUNDS || !starting {
                return Err(Error::NoBroker { tried: with_hints(tried, &settings) });
            }
            sleep(pause(&settings, round)).await;
        };
        let inner = Inner {
            dial,
            settings,
            id: metadata.cluster_id.clone(),
            known: Mutex::new(Known { metadata: Arc::new(metadata), since: Instant::now() }),
            refreshing: Refreshing::default(),
            slots: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The cluster's own id, as learnt when connecting; it cannot change under this handle.
    #[must_use]
    pub fn cluster_id(&self) -> String {
        self.inner.id.clone()
    }

    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The last metadata seen, however old.
    #[must_use]
    pub fn metadata(&self) -> Arc<Metadata> {
        Arc::clone(&self.known().metadata)
    }

    /// The last metadata seen if younger than [`Settings::metadata_max_age`], else new.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh).
    pub async fn fresh_metadata(&self) -> Result<Arc<Metadata>, Error> {
        {
            let known = self.known();
            if known.since.elapsed() < self.inner.settings.metadata_max_age {
                return Ok(Arc::clone(&known.metadata));
            }
        }
        self.refresh().await
    }

    /// Metadata of all topics, asked after this call began. Concurrent callers share a request. Where nothing has
    /// changed the answer is the same `Arc` as before.
    ///
    /// # Errors
    /// [`Error::NoBroker`] when neither a known broker nor a bootstrap address answers; [`Error::ForeignCluster`].
    pub async fn refresh(&self) -> Result<Arc<Metadata>, Error> {
        let refreshing = &self.inner.refreshing;
        let seen = refreshing.started.load(Ordering::SeqCst);
        let mut last = refreshing.last.lock().await;
        if let Some((number, outcome)) = &*last
            && *number > seen
        {
            return outcome.clone();
        }
        let number = refreshing.started.fetch_add(1, Ordering::SeqCst) + 1;
        let outcome = self.ask_for_metadata().await;
        let outcome = outcome.map(|metadata| self.learn(metadata));
        *last = Some((number, outcome.clone()));
        outcome
    }

    /// What a broker says to these topics, asked by name: the metadata of all topics leave out what we may not see.
    ///
    /// # Errors
    /// As [`any`](Self::any), and whatever a connection can meet.
    pub async fn named_topics(&self, names: &[Arc<str>]) -> Result<NamedTopics, Error> {
        metadata::ask_names(&self.any().await?, names).await
    }

    /// The shared control connection to a broker; dialled when there is none, after a pause when the last attempt failed.
    ///
    /// # Errors
    /// [`Error::UnknownBroker`], or why the dial failed.
    pub async fn connection(&self, node: NodeId) -> Result<Connection, Error> {
        let address = self.address(node).await?;
        self.slot(node).shared(&*self.inner.dial, address, &self.inner.settings).await
    }

    /// A connection of the caller's own, for fetch or produce.
    ///
    /// # Errors
    /// As [`connection`](Self::connection).
    pub async fn dedicated(&self, node: NodeId) -> Result<Connection, Error> {
        let address = self.address(node).await?;
        self.slot(node).own(&*self.inner.dial, address, &self.inner.settings).await
    }

    /// The control connection of whichever broker answers first, open ones preferred.
    ///
    /// # Errors
    /// [`Error::NoBroker`] with every address tried and its cause.
    pub async fn any(&self) -> Result<Connection, Error> {
        let mut tried = Vec::new();
        for (node, address) in self.candidates() {
            match self.slot(node).shared(&*self.inner.dial, address, &self.inner.settings).await {
                Ok(connection) => return Ok(connection),
                Err(error) => tried.push(error),
            }
        }
        for address in &self.inner.settings.bootstrap {
            match Connection::open(&*self.inner.dial, address.clone(), &self.inner.settings).await {
                Ok(connection) => return Ok(connection),
                Err(error) => tried.push(error),
            }
        }
        Err(Error::NoBroker { tried: tried.into() })
    }

    /// The control connection of the broker that metadata names as controller (with KRaft: one that forwards to it).
    ///
    /// # Errors
    /// [`Error::NoController`] when metadata names none even after a refresh.
    pub async fn controller(&self) -> Result<Connection, Error> {
        let node = match self.metadata().controller {
            Some(node) => node,
            None => self.refresh().await?.controller.ok_or(Error::NoController)?,
        };
        self.connection(node).await
    }

    async fn address(&self, node: NodeId) -> Result<HostPort, Error> {
        if let Some(broker) = self.metadata().brokers.get(&node) {
            return Ok(broker.address());
        }
        let metadata = self.refresh().await?;
        metadata.brokers.get(&node).map(Broker::address).ok_or(Error::UnknownBroker { node })
    }

    async fn ask_for_metadata(&self) -> Result<Arc<Metadata>, Error> {
        let (dial, settings) = (&*self.inner.dial, &self.inner.settings);
        let mut tried = Vec::new();
        for (node, address) in self.candidates() {
            let asked = match self.slot(node).shared(dial, address, settings).await {
                Ok(connection) => self.checked(&connection).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(metadata) => return Ok(metadata),
                Err(error) => tried.push(error),
            }
        }
        for address in &settings.bootstrap {
            let asked = match Connection::open(dial, address.clone(), settings).await {
                Ok(connection) => self.checked(&connection).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(metadata) => return Ok(metadata),
                Err(error) => tried.push(error),
            }
        }
        Err(Error::NoBroker { tried: tried.into() })
    }

    async fn checked(&self, connection: &Connection) -> Result<Arc<Metadata>, Error> {
        let metadata = metadata::ask(connection).await?;
        if metadata.cluster_id != self.inner.id {
            return Err(Error::ForeignCluster {
                peer: connection.peer().clone(),
                expected: self.inner.id.clone(),
                found: metadata.cluster_id,
            });
        }
        Ok(Arc::new(metadata))
    }

    /// Nothing new keeps the `Arc` that everybody has: comparing pointers tells whether there is anything to do.
    fn learn(&self, metadata: Arc<Metadata>) -> Arc<Metadata> {
        let mut known = self.known();
        known.since = Instant::now();
        if !known.metadata.says_the_same(&metadata) {
            known.metadata = metadata;
            // Slots of brokers that left would keep their connection open for ever.
            self.slots().retain(|node, _| known.metadata.brokers.contains_key(node));
        }
        Arc::clone(&known.metadata)
    }

    /// Known brokers, in the order in which they will probably answer; equals in random order, to spread the load.
    fn candidates(&self) -> Vec<(NodeId, HostPort)> {
        let metadata = self.metadata();
        let mut nodes: Vec<_> =
            metadata.brokers.iter().map(|(node, broker)| (*node, broker.address())).collect();
        fastrand::shuffle(&mut nodes);
        nodes.sort_by_cached_key(|(node, _)| self.slot(*node).prospect());
        nodes
    }

    fn slot(&self, node: NodeId) -> Arc<Slot> {
        Arc::clone(self.slots().entry(node).or_default())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while holding it.
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<NodeId, Arc<Slot>>> {
        self.inner.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster({})", self.inner.id)
    }
}

/// A listener that demands SASL greets everybody and hangs up at the first real request.
fn with_hints(tried: Vec<Error>, settings: &Settings) -> Arc<[Error]> {
    let hint = |error: Error| match error {
        Error::Closed { peer, cause }
            if matches!(*cause, Loss::ClosedByPeer) && settings.security.login().is_none() =>
        {
            Error::Connect { address: peer, fault: ConnectFault::WantsLogin }
        }
        other => other,
    };
    tried.into_iter().map(hint).collect()
}

async fn first_answer(dial: &dyn Dial, settings: &Settings) -> Result<Metadata, Vec<Error>> {
    let mut tried = Vec::new();
    for address in &settings.bootstrap {
        let asked = match Connection::open(dial, address.clone(), settings).await {
            Ok(connection) => metadata::ask(&connection).await,
            Err(error) => Err(error),
        };
        match asked {
            Ok(metadata) => return Ok(metadata),
            Err(error) => tried.push(error),
        }
    }
    Err(tried)
}

/// The pause after `failures` failed attempts in a row: doubling from the minimum to the maximum, less up to half by
/// chance, so that many mirrors do not redial a returning broker in step.
pub(crate) fn pause(settings: &Settings, failures: u32) -> Duration {
    let doubled = settings.backoff_min.saturating_mul(1 << failures.saturating_sub(1).min(20));
    doubled.min(settings.backoff_max).mul_f64(0.5 + fastrand::f64() / 2.0)
}
