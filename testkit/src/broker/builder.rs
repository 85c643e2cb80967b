//! What a cluster shall be, and how it comes up: all or nothing, several clusters in parallel, within bounds.
//! A port lost to another process between choosing and binding is met by choosing again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::config::{Layout, Ports};
use super::node::Node;
use super::{Kafka, format, ready};
use crate::folder::Folder;
use crate::proxy::Proxy;
use crate::secured::{Realm, SecuredPorts};
use crate::slots::Slots;
use crate::{Error, jars, ports};

/// Starting again helps against a lost port only, so a few tries are enough.
const TRIES: usize = 3;

/// A cluster to be started.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    name: String,
    version: String,
    brokers: i32,
    controllers: i32,
    config: BTreeMap<String, String>,
    racks: BTreeMap<i32, String>,
    reached: Reached,
    rights: Rights,
    realm: Option<Arc<Realm>>,
    jvm: Jvm,
}

/// What a broker's process is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jvm {
    /// Quick to start, for many on one machine.
    Small,
    /// As Kafka's own scripts start a broker (`kafka-server-start.sh`, `kafka-run-class.sh`).
    AsShipped,
}

impl Jvm {
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Small => &[],
            Self::AsShipped => &[
                "-XX:-UseSerialGC",
                "-XX:TieredStopAtLevel=4",
                "-Xms1g",
                "-Xmx1g",
                "-XX:+UseG1GC",
                "-XX:MaxGCPauseMillis=20",
                "-XX:InitiatingHeapOccupancyPercent=35",
                "-XX:+ExplicitGCInvokesConcurrent",
            ],
        }
    }
}

/// How clients reach the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    Directly,
    /// Directly, and through one proxy per broker on a listener of its own.
    AlsoThroughProxies,
}

/// Who may do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rights {
    /// Everybody everything: no authorizer.
    Everybody,
    /// Clients what ACLs allow them.
    ByAcls,
}

