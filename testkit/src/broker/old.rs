//! A broker from before KRaft, with a ZooKeeper of its own: `OldKafka::start("old", &[("a", "b")])`.
//! slot → ports → configurations → two JVMs on leashes → ready. One broker, whose id is 1; a source and nothing more:
//! a killed broker stays registered in ZooKeeper for a while, so it is not for tests that restart it.
//! Dropping it kills both and removes the folder; a panicking thread keeps the folder and prints it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::config::Ports;
use super::node::{self, Node};
use super::{builder, ready};
use crate::folder::{DATA, Folder};
use crate::slots::Slots;
use crate::{Error, Leash, jars, ports};

/// Starting again helps against a lost port only, so a few tries are enough.
const TRIES: usize = 3;
/// For a broker to find its ZooKeeper and to be named by it; a second when idle.
const LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(20);
const ID: i32 = 1;

/// A running broker of [`jars::OLD_KAFKA_VERSION`]. Fields drop in this order: broker, ZooKeeper, folder, slot.
#[derive(Debug)]
pub struct OldKafka {
    node: Node,
    _zookeeper: Zookeeper,
    folder: Folder,
    _slots: Slots,
}

impl OldKafka {
    /// Starts it and waits until it answers. `config` are lines of `server.properties`; they beat the defaults. `name`
    /// appears in messages and folder names.
    ///
    /// # Errors
    /// When the jars are missing, no slot gets free, a JVM dies (with the end of its log) or takes too long.
    pub fn start(name: &str, config: &[(&str, &str)]) -> Result<Self, Error> {
        // ZooKeeper does next to nothing here: one slot is for both.
        let slots = Slots::acquire(1)?;
        let mut folder = Folder::new(name)?;
        match start_in(folder.path(), name, config) {
            Ok((node, zookeeper)) => Ok(Self { node, _zookeeper: zookeeper, folder, _slots: slots }),
            Err(cause) => {
                folder.keep();
                Err(cause)
            }
        }
    }

    /// `host:port` of the broker.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.node.ports.client)
    }

    /// Where configurations, logs and data of both JVMs lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of one partition's log segments.
    pub fn log_folder(&self, topic: &str, partition: i32) -> PathBuf {
        self.node.data().join(format!("{topic}-{partition}"))
    }
}

fn start_in(folder: &Path, name: &str, config: &[(&str, &str)]) -> Result<(Node, Zookeeper), Error> {
    let libs = jars::libs(jars::OLD_KAFKA_VERSION)?;
    let mut tries_left = TRIES;
    loop {
        tries_left -= 1;
        // A folder for each try: a broker refuses data that another ZooKeeper has named.
        let home = folder.join(format!("try-{}", TRIES - tries_left));
        match try_start(&home, name, &libs, config) {
            Err(Error::Died { log_tail, .. }) if builder::lost_a_port(&log_tail) && tries_left > 0 => {}
            other => return other,
        }
    }
}

fn try_start(
    home: &Path,
    name: &str,
    libs: &Path,
    config: &[(&str, &str)],
) -> Result<(Node, Zookeeper), Error> {
    let mut zookeeper = Zookeeper::start(name, &home.join("zookeeper"), libs)?;
    let ports = Ports { client: ports::free()?, ..Ports::default() };
    let mut node = Node::new([name, ""], ID, ports, home.join(format!("node-{ID}")), libs.to_owned());
    fs::create_dir_all(node.data()).map_err(Error::io(format!("create {}", node.data().display())))?;
    write(&node.properties(), &properties(ports.client, zookeeper.port, &node.data(), config))?;
    // It asks for its ZooKeeper until that is there.
    node.start()?;
    node.cluster_id = wait_for_cluster_id(&node, &mut zookeeper)?;
    ready::wait_for_all(std::slice::from_ref(&node))?;
    Ok((node, zookeeper))
}

/// The id that the broker has drawn for its cluster, once it is written down.
fn wait_for_cluster_id(node: &Node, zookeeper: &mut Zookeeper) -> Result<String, Error> {
    let deadline = Instant::now() + LIMIT;
    let path = node.data().join("meta.properties");
    while Instant::now() < deadline {
        zookeeper.must_run()?;
        node.must_run()?;
        let written = fs::read_to_string(&path).unwrap_or_default();
        if let Some(id) = written.lines().find_map(|line| line.strip_prefix("cluster.id=")) {
            return Ok(id.to_owned());
        }
        thread::sleep(PAUSE);
    }
    let detail = format!("; see {}", node.log().display());
    Err(Error::TimedOut { what: format!("a cluster id of {}", node.name()), limit: LIMIT, detail })
}

fn properties(client: u16, zookeeper: u16, data: &Path, config: &[(&str, &str)]) -> String {
    let (id, client) = (ID.to_string(), format!("PLAINTEXT://127.0.0.1:{client}"));
    let (zookeeper, data) = (format!("127.0.0.1:{zookeeper}"), data.display().to_string());
    let defaults = [
        ("broker.id", id.as_str()),
        ("listeners", &client),
        ("log.dirs", &data),
        ("zookeeper.connect", &zookeeper),
        ("zookeeper.connection.timeout.ms", "60000"),
        ("offsets.topic.replication.factor", "1"),
        ("offsets.topic.num.partitions", "4"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("transaction.state.log.num.partitions", "4"),
        ("auto.create.topics.enable", "false"),
        // Tests write records of all ages: nothing expires in the middle unless a topic says so.
        ("log.retention.ms", "-1"),
    ];
    // Of a key given twice Java keeps the last value.
    defaults.iter().chain(config).map(|(key, value)| format!("{key}={value}\n")).collect()
}

/// A single ZooKeeper server: zookeeper/{zoo.cfg, zookeeper.log, data/}.
#[derive(Debug)]
struct Zookeeper {
    name: String,
    port: u16,
    log: PathBuf,
    leash: Leash,
}

impl Zookeeper {
    /// Starts the JVM and returns at once.
    fn start(cluster: &str, home: &Path, libs: &Path) -> Result<Self, Error> {
        let (port, data, log) = (ports::free()?, home.join(DATA), home.join("zookeeper.log"));
        fs::create_dir_all(&data).map_err(Error::io(format!("create {}", data.display())))?;
        let config = home.join("zoo.cfg");
        let lines = format!(
            "tickTime=2000\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
            data.display()
        );
        write(&config, &lines)?;
        let mut command = node::java(libs);
        command.push("org.apache.zookeeper.server.quorum.QuorumPeerMain".to_owned());
        command.push(config.display().to_string());
        let leash = Leash::run(&command, &[], &log, &log)?;
        Ok(Self { name: format!("the ZooKeeper of `{cluster}`"), port, log, leash })
    }

    /// # Errors
    /// When it ended by itself: with the end of its log.
    fn must_run(&mut self) -> Result<(), Error> {
        match self.leash.try_exit()? {
            None => Ok(()),
            Some(exit) => {
                let log_tail = node::tail(&self.log);
                Err(Error::Died { what: self.name.clone(), exit: exit.to_string(), log_tail })
            }
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::io(format!("write {}", path.display())))
}
