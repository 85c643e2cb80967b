//! Real Kafka in KRaft mode: `Kafka::builder("source").brokers(3).config("a", "b").start()`.
//! builder → slots → ports → config → format → node (a JVM on a leash) → ready (rdkafka sees every broker).
//! `old` is the same with ZooKeeper, for one broker of a version from before KRaft.
//! Nodes count from 1, as `node.id` does. Dropping a cluster kills it and removes its folder; a panicking thread keeps
//! the folder and prints it.

mod acls;
mod builder;
mod config;
mod console;
mod format;
mod node;
mod old;
mod ready;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use acls::{CLIENTS, USERS};
pub use builder::{Builder, start_all};
pub use console::Printed;
pub use old::OldKafka;

use crate::folder::Folder;
use crate::proxy::Proxy;
use crate::secured::Listener;
use crate::slots::Slots;
use crate::{Error, Signal};
use node::Node;

/// A JVM that shuts down in order hands over its partitions first.
const ORDERLY_STOP: Duration = Duration::from_secs(60);

/// A running cluster. Fields drop in this order: brokers, proxies, folder, slots.
#[derive(Debug)]
pub struct Kafka {
    name: String,
    version: String,
    nodes: Vec<Node>,
    /// One per node when asked for, else none.
    proxies: Vec<Proxy>,
    folder: Folder,
    _slots: Slots,
}

impl Kafka {
    /// A single broker of the default version unless the builder is told otherwise. `name` appears in messages and
    /// folder names.
    pub fn builder(name: &str) -> Builder {
        Builder::new(name)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Kafka's version, as in `4.3.1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// `host:port` of every broker, with commas.
    pub fn bootstrap(&self) -> String {
        join(self.nodes.iter().map(|node| node.ports.client))
    }

    /// `host:port` of one broker.
    pub fn address(&self, id: i32) -> Result<String, Error> {
        Ok(join([self.node(id)?.ports.client]))
    }

    /// `localhost:port` of every broker's listener in its realm, with commas.
    ///
    /// # Errors
    /// When the cluster was built without [`Builder::secured`].
    pub fn secured_bootstrap(&self, listener: Listener) -> Result<String, Error> {
        let ports = self.nodes.iter().filter_map(|node| node.ports.secured.map(|ports| ports.of(listener)));
        let all: Vec<_> = ports.map(|port| format!("localhost:{port}")).collect();
        if all.is_empty() {
            return Err(Error::Refused(format!("`{}` was built without a realm", self.name)));
        }
        Ok(all.join(","))
    }

    /// The way through the proxies: clients that start here stay on them, because the brokers advertise them.
    ///
    /// # Errors
    /// When the cluster was built without [`Builder::proxied`].
    pub fn proxied_bootstrap(&self) -> Result<String, Error> {
        if self.proxies.is_empty() {
            return Err(Error::Refused(format!("`{}` was built without proxies", self.name)));
        }
        Ok(join(self.proxies.iter().map(Proxy::port)))
    }

    /// The proxy before one broker.
    ///
    /// # Errors
    /// When there is none.
    pub fn proxy(&self, id: i32) -> Result<&Proxy, Error> {
        let at = self.nodes.iter().position(|node| node.id == id);
        at.and_then(|at| self.proxies.get(at))
            .ok_or_else(|| Error::Refused(format!("no proxy before node {id} of `{}`", self.name)))
    }

    /// Node ids, ascending from 1.
    pub fn node_ids(&self) -> Vec<i32> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    /// The process id of a broker's JVM.
    pub fn pid(&self, id: i32) -> Result<u32, Error> {
        self.node(id)?.pid()
    }

    /// Where configurations, logs and data of all brokers lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of one replica's log segments (see [`crate::stored`]).
    pub fn log_folder(&self, id: i32, topic: &str, partition: i32) -> Result<PathBuf, Error> {
        Ok(self.node(id)?.data().join(format!("{topic}-{partition}")))
    }

    /// SIGKILL; returns when the process is gone.
    pub fn kill(&self, id: i32) -> Result<(), Error> {
        self.node(id)?.kill()
    }

    /// SIGSTOP: connections stay open and nobody answers.
    pub fn stop(&self, id: i32) -> Result<(), Error> {
        self.node(id)?.signal(Signal::Stop)
    }

    /// SIGCONT, the end of a [`Kafka::stop`].
    pub fn cont(&self, id: i32) -> Result<(), Error> {
        self.node(id)?.signal(Signal::Continue)
    }

    /// SIGTERM; returns when the broker has shut down in order.
    pub fn terminate(&self, id: i32) -> Result<(), Error> {
        self.node(id)?.terminate(ORDERLY_STOP)
    }

    /// Starts a broker again on its ports and folders (killing it first if it runs) and waits until it answers and is
    /// a member of its cluster again.
    pub fn restart(&self, id: i32) -> Result<(), Error> {
        let node = self.node(id)?;
        node.kill()?;
        node.start()?;
        ready::wait_for_member(node)
    }

    /// Whether the broker's process exists (a stopped one does).
    pub fn is_running(&self, id: i32) -> Result<bool, Error> {
        self.node(id)?.is_running()
    }

    fn node(&self, id: i32) -> Result<&Node, Error> {
        self.nodes.iter().find(|node| node.id == id).ok_or_else(|| Error::Node {
            cluster: self.name.clone(),
            node: id,
            state: "does not exist",
        })
    }
}

fn join(ports: impl IntoIterator<Item = u16>) -> String {
    ports.into_iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
}