impl Builder {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: jars::KAFKA_VERSION.to_owned(),
            brokers: 1,
            controllers: 1,
            config: BTreeMap::new(),
            racks: BTreeMap::new(),
            reached: Reached::Directly,
            rights: Rights::Everybody,
            realm: None,
            jvm: Jvm::Small,
        }
    }

    /// Another Kafka version, as in `3.9.1`; its jars must be in the cache (`KAFKA_VERSION=3.9.1 ./dev setup`).
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// How many brokers, 1 to 6. Their ids count from 1.
    pub fn brokers(mut self, count: i32) -> Self {
        self.brokers = count;
        self
    }

    /// How many of the brokers, the first ones, are controllers too: 1 (default; killing node 1 then stops elections) or 3.
    pub fn controllers(mut self, count: i32) -> Self {
        self.controllers = count;
        self
    }

    /// A line of `server.properties` for all brokers; it beats the defaults.
    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.config.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The rack of one broker (`broker.rack`).
    pub fn rack(mut self, id: i32, rack: &str) -> Self {
        self.racks.insert(id, rack.to_owned());
        self
    }

    /// Puts a [`Proxy`] before every broker: [`Kafka::proxied_bootstrap`] leads through them.
    pub fn proxied(mut self) -> Self {
        self.reached = Reached::AlsoThroughProxies;
        self
    }

    /// With heap, collector and compilers as Kafka's own scripts start a broker: for figures. Tests do with less.
    pub fn jvm_as_shipped(mut self) -> Self {
        self.jvm = Jvm::AsShipped;
        self
    }

    /// With an authorizer: clients are [`CLIENTS`](super::CLIENTS) and may do nothing until [`Kafka::acls`] allows it.
    pub fn authorized(mut self) -> Self {
        self.rights = Rights::ByAcls;
        self
    }

    /// With an authorizer and the listeners of a realm ([`Listener`](crate::Listener)). Clients of the plain listener are
    /// super users here; everybody else may do nothing until [`Kafka::acls`] allows it.
    pub fn secured(mut self, realm: &Arc<Realm>) -> Self {
        self.rights = Rights::ByAcls;
        self.realm = Some(Arc::clone(realm));
        self
    }

    /// Starts the cluster and waits until every broker answers and knows all others: 3 to 4 s for one.
    ///
    /// # Errors
    /// When the jars are missing, no slots get free, a broker dies (with the end of its log) or takes too long.
    pub fn start(self) -> Result<Kafka, Error> {
        let slots = Slots::acquire(self.slots()?)?;
        self.start_with(slots)
    }

    fn slots(&self) -> Result<usize, Error> {
        if self.brokers < 1 || self.controllers < 1 || self.controllers > self.brokers {
            let (brokers, controllers) = (self.brokers, self.controllers);
            return Err(Error::Refused(format!(
                "{brokers} brokers with {controllers} controllers among them"
            )));
        }
        Ok(self.brokers.unsigned_abs() as usize)
    }

    fn start_with(self, slots: Slots) -> Result<Kafka, Error> {
        let mut folder = Folder::new(&self.name)?;
        let up = self.start_in(&folder);
        if up.is_err() {
            folder.keep();
        }
        let (nodes, proxies) = up?;
        Ok(Kafka { name: self.name, version: self.version, nodes, proxies, folder, _slots: slots })
    }

    fn start_in(&self, folder: &Folder) -> Result<(Vec<Node>, Vec<Proxy>), Error> {
        let libs = jars::libs(&self.version)?;
        let bootstrap_records = format::bootstrap_records(&self.version, &libs, folder.path(), self.users())?;
        let mut tries_left = TRIES;
        loop {
            tries_left -= 1;
            match self.try_start(folder, &libs, &bootstrap_records) {
                Err(Error::Died { log_tail, .. }) if lost_a_port(&log_tail) && tries_left > 0 => {}
                other => return other,
            }
        }
    }

    fn users(&self) -> format::Users {
        if self.realm.is_some() { format::Users::Scram } else { format::Users::None }
    }

    fn try_start(
        &self,
        folder: &Folder,
        libs: &Path,
        bootstrap_records: &[u8],
    ) -> Result<(Vec<Node>, Vec<Proxy>), Error> {
        let (layout, proxies) = self.layout()?;
        let cluster_id = format::random_id();
        let mut nodes = Vec::new();
        for (id, ports) in &layout.ports {
            let home = folder.path().join(format!("node-{id}"));
            if home.exists() {
                fs::remove_dir_all(&home).map_err(Error::io(format!("clear {}", home.display())))?;
            }
            let node = Node::new([&self.name, &cluster_id], *id, *ports, home, libs.to_owned());
            let mut jvm: Vec<_> = self.jvm.options().iter().map(|&option| option.to_owned()).collect();
            jvm.extend(self.realm.iter().flat_map(|realm| realm.jvm_options()));
            let node = node.with_jvm(jvm);
            format::format(&node, bootstrap_records)?;
            let properties = layout.properties(*id, &node.data());
            let path = node.properties();
            fs::write(&path, properties).map_err(Error::io(format!("write {}", path.display())))?;
            nodes.push(node);
        }
        for node in &nodes {
            node.start()?;
        }
        ready::wait_for_all(&nodes)?;
        Ok((nodes, proxies))
    }

    fn layout(&self) -> Result<(Layout, Vec<Proxy>), Error> {
        let mut proxies = Vec::new();
        let mut all = BTreeMap::new();
        for id in 1..=self.brokers {
            let mut chosen = Ports {
                client: ports::free()?,
                controller: None,
                proxied: None,
                internal: None,
                secured: self.realm.as_ref().map(|_| SecuredPorts::choose()).transpose()?,
            };
            if id <= self.controllers {
                chosen.controller = Some(ports::free()?);
            }
            if self.rights == Rights::ByAcls {
                chosen.internal = Some(ports::free()?);
            }
            if self.reached == Reached::AlsoThroughProxies {
                let behind = ports::free()?;
                let proxy = Proxy::before(&format!("127.0.0.1:{behind}"))?;
                chosen.proxied = Some((behind, proxy.port()));
                proxies.push(proxy);
            }
            all.insert(id, chosen);
        }
        let realm = self.realm.clone();
        Ok((Layout { realm, ports: all, racks: self.racks.clone(), config: self.config.clone() }, proxies))
    }
}

pub(super) fn lost_a_port(log_tail: &str) -> bool {
    log_tail.contains("Address already in use") || log_tail.contains("BindException")
}

/// Starts several clusters in parallel and returns them in the given order.
///
/// # Errors
/// The first cluster that fails; the others are ended.
pub fn start_all<const N: usize>(builders: [Builder; N]) -> Result<[Kafka; N], Error> {
    let mut wanted = 0;
    for builder in &builders {
        wanted += builder.slots()?;
    }
    // All at once: two test binaries that each hold half of what they need would wait for each other.
    let mut slots = Slots::acquire(wanted)?;
    let started = thread::scope(|scope| {
        let threads: Vec<_> = builders
            .map(|builder| {
                let share = builder.slots().map(|count| slots.split_off(count));
                scope.spawn(move || builder.start_with(share?))
            })
            .into();
        threads.into_iter().map(join).collect::<Result<Vec<_>, Error>>()
    })?;
    started.try_into().map_err(|_| Error::Refused("as many clusters as builders".to_owned()))
}

fn join(thread: thread::ScopedJoinHandle<'_, Result<Kafka, Error>>) -> Result<Kafka, Error> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
