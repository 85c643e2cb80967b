//! One broker: a JVM on a leash, its ports and its folder, which stay the same over its deaths.
//! node-1/{server.properties, server.log, data/}. What the JVM says goes to `server.log`.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::config::Ports;
use crate::folder::DATA;
use crate::{Error, Leash, Signal};

/// As much of a log as a message quotes: a broker that cannot start says why, in several stack traces.
const TAIL_BYTES: u64 = 20_000;
/// Logs to standard error; named in `testkit/kafka/pom.xml`.
const LOGGER: &str = "slf4j-simple-1.7.36.jar";

#[derive(Debug)]
pub(super) struct Node {
    cluster: String,
    /// The id that the cluster was formatted with, which tells it from a stranger on the same port.
    pub(super) cluster_id: String,
    pub(super) id: i32,
    pub(super) ports: Ports,
    home: PathBuf,
    libs: PathBuf,
    /// More options of the JVM.
    jvm: Vec<String>,
    /// `None` before the first start and after a kill.
    running: Mutex<Option<Leash>>,
}

impl Node {
    /// `cluster`: its name and its id.
    pub(super) fn new(cluster: [&str; 2], id: i32, ports: Ports, home: PathBuf, libs: PathBuf) -> Self {
        let [cluster, cluster_id] = cluster.map(str::to_owned);
        Self { cluster, cluster_id, id, ports, home, libs, jvm: Vec::new(), running: Mutex::new(None) }
    }

    /// Options that beat those of [`java`].
    pub(super) fn with_jvm(mut self, options: Vec<String>) -> Self {
        self.jvm = options;
        self
    }

    pub(super) fn name(&self) -> String {
        format!("node {} of `{}`", self.id, self.cluster)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.home.join(DATA)
    }

    pub(super) fn properties(&self) -> PathBuf {
        self.home.join("server.properties")
    }

    pub(super) fn libs(&self) -> &Path {
        &self.libs
    }

    pub(super) fn log(&self) -> PathBuf {
        self.home.join("server.log")
    }

    /// Starts the JVM and returns at once.
    pub(super) fn start(&self) -> Result<(), Error> {
        let mut command = java(&self.libs);
        command.extend(self.jvm.iter().cloned());
        command.extend(["kafka.Kafka".to_owned(), self.properties().display().to_string()]);
        let leash = Leash::run(&command, &[], &self.log(), &self.log())?;
        *self.lock() = Some(leash);
        Ok(())
    }

    pub(super) fn pid(&self) -> Result<u32, Error> {
        self.lock().as_ref().map(Leash::pid).ok_or_else(|| self.state("is not running"))
    }

    pub(super) fn is_running(&self) -> Result<bool, Error> {
        match self.lock().as_mut() {
            Some(leash) => Ok(leash.try_exit()?.is_none()),
            None => Ok(false),
        }
    }

    /// # Errors
    /// When it ended by itself: with the end of its log.
    pub(super) fn must_run(&self) -> Result<(), Error> {
        let exit = match self.lock().as_mut() {
            Some(leash) => leash.try_exit()?,
            None => return Err(self.state("is not running")),
        };
        match exit {
            None => Ok(()),
            Some(exit) => {
                let log_tail = tail(&self.log());
                Err(Error::Died { what: self.name(), exit: exit.to_string(), log_tail })
            }
        }
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<(), Error> {
        match self.lock().as_mut() {
            Some(leash) => leash.signal(signal),
            None => Err(self.state("is not running")),
        }
    }

    /// Gone when it returns; nothing to do when it does not run.
    pub(super) fn kill(&self) -> Result<(), Error> {
        match self.lock().take() {
            Some(mut leash) => leash.kill().map(drop),
            None => Ok(()),
        }
    }

    pub(super) fn terminate(&self, limit: Duration) -> Result<(), Error> {
        let mut running = self.lock();
        let leash = running.as_mut().ok_or_else(|| self.state("is not running"))?;
        leash.signal(Signal::Terminate)?;
        leash.wait(limit)?;
        *running = None;
        Ok(())
    }

    fn state(&self, state: &'static str) -> Error {
        Error::Node { cluster: self.cluster.clone(), node: self.id, state }
    }

    /// A panic while it was held left a leash as good as any.
    fn lock(&self) -> MutexGuard<'_, Option<Leash>> {
        self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The start of every command line with Kafka's classes: small, quick to start, no use of its own for many cores.
pub(super) fn java(libs: &Path) -> Vec<String> {
    let mut command: Vec<String> =
        ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"].map(str::to_owned).into();
    command.extend(
        ["defaultLogLevel=warn", "showDateTime=true", "dateTimeFormat=HH:mm:ss.SSS", "showThreadName=false"]
            .map(|option| format!("-Dorg.slf4j.simpleLogger.{option}")),
    );
    // The JVM expands the star itself. First in line: some versions bring other loggers, which nobody has configured.
    command.extend(["-cp".to_owned(), format!("{0}/{LOGGER}:{0}/*", libs.display())]);
    command
}

/// The end of a log, for a message.
pub(super) fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = fs::metadata(log)?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut end = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut end)?;
        Ok(end)
    };
    match read() {
        Ok(end) => String::from_utf8_lossy(&end).into_owned(),
        Err(cause) => format!("({}: {cause})", log.display()),
    }
}
